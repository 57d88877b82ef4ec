// SPDX-License-Identifier: GPL-2.0
/* Long work says how far it is, on a terminal, and can be stopped half-way. */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "cmd.h"

static bool hidden;
static volatile sig_atomic_t stopped;

static void on_signal(int sig)
{
	(void)sig;
	stopped = 1;
}

/* From now on progress_step() tells of signals, so that no half file is left. */
void catch_signals(void)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESETHAND };

	for (size_t i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		sigaction(signals[i], &act, NULL);
	/* The limit for files is an error like any other. */
	signal(SIGXFSZ, SIG_IGN);
}

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

/* For a process in the background: a terminal is others'. */
void progress_hide(void)
{
	hidden = true;
}

/**
 * progress_start() - begin with something
 * @p: for the other functions
 * @what: in a word or two
 * @total: bytes
 */
void progress_start(struct progress *p, const char *what, uint64_t total)
{
	*p = (struct progress) {
		.what = what, .total = total, .shown = now(),
		.visible = !hidden && isatty(STDERR_FILENO),
	};
}

/**
 * progress_step() - some of it is done
 * @p: the work; NULL: nobody wants to know
 * @bytes: since the last call
 *
 * Return: whether somebody wants it stopped.
 */
bool progress_step(struct progress *p, uint64_t bytes)
{
	double t;

	if (!p)
		return stopped;
	p->done += bytes;
	if (!p->visible)
		return stopped;
	t = now();
	if (t - p->shown < 0.2)
		return stopped;
	p->shown = t;
	fprintf(stderr, "\r%s: %3.0f %% of %s\033[K", p->what,
		p->total ? 100.0 * p->done / p->total : 100.0, HUMAN(p->total));
	return stopped;
}

void progress_end(struct progress *p)
{
	if (p->visible)
		fputs("\r\033[K", stderr);
	p->visible = false;
}

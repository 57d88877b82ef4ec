// SPDX-License-Identifier: GPL-2.0
/* cpimg list: which images a folder has, of whom, and which is the newest. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"

struct list {
	char				**folders;
	int				count;
	uint64_t			pid;		/* 0: all */
	bool				verbose, json, newest;
	bool				first;		/* nothing was printed yet */
	const struct cpimg_entry	*entry;		/* of the folder at hand */
	size_t				nr;
	uint64_t			now;		/* ns since 1970 */
};

static bool wanted(const struct list *l, const struct cpimg_entry *e)
{
	return !l->pid || e->note.pid == l->pid;
}

/* The newest of a chain: nobody has it for a parent. */
static bool is_last(const struct cpimg_entry *e)
{
	return e->known && !e->children;
}

static const char *age_text(const struct list *l, uint64_t ns, char buf[24])
{
	double s = ((double)l->now - (double)ns) / 1e9;

	if (s < 0)
		strcpy(buf, "in the future");
	else if (s < 120)
		snprintf(buf, 24, "%.0f s", s);
	else if (s < 7200)
		snprintf(buf, 24, "%.0f min", s / 60);
	else if (s < 172800)
		snprintf(buf, 24, "%.0f h", s / 3600);
	else
		snprintf(buf, 24, "%.0f days", s / 86400);
	return buf;
}

#define AGE(l, ns)	age_text(l, ns, (char [24]){ 0 })

/* Up the chain from @i: bytes of its files, and the first that is here. */
static uint64_t chain_bytes(const struct list *l, size_t i, size_t *count, size_t *first)
{
	uint64_t bytes = 0;

	/* a circle of parents is not one of good images, and ends here, too */
	for (*count = 0; i != CPIMG_NO_ENTRY && *count < l->nr; i = l->entry[i].parent) {
		bytes += l->entry[i].size;
		*first = i;
		++*count;
	}
	return bytes;
}

static void text_entry(const struct list *l, const struct cpimg_entry *e)
{
	printf("    %-12s %10s %10s  ", e->note.kind == CP_KIND_FULL ? "full" :
	       "incremental", HUMAN(e->size), AGE(l, e->note.realtime_ns));
	put_escaped(stdout, base_name(e->path), FOR_TEXT);
	puts(e->note.flags & CP_NOTE_MOMENT ? " (one moment)" : "");
}

static void text_chain(const struct list *l, size_t i)
{
	const struct cpimg_entry *e = &l->entry[i];
	size_t count, first = i;
	uint64_t bytes = chain_bytes(l, i, &count, &first);

	fputs("  ", stdout);
	put_escaped(stdout, base_name(e->path), FOR_TEXT);
	printf(": thread %u, %s old, %zu image%s, %s", e->note.tid,
	       AGE(l, e->note.realtime_ns), count, count == 1 ? "" : "s", HUMAN(bytes));
	if (!e->length) {
		fputs(", orphaned: there is no ", stdout);
		put_escaped(stdout, l->entry[first].note.parent, FOR_TEXT);
	}
	puts("");
	for (; l->verbose && count; count--, i = l->entry[i].parent)
		text_entry(l, &l->entry[i]);
}

static bool same_process(const struct cpimg_entry *a, const struct cpimg_entry *b)
{
	return a->note.pid == b->note.pid && a->uid == b->uid;
}

static int by_number(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* How many threads of the process have made an image that is here. */
static size_t count_threads(const struct list *l, size_t of, const bool *mine)
{
	uint32_t *tids = malloc(l->nr * sizeof(*tids));
	size_t n = 0, kept = 0;

	for (size_t i = of; tids && i < l->nr; i++) {
		if (mine[i])
			tids[n++] = l->entry[i].note.tid;
	}
	if (tids)
		qsort(tids, n, sizeof(*tids), by_number);
	for (size_t i = 0; i < n; i++) {
		if (!i || tids[i] != tids[i - 1])
			kept++;
	}
	free(tids);
	return kept;
}

static struct process program_of(const struct cpimg_entry *e)
{
	struct cpimg *img = cpimg_open(e->path, 0, NULL);
	struct process p = { .uid = 0 };

	if (img)
		p = process_of(img);
	cpimg_close(img);
	return p;
}

/* All chains of the process that made image @of, which is its newest. */
static void text_process(struct list *l, size_t of, bool *shown)
{
	const struct cpimg_entry *newest = &l->entry[of];
	struct process p = program_of(newest);
	bool *mine = calloc(l->nr, sizeof(*mine));
	size_t images = 0, threads;
	uint64_t bytes = 0;

	for (size_t i = of; mine && i < l->nr && l->entry[i].known; i++) {
		if (!same_process(&l->entry[i], newest))
			continue;
		mine[i] = shown[i] = true;
		images++;
		bytes += l->entry[i].size;
	}
	if (!mine)
		return;
	threads = count_threads(l, of, mine);
	fputs(l->first ? "" : "\n", stdout);
	l->first = false;
	printf("process %u", newest->note.pid);
	if (p.name[0]) {
		fputs(", ", stdout);
		put_escaped(stdout, p.name, FOR_TEXT);
	}
	printf(", of user %u: %zu image%s by %zu thread%s, %s\n", newest->uid, images,
	       images == 1 ? "" : "s", threads, threads == 1 ? "" : "s", HUMAN(bytes));
	for (size_t i = of; i < l->nr; i++) {
		if (mine[i] && is_last(&l->entry[i]))
			text_chain(l, i);
	}
	free(mine);
}

/* Names that unfinished files of flatten, extract and prune have. */
static void text_unfinished(struct list *l, const char *folder)
{
	DIR *dir = opendir(folder);
	struct dirent *entry;
	bool head = false;

	while (dir && (entry = readdir(dir))) {
		if (!unfinished_length(entry->d_name))
			continue;
		if (!head)
			printf("%sunfinished, by cpimg, which removes them when it makes that file again:\n",
			       l->first ? "" : "\n");
		head = true;
		l->first = false;
		fputs("  ", stdout);
		put_escaped(stdout, entry->d_name, FOR_TEXT);
		puts("");
	}
	if (dir)
		closedir(dir);
}

static void text_broken(struct list *l)
{
	bool head = false;

	for (size_t i = 0; i < l->nr; i++) {
		const struct cpimg_entry *e = &l->entry[i];

		if (e->known || !wanted(l, e) || unfinished_length(base_name(e->path)))
			continue;
		if (!head)
			printf("%sbroken:\n", l->first ? "" : "\n");
		head = true;
		l->first = false;
		fputs("  ", stdout);
		put_escaped(stdout, e->why ? e->why : e->path, FOR_TEXT);
		printf(" (%s)\n", HUMAN(e->size));
	}
}

static int text_folder(struct list *l, const char *folder)
{
	bool *shown = calloc(l->nr + 1, sizeof(*shown));

	if (!shown)
		return problem("no memory");
	for (size_t i = 0; i < l->nr && l->entry[i].known; i++) {
		if (!shown[i] && wanted(l, &l->entry[i]) &&
		    !unfinished_length(base_name(l->entry[i].path)))
			text_process(l, i, shown);
	}
	text_broken(l);
	text_unfinished(l, folder);
	free(shown);
	return CMD_OK;
}

static void json_text(const char *key, const char *value)
{
	printf(", \"%s\": \"", key);
	put_escaped(stdout, value, FOR_JSON);
	fputs("\"", stdout);
}

static void json_entry(struct list *l, const struct cpimg_entry *e)
{
	printf("%s{\"file\": \"", l->first ? "" : ",\n");
	l->first = false;
	put_escaped(stdout, e->path, FOR_JSON);
	printf("\", \"size\": %" PRIu64 ", \"uid\": %u, \"good\": %s", e->size, e->uid,
	       e->known ? "true" : "false");
	if (!e->known) {
		json_text("error", e->why ? e->why : "");
		fputs("}", stdout);
		return;
	}
	json_text("kind", e->note.kind == CP_KIND_FULL ? "full" : "incremental");
	printf(", \"moment\": %s, \"own_pid\": %u",
	       e->note.flags & CP_NOTE_MOMENT ? "true" : "false", e->note.own_pid);
	printf(", \"pid\": %u, \"tid\": %u, \"n\": %" PRIu64 ", \"realtime_ns\": %" PRIu64
	       ", \"id\": \"", e->note.pid, e->note.tid, (uint64_t)e->note.n,
	       (uint64_t)e->note.realtime_ns);
	for (size_t i = 0; i < CP_ID_SIZE; i++)
		printf("%02x", e->note.id[i]);
	fputs("\"", stdout);
	if (e->parent != CPIMG_NO_ENTRY)
		json_text("parent", l->entry[e->parent].path);
	printf(", \"chain_length\": %zu, \"whole\": %s, \"last\": %s}", e->length,
	       e->length ? "true" : "false", is_last(e) ? "true" : "false");
}

static int list_folder(struct list *l, const char *path)
{
	struct cpimg_error err;
	struct cpimg_folder *folder = cpimg_folder_open(path, &err);
	int status = CMD_OK;

	if (!folder)
		return problem_of(&err);
	l->entry = cpimg_folder_entries(folder, &l->nr);
	if (!l->json)
		status = text_folder(l, path);
	for (size_t i = 0; l->json && i < l->nr; i++) {
		if (wanted(l, &l->entry[i]) &&
		    !unfinished_length(base_name(l->entry[i].path)))
			json_entry(l, &l->entry[i]);
	}
	cpimg_folder_close(folder);
	return status;
}

static int print_newest(const struct list *l, const char *folder)
{
	struct cpimg_error err;
	char *path = cpimg_newest(folder, l->pid, &err);

	if (!path)
		return problem_of(&err);
	/* for programs: as it is */
	puts(path);
	free(path);
	return CMD_OK;
}

static const struct argp_option options[] = {
	{ "pid", 'p', "PID", 0, "only those of this process", 0 },
	{ "newest", 'n', 0, 0,
	  "only the name of the newest image of yours whose chain is whole", 0 },
	{ "verbose", 'v', 0, 0, "each image of each chain", 0 },
	{ "json", 'j', 0, 0, "for programs: an array, one object an image", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct list *l = state->input;

	switch (key) {
	case 'p':
		if (!parse_number(arg, &l->pid) || !l->pid || l->pid > UINT32_MAX)
			argp_error(state, "--pid: '%s' is no process id", arg);
		return 0;
	case 'n':
		l->newest = true;
		return 0;
	case 'v':
		l->verbose = true;
		return 0;
	case 'j':
		l->json = true;
		return 0;
	case ARGP_KEY_ARGS:
		l->folders = state->argv + state->next;
		l->count = state->argc - state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "FOLDER...",
	"Which images there are: of which processes and threads, in which chains, how large and how old, and which are broken or lack a parent.",
	0, 0, 0,
};

int cmd_list(int argc, char **argv)
{
	struct list l = { .first = true };
	int status = CMD_OK;
	struct timespec now;

	argp_parse(&argp, argc, argv, 0, 0, &l);
	clock_gettime(CLOCK_REALTIME, &now);
	l.now = now.tv_sec * 1000000000ULL + now.tv_nsec;
	if (l.json && !l.newest)
		fputs("[", stdout);
	for (int i = 0; i < l.count; i++)
		status |= l.newest ? print_newest(&l, l.folders[i]) :
				     list_folder(&l, l.folders[i]);
	if (l.json && !l.newest)
		puts("]");
	return close_output(stdout, "standard output") ? CMD_PROBLEM : status;
}

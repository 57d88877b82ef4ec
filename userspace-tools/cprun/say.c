// SPDX-License-Identifier: GPL-2.0
/* What cprun says of the images: only what is not as it should be, and each thing once. */
#include <errno.h>
#include <string.h>

#include "cprun.h"

enum what {
	FINE,
	NOT_SAVED,		/* why: the errno */
	NOT_SAFE,		/* likewise */
	NO_MOMENT,		/* why: enum cp_missed */
	NO_RESTART,		/* why: enum cp_refused */
};

/* What struct cp_result.refused_at is. */
static const char *refused_where(uint32_t reason)
{
	switch (reason) {
	case CP_REFUSED_BUSY:
	case CP_REFUSED_TRACED:
	case CP_REFUSED_VFORK:
	case CP_REFUSED_SECCOMP:
	case CP_REFUSED_SCHED:
	case CP_REFUSED_PERF:
	case CP_REFUSED_SHSTK:
	case CP_REFUSED_IO_URING:
	case CP_REFUSED_FILES:
		return "thread";
	case CP_REFUSED_SHARED:
	case CP_REFUSED_CHILDREN:
		return "process";
	case CP_REFUSED_PENDING:
		return "signal";
	case CP_REFUSED_TIMER:
		return "timer";
	case CP_REFUSED_SYSV_SHM:
	case CP_REFUSED_MAPPING:
	case CP_REFUSED_LEFT_OUT:
	case CP_REFUSED_GUARDED:
	case CP_REFUSED_UFFD:
	case CP_REFUSED_DELETED:
	case CP_REFUSED_OUTSIDE:
		return "address";
	case CP_REFUSED_SOCKET:
	case CP_REFUSED_DEVICE:
	case CP_REFUSED_KIND:
	case CP_REFUSED_UNLINKED:
	case CP_REFUSED_PIPE:
	case CP_REFUSED_LOCK:
	case CP_REFUSED_NAME:
		return "descriptor";
	}
	return NULL;
}

static void say_refused(const struct cp_result *r)
{
	const char *where = refused_where(r->refused);
	char at[64] = "";

	if (where)
		snprintf(at, sizeof(at), strcmp(where, "address") ? " (%s %lld)" : " (%s 0x%llx)",
			 where, (unsigned long long)r->refused_at);
	problem("not restartable now: %s%s; the program goes on",
		cpimg_refused_name(r->refused), at);
}

static void say_trouble(const struct job *job, enum what what, const struct saved *s)
{
	char text[1024];

	switch (what) {
	case FINE:
		problem("saved, and restartable again: %s/%s", job->folder, s->r.name);
		break;
	case NOT_SAVED:
		save_problem(text, sizeof(text), 2, job->folder,
			     s->error ? s->error : (int)s->r.error);
		problem("%s; the program goes on", text);
		break;
	case NOT_SAFE:
		problem("%s/%s: writing it to the disk: %s; the program goes on", job->folder,
			s->r.name, strerror(s->sync_error));
		break;
	case NO_MOMENT:
		problem("not restartable now: %s; the program goes on",
			missed_text(s->r.missed));
		break;
	case NO_RESTART:
		say_refused(&s->r);
		break;
	}
}

static enum what what_came(const struct saved *s, uint64_t *why, uint64_t *at)
{
	*at = 0;
	*why = s->error;
	if (s->error)
		return NOT_SAVED;
	*why = s->r.error;
	if (s->r.missed == CP_MISSED_ERROR)
		return NOT_SAVED;
	*why = s->r.missed;
	if (!(s->r.flags & CP_MOMENT))
		return NO_MOMENT;
	*why = s->r.refused;
	*at = s->r.refused_at;
	if (!is_restartable(s))
		return NO_RESTART;
	*at = 0;
	*why = s->sync_error;
	return is_safe(s) ? FINE : NOT_SAFE;
}

static void say_image(const struct job *job, const struct saved *s)
{
	const struct cp_result *r = &s->r;

	fprintf(stderr, "%s: ", tool_name);
	put_escaped(stderr, job->folder, FOR_TEXT);
	fprintf(stderr, "/%s: %s, %s, %u thread%s, stood still for %.3f ms\n", r->name,
		r->kind == CP_KIND_FULL ? "full" : "incremental", HUMAN(r->bytes),
		r->threads, r->threads == 1 ? "" : "s", r->stop_ns / 1e6);
}

/**
 * say_saved() - what came of saving
 * @job: the job; of --verbose all is told
 * @said: what was told last: the same thing is not told again
 * @s: what came of it
 */
void say_saved(const struct job *job, struct said *said, const struct saved *s)
{
	uint64_t why, at;
	enum what what = what_came(s, &why, &at);

	if (job->verbose && !s->error)
		say_image(job, s);
	if (!s->error && s->sync_error == EOPNOTSUPP && !said->memory) {
		problem("%s: is in memory (tmpfs): what is there goes with the machine's power",
			job->dir);
		said->memory = true;
	}
	if ((int)what == said->what && (what == FINE || (why == said->why && at == said->at)))
		return;
	said->what = what;
	said->why = why;
	said->at = at;
	say_trouble(job, what, s);
}

// SPDX-License-Identifier: GPL-2.0
/* cpimg show: what an image is, when and of whom, and how much of each class. */
#include <elf.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cmd.h"

struct show {
	char		**images;
	int		count;
	const char	*dir;
	bool		verbose, json, chain;
	bool		first;		/* nothing was printed yet */
};

/* An image and what is derived from it. */
struct shown {
	const struct cpimg	*img;
	const struct cp_note	*note;
	struct process		process;
	struct mapping		*maps;
	size_t			nr_maps;
};

static const struct {
	const char		*json;
	enum cpimg_class	cls;
	size_t			at;
	const char		*what;
} classes[] = {
#define ROW(name, cls, what) \
	{ #name, cls, offsetof(struct cp_note, pages_##name), what }
	ROW(data, CPIMG_DATA, "the bytes are in the image"),
	ROW(same, CPIMG_SAME, "as in the parent"),
	ROW(hole, CPIMG_HOLE, "nothing of its own"),
	ROW(skipped, CPIMG_SKIPPED, "left out on purpose"),
#undef ROW
};

#define NR_CLASSES	(sizeof(classes) / sizeof(classes[0]))

static uint64_t pages(const struct cp_note *note, size_t i)
{
	return *(const uint64_t *)((const char *)note + classes[i].at);
}

static const char *machine_name(const struct cpimg *img)
{
	switch (cpimg_machine(img)) {
	case EM_X86_64:
		return "x86-64";
	case EM_386:
		return "i386";
	default:
		return "unknown machine";
	}
}

static const char *time_text(uint64_t ns, const char *format, bool local,
			     char buf[80])
{
	time_t t = ns / 1000000000;
	char fraction[16], zone[16] = "Z";
	struct tm tm;

	/* 2554 at the latest, which both can do */
	if (local)
		localtime_r(&t, &tm);
	else
		gmtime_r(&t, &tm);
	strftime(buf, 64, format, &tm);
	snprintf(fraction, sizeof(fraction), local ? ".%03u" : ".%09u",
		 (unsigned int)(ns % 1000000000 / (local ? 1000000 : 1)));
	strcat(buf, fraction);
	if (local)
		strftime(zone, sizeof(zone), " %z", &tm);
	strcat(buf, zone);
	return buf;
}

static void print_id(const unsigned char *id)
{
	for (size_t i = 0; i < CP_ID_SIZE; i++)
		printf("%02x", id[i]);
}

static const char *run_reason(const struct cpimg_run *run)
{
	return run->cls == CPIMG_HOLE ? cpimg_hole_name(run->reason) :
	       run->cls == CPIMG_SKIPPED ? cpimg_skip_name(run->reason) : "";
}

static const char *label_at(const struct shown *s, uint64_t addr)
{
	const struct mapping *m = mapping_at(s->maps, s->nr_maps, addr);

	return m ? m->label : "";
}

static void text_areas(const struct shown *s)
{
	size_t count;
	const struct cp_span *area = cpimg_areas(s->img, &count);

	printf("\n  %-33s %9s\n", "range", "size");
	for (; count; count--, area++)
		printf("  %016" PRIx64 "-%016" PRIx64 " %9s\n", (uint64_t)area->start,
		       (uint64_t)area->end, HUMAN(area->end - area->start));
}

static void text_runs(const struct shown *s)
{
	size_t count;
	const struct cpimg_run *run = cpimg_runs(s->img, &count);

	printf("\n  %-33s %9s %-7s %-4s\n", "run", "size", "class", "");
	for (; count; count--, run++) {
		const char *reason = run_reason(run);

		printf("  %016" PRIx64 "-%016" PRIx64 " %9s %-7s %-4s ",
		       run->start, run->end, HUMAN(run->end - run->start),
		       cpimg_class_name(run->cls), PROT(run->prot));
		put_escaped(stdout, label_at(s, run->start), FOR_TEXT);
		printf(*reason ? " (%s)\n" : "\n", reason);
	}
}

/* A line for each reason that there is. */
static void text_reasons(const struct shown *s, enum cpimg_class cls)
{
	uint64_t bytes[CP_SKIP_FAULT + 2] = { 0 };
	const size_t other = CP_SKIP_FAULT + 1;
	uint64_t page = s->note->page_size;
	size_t count;
	const struct cpimg_run *run = cpimg_runs(s->img, &count);

	for (; count; count--, run++) {
		if (run->cls == cls)
			bytes[run->reason < other ? run->reason : other] +=
				run->end - run->start;
	}
	for (size_t i = 0; i <= other; i++) {
		if (bytes[i])
			printf("  %10s%10" PRIu64 " %9s     %s\n", "",
			       bytes[i] / page, HUMAN(bytes[i]),
			       cls == CPIMG_HOLE ? cpimg_hole_name(i) :
			       cpimg_skip_name(i));
	}
}

static void text_classes(const struct shown *s)
{
	printf("  %-10s%10s %9s\n", "class", "pages", "size");
	for (size_t i = 0; i < NR_CLASSES; i++) {
		uint64_t n = pages(s->note, i);

		printf("  %-10s%10" PRIu64 " %9s   %s\n",
		       cpimg_class_name(classes[i].cls), n,
		       HUMAN(n * s->note->page_size), classes[i].what);
		if (classes[i].cls == CPIMG_HOLE || classes[i].cls == CPIMG_SKIPPED)
			text_reasons(s, classes[i].cls);
	}
}

static void text_program(const struct shown *s)
{
	printf("  %-10s", "program");
	if (!s->process.name[0] && !s->process.args[0]) {
		puts("not known");
		return;
	}
	put_escaped(stdout, s->process.name, FOR_TEXT);
	fputs(" (", stdout);
	put_escaped(stdout, s->process.args, FOR_TEXT);
	printf("), user %u\n", s->process.uid);
}

/* For how long, in units that people count in. */
static const char *stop_text(uint64_t ns, char buf[32])
{
	if (ns < 1000000)
		snprintf(buf, 32, "%.1f us", ns / 1e3);
	else if (ns < 1000000000)
		snprintf(buf, 32, "%.1f ms", ns / 1e6);
	else
		snprintf(buf, 32, "%.1f s", ns / 1e9);
	return buf;
}

static void text_moment(const struct cp_note *n)
{
	char buf[32];

	printf("  %-10s%s", "moment", n->flags & CP_NOTE_MOMENT ?
	       "all of it is from one" : "no");
	if (n->stop_ns)
		printf(", its threads stood still for %s", stop_text(n->stop_ns, buf));
	printf("\n  %-10sregisters of %u\n", "threads", n->threads);
}

/* How many entries a note of CP_PROCESS has; it is not looked at closer. */
static uint32_t table_size(const struct cpimg *img, uint32_t type)
{
	struct cpimg_elfnote en;
	struct cp_table head;

	if (!cpimg_find_note(img, CP_NOTE_OWNER, type, &en) || en.size < sizeof(head))
		return 0;
	memcpy(&head, en.desc, sizeof(head));
	return head.nr;
}

static void text_restart(const struct shown *s)
{
	if (!(s->note->flags & CP_NOTE_PROCESS)) {
		printf("  %-10sno: only memory and registers are in it\n", "restart");
		return;
	}
	printf("  %-10syes: %u threads, %u mappings, %u descriptors of %u open files\n",
	       "restart", table_size(s->img, CP_THREADS_TYPE),
	       table_size(s->img, CP_VMAS_TYPE), table_size(s->img, CP_DESCRIPTORS_TYPE),
	       table_size(s->img, CP_OPEN_TYPE));
}

static void text_range(const struct shown *s)
{
	const struct cp_note *n = s->note;
	size_t count;
	const struct cp_span *area = cpimg_areas(s->img, &count);
	uint64_t bytes = 0;

	printf("  %-10s0x%" PRIx64 "-0x%" PRIx64 " (asked for: 0x%" PRIx64 "-0x%" PRIx64 ")\n",
	       "range", (uint64_t)n->start, (uint64_t)n->end,
	       (uint64_t)n->req_start, (uint64_t)n->req_end);
	for (size_t i = 0; i < count; i++)
		bytes += area[i].end - area[i].start;
	if (count > 1)
		printf("  %-10s%zu ranges of it were looked at, %s in all\n", "", count,
		       HUMAN(bytes));
}

static void text_image(const struct shown *s)
{
	const struct cp_note *n = s->note;
	char buf[80];

	put_escaped(stdout, cpimg_path(s->img), FOR_TEXT);
	printf(": %s image: %s\n", n->kind == CP_KIND_FULL ? "full" : "incremental",
	       cpimg_reason_name(n->reason));
	text_program(s);
	printf("  %-10s%u, thread %u, checkpoint %" PRIu64, "process", n->pid, n->tid,
	       (uint64_t)n->n);
	/* As one in a container, which has a process 1 as the others do. */
	if (n->own_pid != n->pid)
		printf(" (%u to itself)", n->own_pid);
	printf("\n  %-10s%s\n", "time", time_text(n->realtime_ns, "%F %T", true, buf));
	text_moment(n);
	text_restart(s);
	text_range(s);
	printf("  %-10s%s, %d bits, pages of %" PRIu64 " bytes\n", "machine",
	       machine_name(s->img), cpimg_bits(s->img), (uint64_t)n->page_size);
	printf("  %-10s", "id");
	print_id(n->id);
	printf("\n  %-10s", "parent");
	if (n->kind == CP_KIND_INCREMENTAL) {
		put_escaped(stdout, n->parent, FOR_TEXT);
		fputs(", ", stdout);
		print_id(n->parent_id);
	} else {
		fputs("none", stdout);
	}
	printf("\n  %-10s%s, %" PRIu64 " runs\n", "file",
	       HUMAN(cpimg_file_size(s->img)), (uint64_t)n->runs);
	text_classes(s);
}

static void json_text(const char *key, const char *value)
{
	printf(", \"%s\": \"", key);
	put_escaped(stdout, value, FOR_JSON);
	fputs("\"", stdout);
}

static void json_number(const char *key, uint64_t value)
{
	printf(", \"%s\": %" PRIu64, key, value);
}

/* Beyond 2^53 a number is not safe with every reader of JSON. */
static void json_address(const char *key, uint64_t value)
{
	printf(", \"%s\": \"0x%" PRIx64 "\"", key, value);
}

static void json_id(const char *key, const unsigned char *id)
{
	printf(", \"%s\": \"", key);
	print_id(id);
	fputs("\"", stdout);
}

static void json_runs(const struct shown *s)
{
	size_t count;
	const struct cpimg_run *run = cpimg_runs(s->img, &count);
	const char *comma = "";

	fputs(",\n  \"run_list\": [", stdout);
	for (; count; count--, run++, comma = ",") {
		printf("%s\n    {\"class\": \"%s\"", comma, cpimg_class_name(run->cls));
		json_address("start", run->start);
		json_address("end", run->end);
		json_text("protection", PROT(run->prot));
		if (run->cls == CPIMG_DATA)
			json_number("offset", run->offset);
		if (run->cls == CPIMG_HOLE || run->cls == CPIMG_SKIPPED) {
			json_number("reason", run->reason);
			json_text("reason_text", run_reason(run));
		}
		json_text("mapping", label_at(s, run->start));
		fputs("}", stdout);
	}
	fputs("]", stdout);
}

static void json_areas(const struct shown *s)
{
	size_t count;
	const struct cp_span *area = cpimg_areas(s->img, &count);
	const char *comma = "";

	fputs(",\n  \"area_list\": [", stdout);
	for (; count; count--, area++, comma = ",")
		printf("%s\n    {\"start\": \"0x%" PRIx64 "\", \"end\": \"0x%" PRIx64 "\"}",
		       comma, (uint64_t)area->start, (uint64_t)area->end);
	fputs("]", stdout);
}

static void json_image(const struct shown *s, bool verbose)
{
	const struct cp_note *n = s->note;
	char buf[80];

	fputs("{\"file\": \"", stdout);
	put_escaped(stdout, cpimg_path(s->img), FOR_JSON);
	fputs("\"", stdout);
	json_number("version", n->version);
	json_text("kind", n->kind == CP_KIND_FULL ? "full" : "incremental");
	json_number("reason", n->reason);
	json_text("reason_text", cpimg_reason_name(n->reason));
	json_text("program", s->process.name);
	json_text("arguments", s->process.args);
	json_number("uid", s->process.uid);
	json_number("pid", n->pid);
	json_number("own_pid", n->own_pid);
	json_number("tid", n->tid);
	json_number("n", n->n);
	json_text("time", time_text(n->realtime_ns, "%FT%T", false, buf));
	json_number("monotonic_ns", n->monotonic_ns);
	printf(", \"moment\": %s", n->flags & CP_NOTE_MOMENT ? "true" : "false");
	printf(", \"restart\": %s", n->flags & CP_NOTE_PROCESS ? "true" : "false");
	json_number("stop_ns", n->stop_ns);
	json_number("threads", n->threads);
	json_address("start", n->start);
	json_address("end", n->end);
	json_address("requested_start", n->req_start);
	json_address("requested_end", n->req_end);
	json_number("areas", n->nr_areas);
	json_text("machine", machine_name(s->img));
	json_number("bits", cpimg_bits(s->img));
	json_number("page_size", n->page_size);
	json_id("id", n->id);
	if (n->kind == CP_KIND_INCREMENTAL) {
		json_id("parent_id", n->parent_id);
		json_text("parent", n->parent);
	}
	json_number("file_size", cpimg_file_size(s->img));
	json_number("runs", n->runs);
	fputs(", \"pages\": {", stdout);
	for (size_t i = 0; i < NR_CLASSES; i++)
		printf("%s\"%s\": %" PRIu64, i ? ", " : "", classes[i].json,
		       pages(n, i));
	fputs("}", stdout);
	if (verbose) {
		json_areas(s);
		json_runs(s);
	}
	fputs("}", stdout);
}

static void show_image(struct show *show, const struct cpimg *img)
{
	struct shown s = {
		.img = img, .note = cpimg_note(img), .process = process_of(img),
	};

	s.maps = mappings_of(img, &s.nr_maps);
	if (show->json) {
		fputs(show->first ? "" : ",\n", stdout);
		json_image(&s, show->verbose);
	} else {
		fputs(show->first ? "" : "\n", stdout);
		text_image(&s);
		if (show->verbose && s.note->nr_areas > 1)
			text_areas(&s);
		if (show->verbose)
			text_runs(&s);
	}
	show->first = false;
	free(s.maps);
}

static int show_one(struct show *show, const char *path)
{
	struct cpimg_error err;
	struct cpimg *img = cpimg_open(path, 0, &err);

	if (!img)
		return problem_of(&err);
	show_image(show, img);
	cpimg_close(img);
	return CMD_OK;
}

static int show_chain(struct show *show, const char *path)
{
	struct cpimg_error err;
	struct cpimg_chain *chain = cpimg_chain_open(path, show->dir, 0, &err);

	if (!chain)
		return problem_of(&err);
	for (size_t i = 0; i < cpimg_chain_length(chain); i++)
		show_image(show, cpimg_chain_image(chain, i));
	cpimg_chain_close(chain);
	return CMD_OK;
}

static const struct argp_option options[] = {
	{ "chain", 'c', 0, 0, "its parents too, the oldest first", 0 },
	{ "verbose", 'v', 0, 0, "list the runs", 0 },
	{ "json", 'j', 0, 0, "for programs: an array, one object an image", 0 },
	{ 0 }
};

static error_t parse(int key, char *arg, struct argp_state *state)
{
	struct show *show = state->input;

	(void)arg;
	switch (key) {
	case ARGP_KEY_INIT:
		state->child_inputs[0] = &show->dir;
		return 0;
	case 'c':
		show->chain = true;
		return 0;
	case 'v':
		show->verbose = true;
		return 0;
	case 'j':
		show->json = true;
		return 0;
	case ARGP_KEY_ARGS:
		show->images = state->argv + state->next;
		show->count = state->argc - state->next;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
	}
	return ARGP_ERR_UNKNOWN;
}

static const struct argp argp = {
	options, parse, "IMAGE...",
	"What an image is: when it was made and by whom, and how many of its pages are of each class.",
	dir_children, 0, 0,
};

int cmd_show(int argc, char **argv)
{
	struct show show = { .first = true };
	int status = CMD_OK;

	argp_parse(&argp, argc, argv, 0, 0, &show);
	if (show.json)
		fputs("[", stdout);
	for (int i = 0; i < show.count; i++)
		status |= show.chain ? show_chain(&show, show.images[i]) :
				       show_one(&show, show.images[i]);
	if (show.json)
		puts("]");
	return close_output(stdout, "standard output") ? CMD_PROBLEM : status;
}

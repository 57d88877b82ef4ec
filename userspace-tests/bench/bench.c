// SPDX-License-Identifier: GPL-2.0
/*
 * All ways to save memory side by side: same memory, same pages, same order.
 *
 *	bench [--wall REPEATS] [--guest] [--only full|incremental] [--scheme NAME]
 *	      [--mib MIB]
 *
 * Prints CSV, and lines that begin with "#" for those who wait. Times are of the
 * monotonic clock: instructions where QEMU's -icount makes them so.
 */
#include <getopt.h>
#include <net/if.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/swap.h>
#include <termios.h>

#include "cp_test.h"
#include "schemes.h"

#define GROUPS		"/sys/fs/cgroup"
#define OUTPUT		"/tmp/bench-output"	/* of the process that saves */
#define ROUNDS		3	/* a timer tick may fall into one */
#define LONG		60e6	/* ns: a tick more or less does not matter */
#define SWAP_SIZE	"512M"

/* The memory. */
struct place {
	unsigned int	mib, flags;
	bool		swapped;	/* its last quarter, before each save */
};

/* What of it was written, in a thousand; idle: not even read. */
struct change {
	unsigned int	permille;
	bool		clustered, idle;
};

/* What is measured: these changes in that place. */
struct chapter {
	struct place		place;
	const struct change	*changes;	/* up to one with permille > 1000 */
	const char		*without;	/* schemes that are left out */
	const char		*because;
};

#define END_OF_CHANGES	{ 1001, false, false }

static const struct change all[] = { { 1000, false, false }, END_OF_CHANGES };

static const struct change every[] = {
	{ 0, false, true }, { 0, false, false },
	{ 1, false, false }, { 1, true, false },
	{ 10, false, false }, { 10, true, false },
	{ 100, false, false }, { 100, true, false },
	{ 1000, false, false }, END_OF_CHANGES
};

static const struct change most[] = {
	{ 0, false, false }, { 1, false, false }, { 10, false, false },
	{ 100, false, false }, { 1000, false, false }, END_OF_CHANGES
};

static const struct change some[] = {
	{ 0, false, false }, { 10, false, false }, { 100, false, false },
	END_OF_CHANGES
};

static const struct change few[] = {
	{ 0, false, false }, { 10, false, false }, END_OF_CHANGES
};

static const struct chapter full[] = {
	{ { 64, 0, false }, all, "", "" },
	{ { 256, 0, false }, all, "", "" },
	{ { 256, ARENA_HUGE, false }, all, "", "" },
	{ { 256, ARENA_VMAS, false }, all, "", "" },
	{ { 1024, 0, false }, all, "", "" },
	{ { 2048, 0, false }, all, " write-16k write-32k write-128k criu criu-dump ",
	  "as at 1 GiB, and the bench is to end within a quarter of an hour" },
	{ }
};

static const struct chapter incremental[] = {
	{ { 64, 0, false }, some, "", "" },
	{ { 256, 0, false }, some, "", "" },
	{ { 256, ARENA_HUGE, false }, most, "", "" },
	{ { 256, ARENA_VMAS, false }, some, "", "" },
	{ { 256, 0, true }, few, " fork ",
	  "pagemap does not say whether a page in swap is shared" },
	{ { 1024, 0, false }, every, "", "" },
	{ { 4096, 0, false }, few, " original criu criu-dump mprotect soft-dirty fork ",
	  "at 1 GiB far behind; what writes all of it first has no room here either" },
	{ }
};

static int repeats;			/* 0: instructions are counted */
static bool in_guest;
static const char *only, *only_scheme;
static unsigned int only_mib;
static unsigned int done, total;

static const char *role_name(enum role role)
{
	static const char *const names[] = {
		[OURS] = "ours", [PEER] = "peer", [FLOOR] = "floor",
		[HISTORY] = "history", [BASE] = "base",
	};

	return names[role];
}

/* What is still on its way to the screen would disturb the next measurement. */
static void flush_output(void)
{
	fflush(stdout);
	tcdrain(STDOUT_FILENO);
}

/* A cgroup of its own for each process: what others free late is not in it. */
static const char *group(pid_t pid, const char *file)
{
	static char path[64];

	snprintf(path, sizeof(path), GROUPS "/bench-%d%s", pid, file);
	return path;
}

/* Bytes of kernel memory charged to us, or -1. */
static double kernel_memory(void)
{
	char line[128];
	double value = -1;
	FILE *f;

	if (repeats)
		return -1;
	/* the counters are brought up to date every two seconds */
	sleep(3);
	f = fopen(group(getpid(), "/memory.stat"), "re");
	while (f && fgets(line, sizeof(line), f))
		if (!strncmp(line, "kernel ", 7))
			value = atof(line + 7);
	if (f)
		fclose(f);
	return value;
}

static unsigned long faults(const struct saver *saver)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return use.ru_minflt + use.ru_majflt + saver->faults;
}

static void describe(const char *kind, const struct place *place,
		     const struct scheme *scheme)
{
	printf("%s,%s,%s,%u,%s,%zu,%d", kind, scheme->name,
	       role_name(scheme->role), place->mib,
	       place->flags & ARENA_HUGE ? "2M" : "4k",
	       place->flags & ARENA_VMAS ?
	       (place->mib << 8) / (size_t)ARENA_VMA_PAGES : 1, place->swapped);
}

static void left_out(const char *kind, const struct place *place,
		     const struct scheme *scheme, const char *why)
{
	printf("left-out,");
	describe(kind, place, scheme);
	printf(",\"%s\"\n", why);
	flush_output();
}

struct result {
	double call, stopped, again, bytes, kernel;
	unsigned long faults;
};

static void row(const char *kind, const struct place *place,
		const struct scheme *scheme, const struct change *change,
		int round, const struct result *r)
{
	printf("row,");
	describe(kind, place, scheme);
	printf(",%g,%s,%d,%.0f,%.0f,%.0f,%lu,%.0f,%.0f\n", change->permille / 10.,
	       change->idle ? "idle" : change->clustered ? "clustered" : "random",
	       round, r->call, r->stopped, r->again, r->faults, r->bytes, r->kernel);
	flush_output();
}

/* Before a save: use the memory as the chapter wants it. */
static void use(const struct place *place, const struct change *change,
		const struct saver *saver)
{
	const struct arena *arena = &saver->arena;
	size_t quarter = arena->len / 4;

	if (!change->idle)
		arena_read(arena);
	if (place->swapped)
		madvise(arena->mem + 3 * quarter, quarter, MADV_PAGEOUT);
}

/* One change, measured as often as it takes. */
static bool measure(const char *kind, const struct place *place,
		    const struct change *change, struct saver *saver, double kernel)
{
	struct page_set set;
	int rounds = repeats ? repeats : ROUNDS;
	/* the first full save warms things up */
	int least = strcmp(kind, "full") ? 1 : 2;

	if (!set_choose(&set, &saver->arena, change->permille, change->clustered))
		return false;
	saver->set = &set;
	set_write(&set, &saver->arena);
	for (int i = 0; i < rounds; i++) {
		struct result r = { .kernel = -1 };

		use(place, change, saver);
		r.call = saver_save(saver);
		if (r.call < 0)
			return false;
		r.stopped = saver->stopped;
		r.bytes = saver->bytes;
		r.faults = faults(saver);
		r.again = set_write(&set, &saver->arena);
		r.faults = faults(saver) - r.faults;
		if (!i && kernel >= 0)
			r.kernel = kernel_memory() - kernel;
		row(kind, place, saver->scheme, change, i, &r);
		if (!repeats && i + 1 >= least && r.call + r.again > LONG)
			break;
	}
	saver->set = NULL;
	set_free(&set);
	return true;
}

static bool have_swap(void)
{
	return cp_meminfo("SwapTotal") > 0;
}

/* All changes of a chapter, in a process of its own. */
static void work(const char *kind, const struct chapter *chapter, struct saver *saver)
{
	const struct place *place = &chapter->place;
	const struct change *change = chapter->changes;
	static const struct page_set none;
	double kernel;
	bool ok;

	mkdir(group(getpid(), ""), 0755);
	cp_write_file(group(getpid(), "/cgroup.procs"), "0");
	if (place->swapped && !have_swap()) {
		left_out(kind, place, saver->scheme, "there is no swap");
		return;
	}
	if (!arena_get(&saver->arena, place->mib * MIB, place->flags)) {
		left_out(kind, place, saver->scheme, strerror(errno));
		return;
	}
	kernel = kernel_memory();
	saver->set = &none;
	ok = saver_begin(saver);
	for (; ok && change->permille <= 1000; change++) {
		ok = measure(kind, place, change, saver, kernel);
		/* what the last one left behind does not belong to the next */
		saver->set = &none;
		if (ok && change[1].permille <= 1000)
			ok = saver_save(saver) >= 0;
	}
	if (!ok)
		left_out(kind, place, saver->scheme, strerror(errno));
	saver_end(saver);
}

/* CRIU cannot dump a process that has a serial line open. */
static void redirect_output(void)
{
	int fd = open(OUTPUT, O_CREAT | O_TRUNC | O_WRONLY | O_APPEND, 0600);

	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);
	close(fd);
}

static void show_output(void)
{
	char buf[4096];
	int fd = open(OUTPUT, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	while (fd >= 0 && (n = read(fd, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, n, stdout);
	if (fd >= 0)
		close(fd);
	unlink(OUTPUT);
	flush_output();
}

static void run(const char *kind, const struct chapter *chapter,
		const struct scheme *scheme)
{
	struct saver saver;
	int status = 0;
	pid_t pid;

	printf("# [%u/%u] %s, %u MiB%s%s%s: %s\n", ++done, total, kind,
	       chapter->place.mib,
	       chapter->place.flags & ARENA_HUGE ? ", huge pages" : "",
	       chapter->place.flags & ARENA_VMAS ? ", many VMAs" : "",
	       chapter->place.swapped ? ", a quarter in swap" : "", scheme->name);
	flush_output();
	saver_init(&saver, scheme, &(struct arena) { NULL, 0 });
	saver.ask = eventfd(0, 0);
	saver.answer = eventfd(0, 0);
	pid = fork();
	if (!pid) {
		redirect_output();
		work(kind, chapter, &saver);
		_exit(0);
	}
	if (scheme->serve)
		scheme->serve(&saver, pid);
	waitpid(pid, &status, 0);
	show_output();
	rmdir(group(pid, ""));
	if (status)
		left_out(kind, &chapter->place, scheme, WIFSIGNALED(status) ?
			 strsignal(WTERMSIG(status)) : "it failed");
	close(saver.ask);
	close(saver.answer);
}

/* Is it asked for, and not left out here? */
static bool is_wanted(const char *kind, const struct chapter *chapter,
		      const struct scheme *scheme, bool tell)
{
	char name[64];

	if ((only && strcmp(only, kind)) ||
	    (only_scheme && strcmp(only_scheme, scheme->name)) ||
	    (only_mib && only_mib != chapter->place.mib))
		return false;
	snprintf(name, sizeof(name), " %s ", scheme->name);
	if (!strstr(chapter->without, name))
		return true;
	if (tell)
		left_out(kind, &chapter->place, scheme, chapter->because);
	return false;
}

/* Count what there is to do, or do it. */
static void run_all(const char *kind, const struct chapter *chapter,
		    const struct scheme *table, bool really)
{
	const struct scheme *scheme;

	for (; chapter->place.mib; chapter++)
		for (scheme = table; scheme->name; scheme++) {
			if (!is_wanted(kind, chapter, scheme, really))
				continue;
			if (really)
				run(kind, chapter, scheme);
			else
				total++;
		}
}

/* A swap device that needs no disk, and the name space that CRIU expects. */
static void make_swap(void)
{
	static const char zram[] = "/dev/zram0";
	static uint32_t header[1024];
	int fd;

	if (cp_write_file("/sys/block/zram0/disksize", SWAP_SIZE))
		return;
	header[256] = 1;			/* version */
	header[257] = (512 << 20) / PAGE - 1;	/* the last page */
	memcpy((char *)header + PAGE - 10, "SWAPSPACE2", 10);
	fd = open(zram, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, header, PAGE) != (ssize_t)PAGE)
		perror(zram);
	close(fd);
	if (swapon(zram, 0))
		perror("swapon");
}

static void prepare_guest(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	ioctl(fd, SIOCSIFFLAGS, &lo);
	close(fd);
	make_swap();
	/* mprotect() makes up to two VMAs a page */
	cp_write_file("/proc/sys/vm/max_map_count", "4000000");
}

static int positive(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (value < 1 || value > 1000000 || *end) {
		fprintf(stderr, "bench: %s is no number from 1 on\n", text);
		exit(2);
	}
	return value;
}

static void options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "wall", required_argument, NULL, 'w' },
		{ "guest", no_argument, NULL, 'g' },
		{ "only", required_argument, NULL, 'o' },
		{ "scheme", required_argument, NULL, 's' },
		{ "mib", required_argument, NULL, 'm' },
		{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 'w':
			repeats = positive(optarg);
			break;
		case 'g':
			in_guest = true;
			break;
		case 'o':
			only = optarg;
			break;
		case 's':
			only_scheme = optarg;
			break;
		case 'm':
			only_mib = positive(optarg);
			break;
		default:
			exit(2);
		}
	}
	if (optind < argc) {
		fprintf(stderr, "bench: no such argument; see the head of bench.c\n");
		exit(2);
	}
}

int main(int argc, char **argv)
{
	options(argc, argv);
	if (in_guest)
		prepare_guest();
	cp_write_file(GROUPS "/cgroup.subtree_control", "+memory");
	printf("head,kind,scheme,role,mib,pages,vmas,swap,changed_percent,pattern,round,call_ns,stopped_ns,again_ns,faults,bytes,kernel_bytes\n");
	for (int really = 0; really < 2; really++) {
		if (really && !total) {
			fprintf(stderr, "bench: nothing is called that\n");
			return 2;
		}
		run_all("full", full, full_schemes, really);
		run_all("incremental", incremental, incremental_schemes, really);
	}
	return 0;
}

// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --timeout 600 */
/*
 * random_calls [CALLS [SEED]] (20000): calls with random ranges, by a program whose
 * memory changes at random, on a machine whose free memory is full of a pattern. Each
 * call gives what its range says it must; no image has the pattern, and so nothing
 * that is the kernel's or was another program's, nor what the filters leave out.
 *
 *	the saver	calls; it never has the pattern in memory that is saved
 *	the poisoner	fills memory with it and gives that back, all the time
 *	this process	holds the images against the pattern, and removes them
 *
 * Not the kselftest harness: there is one test, with arguments.
 */
#include <dirent.h>
#include <poll.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "cp_test.h"

#define CALLS		20000UL
#define BATCH		200		/* calls, then a look at the images */
#define ARENA		CP_FAR(0x30)
#define PAGES		256UL
#define HIDDEN		100UL		/* the first of the pages left out */

#define ARRAY_SIZE(a)	(sizeof(a) / sizeof((a)[0]))

static uint64_t state, user_end;

static uint64_t rnd(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t below(uint64_t n)
{
	return rnd() % n;
}

/*
 * The saver.
 */
struct batch {
	uint64_t	good;		/* calls that made an image */
	uint64_t	calls;
	char		wrong[128];	/* or empty */
};

/* Pages that are left out, each by another rule; they hold the pattern. */
static uint64_t *hidden(unsigned int i)
{
	return (uint64_t *)(ARENA + (HIDDEN + i) * PAGE);
}

#define NR_HIDDEN	4

static void arena_init(int pattern_from)
{
	unsigned int i;

	if (!cp_map_at(ARENA, PAGES * PAGE))
		_exit(101);
	cp_fill(ARENA, PAGES * PAGE, 1);
	for (i = 0; i < NR_HIDDEN; i++) {
		/* Straight from the pipe: it goes through no other memory of ours. */
		if (read(pattern_from, hidden(i), PAGE) != PAGE)
			_exit(102);
	}
	/* a kernel without MADV_DONTDUMP has one more page that is locked */
	if ((madvise(hidden(0), PAGE, MADV_DONTDUMP) && mlock(hidden(0), PAGE)) ||
	    mlock(hidden(1), PAGE) ||
	    madvise(hidden(2), PAGE, MADV_DONTFORK) ||
	    mprotect(hidden(3), PAGE, PROT_NONE))
		_exit(103);
}

/* The pattern on the kernel stack, where the next call's will be. */
static void poison_stack(void)
{
	/* 30 entries are copied there; their descriptors are negative. */
	poll((struct pollfd *)hidden(0), 30, 0);
}

/* Pages below or above those that are left out. */
static char *stretch(size_t *len)
{
	uint64_t first = below(2) ? 0 : HIDDEN + NR_HIDDEN;
	uint64_t end = first ? PAGES : HIDDEN;
	uint64_t at = first + below(end - first);

	*len = (1 + below(end - at < 16 ? end - at : 16)) * PAGE;
	return ARENA + at * PAGE;
}

static void change_memory(void)
{
	size_t len;
	char *at = stretch(&len);

	switch (below(8)) {
	case 0:
		madvise(at, len, MADV_DONTNEED);
		break;
	case 1:
		munmap(at, len);
		break;
	case 2:
		mprotect(at, len, PROT_READ);
		break;
	default:
		mmap(at, len, PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		/* Not all of it: the rest of a page, and of a VMA, is zeros. */
		for (size_t i = 0; i < len; i += PAGE << below(3))
			at[i + below(PAGE)] = 1 + below(255);
	}
}

static uint64_t random_address(void)
{
	const uint64_t edges[] = {
		0, PAGE, 0x10000, 0x400000, 1UL << 31,
		(uintptr_t)ARENA, (uintptr_t)ARENA + PAGES * PAGE,
		user_end, ~0UL,
#if __SIZEOF_POINTER__ == 8
		1UL << 32, 1UL << 47, 1UL << 56, 1UL << 63,
		0xffff800000000000UL, 0xffffffff81000000UL,
		0xffffffffff600000UL,
#endif
	};
	uint64_t arena = (uintptr_t)ARENA + below(PAGES * PAGE);

	switch (below(10)) {
	case 0:
		return rnd();
	case 1:
		return rnd() >> below(64);
	case 2:
		return edges[below(ARRAY_SIZE(edges))] + below(5) - 2;
	case 3:
		return edges[below(ARRAY_SIZE(edges))] + (below(5) - 2) * PAGE;
	default:
		return arena;
	}
}

/* One call; it gives what the range says it must. */
static bool call(struct batch *batch)
{
	uint64_t start = random_address(), end = random_address();
	bool inc = below(2), valid;
	long err;

	if (below(2))		/* short, or nearly all would be of the whole arena */
		end = start + below(8 * PAGE);
	/* of 32 bits, what the kernel gets of it */
	start = (uintptr_t)start;
	end = (uintptr_t)end;
	valid = start < (end < user_end ? end : user_end);
	poison_stack();
	errno = 0;
	err = inc ? inc_cp_range((void *)(uintptr_t)start, (void *)(uintptr_t)end) :
	      cp_range((void *)(uintptr_t)start, (void *)(uintptr_t)end);
	batch->calls++;
	batch->good += !err;
	if (valid ? !err : err == -1 && errno == EINVAL)
		return true;
	snprintf(batch->wrong, sizeof(batch->wrong), "%s(%#lx, %#lx): %ld, %s",
		 inc ? "inc_cp_range" : "cp_range", (unsigned long)start,
		 (unsigned long)end, err, strerror(errno));
	return false;
}

static void save(int pattern_from, int go, int answer)
{
	struct batch batch;
	uint64_t calls;

	arena_init(pattern_from);
	while (read(go, &calls, sizeof(calls)) == sizeof(calls)) {
		memset(&batch, 0, sizeof(batch));
		while (batch.calls < calls && call(&batch))
			if (!below(4))
				change_memory();
		if (write(answer, &batch, sizeof(batch)) != sizeof(batch))
			break;
	}
	_exit(0);
}

/*
 * The poisoner: pages, and pieces of every size that kmalloc() has for user data.
 */
static void poison(const uint64_t *pattern)
{
	static const size_t sizes[] = { 16, 48, 80, 144, 208, 464, 976, 2000, 4048 };
	static struct {
		long type;
		char text[8192];
	} msg = { .type = 1 };
	int queue = msgget(IPC_PRIVATE, 0600);
	const size_t len = 64UL << 20;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (size_t i = 0; i < sizeof(msg.text); i += PAGE)
		memcpy(msg.text + i, pattern, PAGE);
	for (;;) {
		char *mem = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE |
				 MAP_ANONYMOUS, -1, 0);

		for (size_t i = 0; mem != MAP_FAILED && i < len; i += PAGE)
			memcpy(mem + i, pattern, PAGE);
		munmap(mem, len);
		for (int round = 0; round < 64; round++) {
			for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
				msgsnd(queue, &msg, sizes[i], IPC_NOWAIT);
			while (msgrcv(queue, &msg, sizeof(msg.text), 0,
				      IPC_NOWAIT) >= 0)
				;
			for (size_t i = 0; i < sizeof(msg.text); i += PAGE)
				memcpy(msg.text + i, pattern, PAGE);
		}
		usleep(20000);
	}
}

/*
 * The search.
 */

/* Any eight bytes of the pattern, at any place: it repeats itself. */
static bool has_pattern(const unsigned char *buf, size_t len, uint64_t word)
{
	for (size_t i = 0; i + 8 <= len; i++) {
		uint64_t here;

		memcpy(&here, buf + i, 8);
		if (here == word)
			return true;
	}
	return false;
}

/* The words of the pattern are one word: eight bytes at step 8 find each piece. */
static bool page_has(const uint64_t *page, size_t words, uint64_t word)
{
	for (size_t i = 0; i < words; i++)
		if (page[i] == word)
			return true;
	return false;
}

/* How many of some pages of all of the machine's memory have the pattern now. */
static unsigned int poisoned(uint64_t word, unsigned int *looked)
{
	static uint64_t page[PAGE / 8];
	int fd = open("/dev/mem", O_RDONLY);
	unsigned int found = 0;

	for (off_t at = 16 << 20; fd >= 0 && at < 300 << 20; at += 37 * PAGE) {
		if (pread(fd, page, PAGE, at) != PAGE)
			continue;
		++*looked;
		found += page_has(page, PAGE / 8, word);
	}
	if (fd >= 0)
		close(fd);
	return found;
}

struct search {
	unsigned long	images, bytes, checked;
};

/* NULL, or what is wrong with an image, which is removed unless it is wrong. */
static const char *look_at(struct search *s, const char *path, uint64_t word)
{
	static unsigned char buf[1 << 20];
	int fd = open(path, O_RDONLY);
	struct cpimg_error err;
	ssize_t n;

	/* Whole, with all that no program header points at. */
	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		s->bytes += n;
		if (s->images % 16 ? page_has((uint64_t *)buf, n / 8, word) :
		    has_pattern(buf, n, word))
			return "has the pattern";
	}
	close(fd);
	if (n < 0)
		return strerror(errno);
	if (s->images++ % 8 == 0) {
		struct cpimg *img = cpimg_open(path, 0, &err);

		if (!img)
			return "is no image";
		cpimg_close(img);
		s->checked++;
	}
	unlink(path);
	return NULL;
}

static bool look_at_all(struct search *s, uint64_t word)
{
	DIR *dir = opendir("/tmp");
	struct dirent *entry;
	bool good = true;

	while (dir && (entry = readdir(dir))) {
		char path[300];
		const char *why;

		if (!strstr(entry->d_name, "-cp"))
			continue;
		snprintf(path, sizeof(path), "/tmp/%s", entry->d_name);
		why = look_at(s, path, word);
		if (why) {
			printf("# %s %s\n", path, why);
			good = false;
		}
	}
	closedir(dir);
	return good;
}

static unsigned long number(int argc, char **argv, int i, unsigned long otherwise)
{
	return argc > i ? strtoul(argv[i], NULL, 0) : otherwise;
}

static void result(bool good, int n, const char *what)
{
	printf("%s %d %s\n", good ? "ok" : "not ok", n, what);
	fflush(stdout);
}

/* There is no getrandom() before Linux 3.17, nor the node in each guest. */
static bool random_bytes(void *buf, size_t len)
{
	int fd;

	mknod("/dev/urandom", S_IFCHR | 0444, makedev(1, 9));
	fd = open("/dev/urandom", O_RDONLY);
	return fd >= 0 && read(fd, buf, len) == (ssize_t)len && !close(fd);
}

int main(int argc, char **argv)
{
	unsigned long calls = number(argc, argv, 1, cp_debug_kernel() ? CALLS / 20 : CALLS);
	unsigned long seed = number(argc, argv, 2, time(NULL)), done = 0, good = 0;
	int go[2], answer[2], pattern_to[2], status = 0;
	bool right = true, clean = true, found;
	uint64_t pattern[PAGE / 8], word;
	unsigned int in_memory = 0, looked = 0, batches = 0;
	struct search s = { 0 };
	pid_t saver, poisoner;

	printf("TAP version 13\n1..4\n# %lu calls, seed %lu\n", calls, seed);
	fflush(stdout);
	state = seed * 0x9e3779b97f4a7c15ULL | 1;
	user_end = cp_user_end();
	if (pipe(go) || pipe(answer) || pipe(pattern_to))
		return 1;
	saver = fork();
	if (!saver) {
		close(go[1]);
		save(pattern_to[0], go[0], answer[1]);
	}
	close(go[0]);
	close(answer[1]);

	/* Only now is there a pattern: the saver has not inherited it. */
	if (!random_bytes(&word, sizeof(word)))
		return 1;
	word |= 1ULL << 63 | 1UL << 31;	/* negative, for poll() */
	for (size_t i = 0; i < ARRAY_SIZE(pattern); i++)
		pattern[i] = word;
	for (unsigned int i = 0; i < NR_HIDDEN; i++)
		if (write(pattern_to[1], pattern, PAGE) != PAGE)
			return 1;
	poisoner = fork();
	if (!poisoner)
		poison(pattern);

	while (right && clean && done < calls) {
		uint64_t next = calls - done < BATCH ? calls - done : BATCH;
		struct batch batch;

		if (write(go[1], &next, sizeof(next)) != sizeof(next) ||
		    read(answer[0], &batch, sizeof(batch)) != sizeof(batch)) {
			printf("# the saver died\n");
			right = false;
			break;
		}
		done += batch.calls;
		good += batch.good;
		right = !batch.wrong[0];
		if (!right)
			printf("# call %lu: %s\n", done, batch.wrong);
		clean = look_at_all(&s, word);
		if (++batches % 10 == 0)
			in_memory += poisoned(word, &looked);
	}
	close(go[1]);
	kill(poisoner, SIGKILL);
	waitpid(poisoner, NULL, 0);
	waitpid(saver, &status, 0);
	printf("# %lu calls, %lu images, %lu MiB searched, %lu images checked\n", done,
	       s.images, s.bytes >> 20, s.checked);
	printf("# the pattern is in %u of %u pages of the machine's memory that were looked at\n",
	       in_memory, looked);

	result(right && !status, 1, "each call gives what its range says");
	result(clean, 2, "no image has the pattern");
	result(good && s.images == good, 3, "each success made one image");
	/*
	 * Else the second says nothing. The poisoner's is the memory that was freed
	 * last, so what is free there is what is given out first.
	 */
	found = in_memory > looked / 20;
	if (!looked)
		printf("ok 4 free memory is full of the pattern # SKIP no /dev/mem\n");
	else
		result(found, 4, "free memory is full of the pattern");
	return !(right && clean && !status && good && s.images == good &&
		 (found || !looked));
}

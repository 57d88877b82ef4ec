// SPDX-License-Identifier: GPL-2.0
/*
 * on_9p: /tmp is a folder of the host's, by 9p with each of its cache modes. What a
 * write there does to the iterator that it is given differs from one to the next; the
 * image must not. Run by trust/on_9p.t.
 */
#define _GNU_SOURCE
#include <sys/mount.h>
#include <sys/resource.h>

#include "chain.h"
#include "harness.h"
#include "kinds.h"
#include "needs.h"

#define LEN	(6UL << 20)	/* more than a window of pages, and than a message */
#define LIMIT	(64UL << 20)	/* an endless call does not fill the host's disk */

FIXTURE(on_9p) {
	char		*mem;
	struct chain	c;
};

FIXTURE_VARIANT(on_9p) {
	const char	*options;
};

FIXTURE_VARIANT_ADD(on_9p, no_cache) { "version=9p2000.L,cache=none" };
FIXTURE_VARIANT_ADD(on_9p, readahead) { "version=9p2000.L,cache=readahead" };
FIXTURE_VARIANT_ADD(on_9p, mmap) { "version=9p2000.L,cache=mmap" };
FIXTURE_VARIANT_ADD(on_9p, loose) { "version=9p2000.L,cache=loose" };
FIXTURE_VARIANT_ADD(on_9p, direct) { "version=9p2000.L,cache=loose,directio" };
FIXTURE_VARIANT_ADD(on_9p, small_messages) { "version=9p2000.L,cache=none,msize=8192" };
FIXTURE_VARIANT_ADD(on_9p, unix_protocol) { "version=9p2000.u,cache=none" };

FIXTURE_SETUP(on_9p)
{
	struct rlimit limit = { LIMIT, LIMIT };
	char options[128];

	NEEDS(cp_lacks_9p_tags());
	snprintf(options, sizeof(options), "trans=virtio,%s", variant->options);
	if (mount("images", "/tmp", "9p", 0, options))
		SKIP(return, "no 9p with %s: %s", options, strerror(errno));
	signal(SIGXFSZ, SIG_IGN);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	self->mem = cp_map(LEN);
	madvise(self->mem, LEN, MADV_NOHUGEPAGE);
	cp_fill(self->mem, LEN, 1);
}

FIXTURE_TEARDOWN(on_9p)
{
	chain_close(&self->c);
	chain_remove();
	umount2("/tmp", MNT_DETACH);
}

TEST_F(on_9p, chain_is_as_long_as_it_has_to_be)
{
	struct stat st;

	for (int i = 0; i < 3; i++) {
		ASSERT_OK(i ? chain_inc(&self->c, self->mem, LEN) :
			  chain_full(&self->c, self->mem, LEN));
		ASSERT_OK(chain_matches(&self->c, self->mem, LEN));
		ASSERT_EQ(0, stat(cp_name(getpid(), i), &st));
		EXPECT_LT(i ? 0 : LEN, st.st_size);
		EXPECT_GT((i ? LEN / 3 : LEN) + (1 << 20), st.st_size);
		/* One page, some that do not lie together, many. */
		for (size_t at = 0; at < LEN; at += i ? 3 * PAGE : LEN)
			self->mem[at]++;
	}
	/* QEMU never answers what fsync() is in the older protocol. */
	if (strstr(variant->options, "9p2000.L"))
		EXPECT_EQ(0, cp_sync(getpid(), 2)) TH_LOG("%m");
}

TEST_F(on_9p, one_page)
{
	ASSERT_OK(chain_full(&self->c, self->mem, PAGE));
	EXPECT_OK(chain_matches(&self->c, self->mem, PAGE));
}

/* All of the program, notes and many headers too. */
TEST_F(on_9p, whole_program_in_many_runs)
{
	struct cpimg_error err;

	for (size_t at = 0; at < LEN; at += 2 * PAGE)
		ASSERT_EQ(0, madvise(self->mem + at, PAGE, MADV_DONTNEED));
	ASSERT_OK(chain_full(&self->c, NULL, (uintptr_t)~0UL));
	EXPECT_EQ(0, cpimg_chain_verify(self->c.all, &err)) TH_LOG("%s", err.text);
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
}

TEST_F(on_9p, limit_of_a_file_is_an_error)
{
	struct rlimit limit = { LEN / 2, LIMIT };

	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	EXPECT_EQ(-1, cp_range(self->mem, self->mem + LEN));
	EXPECT_EQ(EFBIG, errno);
	EXPECT_OK(cp_no_file(getpid(), 0));
	limit.rlim_cur = LIMIT;
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
}

TEST_F(on_9p, name_that_exists_is_an_error)
{
	close(open(cp_name(getpid(), 0), O_CREAT | O_EXCL | O_WRONLY, 0600));
	EXPECT_EQ(-1, cp_range(self->mem, self->mem + LEN));
	EXPECT_EQ(EEXIST, errno);
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --smp 1 */
/*
 * A checkpoint that fails half-way has cleared dirty bits. No change may be
 * lost: the next one is full, says that the chain was broken, and is complete.
 */
#define _GNU_SOURCE
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/statvfs.h>

#include "chain.h"
#include "harness.h"

#define LEN	(5UL << 20)
#define PAGES	(LEN / PAGE)

FIXTURE(broken) {
	char		*mem;
	struct chain	c;
};

FIXTURE_SETUP(broken)
{
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount("broken", "/tmp", "tmpfs", 0, "size=64m,mode=1777"));
	self->mem = cp_map(LEN);
	madvise(self->mem, LEN, MADV_NOHUGEPAGE);
	cp_pin(0);
	cp_fill(self->mem, LEN, 1);
}

FIXTURE_TEARDOWN(broken)
{
	chain_close(&self->c);
	chain_remove();
}

#define INC()		ASSERT_OK(chain_inc(&self->c, self->mem, LEN))
#define MATCHES()	ASSERT_OK(chain_matches(&self->c, self->mem, LEN))
#define IS(kind, why)	ASSERT_OK(chain_is(&self->c, CP_KIND_##kind, CP_REASON_##why))

/* Room for @pages more pages than there are now. */
static int leave_room(unsigned long pages)
{
	struct statvfs st;
	char options[64];

	if (statvfs("/tmp", &st))
		return -1;
	snprintf(options, sizeof(options), "size=%llu",
		 (unsigned long long)(st.f_blocks - st.f_bfree + pages) * PAGE);
	return mount("broken", "/tmp", "tmpfs", MS_REMOUNT, options);
}

static int leave_all_room(void)
{
	return mount("broken", "/tmp", "tmpfs", MS_REMOUNT, "size=64m");
}

/* The failure left no file, and the next two are as they should be. */
#define RECOVERS() do { \
	ASSERT_OK(cp_no_file(self->c.tid, self->c.n)); \
	ASSERT_OK(chain_recovers(&self->c, self->mem, LEN)); \
	ASSERT_EQ(1, cpimg_note(self->c.img)->pages_data); \
} while (0)

static void change(char *mem, unsigned int pages, unsigned int step)
{
	for (unsigned int i = 0; i < pages; i++)
		mem[i * step % PAGES * PAGE]++;
}

TEST_F(broken, no_room_at_any_write)
{
	/* The header page, 12 of data, and one or two of headers and notes. */
	bool failed = true;

	for (unsigned int room = 0; failed && room < 30; room++) {
		chain_remove();
		ASSERT_OK(chain_full(&self->c, self->mem, LEN));
		change(self->mem, 12, 97);
		ASSERT_EQ(0, leave_room(room));
		failed = inc_cp_range(self->mem, self->mem + LEN);
		if (failed) {
			ASSERT_EQ(ENOSPC, errno);
		} else {
			ASSERT_LT(12, room);
		}
		ASSERT_EQ(0, leave_all_room());
		if (failed) {
			RECOVERS();
		}
	}
	EXPECT_FALSE(failed);
}

/* More than a window of pages: some are written, some only found. */
TEST_F(broken, no_room_for_all_the_windows)
{
	for (unsigned int room = 100; room < PAGES; room += 499) {
		chain_remove();
		ASSERT_OK(chain_full(&self->c, self->mem, LEN));
		change(self->mem, PAGES, 1);
		ASSERT_EQ(0, leave_room(room));
		ASSERT_NE(0, inc_cp_range(self->mem, self->mem + LEN));
		ASSERT_EQ(ENOSPC, errno);
		ASSERT_EQ(0, leave_all_room());
		RECOVERS();
	}
}

TEST_F(broken, full_that_fails)
{
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	change(self->mem, 12, 97);
	ASSERT_EQ(0, leave_room(100));
	ASSERT_NE(0, cp_range(self->mem, self->mem + LEN));
	ASSERT_EQ(0, leave_all_room());
	RECOVERS();
}

TEST_F(broken, twice)
{
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	ASSERT_EQ(0, leave_room(3));
	for (int i = 0; i < 3; i++) {
		change(self->mem, 12, 97 + i);
		ASSERT_NE(0, inc_cp_range(self->mem, self->mem + LEN));
	}
	ASSERT_EQ(0, leave_all_room());
	RECOVERS();
}

/* An error, not a deadly signal. */
TEST_F(broken, limit)
{
	struct rlimit limit = { 5 * PAGE, RLIM_INFINITY };

	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	change(self->mem, 12, 97);
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	ASSERT_NE(0, inc_cp_range(self->mem, self->mem + LEN));
	ASSERT_EQ(EFBIG, errno);
	limit.rlim_cur = RLIM_INFINITY;
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	RECOVERS();
}

TEST_F(broken, quota)
{
	if (mount("none", "/tmp", "tmpfs", 0, "usrquota,usrquota_block_hardlimit=8m"))
		SKIP(return, "no quota on tmpfs: %s", strerror(errno));
	ASSERT_EQ(0, chmod("/tmp", 01777));
	/* root's quota is not limited on every kernel */
	ASSERT_EQ(0, cp_set_user(1000, 1000, 1000));
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	change(self->mem, PAGES, 1);
	ASSERT_NE(0, inc_cp_range(self->mem, self->mem + LEN));
	ASSERT_EQ(EDQUOT, errno);
	/* room for the next one */
	chain_close(&self->c);
	chain_remove();
	RECOVERS();
}

TEST_F(broken, image_that_exists)
{
	const char *name;

	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	change(self->mem, 12, 97);
	name = cp_name(self->c.tid, self->c.n);
	close(open(name, O_CREAT | O_WRONLY, 0600));
	ASSERT_NE(0, inc_cp_range(self->mem, self->mem + LEN));
	ASSERT_EQ(EEXIST, errno);
	ASSERT_EQ(0, unlink(name));
	RECOVERS();
}

/* An argument that is refused has touched nothing: the chain is as good as before. */
TEST_F(broken, not_by_a_wrong_range)
{
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	change(self->mem, 12, 97);
	ASSERT_NE(0, inc_cp_range(self->mem + LEN, self->mem));
	ASSERT_EQ(EINVAL, errno);
	INC();
	IS(INCREMENTAL, CHAIN);
	MATCHES();
}

TEST_HARNESS_MAIN

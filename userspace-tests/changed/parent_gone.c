// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 --smp 2 */
/*
 * /tmp is cleaned behind the program's back. As far as it can be seen, a chain that has
 * lost the image it began with, or the last one, is not gone on with: the next image is
 * full, and says why.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/mount.h>

#include "chain.h"
#include "harness.h"
#include "needs.h"

#define PAGES	16
#define LEN	(PAGES * PAGE)

FIXTURE(parent_gone) {
	char		*mem;
	struct chain	c;
};

FIXTURE_SETUP(parent_gone)
{
	self->mem = cp_map(LEN);
	ASSERT_NE(NULL, self->mem);
	cp_fill(self->mem, LEN, 1);
	for (int i = 0; i < 4; i++) {
		self->mem[i * PAGE]++;
		ASSERT_OK(chain_inc(&self->c, self->mem, LEN));
	}
	ASSERT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN));
}

FIXTURE_TEARDOWN(parent_gone)
{
	chain_close(&self->c);
	chain_remove();
}

#define NAME(n)		cp_name(getpid(), n)

/* A full one, whole, and then the chain goes on from it. */
#define BEGINS_ANEW()	BEGINS_ANEW_SINCE(CP_REASON_PARENT_GONE)
#define BEGINS_ANEW_SINCE(reason) do { \
	self->mem[5 * PAGE]++; \
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN)); \
	EXPECT_OK(chain_is(&self->c, CP_KIND_FULL, reason)); \
	EXPECT_EQ(PAGES, chain_pages(&self->c, self->mem, LEN, CPIMG_DATA)); \
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN)); \
	EXPECT_STREQ("", cpimg_note(self->c.img)->parent); \
	self->mem[6 * PAGE]++; \
	ASSERT_OK(chain_inc(&self->c, self->mem, LEN)); \
	EXPECT_OK(chain_is(&self->c, CP_KIND_INCREMENTAL, CP_REASON_CHAIN)); \
	EXPECT_EQ(1, chain_pages(&self->c, self->mem, LEN, CPIMG_DATA)); \
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN)); \
} while (0)

/* Not opened: what is in the files is another matter. */
#define GOES_ON(pages) do { \
	int n_ = self->c.n++; \
	struct cpimg *img_; \
	\
	self->mem[5 * PAGE]++; \
	ASSERT_EQ(0, inc_cp_range(self->mem, self->mem + LEN)); \
	img_ = cp_open(getpid(), n_); \
	ASSERT_NE(NULL, img_); \
	EXPECT_EQ(CP_KIND_INCREMENTAL, cpimg_note(img_)->kind); \
	EXPECT_EQ(CP_REASON_CHAIN, cpimg_note(img_)->reason); \
	EXPECT_EQ(pages, cpimg_note(img_)->pages_data); \
	cpimg_close(img_); \
} while (0)

TEST_F(parent_gone, first_of_the_chain)
{
	ASSERT_EQ(0, unlink(NAME(0)));
	BEGINS_ANEW();
}

TEST_F(parent_gone, last_of_the_chain)
{
	ASSERT_EQ(0, unlink(NAME(3)));
	BEGINS_ANEW();
}

TEST_F(parent_gone, all_of_the_chain)
{
	chain_remove();
	BEGINS_ANEW();
}

/* Right after the first one there is one image to lose. */
TEST_F(parent_gone, only_image)
{
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	ASSERT_EQ(0, unlink(NAME(4)));
	BEGINS_ANEW();
}

TEST_F(parent_gone, moved_away)
{
	ASSERT_EQ(0, rename(NAME(0), "/tmp/elsewhere"));
	BEGINS_ANEW();
	unlink("/tmp/elsewhere");
}

/* As after a reboot of a container: /tmp is another one. */
TEST_F(parent_gone, with_all_of_tmp)
{
	ASSERT_EQ(0, unshare(CLONE_NEWNS));
	ASSERT_EQ(0, mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	ASSERT_EQ(0, mount("none", "/tmp", "tmpfs", 0, "mode=1777"));
	BEGINS_ANEW_SINCE(cp_lacks_call("cp_checkpoint()", __NR_cp_checkpoint) ?
			  CP_REASON_PARENT_GONE : CP_REASON_OTHER_FOLDER);
}

/* A plain cp_range() asks for no parent. */
TEST_F(parent_gone, full_image_has_its_own_reason)
{
	chain_remove();
	ASSERT_OK(chain_full(&self->c, self->mem, LEN));
	EXPECT_OK(chain_is(&self->c, CP_KIND_FULL, CP_REASON_CP_RANGE));
	EXPECT_OK(chain_matches(&self->c, self->mem, LEN));
}

/* It is looked for by the name that it has, whoever made it. */
static void *inc_in_thread(void *arg)
{
	char *mem = arg;

	for (int i = 0; i < 2; i++)
		if (inc_cp_range(mem, mem + LEN))
			return "inc_cp_range failed";
	return NULL;
}

TEST_F(parent_gone, of_another_thread)
{
	pthread_t thread;
	void *why;

	/* Its first is full, and begins the chain; the second is the parent. */
	pthread_create(&thread, NULL, inc_in_thread, self->mem);
	pthread_join(thread, &why);
	ASSERT_EQ(NULL, why) TH_LOG("%s", (char *)why);
	/* Older ones are superfluous. */
	for (int n = 0; n < 4; n++)
		ASSERT_EQ(0, unlink(NAME(n)));
	GOES_ON(1);
}

/*
 * What is left in peace: all that can be seen is a file of the name.
 */
TEST_F(parent_gone, not_what_was_emptied)
{
	/* Carried away to where there is more room. */
	for (int n = 0; n < 4; n++)
		ASSERT_EQ(0, truncate(NAME(n), 0));
	GOES_ON(1);
}

TEST_F(parent_gone, not_what_a_link_leads_to)
{
	ASSERT_EQ(0, rename(NAME(0), "/tmp/elsewhere"));
	ASSERT_EQ(0, symlink("/tmp/elsewhere", NAME(0)));
	GOES_ON(1);
	unlink("/tmp/elsewhere");
}

TEST_F(parent_gone, not_one_in_the_middle)
{
	ASSERT_EQ(0, unlink(NAME(1)));
	ASSERT_EQ(0, unlink(NAME(2)));
	GOES_ON(1);
}

/* As cpimg prune does it: a new file takes the name, and older ones go. */
TEST_F(parent_gone, not_one_that_was_pruned)
{
	ASSERT_EQ(0, cp_copy(NAME(2), "/tmp/new"));
	ASSERT_EQ(0, rename("/tmp/new", NAME(2)));
	for (int n = 0; n < 2; n++)
		ASSERT_EQ(0, unlink(NAME(n)));
	GOES_ON(1);
	/* All of them but the newest. */
	ASSERT_EQ(0, cp_copy(NAME(4), "/tmp/new"));
	ASSERT_EQ(0, rename("/tmp/new", NAME(4)));
	for (int n = 2; n < 4; n++)
		ASSERT_EQ(0, unlink(NAME(n)));
	GOES_ON(1);
}

TEST_HARNESS_MAIN

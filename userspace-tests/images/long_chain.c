// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 1024 --timeout 1200 */
/*
 * A chain of 10,000 images is opened, verified and restored by a process that may have
 * 1,024 files open, as is usual: what a program leaves that saves itself every second
 * for some hours.
 */
#include <sys/resource.h>
#include <time.h>

#include "chain.h"
#include "harness.h"

#define LEN	(4UL << 20)
#define PAGES	(LEN / PAGE)
#define AT	CP_FAR(0x30)

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int open_files(void)
{
	int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

FIXTURE(long_chain) {
};

FIXTURE_SETUP(long_chain)
{
}

FIXTURE_TEARDOWN(long_chain)
{
}

TEST_F_TIMEOUT(long_chain, of_ten_thousand_images_with_1024_open_files, 1200)
{
	/* With KASAN each takes twenty times as long. */
	int images = cp_debug_kernel() ? 2000 : 10000, middle = images / 2;
	struct rlimit limit = { 1024, 1024 };
	struct cpimg_chain *all;
	struct cp_restored done = { 0 };
	struct cpimg_error err;
	char *mem, *last, *then;
	double t;

	mem = cp_map_at(AT, LEN);
	last = cp_map(LEN);
	then = cp_map(LEN);
	ASSERT_EQ(AT, mem);
	madvise(mem, LEN, MADV_NOHUGEPAGE);
	cp_fill(mem, LEN, 1);
	t = seconds();
	for (int i = 0; i < images; i++) {
		mem[i * 7919UL * PAGE % LEN + i % PAGE] += 1 + i;
		ASSERT_EQ(0, inc_cp_range(mem, mem + LEN)) TH_LOG("image %d: %m", i);
		if (i == middle)
			memcpy(then, mem, LEN);
	}
	TH_LOG("%d images in %.1f s", images, seconds() - t);
	memcpy(last, mem, LEN);

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &limit));
	t = seconds();
	all = cpimg_chain_open(cp_name(cp_gettid(), images - 1), NULL, 0, &err);
	ASSERT_NE(NULL, all) TH_LOG("%s", err.text);
	TH_LOG("opened in %.2f s, %d files are open", seconds() - t, open_files());
	EXPECT_EQ(images, cpimg_chain_length(all));
	EXPECT_GE(300, open_files());
	t = seconds();
	EXPECT_EQ(0, cpimg_chain_verify(all, &err)) TH_LOG("%s", err.text);
	TH_LOG("verified in %.2f s", seconds() - t);

	t = seconds();
	memset(mem, 0, LEN);
	ASSERT_EQ(0, cp_restore(all, images - 1, mem, mem + LEN, &done, &err))
		TH_LOG("%s", err.text);
	TH_LOG("restored in %.2f s", seconds() - t);
	EXPECT_EQ(LEN, done.data);
	EXPECT_EQ(0, memcmp(mem, last, LEN));
	ASSERT_EQ(0, cp_restore(all, middle, mem, mem + LEN, &done, &err))
		TH_LOG("%s", err.text);
	EXPECT_EQ(0, memcmp(mem, then, LEN));
	EXPECT_GE(300, open_files());
	cpimg_chain_close(all);
	EXPECT_GE(50, open_files());
	chain_remove();
}

TEST_HARNESS_MAIN

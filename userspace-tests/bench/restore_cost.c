// SPDX-License-Identifier: GPL-2.0
/* guest: --icount --mem 5000 --timeout 900 */
/*
 * What cp_restore() costs, in guest instructions, held against read(2) of the same
 * number of bytes into the same memory. With QEMU's -icount an instruction is a
 * nanosecond.
 */
#include "chain.h"
#include "harness.h"
#include "workload.h"

#define LENGTH		20	/* images */

static uint64_t seed = 42;

static uint64_t chance(uint64_t n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (seed >> 33) % n;
}

/* Change @permille of the pages, @together at a time. */
static void change(char *mem, size_t len, unsigned int permille, size_t together)
{
	size_t pages = len / PAGE, left = pages * permille / 1000;

	while (left) {
		size_t n = left < together ? left : together;
		char *at = mem + chance(pages - n + 1) * PAGE;

		for (size_t i = 0; i < n; i++)
			at[i * PAGE + 64]++;
		left -= n;
	}
}

/* The best that read(2) can do with as many bytes of the first image. */
static double read_all(const struct cpimg_chain *chain, char *mem, size_t len)
{
	int fd = cpimg_fd(cpimg_chain_image(chain, 0));
	double best = 1e99;

	for (size_t piece = 8 * MIB; piece >= 128 * 1024; piece /= 8) {
		double t = now();

		lseek(fd, PAGE, SEEK_SET);
		for (size_t done = 0; done < len; done += piece) {
			if (read(fd, mem + done, piece) != (ssize_t)piece)
				return -1;
		}
		t = now() - t;
		fprintf(stderr, "# read(2), %4zu KiB at a time: %8.2f M\n",
			piece >> 10, t / 1e6);
		if (t < best)
			best = t;
	}
	return best;
}

FIXTURE(restore_cost) {
	struct chain c;
};

FIXTURE_VARIANT(restore_cost) {
	size_t		len;
	unsigned int	permille;	/* changed from image to image */
	size_t		together;	/* pages */
	double		most;		/* of read(2) */
};

FIXTURE_VARIANT_ADD(restore_cost, one_percent_scattered) { MUCH, 10, 1, 1.3 };
FIXTURE_VARIANT_ADD(restore_cost, five_percent_in_pieces) { MUCH, 50, 16, 1.3 };
/* The worst: hardly two pages lie together in any of the files. */
FIXTURE_VARIANT_ADD(restore_cost, ten_percent_scattered) { GIB / 4, 100, 1, 2 };

FIXTURE_SETUP(restore_cost)
{
}

FIXTURE_TEARDOWN(restore_cost)
{
	chain_close(&self->c);
	chain_remove();
}

TEST_F(restore_cost, from_twenty_images)
{
	size_t len = variant->len;
	struct cp_restored done = { 0 };
	struct cpimg_error err;
	double ours, theirs;
	char *mem = cp_map(len);

	ASSERT_NE(NULL, mem);
	madvise(mem, len, MADV_NOHUGEPAGE);
	cp_fill(mem, len, 1);
	for (int i = 0; i < LENGTH; i++) {
		if (i)
			change(mem, len, variant->permille, variant->together);
		ASSERT_OK(chain_inc(&self->c, mem, len));
	}
	ASSERT_EQ(LENGTH, cpimg_chain_length(self->c.all));

	/* Pages of tmpfs cost more the first two times that they are read. */
	for (int i = 0; i < 3; i++) {
		ours = now();
		ASSERT_EQ(0, cp_restore(self->c.all, LENGTH - 1, mem, mem + len,
					&done, &err)) TH_LOG("%s", err.text);
		ours = now() - ours;
	}
	theirs = read_all(self->c.all, mem, len);
	ASSERT_LE(0, theirs);
	TH_LOG("cp_restore(), %zu MiB, %u images: %8.2f M: %.3f of read(2)",
	       len / MIB, LENGTH, ours / 1e6, ours / theirs);
	EXPECT_EQ(len, done.data);
	EXPECT_LE(ours, theirs * variant->most);
}

TEST_HARNESS_MAIN

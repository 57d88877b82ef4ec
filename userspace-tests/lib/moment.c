// SPDX-License-Identifier: GPL-2.0
/* What tests of cp_checkpoint() share. */
#include <sys/syscall.h>

#include "moment.h"

/* cp_checkpoint() of @len bytes, with @args besides */
long cp_ask(struct cp_args *args, const void *start, size_t len, struct cp_result *result)
{
	struct cp_span span = { (uintptr_t)start, (uintptr_t)start + len };

	args->ranges = (uintptr_t)&span;
	args->nr_ranges = 1;
	args->result = (uintptr_t)result;
	args->result_size = sizeof(*result);
	return cp_checkpoint(args, sizeof(*args));
}

/* The same; the image is opened. */
const char *chain_ask(struct chain *c, struct cp_args *args, const void *start,
		      size_t len, struct cp_result *result)
{
	if (cp_ask(args, start, len, result))
		return say("cp_checkpoint(%#llx, %p, %zu): %s",
			   (unsigned long long)args->flags, start, len, strerror(errno));
	c->tid = atoi(result->name);
	c->n = result->n + 1;
	return chain_open(c, c->tid, result->n);
}

/* An incremental checkpoint that is to be one moment. */
const char *chain_moment(struct chain *c, const void *start, size_t len,
			 struct cp_result *result)
{
	struct cp_args args = CP_ARGS_OWN;

	args.flags = CP_INCREMENTAL | CP_MOMENT;
	return chain_ask(c, &args, start, len, result);
}

/* Memory for write_in_order(): none of its pages is one of zeros. */
char *map_in_order(size_t pages)
{
	char *mem = cp_map(pages * PAGE);

	memset(mem, 0, pages * PAGE);
	for (size_t i = 0; i < pages; i++)
		mem[i * PAGE + 8] = 1;
	return mem;
}

/*
 * Each page's first word in turn, the same number in all of them before the next. So a
 * moment has a number, and from some page on the one before it.
 */
void write_in_order(char *mem, size_t pages, uint64_t from, uint64_t to,
		    const volatile bool *stop)
{
	for (uint64_t round = from; round < to && !*stop; round++)
		for (size_t i = 0; i < pages; i++)
			*(volatile uint64_t *)(mem + i * PAGE) = round;
}

/* NULL if what write_in_order() wrote at @mem is of one moment in the newest image. */
const char *is_in_order(const struct chain *c, const char *mem, size_t pages)
{
	uint64_t first = 0, before = 0, word;

	for (size_t i = 0; i < pages; i++) {
		if (cpimg_chain_read(c->all, cpimg_chain_length(c->all) - 1,
				     (uintptr_t)mem + i * PAGE, &word, 8, NULL))
			return say("page %zu cannot be read", i);
		if (!i)
			first = before = word;
		if (word > before || word + 1 < first)
			return say("page 0 has %" PRIu64 ", page %zu %" PRIu64
				   ", the one before %" PRIu64, first, i, word, before);
		before = word;
	}
	return NULL;
}

/* pidfd_open(2), which the libc does not have */
int cp_pidfd(int pid)
{
	return (int)syscall(434, pid, 0);
}

static int by_value(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return *x < *y ? -1 : *x > *y;
}

/* The smallest first: the one in the middle is the median. */
void sort_numbers(uint64_t *number, size_t count)
{
	qsort(number, count, sizeof(*number), by_value);
}

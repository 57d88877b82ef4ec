// SPDX-License-Identifier: GPL-2.0
/*
 * The program of `make run`: it fills memory, saves itself in the middle of
 * something, and goes on. A debugger then finds the moment of the call in the
 * image.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cp_range.h>

#define PLANETS		8
#define MEMORY		(16UL << 20)

struct planet {
	char name[12];
	int distance;		/* from the sun, in million km */
	int moons;
};

struct voyage {
	const char *ship;
	int stop;		/* how far the ship is */
	struct planet route[PLANETS];
};

static struct voyage voyage = {
	.ship = "Checkpoint",
	.route = {
		{ "Mercury", 58, 0 },	{ "Venus", 108, 0 },
		{ "Earth", 150, 1 },	{ "Mars", 228, 2 },
		{ "Jupiter", 778, 95 },	{ "Saturn", 1427, 146 },
		{ "Uranus", 2871, 28 },	{ "Neptune", 4495, 16 },
	},
};

static char *cargo;

/*
 * In place of musl's, which is built without what a debugger needs to find its
 * caller. Most libcs have it; they need nothing of this kind.
 */
long syscall(long number, ...)
{
	long ret;
	va_list ap;
	void *start, *end;

	va_start(ap, number);
	start = va_arg(ap, void *);
	end = va_arg(ap, void *);
	va_end(ap);
#ifdef __x86_64__
	asm volatile("syscall" : "=a"(ret)
		     : "a"(number), "D"(start), "S"(end)
		     : "rcx", "r11", "memory");
#else
	asm volatile("int $0x80" : "=a"(ret)
		     : "a"(number), "b"(start), "c"(end) : "memory");
#endif
	if (ret < 0) {
		errno = -ret;
		return -1;
	}
	return ret;
}

static int save(const char *why)
{
	printf("saving all of my memory: %s\n", why);
	if (cp_range(NULL, (void *)~0UL)) {
		printf("cp_range: %s\n", strerror(errno));
		return 1;
	}
	return 0;
}

static int land(const struct planet *planet)
{
	char why[64];

	snprintf(why, sizeof(why), "landing on %s, %d moons above", planet->name,
		 planet->moons);
	return save(why);
}

static int travel(struct voyage *v, int until)
{
	while (v->stop < until) {
		v->stop++;
		memset(cargo + v->stop * (MEMORY / PLANETS), 'A' + v->stop,
		       MEMORY / PLANETS);
	}
	return land(&v->route[v->stop]);
}

int main(void)
{
	cargo = malloc(MEMORY);
	if (!cargo)
		return 1;
	memset(cargo, 'A', MEMORY);

	if (travel(&voyage, 4))
		return 1;

	voyage.stop = 7;
	printf("the ship went on to %s\n", voyage.route[voyage.stop].name);
	return 0;
}

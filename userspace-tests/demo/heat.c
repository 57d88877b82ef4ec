// SPDX-License-Identifier: GPL-2.0
/*
 * heat: a torch moves over a metal plate, and the heat spreads (an explicit scheme
 * for the heat equation in two dimensions). It can be killed at any moment: every
 * few steps it saves its state with inc_cp_range(), and when it is started again
 * it goes on from the newest state that is complete.
 *
 * The state lies in one place, the same in each run. A tile of the plate is a page,
 * and only tiles that are not at rest are computed, so only they are written.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cp_range.h>
#include <cpimg.h>

/* Far from all that the kernel places, on 64 bits and on 32 */
#if UINTPTR_MAX > 0xffffffff
#define PLACE		((void *)0x200000000000)
#else
#define PLACE		((void *)0x20000000)
#endif
#define MAGIC		"heat, state 1"

#define WIDE		32		/* cells of a tile: 4096 bytes in all */
#define HIGH		16
#define CELLS		(WIDE * HIGH)
#define MAX_SIZE	4096
#define MAX_TILES	(MAX_SIZE / WIDE * (MAX_SIZE / HIGH))

#define AMBIENT		300.0		/* kelvin */
#define FLAME		1800.0
#define SPREAD		0.2		/* of the difference to a neighbour, a step */
#define LOSS		0.02		/* of the difference to ambient, a step */
#define REST		0.5		/* kelvin above ambient: less is none */
#define SPEED		12.0		/* cells a step */
#define RADIUS		12		/* cells */

/* A chain gets no longer than that: then it is begun anew. */
#define MAX_CHAIN	16

/* The chain that was restored, until there is a newer one */
#define FOLDER		CP_RANGE_FOLDER
#define OLD		FOLDER "/heat.old"

#define MIB		(1024.0 * 1024.0)

typedef double tile[CELLS];

/* What a checkpoint saves: this, then the plate at this step and at the last. */
struct state {
	char		magic[16];
	int		size;		/* cells in each direction */
	int		step;
	double		angle;		/* of the torch, on its spiral */
	unsigned char	awake[MAX_TILES];
	unsigned char	was_awake[MAX_TILES];
};

static struct state *state;
static tile *plate[2];
static size_t state_size;
static int tiles_x, tiles_y;

static int opt_size = 2048, opt_steps = 300, opt_every = 20;
static const char *opt_out, *opt_picture;

__attribute__((format(printf, 1, 2)))
static void say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
	fflush(stdout);
}

/*
 * The plate
 */

static size_t round_up(size_t n, size_t to)
{
	return (n + to - 1) / to * to;
}

static int make_state(void)
{
	size_t head = round_up(sizeof(struct state), sizeof(tile));
	size_t tiles;

	tiles_x = opt_size / WIDE;
	tiles_y = opt_size / HIGH;
	tiles = (size_t)tiles_x * tiles_y;
	state_size = head + 2 * tiles * sizeof(tile);
	state = mmap(PLACE, state_size, PROT_READ | PROT_WRITE, MAP_PRIVATE |
		     MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (state != PLACE) {
		say("no memory at %p: %s", PLACE, strerror(errno));
		return -1;
	}
	/* A huge page is saved whole for one cell. */
	madvise(state, state_size, MADV_NOHUGEPAGE);
	plate[0] = (tile *)((char *)state + head);
	plate[1] = plate[0] + tiles;
	return 0;
}

static void begin(void)
{
	size_t cells = (size_t)opt_size * opt_size;

	/* A restore that failed half-way may have left something. */
	memset(state, 0, sizeof(*state));
	memcpy(state->magic, MAGIC, sizeof(MAGIC));
	state->size = opt_size;
	for (int i = 0; i < 2; i++)
		for (size_t c = 0; c < cells; c++)
			plate[i][0][c] = AMBIENT;
}

static tile *tile_at(int which, int tx, int ty)
{
	return &plate[which][ty * tiles_x + tx];
}

/* Beyond the edge everything is at rest. */
static const double *neighbour(int which, int tx, int ty)
{
	static tile edge;

	if (!edge[0]) {
		for (int i = 0; i < CELLS; i++)
			edge[i] = AMBIENT;
	}
	if (tx < 0 || ty < 0 || tx >= tiles_x || ty >= tiles_y)
		return edge;
	return *tile_at(which, tx, ty);
}

static double cell(double here, double up, double down, double left, double right)
{
	double next = (1 - 4 * SPREAD - LOSS) * here + LOSS * AMBIENT +
		      SPREAD * (up + down + left + right);

	return next < AMBIENT + REST ? AMBIENT : next;
}

/* One step of one tile. Return: whether something is not at rest. */
static bool spread(int from, int tx, int ty)
{
	const double *now = *tile_at(from, tx, ty);
	const double *up = neighbour(from, tx, ty - 1) + CELLS - WIDE;
	const double *down, *left = neighbour(from, tx - 1, ty) + WIDE - 1;
	const double *right = neighbour(from, tx + 1, ty);
	double *next = *tile_at(!from, tx, ty);
	bool awake = false;

	for (int y = 0; y < HIGH; y++) {
		down = y < HIGH - 1 ? now + WIDE : neighbour(from, tx, ty + 1);
		for (int x = 0; x < WIDE; x++) {
			next[x] = cell(now[x], up[x], down[x],
				       x ? now[x - 1] : *left,
				       x < WIDE - 1 ? now[x + 1] : *right);
			awake |= next[x] != AMBIENT;
		}
		up = now;
		now += WIDE;
		next += WIDE;
		left += WIDE;
		right += WIDE;
	}
	return awake;
}

static void wake(int tx, int ty)
{
	if (tx >= 0 && ty >= 0 && tx < tiles_x && ty < tiles_y)
		state->awake[ty * tiles_x + tx] = 1;
}

/* The flame: a disc that moves outwards on a spiral. */
static void torch(int which)
{
	double radius = 0.02 * state->size + 0.1 * state->size * state->angle / M_PI;
	int cx = state->size / 2 + radius * cos(state->angle);
	int cy = state->size / 2 + radius * sin(state->angle);

	for (int y = cy - RADIUS; y <= cy + RADIUS; y++) {
		for (int x = cx - RADIUS; x <= cx + RADIUS; x++) {
			int dx = x - cx, dy = y - cy;

			if (dx * dx + dy * dy > RADIUS * RADIUS || x < 0 || y < 0 ||
			    x >= state->size || y >= state->size)
				continue;
			(*tile_at(which, x / WIDE, y / HIGH))
				[y % HIGH * WIDE + x % WIDE] = FLAME;
			wake(x / WIDE, y / HIGH);
		}
	}
	state->angle += SPEED / radius;
}

static void step(void)
{
	int from = state->step & 1, tiles = tiles_x * tiles_y;
	unsigned char *swap = calloc(1, tiles);

	torch(from);
	for (int t = 0; t < tiles; t++) {
		int tx = t % tiles_x, ty = t / tiles_x;
		bool near = state->awake[t] ||
			(tx && state->awake[t - 1]) ||
			(tx < tiles_x - 1 && state->awake[t + 1]) ||
			(ty && state->awake[t - tiles_x]) ||
			(ty < tiles_y - 1 && state->awake[t + tiles_x]);

		if (near)
			swap[t] = spread(from, tx, ty);
		else if (state->was_awake[t])
			memcpy(tile_at(!from, tx, ty), tile_at(from, tx, ty),
			       sizeof(tile));
		/* What is at rest is the same in both, and not written. */
		if (state->was_awake[t] != near)
			state->was_awake[t] = near;
	}
	for (int t = 0; t < tiles; t++) {
		if (state->awake[t] != swap[t])
			state->awake[t] = swap[t];
	}
	free(swap);
	state->step++;
}

/*
 * Checkpoints
 */

static unsigned long made;		/* number of the next image of this process */
static unsigned long chain_start;	/* number of the full one */

static int count_errors;

/* The names of all that could be an image in a folder; for free_names() */
static int image_name(const struct dirent *entry)
{
	return strstr(entry->d_name, "-cp") != NULL;
}

static void free_names(struct dirent **names, int count)
{
	while (count-- > 0)
		free(names[count]);
	free(names);
}

/* Somebody else could have put a folder or a link there before us. */
static bool old_is_safe(void)
{
	struct stat st;

	return !lstat(OLD, &st) && S_ISDIR(st.st_mode) &&
	       st.st_uid == geteuid() && !(st.st_mode & 022);
}

static void forget_old(void)
{
	struct dirent **names;
	int count = old_is_safe() ? scandir(OLD, &names, image_name, NULL) : -1;
	char path[512];

	if (count < 0)
		return;
	for (int i = 0; i < count; i++) {
		snprintf(path, sizeof(path), OLD "/%s", names[i]->d_name);
		unlink(path);
	}
	free_names(names, count);
}

/* Is that, as far as anybody can tell, an image of this program's state? */
static bool is_ours(const struct cpimg *img)
{
	const struct cp_note *note = cpimg_note(img);

	return note->req_start == (uintptr_t)state;
}

/* The folder is everybody's: only what belongs to us is to be believed. */
static bool belongs_to_us(const char *path)
{
	struct stat st;

	return !lstat(path, &st) && S_ISREG(st.st_mode) && st.st_uid == geteuid();
}

/* What a crash has cut still begins like an image. */
static bool looks_like_image(const char *path)
{
	char magic[4] = "";
	FILE *f = fopen(path, "r");
	bool same = f && fread(magic, sizeof(magic), 1, f) == 1 &&
		    !memcmp(magic, "\177ELF", sizeof(magic));

	if (f)
		fclose(f);
	return same;
}

/*
 * Something has the name of the next image: left by a process that had our id. The
 * chain that we came from has been put aside, so an old image is of no use, nor is
 * one that was never finished or was cut. Anything else is not ours to remove.
 */
static bool useless(const char *path)
{
	struct cpimg_error err;
	struct cpimg *img = cpimg_open(path, 0, &err);
	bool ours = img && is_ours(img);

	cpimg_close(img);
	if (img)
		return ours;
	return err.code == CPIMG_ERR_INCOMPLETE ||
	       (err.code != CPIMG_ERR_SYS && looks_like_image(path));
}

static bool make_way(const char *path)
{
	if (!belongs_to_us(path) || !useless(path) || unlink(path)) {
		say("step %d: %s is in the way, and not ours to remove", state->step,
		    path);
		return false;
	}
	say("step %d: %s was left by an earlier process: removed", state->step, path);
	return true;
}

/* A full image has made all older ones superfluous. */
static void forget_older(void)
{
	char name[CP_RANGE_NAME_SIZE];

	forget_old();
	while (chain_start < made)
		unlink(cp_image_name(name, getpid(), chain_start++));
}

static void tell_size(const char *name, const struct cpimg *img)
{
	bool full = cpimg_note(img)->kind == CP_KIND_FULL;

	say("step %3d: %-16s %-11s %6.2f of %.1f MiB", state->step, name,
	    full ? "full" : "incremental", cpimg_file_size(img) / MIB,
	    state_size / MIB);
}

static void checkpoint(void)
{
	void *end = (char *)state + state_size;
	bool full = made - chain_start >= MAX_CHAIN;
	char name[CP_RANGE_NAME_SIZE];
	struct cpimg_error err;
	struct cpimg *img;
	long ret;

	cp_image_name(name, getpid(), made);
	say(".saving");
	ret = full ? cp_range(state, end) : inc_cp_range(state, end);
	if (ret && errno == EEXIST && make_way(name))
		ret = inc_cp_range(state, end);
	say(".saved");
	if (ret) {
		/* Nothing is lost: the next one saves all. */
		say("step %3d: no checkpoint: %s; going on", state->step,
		    strerror(errno));
		count_errors++;
		return;
	}
	/* Where images are in memory, the death of the machine is the end anyway. */
	if (cp_sync(getpid(), made) && errno != EOPNOTSUPP)
		say("%s: not safe against power loss: %s", name, strerror(errno));
	img = cpimg_open(name, 0, &err);
	if (!img) {
		say("%s", err.text);
		return;
	}
	tell_size(name, img);
	if (cpimg_note(img)->kind == CP_KIND_FULL)
		forget_older();
	made++;
	cpimg_close(img);
}

/*
 * Going on after a crash
 */

struct candidate {
	char		path[512];
	uint64_t	time;
};

static int newest_first(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	return x->time < y->time ? 1 : -(x->time > y->time);
}

static int look_in(const char *folder, struct candidate **all, int count)
{
	struct dirent **names;
	int found = scandir(folder, &names, image_name, NULL);
	struct candidate *more;

	if (found <= 0)
		return count;
	more = realloc(*all, (count + found) * sizeof(**all));
	if (!more) {
		free_names(names, found);
		return count;
	}
	*all = more;
	for (int i = 0; i < found; i++) {
		struct candidate *c = &(*all)[count];
		struct cpimg_error err;
		struct cpimg *img;

		snprintf(c->path, sizeof(c->path), "%s/%s", folder, names[i]->d_name);
		if (!belongs_to_us(c->path))
			continue;
		img = cpimg_open(c->path, 0, &err);
		if (!img)
			say("passed over: %s", err.text);
		if (img && is_ours(img)) {
			c->time = cpimg_note(img)->realtime_ns;
			count++;
		}
		cpimg_close(img);
	}
	free_names(names, found);
	return count;
}

/* Does the image hold the state of this very computation? */
static bool fits(const struct cpimg_chain *chain, size_t index,
		 struct cpimg_error *err)
{
	struct state head;
	const struct cp_note *note = cpimg_note(cpimg_chain_image(chain, index));

	if (note->start != (uintptr_t)state ||
	    note->end != (uintptr_t)state + state_size) {
		snprintf(err->text, sizeof(err->text), "%s: of a plate of another size",
			 cpimg_path(cpimg_chain_image(chain, index)));
		return false;
	}
	if (cpimg_chain_read(chain, index, (uintptr_t)state, &head,
			     offsetof(struct state, awake), err))
		return false;
	if (memcmp(head.magic, MAGIC, sizeof(MAGIC)) || head.size != opt_size ||
	    head.step < 0) {
		snprintf(err->text, sizeof(err->text), "%s: not a state of this program",
			 cpimg_path(cpimg_chain_image(chain, index)));
		return false;
	}
	return true;
}

/*
 * Put the chain that we come from aside: then no process id that comes again can
 * get in its way. First each image gets a second name, and only then loses its
 * first, so that one of the folders has the chain whole at every moment.
 */
static void put_aside(const struct cpimg_chain *chain)
{
	size_t length = cpimg_chain_length(chain);
	char path[512];

	if (!strncmp(cpimg_path(cpimg_chain_image(chain, 0)), OLD "/", sizeof(OLD)))
		return;
	if ((mkdir(OLD, 0700) && errno != EEXIST) || !old_is_safe()) {
		say(OLD ": not a folder of ours, so nothing is put aside");
		return;
	}
	forget_old();
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < length; i++) {
			const char *from = cpimg_path(cpimg_chain_image(chain, i));

			snprintf(path, sizeof(path), OLD "/%s", strrchr(from, '/') + 1);
			if (pass ? unlink(from) : link(from, path)) {
				say("%s: putting it aside: %s", from, strerror(errno));
				return;
			}
		}
	}
}

static bool restore(const char *path)
{
	struct cpimg_error err;
	struct cpimg_chain *chain = cpimg_chain_open(path, NULL, 0, &err);
	struct cp_restored done = { 0 };
	size_t last;

	if (!chain) {
		say("passed over: %s", err.text);
		return false;
	}
	last = cpimg_chain_length(chain) - 1;
	if (!fits(chain, last, &err) ||
	    cp_restore(chain, last, state, (char *)state + state_size, &done, &err)) {
		say("passed over: %s", err.text);
		cpimg_chain_close(chain);
		return false;
	}
	say("restored step %d from %s, of %zu images", state->step, path, last + 1);
	put_aside(chain);
	cpimg_chain_close(chain);
	return true;
}

static void go_on_or_begin(void)
{
	struct candidate *all = NULL;
	int count = look_in(FOLDER, &all, 0), i;

	if (old_is_safe())
		count = look_in(OLD, &all, count);
	qsort(all, count, sizeof(*all), newest_first);
	for (i = 0; i < count && !restore(all[i].path); i++)
		;
	if (i == count)
		begin();
	free(all);
}

/*
 * Results
 */

static double at(int x, int y)
{
	return (*tile_at(state->step & 1, x / WIDE, y / HIGH))
		[y % HIGH * WIDE + x % WIDE];
}

/* Under another name until it is whole: we may be killed here as well. */
static int write_file(const char *path, void (*content)(FILE *f))
{
	char part[512];
	FILE *f;

	snprintf(part, sizeof(part), "%s.part", path);
	f = fopen(part, "w");
	if (!f)
		goto fail;
	content(f);
	if (fflush(f) || ferror(f) || fclose(f) || rename(part, path))
		goto fail;
	return 0;
fail:
	say("%s: %s", path, strerror(errno));
	return 1;
}

static void write_field(FILE *f)
{
	fwrite(plate[state->step & 1], sizeof(tile), (size_t)tiles_x * tiles_y, f);
}

/* From black over red and yellow to white, in the logarithm. */
static void write_picture(FILE *f)
{
	int each = opt_size > 1024 ? opt_size / 1024 : 1;

	fprintf(f, "P6\n%d %d\n255\n", opt_size / each, opt_size / each);
	for (int y = 0; y < opt_size / each; y++) {
		for (int x = 0; x < opt_size / each; x++) {
			double over = at(x * each, y * each) - AMBIENT;
			double t = over > REST ? log(over / REST) /
				   log((FLAME - AMBIENT) / REST) : 0;

			for (int c = 0; c < 3; c++) {
				double v = 3 * t - c;

				fputc(v < 0 ? 0 : v > 1 ? 255 : v * 255, f);
			}
		}
	}
}

static int options(int argc, char **argv)
{
	static const struct option known[] = {
		{ "size", 1, NULL, 's' },	{ "steps", 1, NULL, 'n' },
		{ "every", 1, NULL, 'e' },	{ "out", 1, NULL, 'o' },
		{ "picture", 1, NULL, 'p' },	{ }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (c) {
		case 's':
			opt_size = atoi(optarg);
			break;
		case 'n':
			opt_steps = atoi(optarg);
			break;
		case 'e':
			opt_every = atoi(optarg);
			break;
		case 'o':
			opt_out = optarg;
			break;
		case 'p':
			opt_picture = optarg;
			break;
		default:
			return -1;
		}
	}
	return optind == argc && opt_size >= WIDE && opt_size <= MAX_SIZE &&
	       opt_size % WIDE == 0 && opt_steps > 0 && opt_every >= 0 ? 0 : -1;
}

int main(int argc, char **argv)
{
	if (options(argc, argv)) {
		fprintf(stderr, "usage: heat [--size CELLS] [--steps N] [--every STEPS (0: never)]\n"
			"            [--out FILE] [--picture FILE]\n"
			"CELLS: a multiple of %d, at most %d\n", WIDE, MAX_SIZE);
		return 2;
	}
	if (make_state())
		return 1;
	if (opt_every)
		go_on_or_begin();
	else
		begin();
	while (state->step < opt_steps) {
		step();
		if (opt_every && state->step % opt_every == 0 && state->step < opt_steps)
			checkpoint();
	}
	if (count_errors)
		say("%d checkpoints could not be made", count_errors);
	if ((opt_out && write_file(opt_out, write_field)) ||
	    (opt_picture && write_file(opt_picture, write_picture)))
		return 1;
	return 0;
}

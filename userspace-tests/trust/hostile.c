// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 */
/*
 * Other users who know the name of the next image: whatever they put there, or
 * change there meanwhile, they neither get nor destroy anything, and no call but
 * theirs goes wrong. And what a program with more rights than its caller, or with
 * less than others, may and may not do.
 */
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cp_test.h"
#include "harness.h"
#include "needs.h"

#define VICTIM		1000
#define ATTACKER	2000
#define PRECIOUS	"/tmp/home/precious"	/* the victim's */
#define NOWHERE		"/tmp/home/nowhere"		/* where it could create a file */
#define MARK		"not yours"

static char page[PAGE] __attribute__((aligned(PAGE)));

/* How far the kernel keeps one from the names of others in a sticky folder. */
static void protect_names(const char *links, const char *files)
{
	cp_write_file("/proc/sys/fs/protected_symlinks", links);
	cp_write_file("/proc/sys/fs/protected_hardlinks", links);
	cp_write_file("/proc/sys/fs/protected_fifos", files);
	cp_write_file("/proc/sys/fs/protected_regular", files);
}

static void become(uid_t uid)
{
	if (setgroups(0, NULL) || setgid(uid) || cp_set_user(uid, uid, uid))
		_exit(100);
}

/* A /tmp of the test's own, as sticky as every /tmp, and a home of the victim. */
static const char *own_tmp(const char *options)
{
	int fd;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/tmp", "tmpfs", 0, options))
		return "no mounts of its own";
	/* Where others can link to it: in the same file system. */
	if (mkdir("/tmp/home", 0755) || chown("/tmp/home", VICTIM, VICTIM))
		return "no home";
	fd = open(PRECIOUS, O_CREAT | O_EXCL | O_WRONLY, 0600);
	if (fd < 0 || write(fd, MARK, sizeof(MARK)) != sizeof(MARK) ||
	    fchown(fd, VICTIM, VICTIM))
		return "no file at home";
	close(fd);
	return NULL;
}

/* A file still has the mark, and nothing more. */
static bool has_mark(const char *path)
{
	char text[64] = "";
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text));

	if (fd >= 0)
		close(fd);
	return n == sizeof(MARK) && !memcmp(text, MARK, sizeof(MARK));
}

/*
 * Traps that the attacker lays under a name.
 */
static int trap_file(const char *name)
{
	int fd = open(name, O_CREAT | O_EXCL | O_WRONLY, 0666);
	int bad = fd < 0 || fchmod(fd, 0666) || write(fd, MARK, sizeof(MARK)) < 0;

	close(fd);
	return bad;
}

static int trap_link_to_file(const char *name)
{
	return symlink(PRECIOUS, name);
}

static int trap_link_to_nowhere(const char *name)
{
	return symlink(NOWHERE, name);
}

static int trap_link_to_itself(const char *name)
{
	return symlink(name, name);
}

static int trap_hard_link(const char *name)
{
	return link(PRECIOUS, name);
}

static int trap_fifo(const char *name)
{
	return mkfifo(name, 0666) || chmod(name, 0666);
}

static int trap_directory(const char *name)
{
	return mkdir(name, 0777) || chmod(name, 0777);
}

static int trap_socket(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0), bad;

	strncpy(addr.sun_path, name, sizeof(addr.sun_path) - 1);
	bad = bind(fd, (struct sockaddr *)&addr, sizeof(addr));
	close(fd);
	return bad || chmod(name, 0777);
}

static const struct trap {
	const char	*name;
	int		(*lay)(const char *name);
} traps[] = {
	{ "file that everybody may write", trap_file },
	{ "symbolic link to a file of the victim", trap_link_to_file },
	{ "symbolic link to where the victim may create", trap_link_to_nowhere },
	{ "symbolic link to itself", trap_link_to_itself },
	{ "hard link to a file of the victim", trap_hard_link },
	{ "FIFO", trap_fifo },
	{ "directory that everybody may write", trap_directory },
	{ "socket", trap_socket },
};

static int in_the_way(const char *name)
{
	return unlink(name) && rmdir(name);
}

/* The same inode, and nobody has changed it. */
static bool untouched(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_mode == b->st_mode &&
	       a->st_uid == b->st_uid && a->st_size == b->st_size &&
	       a->st_nlink == b->st_nlink &&
	       a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

FIXTURE(traps) {
};

FIXTURE_VARIANT(traps) {
	uid_t	victim;
};

FIXTURE_VARIANT_ADD(traps, of_an_ordinary_user) { VICTIM };
FIXTURE_VARIANT_ADD(traps, of_root) { 0 };

FIXTURE_SETUP(traps)
{
	const char *why = own_tmp("mode=1777");

	if (why)
		SKIP(return, "%s: %s", why, strerror(errno));
	/* The weakest setting: only the open flags are left. */
	protect_names("0", "0");
	cp_fill(page, PAGE, 1);
}

FIXTURE_TEARDOWN(traps)
{
}

struct victim {
	pid_t	pid;
	int	go, answer;	/* pipes */
};

/* For each byte that comes: both calls; their errno, 255 if they differ. */
static void be_victim(uid_t uid, int go, int answer)
{
	unsigned char byte;

	if (uid)
		become(uid);
	while (read(go, &byte, 1) == 1) {
		int full = cp_range(page, page + PAGE) ? errno : 0;
		int inc = !full ? 0 : inc_cp_range(page, page + PAGE) ? errno : 0;

		byte = full == inc ? full : 255;
		if (write(answer, &byte, 1) != 1)
			break;
	}
	_exit(0);
}

static struct victim victim_start(uid_t uid)
{
	struct victim v;
	int go[2], answer[2];

	if (pipe(go) || pipe(answer))
		exit(1);
	v.pid = fork();
	if (!v.pid) {
		close(go[1]);
		be_victim(uid, go[0], answer[1]);
	}
	close(go[0]);
	close(answer[1]);
	v.go = go[1];
	v.answer = answer[0];
	return v;
}

static int victim_calls(const struct victim *v)
{
	unsigned char byte = 0;

	if (write(v->go, &byte, 1) != 1 || read(v->answer, &byte, 1) != 1)
		return -1;
	return byte;
}

TEST_F(traps, catch_nobody)
{
	struct victim v = victim_start(variant->victim);
	char name[64];

	snprintf(name, sizeof(name), "%s", cp_name(v.pid, 0));
	for (size_t i = 0; i < ARRAY_SIZE(traps); i++) {
		const char *what = traps[i].name;
		struct stat trap, precious, st;
		double start;

		if (seteuid(ATTACKER) || traps[i].lay(name) || seteuid(0))
			SKIP(return, "cannot lay a %s: %s", what, strerror(errno));
		ASSERT_EQ(0, lstat(name, &trap));
		ASSERT_EQ(0, lstat(PRECIOUS, &precious));
		start = cp_now();
		EXPECT_EQ(EEXIST, victim_calls(&v)) TH_LOG("%s", what);
		EXPECT_GT(10, cp_now() - start) TH_LOG("%s", what);
		ASSERT_EQ(0, lstat(name, &st));
		EXPECT_TRUE(untouched(&trap, &st)) TH_LOG("%s was changed", what);
		ASSERT_EQ(0, lstat(PRECIOUS, &st));
		EXPECT_TRUE(untouched(&precious, &st)) TH_LOG("%s: the target", what);
		EXPECT_TRUE(has_mark(PRECIOUS));
		EXPECT_NE(0, lstat(NOWHERE, &st)) TH_LOG("%s: created", what);
		EXPECT_OK(cp_no_file(v.pid, 1));
		ASSERT_EQ(0, in_the_way(name));
	}

	/* None of them has counted. */
	EXPECT_EQ(0, victim_calls(&v));
	EXPECT_EQ(0, access(name, F_OK));
	close(v.go);
	waitpid(v.pid, NULL, 0);
}

/*
 * Races on the name.
 */

/* What the attacker has to guess in life; here it is told. */
struct race {
	atomic_uint	n;		/* number of the next image */
	atomic_bool	stop;
	atomic_uint	laid;		/* traps */
	atomic_uint	harmed;		/* of the attacker's files: not as it left them */
	atomic_uint	moved;		/* images taken away while they were written */
};

static struct race *race_new(void)
{
	return mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		    -1, 0);
}

/* Lay a trap and take it away, at every moment of a call sooner or later. */
static void create_and_remove(struct race *race, pid_t victim)
{
	unsigned int seed = 1;

	become(ATTACKER);
	/* The end of the test is not to be waited for by one who was forgotten. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (!race->stop) {
		size_t kind = (seed = seed * 1103515245 + 12345) >> 16;
		const struct trap *trap = &traps[kind % ARRAY_SIZE(traps)];
		const char *name = cp_name(victim, race->n);
		struct stat before, after;

		/* In a sticky folder only its owner could remove that again. */
		if (trap->lay == trap_hard_link)
			continue;
		if (trap->lay(name) || lstat(name, &before))
			continue;
		race->laid++;
		for (unsigned int spin = seed >> 20 & 1023; spin; spin--)
			atomic_signal_fence(memory_order_seq_cst);
		if (lstat(name, &after) || !untouched(&before, &after))
			race->harmed++;
		in_the_way(name);
	}
	_exit(0);
}

/* Checkpoints for some seconds; how many succeeded and met something. */
static const char *race_and_look(struct race *race, unsigned int *good,
				 unsigned int *met)
{
	double end = cp_now() + 4;

	while (cp_now() < end || (*met < 20 && cp_now() < end + 20)) {
		int err = (*good + *met) % 2 ? inc_cp_range(page, page + PAGE) :
			  cp_range(page, page + PAGE);
		const char *name = cp_name(getpid(), race->n);
		struct cpimg *img;
		struct stat st;

		page[0]++;
		if (err) {
			++*met;
			if (errno != EEXIST)
				return strerror(errno);
			continue;
		}
		++*good;
		if (lstat(name, &st))
			return "there is no file";
		if (!S_ISREG(st.st_mode) || st.st_uid != VICTIM || st.st_nlink != 1 ||
		    (st.st_mode & 07777) != 0600)
			return "what is there is not ours alone";
		img = cp_open(getpid(), race->n);
		if (!img)
			return "what is there is no image";
		cpimg_close(img);
		race->n++;
		if (unlink(name))
			return "cannot remove it";
	}
	return NULL;
}

TEST_F(traps, laid_at_any_moment)
{
	struct race *race = race_new();
	pid_t victim, attacker;
	int status;

	fflush(NULL);
	victim = fork();
	if (!victim) {
		unsigned int good = 0, met = 0;
		const char *why;

		if (variant->victim)
			become(VICTIM);
		else if (setegid(VICTIM) || cp_set_user(-1, VICTIM, -1))
			_exit(100);	/* root, acting as somebody: the same rules */
		why = race_and_look(race, &good, &met);
		fprintf(stderr, "# %u images, met a trap %u times%s%s\n", good, met,
			why ? ": " : "", why ?: "");
		_exit(why ? 1 : good < 20 || met < 20 ? 2 : 0);
	}
	attacker = fork();
	if (!attacker)
		create_and_remove(race, victim);
	ASSERT_EQ(victim, waitpid(victim, &status, 0));
	race->stop = true;
	waitpid(attacker, NULL, 0);
	EXPECT_EQ(0, status) TH_LOG("2 << 8: the two did not meet often enough");
	EXPECT_EQ(0, race->harmed) TH_LOG("of %u", race->laid);
	EXPECT_LT(100, race->laid);
	EXPECT_TRUE(has_mark(PRECIOUS));
	EXPECT_NE(0, access(NOWHERE, F_OK));
}

/*
 * A folder that is not sticky lets anybody move an image away while it is written.
 * A call that then fails must remove its own file, not what now has the name.
 */
static void move_away(struct race *race, pid_t victim)
{
	char name[64];

	become(ATTACKER);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	snprintf(name, sizeof(name), "%s", cp_name(victim, 0));
	while (!race->stop) {
		char copy[64];
		struct stat st;

		snprintf(copy, sizeof(copy), "/tmp/moved.%u", race->moved);
		if (rename(name, copy))
			continue;
		race->moved++;
		if (trap_file(name))
			continue;
		/* Till the call is over, whatever it did. */
		while (!race->stop && race->n < race->moved)
			;
		if (!has_mark(name) || lstat(name, &st) || st.st_uid != ATTACKER)
			race->harmed++;
		unlink(name);
	}
	_exit(0);
}

TEST(failing_call_removes_its_own_file_only)
{
	const size_t len = 4UL << 20;
	struct rlimit limit = { len / 2, RLIM_INFINITY };
	struct race *race = race_new();
	const char *why = own_tmp("mode=0777");
	double end = cp_now() + 20;
	unsigned int calls = 0;
	pid_t attacker;
	char *mem;

	if (why)
		SKIP(return, "%s: %s", why, strerror(errno));
	mem = cp_map(len);
	cp_fill(mem, len, 1);
	attacker = fork();
	if (!attacker)
		move_away(race, getppid());
	ASSERT_EQ(0, setrlimit(RLIMIT_FSIZE, &limit));
	become(VICTIM);
	while (race->moved < 20 && cp_now() < end) {
		unsigned int moved = race->moved;

		ASSERT_EQ(-1, cp_range(mem, mem + len));
		ASSERT_TRUE(errno == EFBIG || errno == EEXIST) TH_LOG("%m");
		calls++;
		/* The attacker counts after it moved: let it. */
		if (race->moved == moved)
			usleep(1000);
		race->n = race->moved;	/* and now it may look */
	}
	race->stop = true;
	waitpid(attacker, NULL, 0);
	TH_LOG("%u of %u images moved away", race->moved, calls);
	EXPECT_EQ(0, race->harmed);
	EXPECT_LT(0, race->moved);
	for (unsigned int i = 0; i < race->moved; i++) {
		struct cpimg_error err;
		char copy[64];

		/* Removed under its new name, or at least no image. */
		snprintf(copy, sizeof(copy), "/tmp/moved.%u", i);
		if (access(copy, F_OK))
			continue;
		EXPECT_EQ(NULL, cpimg_open(copy, 0, &err)) TH_LOG("%s", copy);
		EXPECT_EQ(CPIMG_ERR_INCOMPLETE, err.code) TH_LOG("%s", err.text);
	}
}

/* What a sticky /tmp promises of a file holds for an image. */
TEST(sticky_tmp_keeps_an_image)
{
	const char *why = own_tmp("mode=1777");
	char name[64];
	pid_t owner;
	int status;

	if (why)
		SKIP(return, "%s: %s", why, strerror(errno));
	/* Neither do the rules that distributions switch on get in the way. */
	protect_names("1", "2");
	cp_fill(page, PAGE, 1);
	owner = fork();
	if (!owner) {
		become(VICTIM);
		_exit(cp_range(page, page + PAGE) ? errno : 0);
	}
	ASSERT_EQ(owner, waitpid(owner, &status, 0));
	ASSERT_EQ(0, status);
	snprintf(name, sizeof(name), "%s", cp_name(owner, 0));

	ASSERT_EQ(0, seteuid(ATTACKER));
	EXPECT_EQ(-1, open(name, O_RDONLY));
	EXPECT_EQ(EACCES, errno);
	EXPECT_EQ(-1, open(name, O_WRONLY));
	EXPECT_EQ(EACCES, errno);
	EXPECT_NE(0, unlink(name));
	EXPECT_NE(0, rename(name, "/tmp/mine"));
	EXPECT_EQ(0, trap_file("/tmp/mine"));
	EXPECT_NE(0, rename("/tmp/mine", name));
	/* before 3.6 anybody may link to what he sees; the image goes on under both names */
	if (!cp_kernel_before(3, 6))
		EXPECT_NE(0, link(name, "/tmp/kept"));
	EXPECT_NE(0, truncate(name, 0));
	EXPECT_NE(0, chmod(name, 0666));
	ASSERT_EQ(0, seteuid(0));

	cpimg_close(cp_open(owner, 0));
	ASSERT_EQ(0, seteuid(VICTIM));
	EXPECT_EQ(0, unlink(name));
}

/*
 * Programs with rights of their own. The caller knows the name: execve() keeps
 * the process id.
 */
#define PRIVILEGED	"/tmp/privileged"
#define PROGRAM_OWNER	3000
#define PROGRAM_GROUP	4000

static int copy_program(mode_t mode)
{
	static char buf[64 * 1024];
	int in = open(cp_helper("save_self"), O_RDONLY);
	int out = open(PRIVILEGED, O_CREAT | O_TRUNC | O_WRONLY, 0700);
	ssize_t n;

	while ((n = read(in, buf, sizeof(buf))) > 0)
		if (write(out, buf, n) != n)
			return -1;
	close(in);
	/* chown() takes such bits away, so it goes first. */
	if (n || fchown(out, PROGRAM_OWNER, PROGRAM_GROUP) || fchmod(out, mode))
		return -1;
	return close(out);
}

/*
 * Run it as an ordinary user, after @lay of its name; it says @how it may be dumped.
 * Return: its status.
 */
static int run_privileged(int (*lay)(const char *name), const char *how, pid_t *pid)
{
	int status = -1;

	*pid = fork();
	if (!*pid) {
		become(ATTACKER);
		if (lay && lay(cp_name(getpid(), 0)))
			_exit(101);
		execl(PRIVILEGED, PRIVILEGED, how, NULL);
		_exit(102);
	}
	waitpid(*pid, &status, 0);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

FIXTURE(privileged) {
	pid_t	pid;
};

FIXTURE_VARIANT(privileged) {
	mode_t	mode;		/* of the program */
	uid_t	uid;		/* of the image */
	gid_t	gid;
};

FIXTURE_VARIANT_ADD(privileged, set_uid) { 04755, PROGRAM_OWNER, ATTACKER };
FIXTURE_VARIANT_ADD(privileged, set_gid) { 02755, ATTACKER, PROGRAM_GROUP };
FIXTURE_VARIANT_ADD(privileged, set_both) { 06755, PROGRAM_OWNER, PROGRAM_GROUP };
/* Its caller may run it but not read it. */
FIXTURE_VARIANT_ADD(privileged, unreadable) { 0711, ATTACKER, ATTACKER };

FIXTURE_SETUP(privileged)
{
	const char *why = own_tmp("mode=1777");

	if (why)
		SKIP(return, "%s: %s", why, strerror(errno));
	ASSERT_EQ(0, copy_program(variant->mode)) TH_LOG("%m");
}

FIXTURE_TEARDOWN(privileged)
{
}

/* Its memory may hold what its caller has no right to: as with a core dump. */
TEST_F(privileged, saves_nothing_unless_it_says_that_it_may)
{
	static const char *const rules[] = { "2", "0" };

	for (size_t i = 0; i < ARRAY_SIZE(rules); i++) {
		/* 2: the kernel would dump it, for root alone */
		ASSERT_EQ(0, cp_write_file("/proc/sys/fs/suid_dumpable", rules[i]));
		EXPECT_EQ(EPERM, run_privileged(NULL, NULL, &self->pid))
			TH_LOG("suid_dumpable %s", rules[i]);
		EXPECT_OK(cp_no_file(self->pid, 0));
	}
}

TEST_F(privileged, image_belongs_to_whose_rights_it_has)
{
	struct stat st;
	struct cpimg *img;
	int fd;

	ASSERT_EQ(0, run_privileged(NULL, "1", &self->pid));
	ASSERT_EQ(0, lstat(cp_name(self->pid, 0), &st));
	EXPECT_TRUE(S_ISREG(st.st_mode));
	EXPECT_EQ(0600, st.st_mode & 07777);
	EXPECT_EQ(variant->uid, st.st_uid);
	EXPECT_EQ(variant->gid, st.st_gid);
	img = cp_open(self->pid, 0);
	EXPECT_NE(NULL, img);
	cpimg_close(img);

	/* As with each file that it makes, its caller can read its own only. */
	ASSERT_EQ(0, seteuid(ATTACKER));
	fd = open(cp_name(self->pid, 0), O_RDONLY);
	EXPECT_EQ(variant->uid == ATTACKER, fd >= 0);
	ASSERT_EQ(0, seteuid(0));
}

TEST_F(privileged, is_not_led_astray_by_its_caller)
{
	for (size_t i = 0; i < ARRAY_SIZE(traps); i++) {
		struct stat st;

		if (traps[i].lay == trap_hard_link)
			continue;	/* the caller may not link what is not its own */
		EXPECT_EQ(EEXIST, run_privileged(traps[i].lay, "1", &self->pid))
			TH_LOG("%s", traps[i].name);
		ASSERT_EQ(0, lstat(cp_name(self->pid, 0), &st));
		EXPECT_EQ(ATTACKER, st.st_uid);
	}
	EXPECT_TRUE(has_mark(PRECIOUS));
	EXPECT_NE(0, access(NOWHERE, F_OK));
}

/*
 * Sandboxes.
 */

/* Everything is allowed but the two calls, which do @action. */
static int forbid(unsigned int action)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_cp_range, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_inc_cp_range, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = { ARRAY_SIZE(filter), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -1;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

TEST(seccomp_can_forbid_both)
{
	ASSERT_EQ(0, cp_range(page, page + PAGE));
	ASSERT_EQ(0, unlink(cp_name(getpid(), 0)));
	if (forbid(SECCOMP_RET_ERRNO | EPERM))
		SKIP(return, "no seccomp: %s", strerror(errno));
	EXPECT_EQ(-1, cp_range(page, page + PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, inc_cp_range(page, page + PAGE));
	EXPECT_EQ(EPERM, errno);
	EXPECT_EQ(-1, inc_cp_range(NULL, (void *)~0UL));
	EXPECT_EQ(EPERM, errno);
	EXPECT_OK(cp_no_file(getpid(), 0));
	EXPECT_OK(cp_no_file(getpid(), 1));
}

static void forbidden_to_death(void *arg)
{
	if (forbid(SECCOMP_RET_KILL_PROCESS))
		_exit(4);
	_exit(cp_range(page, page + PAGE) ? 1 : 2);
}

static void strict(void *arg)
{
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT))
		_exit(4);
	cp_range(page, page + PAGE);
	syscall(SYS_exit, 2);
}

TEST(seccomp_can_kill)
{
	int status = cp_run(forbidden_to_death, NULL);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		SKIP(return, "no seccomp");
	EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("0x%x", status);
	EXPECT_EQ(SIGSYS, WTERMSIG(status));
	status = cp_run(strict, NULL);
	EXPECT_TRUE(WIFSIGNALED(status)) TH_LOG("0x%x", status);
	EXPECT_EQ(SIGKILL, WTERMSIG(status));
}

/* The caller's root is where its world ends, whatever /tmp is in there. */
TEST(chroot_is_not_left)
{
	static const char *const ways_out[] = {
		"../../../tmp", "/../../tmp", "../sub/../../tmp",
	};
	const char *why = own_tmp("mode=1777");
	struct cpimg *img;

	if (why)
		SKIP(return, "%s: %s", why, strerror(errno));
	ASSERT_EQ(0, mkdir("/tmp/root", 0755));
	ASSERT_EQ(0, mkdir("/tmp/root/sub", 0755));
	for (size_t i = 0; i < ARRAY_SIZE(ways_out); i++) {
		pid_t pid = fork();
		int status;

		if (!pid) {
			if (chroot("/tmp/root") || chdir("/sub") ||
			    symlink(ways_out[i], "/tmp"))
				_exit(100);
			_exit(cp_range(page, page + PAGE) ? errno : 0);
		}
		ASSERT_EQ(pid, waitpid(pid, &status, 0));
		/* They lead to themselves: the root's parent is the root. */
		EXPECT_EQ(ELOOP, WEXITSTATUS(status))
			TH_LOG("%s: %s", ways_out[i], strerror(WEXITSTATUS(status)));
		EXPECT_OK(cp_no_file(pid, 0));
		ASSERT_EQ(0, unlink("/tmp/root/tmp"));
	}

	ASSERT_EQ(0, mkdir("/tmp/root/tmp", 01777));
	ASSERT_EQ(0, chroot("/tmp/root"));
	ASSERT_EQ(0, chdir("/sub"));
	EXPECT_EQ(0, cp_range(page, page + PAGE));
	img = cp_open(getpid(), 0);
	EXPECT_NE(NULL, img);
	cpimg_close(img);
}

TEST_HARNESS_MAIN

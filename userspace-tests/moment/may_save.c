// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 384 --smp 2 --timeout 400 */
/*
 * Who may attach to a process by ptrace(2) may save it, no more and no less: with other
 * users, capabilities, namespaces and Yama each answer is held against that of
 * PTRACE_SEIZE. And nobody ever gets an image of a set-uid program.
 */
#define _GNU_SOURCE
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "harness.h"
#include "moment.h"
#include "needs.h"
#include "set_uid_loop.h"

#define YAMA	"/proc/sys/kernel/yama/ptrace_scope"
#define NO_YAMA	"the kernel lacks CONFIG_SECURITY_YAMA, or CONFIG_LSM does not name it"
#define RACE	"/tmp/race"

#ifndef PR_SET_PTRACER
#define PR_SET_PTRACER		0x59616d61
#define PR_SET_PTRACER_ANY	((unsigned long)-1)
#endif

/* What the caller was told, and the pid of the process */
static struct said {
	int			target;
	int			saves;		/* 0 or an errno */
	int			seizes;
	struct cp_result	result;
} *said;

static void be(uid_t uid, gid_t gid)
{
	if (setgroups(0, NULL) || setgid(gid) || cp_set_user(uid, uid, uid))
		_exit(100);
}

static void be_root(void) { }
static void be_user(void) { be(1000, 1000); }
static void be_other(void) { be(2000, 1000); }
static void be_other_group(void) { be(1000, 2000); }

static void be_half_other(void)
{
	if (setgroups(0, NULL) || setgid(1000) || cp_set_user(1000, 2000, 1000))
		_exit(100);
}

static void be_other_in_truth(void)
{
	if (setgroups(0, NULL) || setgid(1000) || cp_set_user(2000, 1000, 1000))
		_exit(100);
}

static void be_secretive(void)
{
	be_user();
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

/* One capability more than others of the user have. */
static void be_capable(void)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { .permitted = 1 << CAP_NET_RAW } };

	prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
	be_user();
	if (syscall(SYS_capset, &head, data))
		_exit(100);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void be_in_user_namespace(void)
{
	be_user();
	if (unshare(CLONE_NEWUSER))
		_exit(100);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void be_other_in_user_namespace(void)
{
	be_other();
	if (unshare(CLONE_NEWUSER))
		_exit(100);
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
}

static void be_open_to_all(void)
{
	be_user();
	prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
}

struct pair {
	const char	*what;
	void		(*caller)(void);
	void		(*target)(void);
	int		error;
};

/* A process that @become has made what it is, and that waits. */
static int start(void (*become)(void))
{
	int pipes[2], pid;
	char c;

	if (pipe(pipes))
		return -1;
	pid = fork();
	if (!pid) {
		become();
		write(pipes[1], "x", 1);
		for (;;)
			pause();
	}
	close(pipes[1]);
	if (read(pipes[0], &c, 1) != 1)
		pid = -1;
	close(pipes[0]);
	return pid;
}

/* Ask for it in both ways. Who is traced is let go when this process ends. */
static void ask_both(int pid)
{
	struct cp_args args = CP_ARGS_OWN;

	args.pidfd = cp_pidfd(pid);
	args.result = (uintptr_t)&said->result;
	args.result_size = sizeof(said->result);
	said->saves = cp_checkpoint(&args, sizeof(args)) ? errno : 0;
	said->seizes = ptrace(PTRACE_SEIZE, pid, 0, 0) ? errno : 0;
}

/* Return: NULL if a stranger of that kind gets the answers that it should get. */
static const char *strangers(const struct pair *p)
{
	int target = start(p->target), status, pid;
	const char *why = NULL;

	if (target < 0)
		return say("%s: no process to be saved", p->what);
	memset(said, 0xff, sizeof(*said));
	pid = fork();
	if (!pid) {
		p->caller();
		ask_both(target);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		why = say("%s: the caller ended with status %#x", p->what, status);
	else if (said->saves != p->error || said->seizes != p->error)
		why = say("%s: cp_checkpoint() %s, PTRACE_SEIZE %s, expected %s", p->what,
			  strdup(strerror(said->saves)), strdup(strerror(said->seizes)),
			  strdup(strerror(p->error)));
	else if (p->error)
		why = cp_no_file(target, 0);
	else if (access(cp_name(target, 0), F_OK))
		why = say("%s: no image", p->what);
	cp_kill(target);
	chain_remove();
	return why;
}

/* The same of a process that the caller has started. */
static const char *parents(const struct pair *p)
{
	const char *why = NULL;
	int status, pid;

	memset(said, 0xff, sizeof(*said));
	pid = fork();
	if (!pid) {
		int target;

		p->caller();
		target = start(p->target);
		if (target < 0)
			_exit(101);
		ask_both(target);
		cp_kill(target);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status)
		why = say("%s, by its parent: status %#x", p->what, status);
	else if (said->saves != p->error || said->seizes != p->error)
		why = say("%s, by its parent: cp_checkpoint() %s, PTRACE_SEIZE %s, expected %s",
			  p->what, strdup(strerror(said->saves)),
			  strdup(strerror(said->seizes)), strdup(strerror(p->error)));
	chain_remove();
	return why;
}

FIXTURE(may_save) { };

FIXTURE_SETUP(may_save)
{
	NEEDS_CP_CHECKPOINT();
	NEEDS_CALL(pidfd_open);
	said = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, said);
}

FIXTURE_TEARDOWN(may_save)
{
	chain_remove();
}

TEST_F(may_save, who_may_attach)
{
	static const struct pair pairs[] = {
		{ "a user its own", be_user, be_user, 0 },
		{ "a user another's", be_user, be_other, EPERM },
		{ "a user root's", be_user, be_root, EPERM },
		{ "root a user's", be_root, be_user, 0 },
		{ "a user one of another group", be_user, be_other_group, EPERM },
		{ "a user one with another effective user", be_user, be_half_other, EPERM },
		{ "who has another effective user", be_half_other, be_user, 0 },
		{ "who is another user in truth", be_other_in_truth, be_user, EPERM },
		{ "a user one that may not be dumped", be_user, be_secretive, EPERM },
		{ "root one that may not be dumped", be_root, be_secretive, 0 },
		{ "a user one with a capability more", be_user, be_capable, EPERM },
		{ "with the same capability", be_capable, be_capable, 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		EXPECT_OK(strangers(&pairs[i]));
}

TEST_F(may_save, across_user_namespaces)
{
	static const struct pair pairs[] = {
		{ "who made its namespace", be_user, be_in_user_namespace, 0 },
		{ "root", be_root, be_in_user_namespace, 0 },
		{ "another user", be_other, be_in_user_namespace, EPERM },
		{ "from inside", be_in_user_namespace, be_user, EPERM },
		{ "from beside it", be_in_user_namespace, be_in_user_namespace, EPERM },
		{ "from another user's", be_other_in_user_namespace, be_user, EPERM },
	};

	if (access("/proc/self/ns/user", F_OK))
		SKIP(return, "no user namespaces");
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++)
		EXPECT_OK(strangers(&pairs[i]));
}

TEST_F(may_save, as_yama_says)
{
	static const struct pair stranger[3][4] = {
		{
			{ "0: a stranger", be_user, be_user, 0 },
			{ "0: one that lets all", be_user, be_open_to_all, 0 },
			{ "0: root", be_root, be_user, 0 },
			{ "0: another user", be_other, be_open_to_all, EPERM },
		}, {
			{ "1: a stranger", be_user, be_user, EPERM },
			{ "1: one that lets all", be_user, be_open_to_all, 0 },
			{ "1: root", be_root, be_user, 0 },
			{ "1: another user", be_other, be_open_to_all, EPERM },
		}, {
			{ "2: a stranger", be_user, be_user, EPERM },
			{ "2: one that lets all", be_user, be_open_to_all, EPERM },
			{ "2: root", be_root, be_user, 0 },
			{ "2: another user", be_other, be_open_to_all, EPERM },
		},
	};
	static const struct pair parent[3] = {
		{ "0", be_user, be_root, 0 },
		{ "1", be_user, be_root, 0 },
		{ "2", be_user, be_root, EPERM },
	};
	char text[2] = "0";

	if (access(YAMA, F_OK))
		SKIP(return, NO_YAMA);
	for (int scope = 0; scope < 3; scope++) {
		text[0] = '0' + scope;
		ASSERT_EQ(0, cp_write_file(YAMA, text)) TH_LOG("%m");
		for (size_t i = 0; i < ARRAY_SIZE(stranger[scope]); i++)
			EXPECT_OK(strangers(&stranger[scope][i]));
		EXPECT_OK(parents(&parent[scope]));
	}
	cp_write_file(YAMA, "0");
}

/* Two containers' first processes, each 1 to itself, saved into one folder. */
static void from_outside(void *arg)
{
	int original = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
	struct cpimg_error err;

	for (int i = 0; i < 2; i++) {
		int pid = unshare(CLONE_NEWPID) ? -1 : start(be_root);
		const struct cp_note *note;
		struct cpimg *img;

		if (pid < 0)
			_exit(4);
		setns(original, CLONE_NEWPID);
		ask_both(pid);
		if (said->saves || said->seizes)
			_exit(10);
		img = cpimg_open(cp_name(pid, 0), 0, &err);
		if (!img)
			_exit(11);
		note = cpimg_note(img);
		if ((int)note->pid != pid || (int)note->tid != pid || note->own_pid != 1 ||
		    atoi(said->result.name) != pid)
			_exit(12);
		cpimg_close(img);
		kill(pid, SIGKILL);
	}
}

/* Who is inside does not see who is outside, whatever descriptor it has. */
static void from_inside(void *arg)
{
	int outside = start(be_root), status, pid;
	struct cp_args args = CP_ARGS_OWN;

	args.pidfd = cp_pidfd(outside);
	if (outside < 0 || args.pidfd < 0)
		_exit(100);
	if (unshare(CLONE_NEWPID))
		_exit(4);
	pid = fork();
	if (!pid) {
		int inside;

		if (!cp_checkpoint(&args, sizeof(args)) || errno != ESRCH)
			_exit(20);
		if (getpid() != 1 || access(cp_name(outside, 0), F_OK) == 0)
			_exit(21);
		/* And one that is inside is called what it is called there. */
		inside = start(be_root);
		ask_both(inside);
		if (said->saves || said->seizes || atoi(said->result.name) != inside ||
		    inside > 10 || access(cp_name(inside, 0), F_OK))
			_exit(22);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	cp_kill(outside);
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 101);
}

TEST_F(may_save, across_pid_namespaces)
{
	int status = cp_run(from_outside, NULL);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		SKIP(return, "no pid namespaces");
	EXPECT_EQ(0, status) TH_LOG("saves %d, seizes %d, %s", said->saves, said->seizes,
				    said->result.name);
	status = cp_run(from_inside, NULL);
	EXPECT_EQ(0, status) TH_LOG("saves %d, seizes %d, %s", said->saves, said->seizes,
				    said->result.name);
}

static int make_program(const char *name, mode_t mode)
{
	return cp_copy(cp_helper("set_uid_loop"), name) || chown(name, 0, 0) ||
	       chmod(name, mode);
}

/* Whether some page of the image has the secret, or the set-uid program is mapped. */
static const char *tells(const char *path)
{
	static uint64_t words[PAGE / 8];
	struct cpimg_error err;
	struct cpimg *img = cpimg_open(path, 0, &err);
	const struct cpimg_run *run;
	const char *what = NULL;
	struct cpimg_mapped m;
	size_t count;

	if (!img)
		return say("%s", err.text);
	run = cpimg_runs(img, &count);
	for (; count && !what; count--, run++) {
		if (cpimg_mapped_file(img, run->start, &m) &&
		    !strcmp(m.name, RACE "/set_uid"))
			what = say("%s is of the set-uid program", path);
		if (run->cls != CPIMG_DATA)
			continue;
		for (uint64_t at = run->start; at < run->end && !what; at += PAGE) {
			if (cpimg_pread(img, at, words, PAGE, &err))
				what = say("%s", err.text);
			for (unsigned int i = 0; i < PAGE / 8 && !what; i++)
				if (words[i] == set_uid_secret(i))
					what = say("%s has the secret at %#" PRIx64, path, at);
		}
	}
	cpimg_close(img);
	return what;
}

static struct race {
	int		pid;
	int		images;		/* when there were so many it is over */
	bool		root;
	volatile int	saved, refused, gone, told;
	char		what[200];
} *race;

static void save_in_a_loop(void *arg)
{
	struct cp_args args = CP_ARGS_OWN;
	double end = cp_now() + 100;
	struct cp_result result;
	char path[128];

	if (!race->root)
		be_user();
	args.pidfd = cp_pidfd(race->pid);
	args.result = (uintptr_t)&result;
	args.result_size = sizeof(result);
	/* To be refused takes no time, and most of the time it is. */
	for (int i = 0; race->saved < race->images && cp_now() < end; i++) {
		const char *what;

		args.flags = (i % 2 ? CP_MOMENT : 0) | (i % 3 ? CP_INCREMENTAL : 0);
		if (cp_checkpoint(&args, sizeof(args))) {
			if (errno == EPERM)
				race->refused++;
			else if (errno == ESRCH)
				race->gone++;
			else
				_exit(errno);
			continue;
		}
		race->saved++;
		/* All that the call has made, which /tmp has for this user alone. */
		for (unsigned int n = 0; n < result.images; n++) {
			snprintf(path, sizeof(path), "%s", cp_name(race->pid, result.n - n));
			what = tells(path);
			if (what) {
				race->told++;
				snprintf(race->what, sizeof(race->what), "%s", what);
			}
		}
		for (unsigned int n = 0; n < result.images; n++)
			unlink(cp_name(race->pid, result.n - n));
	}
	_exit(0);
}

TEST_F(may_save, no_set_uid_program)
{
	int pid;

	race = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, race);
	mkdir(RACE, 0755);
	ASSERT_EQ(0, make_program(RACE "/plain", 0755)) TH_LOG("%m");
	ASSERT_EQ(0, make_program(RACE "/set_uid", 04755)) TH_LOG("%m");
	pid = fork();
	if (!pid) {
		be_user();
		execl(RACE "/plain", RACE "/plain", RACE "/plain", RACE "/set_uid", NULL);
		_exit(100);
	}
	race->pid = pid;
	race->images = cp_debug_kernel() ? 50 : 500;
	EXPECT_EQ(0, cp_run(save_in_a_loop, NULL));
	TH_LOG("%d saved, %d refused, %d while it became the other", race->saved,
	       race->refused, race->gone);
	EXPECT_EQ(0, race->told) TH_LOG("%d, the last: %s", race->told, race->what);
	EXPECT_EQ(race->images, race->saved);
	EXPECT_LT(0, race->refused);
	/* Root may see it: so there is something to be seen. */
	race->root = true;
	race->told = 0;
	race->saved = 0;
	race->images = 20;
	EXPECT_EQ(0, cp_run(save_in_a_loop, NULL));
	EXPECT_LT(0, race->told);
	cp_kill(race->pid);
	unlink(RACE "/plain");
	unlink(RACE "/set_uid");
	rmdir(RACE);
}

/* The last test of this guest: there is no way back from 3. */
TEST_F(may_save, nobody_says_yama)
{
	static const struct pair
		stranger = { "3: root", be_root, be_user, EPERM },
		parent = { "3: its parent", be_user, be_root, EPERM };

	if (access(YAMA, F_OK))
		SKIP(return, NO_YAMA);
	ASSERT_EQ(0, cp_write_file(YAMA, "3")) TH_LOG("%m");
	EXPECT_OK(strangers(&stranger));
	EXPECT_OK(parents(&parent));
}

TEST_HARNESS_MAIN

// SPDX-License-Identifier: GPL-2.0
/* guest: --mem 256 */
/*
 * In a pid namespace the name has the pid that the caller knows itself by, and
 * in a mount namespace or a chroot /tmp is the caller's.
 */
#include <sys/mount.h>
#include <sys/procfs.h>

#include "cp_test.h"
#include "harness.h"

static char page[PAGE] __attribute__((aligned(PAGE)));

static const char *in_namespace(void)
{
	struct elf_prstatus st;
	struct cpimg *img;
	const char *why;

	if (getpid() != 1)
		return "getpid() is not 1";
	if (cp_range(page, page + PAGE))
		return strerror(errno);
	img = cp_open(1, 0);
	if (!img)
		return "no image under the inner pid";
	if (cpimg_note(img)->pid != 1 || cpimg_note(img)->tid != 1)
		return "the note has another pid";
	why = cp_same_bytes(img, page, PAGE);
	if (why)
		return why;
	if (!cp_prstatus(img, &st))
		return "no NT_PRSTATUS";
	if (st.pr_pid != 1)
		return "NT_PRSTATUS has another pid";
	return NULL;
}

static void pid_namespace(void *arg)
{
	pid_t pid;
	int status;

	if (unshare(CLONE_NEWPID))
		_exit(4);
	pid = fork();
	if (!pid) {
		const char *why = in_namespace();

		if (why)
			fprintf(stderr, "# inside: %s\n", why);
		_exit(!!why);
	}
	waitpid(pid, &status, 0);
	/* Not under the name it has out here. */
	if (!access(cp_name(pid, 0), F_OK)) {
		fprintf(stderr, "# %s: the outer pid\n", cp_name(pid, 0));
		_exit(1);
	}
	_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}

TEST(pid_is_the_one_seen_inside)
{
	int status;

	cp_fill(page, PAGE, 1);
	unlink(cp_name(1, 0));
	status = cp_run(pid_namespace, NULL);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		SKIP(return, "no pid namespaces");
	EXPECT_EQ(0, status);
	unlink(cp_name(1, 0));
}

static void mount_namespace(void *arg)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		_exit(4);
	if (mount("none", "/tmp", "tmpfs", 0, NULL))
		_exit(4);
	if (cp_range(page, page + PAGE))
		_exit(1);
	_exit(access(cp_name(getpid(), 0), F_OK) ? 2 : 0);
}

TEST(tmp_is_the_callers)
{
	int status, files = 0;
	pid_t pid = fork();

	if (!pid)
		mount_namespace(NULL);
	ASSERT_EQ(pid, waitpid(pid, &status, 0));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		SKIP(return, "no mount namespaces");
	EXPECT_EQ(0, status);
	files += !access(cp_name(pid, 0), F_OK);
	EXPECT_EQ(0, files);
}

/* root in a user namespace, nobody outside */
static void user_namespace(void *arg)
{
	struct stat st;

	if (setgid(1000) || cp_set_user(1000, 1000, 1000) || unshare(CLONE_NEWUSER))
		_exit(4);
	if (cp_range(page, page + PAGE)) {
		perror("# cp_range");
		_exit(1);
	}
	if (stat(cp_name(getpid(), 0), &st) || (st.st_mode & 07777) != 0600)
		_exit(2);
	unlink(cp_name(getpid(), 0));
	_exit(0);
}

TEST(works_in_a_user_namespace)
{
	int status = cp_run(user_namespace, NULL);

	if (WIFEXITED(status) && WEXITSTATUS(status) == 4)
		SKIP(return, "no user namespaces");
	EXPECT_EQ(0, status);
}

TEST_HARNESS_MAIN

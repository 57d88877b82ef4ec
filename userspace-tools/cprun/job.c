// SPDX-License-Identifier: GPL-2.0
/*
 * The folder of a job: "job" says what is run, "lock" is locked while it runs, "done" is
 * there once it has ended well, and is called ".done" till then, when the disk may be full;
 * and each start has a folder of its own, 0001, 0002 ...: its images, and "from", which image
 * it went on from.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "cprun.h"

#define JOB_VERSION	"cprun 1\n"
#define NOT_DONE	".done"
#define MAX_JOB		(16 << 20)	/* no command is as long */
#define LOCK_TRIES	20		/* a tenth of a second each */

/* "DIR/name", for free(); NULL: no memory, and it was said. */
static char *in_dir(const struct job *job, const char *name)
{
	char *path;

	if (asprintf(&path, "%s/%s", job->dir, name) >= 0)
		return path;
	problem("no memory");
	return NULL;
}

/* The content of a file, for free(); NULL and errno. */
static char *read_text(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), saved;
	size_t have = 0, space = 4096;
	char *text = NULL, *more;
	ssize_t n = -1;

	if (fd < 0)
		return NULL;
	while ((more = realloc(text, space + 1))) {
		text = more;
		n = read(fd, text + have, space - have);
		if (n <= 0)
			break;
		have += n;
		if (have == space)
			space *= 2;
		if (space > MAX_JOB) {
			errno = EFBIG;
			n = -1;
			break;
		}
	}
	saved = errno;
	close(fd);
	errno = saved;
	if (n) {
		free(text);
		return NULL;
	}
	text[have] = 0;
	return text;
}

/* A file that is whole or not there, and safe. 0, or -1: it was said. */
static int write_file(const char *path, const char *text)
{
	size_t len = strlen(text);
	struct new_file f;

	if (new_file_open(&f, path, true)) {
		problem("%s: creating: %s", path, strerror(errno));
		return -1;
	}
	for (size_t done = 0; done < len; ) {
		ssize_t n = write(f.fd, text + done, len - done);

		if (n < 0)
			goto fail;
		done += n;
	}
	if (!fsync(f.fd) && !new_file_commit(&f))
		return 0;
fail:
	problem("%s: writing: %s", path, strerror(errno));
	new_file_abandon(&f);
	return -1;
}

/* One line, whatever is in the text. */
static void put_line(FILE *to, const char *what, const char *text)
{
	fprintf(to, "%s ", what);
	for (; *text; text++) {
		if (*text == '\n')
			fputs("\\n", to);
		else if (*text == '\\')
			fputs("\\\\", to);
		else
			fputc(*text, to);
	}
	fputc('\n', to);
}

/* What is run: where, by whom, which command. For free(); NULL: it was said. */
static char *describe(const struct job *job)
{
	char *text = NULL, *cwd = getcwd(NULL, 0);
	size_t size;
	FILE *to;

	if (!cwd) {
		problem("the working directory: %s", strerror(errno));
		return NULL;
	}
	to = open_memstream(&text, &size);
	if (to) {
		fprintf(to, JOB_VERSION "uid %u\n", geteuid());
		put_line(to, "cwd", cwd);
		for (char **arg = job->argv; *arg; arg++)
			put_line(to, "arg", *arg);
	}
	if (!to || fclose(to)) {
		problem("no memory");
		free(text);
		text = NULL;
	}
	free(cwd);
	return text;
}

/* Is it all that is said there, before the kernel that it was begun on? */
static bool is_described(const char *there, const char *text)
{
	size_t len = strlen(text);

	return !strncmp(there, text, len) && !strncmp(there + len, "kernel ", 7);
}

static int write_job(const struct job *job)
{
	char *path = in_dir(job, "job"), *text = describe(job), *all = NULL;
	struct utsname name;
	int bad = -1;

	uname(&name);
	if (path && text && asprintf(&all, "%skernel %s\n", text, name.release) >= 0)
		bad = write_file(path, all);
	free(all);
	free(text);
	free(path);
	return bad ? CPRUN_FAILED : 0;
}

static bool all_digits(const char *name)
{
	size_t n = strspn(name, "0123456789");

	return n >= 4 && n < 10 && !name[n];
}

/* A folder that has other things in it is not taken. */
static int check_is_ours(const struct job *job)
{
	DIR *dir = opendir(job->dir);
	bool ours = true, has_job = false;
	struct dirent *entry;
	struct stat st;

	if (!dir || fstat(dirfd(dir), &st)) {
		problem("%s: %s", job->dir, strerror(errno));
		if (dir)
			closedir(dir);
		return CPRUN_FAILED;
	}
	while ((entry = readdir(dir))) {
		const char *name = entry->d_name;

		has_job |= !strcmp(name, "job");
		ours &= !strcmp(name, ".") || !strcmp(name, "..") || !strcmp(name, "lock") ||
			unfinished_length(name);
	}
	closedir(dir);
	if (st.st_uid != geteuid())
		problem("%s: belongs to user %u, not to you", job->dir, st.st_uid);
	else if (!ours && !has_job)
		problem("%s: is not empty and no folder of cprun's: it has no file 'job'",
			job->dir);
	else
		return 0;
	return CPRUN_FAILED;
}

/* All of an earlier run is killed with it, but not in no time. */
static int lock_dir(struct job *job)
{
	static const struct timespec tenth = { 0, 100000000 };
	char *path = in_dir(job, "lock");
	int status = CPRUN_FAILED;

	if (!path)
		return CPRUN_FAILED;
	job->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (job->lock < 0) {
		problem("%s: %s", path, strerror(errno));
		free(path);
		return CPRUN_FAILED;
	}
	for (int i = 0; i < LOCK_TRIES; i++) {
		if (!flock(job->lock, LOCK_EX | LOCK_NB)) {
			free(path);
			return 0;
		}
		if (errno != EWOULDBLOCK) {
			problem("%s: locking: %s", path, strerror(errno));
			break;
		}
		status = CPRUN_BUSY;
		nanosleep(&tenth, NULL);
	}
	if (status == CPRUN_BUSY)
		problem("%s: another cprun is at work there", job->dir);
	free(path);
	return status;
}

/**
 * job_open() - take hold of the folder of a job
 * @job: its @dir is made, unless there is to be something to go on from
 *
 * Return: 0, or the status to exit with.
 */
int job_open(struct job *job)
{
	int status;

	job->made = job->argv && !mkdir(job->dir, 0700);
	if (job->argv && !job->made && errno != EEXIST) {
		problem("%s: creating: %s", job->dir, strerror(errno));
		return CPRUN_FAILED;
	}
	if (job->made && sync_folder(job->dir)) {
		problem("%s: creating: %s", job->dir, strerror(errno));
		return CPRUN_FAILED;
	}
	status = check_is_ours(job);
	return status ? status : lock_dir(job);
}

static bool has_file(const struct job *job, const char *name)
{
	char *path = in_dir(job, name);
	bool there = path && !access(path, F_OK);

	free(path);
	return there;
}

/* The same command? */
static int compare(const struct job *job, const char *there)
{
	char *text = describe(job);
	int status = 0;

	if (!text)
		return CPRUN_FAILED;
	if (!is_described(there, text)) {
		problem("%s: is of another command or working directory, see %s/job; --dir names another folder, --new gives that job up",
			job->dir, job->dir);
		status = CPRUN_OTHER;
	}
	free(text);
	return status;
}

/**
 * job_check() - is there something to go on with?
 * @job: the job, opened
 * @go_on: the answer
 *
 * Return: 0, or the status to exit with, which is 0 with a @go_on of false, too, if all is
 * done and nothing to be begun: then @job->argv is NULL.
 */
int job_check(const struct job *job, bool *go_on)
{
	char *path, *there;
	int status = 0;

	*go_on = false;
	if (job->anew)
		return 0;
	path = in_dir(job, "job");
	if (!path)
		return CPRUN_FAILED;
	there = read_text(path);
	if (!there && errno != ENOENT) {
		problem("%s: %s", path, strerror(errno));
		status = CPRUN_FAILED;
	} else if (there && strncmp(there, JOB_VERSION, strlen(JOB_VERSION))) {
		problem("%s: is not of this version of cprun", path);
		status = CPRUN_FAILED;
	} else if (there && job->argv) {
		status = compare(job, there);
	}
	if (!status && there) {
		*go_on = !has_file(job, "done");
		if (!*go_on)
			problem("%s: has ended, with status 0%s", job->dir,
				job->argv ? "; it begins anew" : "");
	} else if (!status && !job->argv) {
		problem("%s: nothing to resume: it has no file 'job'", job->dir);
		status = CPRUN_NO_RESUME;
	}
	free(there);
	free(path);
	return status;
}

char *generation_folder(const struct job *job, unsigned int generation)
{
	char name[16];

	snprintf(name, sizeof(name), "%04u", generation);
	return in_dir(job, name);
}

/* The first and the last that are there; 0: there are none. */
static void find_generations(const struct job *job, unsigned int *first, unsigned int *last)
{
	DIR *dir = opendir(job->dir);
	struct dirent *entry;

	*first = *last = 0;
	while (dir && (entry = readdir(dir))) {
		unsigned int n;

		if (!all_digits(entry->d_name))
			continue;
		n = strtoul(entry->d_name, NULL, 10);
		if (n < *first || !*first)
			*first = n;
		if (n > *last)
			*last = n;
	}
	if (dir)
		closedir(dir);
}

/* 0: there is none */
unsigned int last_generation(const struct job *job)
{
	unsigned int first, last;

	find_generations(job, &first, &last);
	return last;
}

/* What is older than this is of another run of the program. */
bool began_anew(const struct job *job, unsigned int generation)
{
	char name[32], *path, *text;
	bool anew;

	snprintf(name, sizeof(name), "%04u/from", generation);
	path = in_dir(job, name);
	text = path ? read_text(path) : NULL;
	anew = text && !strcmp(text, "start\n");
	free(text);
	free(path);
	return anew;
}

/**
 * job_from() - note which image this generation goes on from
 * @job: the job
 * @image: its name; NULL: the program begins
 * @id: its id
 *
 * Return: 0, or the status to exit with.
 */
int job_from(const struct job *job, const char *image, const uint8_t *id)
{
	char *path, *text = NULL, digits[2 * CP_ID_SIZE + 1] = "";
	int bad = -1;

	for (int i = 0; image && i < CP_ID_SIZE; i++)
		snprintf(digits + 2 * i, 3, "%02x", id[i]);
	if (asprintf(&path, "%s/from", job->folder) < 0)
		path = NULL;
	if (!path || (image ? asprintf(&text, "%s %s\n", image, digits) :
			      asprintf(&text, "start\n")) < 0) {
		problem("no memory");
		text = NULL;
	}
	if (text)
		bad = write_file(path, text);
	free(text);
	free(path);
	return bad ? CPRUN_FAILED : 0;
}

/* What says that it has ended is not there, but ready: then only its name is to change. */
static int not_done(const struct job *job)
{
	char *done = in_dir(job, "done"), *ready = in_dir(job, NOT_DONE);
	int status = CPRUN_FAILED;

	if (done && ready) {
		if (!rename(done, ready) || !access(ready, F_OK))
			status = 0;
		else if (errno == ENOENT)
			status = write_file(ready, "0\n") ? CPRUN_FAILED : 0;
		else
			problem("%s: renaming: %s", done, strerror(errno));
	}
	free(done);
	free(ready);
	return status;
}

/**
 * job_begin() - make the folder of a new generation
 * @job: the job, opened and checked
 * @go_on: job_from() comes later; else the program begins, and what is older has no say
 *
 * Return: 0, or the status to exit with.
 */
int job_begin(struct job *job, bool go_on)
{
	int status = CPRUN_FAILED;

	job->generation = last_generation(job) + 1;
	job->folder = generation_folder(job, job->generation);
	if (job->folder) {
		if (mkdir(job->folder, 0700))
			problem("%s: creating: %s", job->folder, strerror(errno));
		else
			job->folder_fd = open(job->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	/* first: without it, what is older would be taken for the same run */
	if (job->folder_fd >= 0)
		status = go_on ? 0 : job_from(job, NULL, NULL);
	if (!status && !go_on)
		status = write_job(job);
	return status ? status : not_done(job);
}

/* Remove a folder of images, or one that has none yet. */
static int remove_generation(const struct job *job, unsigned int generation)
{
	char *folder = generation_folder(job, generation);
	DIR *dir = folder ? opendir(folder) : NULL;
	struct dirent *entry;
	int bad = !dir;

	while (dir && (entry = readdir(dir))) {
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			bad |= unlinkat(dirfd(dir), entry->d_name, 0);
	}
	if (dir)
		closedir(dir);
	bad = bad || rmdir(folder);
	if (bad && errno != ENOENT)
		problem("%s: removing: %s", folder ? folder : job->dir, strerror(errno));
	free(folder);
	return bad;
}

/**
 * job_remove_older() - remove earlier generations, which are needed no longer
 * @job: the job
 *
 * The oldest first: what is left are those that the next ones went on from.
 */
void job_remove_older(const struct job *job)
{
	unsigned int oldest, last;

	do
		find_generations(job, &oldest, &last);
	while (oldest && oldest < job->generation && !remove_generation(job, oldest));
}

/**
 * job_undo() - as if it had not been begun
 * @job: the job, whose program did not start
 */
void job_undo(struct job *job)
{
	static const char *const names[] = { "job", "lock", NOT_DONE };

	/* what is older is hidden by one that began anew: that stays */
	if (job->folder && (job->made || !began_anew(job, job->generation)))
		remove_generation(job, job->generation);
	for (size_t i = 0; job->made && i < sizeof(names) / sizeof(*names); i++) {
		char *path = in_dir(job, names[i]);

		if (path)
			unlink(path);
		free(path);
	}
	if (job->made)
		rmdir(job->dir);
}

/* The program has ended, and well. */
int job_done(const struct job *job)
{
	char *done = in_dir(job, "done"), *ready = in_dir(job, NOT_DONE);
	int bad = !done || !ready;

	if (!bad && rename(ready, done)) {
		/* somebody removed it */
		bad = write_file(done, "0\n");
	} else if (!bad && cp_sync_path(job->dir) && errno != EOPNOTSUPP) {
		problem("%s: writing: %s", done, strerror(errno));
		bad = 1;
	}
	free(done);
	free(ready);
	return bad ? CPRUN_FAILED : 0;
}

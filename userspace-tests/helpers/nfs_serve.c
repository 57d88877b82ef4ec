// SPDX-License-Identifier: GPL-2.0
/*
 * NFS 4 with the kernel's own server on the loopback, and none of its daemons:
 *
 *	nfs_serve FOLDER MOUNTPOINT [OPTIONS]	FOLDER, of this guest, mounted once more;
 *						OPTIONS of nfs(5) besides our own
 *	nfs_serve stall				the network is down: clients wait
 *	nfs_serve resume			it is up again
 *
 * What is done to a file in FOLDER is done behind the client's back: it learns of it
 * when it asks the server again (OPTIONS "actimeo=0": each time).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/nfsd/cld.h>
#include <net/if.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NFSD	"/proc/fs/nfsd"
#define RPC	"/proc/net/rpc"
#define PIPES	"/var/lib/nfs/rpc_pipefs"

/* As in exports(5): insecure, no_root_squash, no_subtree_check, fsid=0: the root */
#define EXPORT_FLAGS	(0x2 | 0x400 | 0x2000)
#define FOREVER		0x7fffffff

static bool set_lo(bool up)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	struct sockaddr_in *addr = (void *)&ifr.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool done;

	addr->sin_family = AF_INET;
	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	done = fd >= 0 && (!up || !ioctl(fd, SIOCSIFADDR, &ifr));
	ifr.ifr_flags = up ? IFF_UP | IFF_RUNNING : 0;
	done = done && !ioctl(fd, SIOCSIFFLAGS, &ifr);
	if (!done)
		perror("nfs_serve: setting up lo");
	close(fd);
	return done;
}

/* A file of the kernel's takes TEXT. */
static bool tell(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY);
	bool taken = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (!taken)
		fprintf(stderr, "nfs_serve: writing to %s: %s: %s\n", name, strerror(errno), text);
	if (fd >= 0)
		close(fd);
	return taken;
}

/*
 * The answers that mountd gives when the kernel asks: who 127.0.0.1 is, how the folder
 * is exported to it, and which folder has the number 0.
 */
static bool export_folder(const char *folder)
{
	char client[128], how[PATH_MAX + 128], number[PATH_MAX + 128];

	snprintf(client, sizeof(client), "nfsd 127.0.0.1 %d loop\n", FOREVER);
	snprintf(how, sizeof(how), "loop %s %d %d 65534 65534 0\n", folder, FOREVER, EXPORT_FLAGS);
	snprintf(number, sizeof(number), "loop 1 \\x00000000 %d %s\n", FOREVER, folder);
	return tell(RPC "/auth.unix.ip/channel", client) &&
	       tell(RPC "/nfsd.export/channel", how) && tell(RPC "/nfsd.fh/channel", number);
}

/*
 * What nfsdcld does: it says which clients were there before the server was started, of
 * which there are none. Else the server would wait for them for ten seconds.
 */
static void keep_clients(void)
{
	static struct cld_msg_v2 msg;
	struct pollfd fds = { .events = POLLIN };

	/* the pipe comes with the server's first thread */
	for (int i = 0; i < 1000 && fds.fd <= 0; i++) {
		fds.fd = open(PIPES "/nfsd/cld", O_RDWR | O_NONBLOCK);
		usleep(10000);
	}
	while (fds.fd > 0 && poll(&fds, 1, -1) > 0 && !(fds.revents & (POLLERR | POLLHUP))) {
		ssize_t len = read(fds.fd, &msg, sizeof(msg));

		if (len <= 0)
			continue;
		msg.cm_status = 0;
		if (msg.cm_cmd == Cld_GetVersion)
			msg.cm_u.cm_version = CLD_UPCALL_VERSION;
		write(fds.fd, &msg, len);
	}
	_exit(0);
}

static bool mount_files(const char *type, const char *where)
{
	struct stat above, st;
	char up[PATH_MAX];

	snprintf(up, sizeof(up), "%s/..", where);
	if (!stat(up, &above) && !stat(where, &st) && above.st_dev != st.st_dev)
		return true;
	if (!mount(type, where, type, 0, NULL))
		return true;
	fprintf(stderr, "nfs_serve: mounting %s: %s\n", where, strerror(errno));
	return false;
}

/* One that serves another folder, perhaps. */
static bool is_running(void)
{
	char threads = '0';
	int fd = open(NFSD "/threads", O_RDONLY);

	read(fd, &threads, 1);
	close(fd);
	return threads != '0';
}

/* Only version 4, which can do without a portmapper. */
static bool start(const char *name)
{
	char folder[PATH_MAX];

	if (!realpath(name, folder)) {
		perror(name);
		return false;
	}
	mkdir("/var", 0755);
	mkdir("/var/lib", 0755);
	mkdir("/var/lib/nfs", 0755);
	mkdir(PIPES, 0755);
	/* 6.12 warns of a delegation that its client gives back late (revoke_delegation) */
	tell("/proc/sys/fs/leases-enable", "0\n");
	if (!set_lo(true) || !mount_files("nfsd", NFSD) || !mount_files("rpc_pipefs", PIPES))
		return false;
	if (is_running() && !tell(NFSD "/threads", "0\n"))
		return false;
	if (!fork())
		keep_clients();
	return tell(NFSD "/versions", "-2 -3 +4 +4.1 +4.2\n") &&
	       tell(NFSD "/nfsv4leasetime", "10\n") && tell(NFSD "/nfsv4gracetime", "10\n") &&
	       export_folder(folder) && tell(NFSD "/portlist", "tcp 2049\n") &&
	       tell(NFSD "/threads", "2\n");
}

/* By the newest version that both sides have. */
static bool mount_it(const char *where, const char *more)
{
	static const char *const versions[] = { "4.2", "4.1", "4.0" };
	char options[1024];

	for (size_t i = 0; i < sizeof(versions) / sizeof(*versions); i++) {
		snprintf(options, sizeof(options),
			 "vers=%s,proto=tcp,port=2049,sec=sys,addr=127.0.0.1,clientaddr=127.0.0.1%s%s",
			 versions[i], more ? "," : "", more ? more : "");
		if (!mount("127.0.0.1:/", where, "nfs4", 0, options))
			return true;
		if (errno != EPROTONOSUPPORT && errno != EINVAL)
			break;
	}
	fprintf(stderr, "nfs_serve: mounting on %s with %s: %s\n", where, options, strerror(errno));
	return false;
}

int main(int argc, char **argv)
{
	if (argc == 2 && !strcmp(argv[1], "stall"))
		return !set_lo(false);
	if (argc == 2 && !strcmp(argv[1], "resume"))
		return !set_lo(true);
	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: nfs_serve FOLDER MOUNTPOINT [OPTIONS] | stall | resume\n");
		return 2;
	}
	return !(start(argv[1]) && mount_it(argv[2], argc == 4 ? argv[3] : NULL));
}

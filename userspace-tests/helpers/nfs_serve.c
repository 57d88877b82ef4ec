// SPDX-License-Identifier: GPL-2.0
/*
 * NFS 4 with the kernel's own server on the loopback, and none of its daemons:
 *
 *	nfs_serve FOLDER MOUNTPOINT [OPTIONS]	FOLDER, of this guest, mounted once more;
 *						OPTIONS of nfs(5) besides our own
 *	nfs_serve stop				the server is gone: clients wait for it
 *	nfs_serve start FOLDER			it is there again
 *
 * What is done to a file in FOLDER is done behind the client's back: it learns of it
 * when it asks the server again (OPTIONS "actimeo=0": each time).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#define NFSD	"/proc/fs/nfsd"
#define RPC	"/proc/net/rpc"

/* As in exports(5): insecure, no_root_squash, no_subtree_check, fsid=0: the root */
#define EXPORT_FLAGS	(0x2 | 0x400 | 0x2000)
#define FOREVER		0x7fffffff

static bool lo_up(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	struct sockaddr_in *addr = (void *)&ifr.ifr_addr;
	int fd = socket(AF_INET, SOCK_DGRAM, 0);
	bool up;

	addr->sin_family = AF_INET;
	addr->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	up = fd >= 0 && !ioctl(fd, SIOCSIFADDR, &ifr);
	ifr.ifr_flags = IFF_UP | IFF_RUNNING;
	up = up && !ioctl(fd, SIOCSIFFLAGS, &ifr);
	if (!up)
		perror("nfs_serve: setting up lo");
	close(fd);
	return up;
}

/* A file of the kernel's takes TEXT. */
static bool tell(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY);
	bool taken = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (!taken)
		fprintf(stderr, "nfs_serve: writing %s to %s: %s\n", text, name, strerror(errno));
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
 * Only version 4, which can do without a portmapper. No client of before can come back,
 * so that there is nobody to wait for.
 */
static bool start(const char *name)
{
	char folder[PATH_MAX];

	if (!realpath(name, folder)) {
		perror(name);
		return false;
	}
	if (access(NFSD "/threads", F_OK) && mount("nfsd", NFSD, "nfsd", 0, NULL)) {
		perror("nfs_serve: " NFSD);
		return false;
	}
	return lo_up() && tell(NFSD "/versions", "-2 -3 +4 +4.1 +4.2\n") &&
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
	if (argc == 2 && !strcmp(argv[1], "stop"))
		return !tell(NFSD "/threads", "0\n");
	if (argc == 3 && !strcmp(argv[1], "start"))
		return !start(argv[2]);
	if (argc != 3 && argc != 4) {
		fprintf(stderr, "usage: nfs_serve FOLDER MOUNTPOINT [OPTIONS] | stop | start FOLDER\n");
		return 2;
	}
	return !(start(argv[1]) && mount_it(argv[2], argc == 4 ? argv[3] : NULL));
}

// SPDX-License-Identifier: GPL-2.0 OR LGPL-2.1
/*
 * libpopcorn: the ioctls of /dev/popcorn as functions. See popcorn.h.
 */
#define _GNU_SOURCE
#include "popcorn.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define POPCORN_DEVICE "/dev/popcorn"

static int device = -1;

/* Threads that race here both open; the one that loses closes its own. No lock: fork is safe. */
int popcorn_fd(void)
{
	int fd = __atomic_load_n(&device, __ATOMIC_ACQUIRE);
	int none = -1;
	int mine;

	if (fd >= 0)
		return fd;

	mine = open(POPCORN_DEVICE, O_RDWR | O_CLOEXEC);
	if (mine < 0)
		return -1;

	if (!__atomic_compare_exchange_n(&device, &none, mine, 0, __ATOMIC_ACQ_REL,
					 __ATOMIC_ACQUIRE)) {
		close(mine);
		return none;
	}
	return mine;
}

static int call(unsigned long request, void *arg)
{
	int fd = popcorn_fd();

	return fd < 0 ? -1 : ioctl(fd, request, arg);
}

int popcorn_migrate_thread(pid_t tid, int node, unsigned int flags)
{
	struct popcorn_migrate m = {
		.size = sizeof(m),
		.node = node,
		.tid = tid,
		.flags = flags,
	};

	return call(POPCORN_IOC_MIGRATE, &m);
}

int popcorn_migrate(int node)
{
	return popcorn_migrate_thread(0, node, 0);
}

int popcorn_home(void)
{
	int saved = errno;

	if (!popcorn_migrate(POPCORN_NODE_ORIGIN))
		return 0;
	if (errno != EALREADY)
		return -1;
	errno = saved;
	return 0;
}

int popcorn_where(void)
{
	return call(POPCORN_IOC_WHERE, NULL);
}

int popcorn_nodes(struct popcorn_node_info *info, unsigned int room)
{
	struct popcorn_nodes n = {
		.size = sizeof(n),
		.count = room,
		.nodes = (uintptr_t)info,
		.info_size = sizeof(*info),
	};

	return call(POPCORN_IOC_NODES, &n) < 0 ? -1 : (int)n.count;
}

int popcorn_threads(pid_t pid, struct popcorn_thread_info *info, unsigned int room)
{
	struct popcorn_threads t = {
		.size = sizeof(t),
		.count = room,
		.threads = (uintptr_t)info,
		.info_size = sizeof(*info),
		.pid = pid,
	};

	return call(POPCORN_IOC_THREADS, &t) < 0 ? -1 : (int)t.count;
}

int popcorn_ping(struct popcorn_ping *ping)
{
	ping->size = sizeof(*ping);
	ping->reserved = 0;
	return call(POPCORN_IOC_PING, ping);
}

int popcorn_messages(int node, struct popcorn_msg_info *info, unsigned int room)
{
	struct popcorn_msg_stats s = {
		.size = sizeof(s),
		.count = room,
		.stats = (uintptr_t)info,
		.info_size = sizeof(*info),
		.node = node,
	};

	return call(POPCORN_IOC_MSG_STATS, &s) < 0 ? -1 : (int)s.count;
}

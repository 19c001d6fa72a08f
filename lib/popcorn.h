/* SPDX-License-Identifier: GPL-2.0 OR LGPL-2.1 */
/*
 * libpopcorn: move threads between the kernels (nodes) of a Popcorn system.
 *
 * A thread keeps its address space, its files and its pid wherever it runs. All functions may be
 * called by any thread at any time and from signal handlers. They return -1 with errno set on
 * failure; the errno of each ioctl is listed in <linux/popcorn.h>. Without the modules, or without
 * permission for /dev/popcorn, errno is that of open(2): ENOENT, ENXIO, EACCES.
 *
 * The library opens /dev/popcorn at its first need (close-on-exec) and keeps the descriptor.
 */
#ifndef POPCORN_H
#define POPCORN_H

#include <sys/types.h>

#include <linux/popcorn.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * popcorn_migrate() - move the calling thread to a node
 * @node: node id, or POPCORN_NODE_ORIGIN
 *
 * Return: 0, already on the destination. -1: the thread is where it was (EALREADY: on @node).
 */
int popcorn_migrate(int node);

/**
 * popcorn_migrate_thread() - move any thread, or a whole process
 * @tid:   the thread, 0 for the caller
 * @node:  node id, or POPCORN_NODE_ORIGIN
 * @flags: POPCORN_MIGRATE_*
 *
 * For another thread than the caller, success means that the request is recorded: that thread
 * moves when it next leaves the kernel.
 */
int popcorn_migrate_thread(pid_t tid, int node, unsigned int flags);

/**
 * popcorn_home() - bring the calling thread back to the node where its process was created
 *
 * Return: 0 also if it is there already; -1 with errno.
 */
int popcorn_home(void);

/**
 * popcorn_where() - the node where the calling thread runs now
 */
int popcorn_where(void);

/**
 * popcorn_nodes() - list the nodes
 * @info: array to fill, may be NULL if @room is 0
 * @room: entries that @info can take
 *
 * Return: the nodes that there are, which may be more than @room.
 */
int popcorn_nodes(struct popcorn_node_info *info, unsigned int room);

/**
 * popcorn_threads() - list the threads of this origin that have migrated at least once
 * @pid:  a process, or 0 for every process that the caller may inspect
 * @info: array to fill, may be NULL if @room is 0
 * @room: entries that @info can take
 *
 * Return: the threads that there are, which may be more than @room.
 */
int popcorn_threads(pid_t pid, struct popcorn_thread_info *info, unsigned int room);

/**
 * popcorn_ping() - time message round trips to a node (needs CAP_SYS_ADMIN)
 * @ping: node, bytes, count and flags are read; the times are written
 */
int popcorn_ping(struct popcorn_ping *ping);

/**
 * popcorn_messages() - what was counted of messages with other nodes, by node and type
 * @node: a node, or POPCORN_NODE_ANY
 * @info: array to fill, may be NULL if @room is 0
 * @room: entries that @info can take
 *
 * Return: the entries that there are, which may be more than @room.
 */
int popcorn_messages(int node, struct popcorn_msg_info *info, unsigned int room);

/**
 * popcorn_fd() - the library's descriptor of /dev/popcorn, opened if need be
 *
 * It stays the library's: do not close it.
 */
int popcorn_fd(void);

#ifdef __cplusplus
}
#endif

#endif /* POPCORN_H */

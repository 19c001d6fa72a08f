/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Popcorn: several Linux kernels act as one system.
 *
 * The user interface: ioctls on /dev/popcorn. Every structure starts with its size, so that it
 * can grow (never shrink): a kernel that knows less than the caller answers E2BIG if the bytes it
 * does not know are not zero; one that knows more takes the missing bytes as zero. A structure that
 * is shorter than its first version is EINVAL. Reserved fields must be zero. A call is known by its
 * type and number alone.
 *
 * A node is one kernel. Node ids are small, dense and the same on every node; node 0 is the kernel
 * that the machine booted (the primary).
 *
 * Errors that all calls share:
 *   EFAULT  bad pointer            EINVAL  bad size, flag, reserved field not zero
 *   E2BIG   unknown trailing bytes ENOTTY  unknown call
 */
#ifndef _UAPI_LINUX_POPCORN_H
#define _UAPI_LINUX_POPCORN_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define POPCORN_NODE_MAX 64
#define POPCORN_NAME_LEN 16

/* popcorn_migrate.node: the node where the process was created */
#define POPCORN_NODE_ORIGIN (-1)

/* popcorn_migrate.flags */
#define POPCORN_MIGRATE_ON_EXEC (1u << 0) /* not now: after the caller's next successful execve */
#define POPCORN_MIGRATE_PROCESS (1u << 1) /* every thread of the process that has @tid */

/**
 * struct popcorn_migrate - POPCORN_IOC_MIGRATE: move a thread
 * @size:  sizeof(struct popcorn_migrate)
 * @node:  destination, or POPCORN_NODE_ORIGIN
 * @tid:   the thread; 0 is the caller
 * @flags: POPCORN_MIGRATE_*
 *
 * For the caller the call returns on the destination, with 0. For another thread it asks, and
 * returns when the request is recorded; that thread moves when it next leaves the kernel, and if
 * that fails it stays at home, which is only logged. A signal handler that is due runs first, at
 * home, for no longer than a move takes.
 *
 * ENODEV   no such node             EHOSTDOWN the node is not online
 * EALREADY the thread is there, or belongs there and is home for a moment only
 * ESRCH    no such thread           EPERM     ptrace access to the thread is refused
 * EINVAL   @tid is negative; POPCORN_MIGRATE_ON_EXEC with another thread than the caller, or with
 *          POPCORN_MIGRATE_PROCESS
 * EOPNOTSUPP this kind of thread cannot move: a kernel thread, one that runs here for another node,
 *          32-bit code, an LDT, I/O ports, a process that uses userfaultfd, a processor with too
 *          large a state
 * For the caller also, and then it is where it was, or at home:
 * EINTR    killed                   ENOMEM    no memory, here or there
 * EAGAIN   too many are on their way there at once, or as many of this node are there as may be
 * EIO      it could not be started there
 * EINVAL   the destination's processor does not have the caller's state
 */
struct popcorn_migrate {
	__u32 size;
	__s32 node;
	__s32 tid;
	__u32 flags;
};

/* popcorn_node_info.state */
#define POPCORN_NODE_OFFLINE 0
#define POPCORN_NODE_ONLINE  1
#define POPCORN_NODE_DEAD    2

/* popcorn_node_info.flags */
#define POPCORN_NODE_SELF      (1u << 0) /* the kernel that answers */
#define POPCORN_NODE_MEMBER    (1u << 1) /* its machine is in the list of members */
#define POPCORN_NODE_MISSING   (1u << 2) /* online, but silent; nothing is decided yet */
#define POPCORN_NODE_SUSPENDED (1u << 3) /* of who answers: it serves no other machine now */

/**
 * struct popcorn_node_info - what is known of one node
 * @id:           node id
 * @state:        POPCORN_NODE_OFFLINE, _ONLINE or _DEAD
 * @cpus:         processors online there
 * @flags:        POPCORN_NODE_*
 * @memory:       bytes of memory it has
 * @sent:         messages sent to it from the answering kernel
 * @received:     messages received from it
 * @sent_bytes:   payload bytes sent to it
 * @received_bytes: payload bytes received from it
 * @doorbells:    interrupts sent to it
 * @reserved:     zero
 * @name:         its host name, or "" if not known
 */
struct popcorn_node_info {
	__u32 id;
	__u32 state;
	__u32 cpus;
	__u32 flags;
	__u64 memory;
	__u64 sent;
	__u64 received;
	__u64 sent_bytes;
	__u64 received_bytes;
	__u64 doorbells;
	__u64 reserved;
	char name[POPCORN_NAME_LEN];
};

/**
 * struct popcorn_nodes - POPCORN_IOC_NODES: list the nodes
 * @size:     sizeof(struct popcorn_nodes)
 * @count:    in: room at @nodes, in entries; out: nodes that there are (may be more than the room)
 * @nodes:    pointer to an array of struct popcorn_node_info
 * @info_size: in: sizeof(struct popcorn_node_info) of the caller
 * @reserved: zero
 */
struct popcorn_nodes {
	__u32 size;
	__u32 count;
	__u64 nodes;
	__u32 info_size;
	__u32 reserved;
};

/* popcorn_thread_info.flags */
#define POPCORN_THREAD_AWAY (1u << 0) /* it runs on another node than its origin now */

/**
 * struct popcorn_thread_info - a thread that has migrated at least once, as its origin sees it
 * @pid:          its process
 * @tid:          the thread
 * @node:         where it runs; its origin until it has arrived elsewhere
 * @flags:        POPCORN_THREAD_*
 * @out:          forward migrations, those after a bounce included
 * @back:         migrations back to the origin (those of bounces are in @bounces)
 * @bounces:      times it came home for one system call, access or signal, to leave again
 * @syscalls:     system calls run at home for it while it was away
 * @pages_out:    pages of data that moved to a remote for its faults there, those that came along
 *                included; brought up to date when it comes home
 * @pages_back:   pages of data that moved to the origin for its faults there
 * @grants:       faults there answered without data (upgrades, zero pages); as @pages_out
 * @out_ns_first: duration of its first forward migration, in ns (from when it leaves to its first
 *                instruction there)
 * @out_ns_last:  ... of its latest
 * @back_ns_last: duration of its latest backward migration, in ns (from when it was called, or its
 *                state came, until that was taken over)
 * @reserved:     zero
 * @comm:         command name
 */
struct popcorn_thread_info {
	__s32 pid;
	__s32 tid;
	__u32 node;
	__u32 flags;
	__u64 out;
	__u64 back;
	__u64 bounces;
	__u64 syscalls;
	__u64 pages_out;
	__u64 pages_back;
	__u64 grants;
	__u64 out_ns_first;
	__u64 out_ns_last;
	__u64 back_ns_last;
	__u64 reserved;
	char comm[POPCORN_NAME_LEN];
};

/**
 * struct popcorn_threads - POPCORN_IOC_THREADS: list the distributed threads of this origin
 * @size:      sizeof(struct popcorn_threads)
 * @count:     in: room at @threads, in entries; out: threads that there are (may be more)
 * @threads:   pointer to an array of struct popcorn_thread_info
 * @info_size: in: sizeof(struct popcorn_thread_info) of the caller
 * @pid:       only the threads of this process; 0: of all processes that the caller may ptrace-read
 */
struct popcorn_threads {
	__u32 size;
	__u32 count;
	__u64 threads;
	__u32 info_size;
	__s32 pid;
};

/* popcorn_ping.flags */
#define POPCORN_PING_POLL (1u << 0) /* spin for each answer instead of sleeping */

/**
 * struct popcorn_ping - POPCORN_IOC_PING: time message round trips to a node (for measurements)
 * @size:     sizeof(struct popcorn_ping)
 * @node:     the node
 * @bytes:    payload each way, at most 4096
 * @count:    round trips to make, 1 to 100000
 * @flags:    POPCORN_PING_*
 * @reserved: zero
 * @total_ns: out: time of all together
 * @min_ns:   out: the fastest
 * @max_ns:   out: the slowest
 * @samples:  pointer to an array of @count numbers of 64 bits that get the ns of each, in order; or 0
 *
 * The first version had no @samples, and 48 bytes.
 *
 * ENODEV no such node       EHOSTDOWN not online, or it died meanwhile
 * EPERM  no CAP_SYS_ADMIN   EINTR     a signal of any kind came
 * EINVAL this node itself; @bytes, @count or @flags out of range
 * ETIMEDOUT a round trip took 10 s   EIO a wrong echo   ENOMEM
 */
struct popcorn_ping {
	__u32 size;
	__u32 node;
	__u32 bytes;
	__u32 count;
	__u32 flags;
	__u32 reserved;
	__u64 total_ns;
	__u64 min_ns;
	__u64 max_ns;
	__u64 samples;
};

/* popcorn_msg_stats.node: of all nodes */
#define POPCORN_NODE_ANY	(-1)
/* popcorn_msg_info.type: all types together for which the kernel had no room of their own */
#define POPCORN_MSG_OTHERS	0x10000
/* popcorn_msg_info.latency */
#define POPCORN_LATENCY_BUCKETS 240

/**
 * struct popcorn_msg_info - messages of one type between the answering kernel and one other
 * @node:           the other
 * @type:           message type (docs/protocol.md), or POPCORN_MSG_OTHERS. A response has that of
 *                  its request
 * @sent:           messages sent to it: one-way, requests and responses
 * @received:       messages received from it, those that were @lost or @late included
 * @sent_bytes:     payload bytes sent to it
 * @received_bytes: payload bytes received from it
 * @stalls:         times that a sender waited for room
 * @stall_ns:       how long they waited together
 * @full:           times that there was no room for a sender that would not wait
 * @retries:        messages that were sent again; 0 with shared memory, where none gets lost
 * @lost:           messages that reached nobody, or answers that were not sent, for want of memory
 *                  or of a service
 * @late:           responses for which nobody waited any more
 * @calls:          requests whose senders wait, or waited, for the response
 * @errors:         calls answered with an error
 * @timed_out:      calls without an answer in time
 * @interrupted:    calls that a signal ended
 * @host_down:      calls that ended because the node died or left
 * @failed:         calls that could not be sent: too long, no memory
 * @latency_ns:     time of all calls that were answered, errors included, as their callers saw it
 * @latency_min_ns: the fastest of them, 0 if there was none
 * @latency_max_ns: the slowest of them
 * @reserved:       zero
 * @latency:        how many of them took how long. Bucket i begins at 16 * i ns if i < 16, else at
 *                  (8 + i % 8) << (i / 8 + 3) ns, and ends where the next one begins; the last,
 *                  which begins at 64.4 s, has no end
 *
 * Counted since the link to the node was made, whatever became of the node since. Counters are
 * read one after the other while others count, so those that belong together may differ a little.
 */
struct popcorn_msg_info {
	__u32 node;
	__u32 type;
	__u64 sent;
	__u64 received;
	__u64 sent_bytes;
	__u64 received_bytes;
	__u64 stalls;
	__u64 stall_ns;
	__u64 full;
	__u64 retries;
	__u64 lost;
	__u64 late;
	__u64 calls;
	__u64 errors;
	__u64 timed_out;
	__u64 interrupted;
	__u64 host_down;
	__u64 failed;
	__u64 latency_ns;
	__u64 latency_min_ns;
	__u64 latency_max_ns;
	__u64 reserved[3];
	__u64 latency[POPCORN_LATENCY_BUCKETS];
};

/**
 * struct popcorn_msg_stats - POPCORN_IOC_MSG_STATS: count messages by node and type
 * @size:     sizeof(struct popcorn_msg_stats)
 * @count:    in: room at @stats, in entries; out: entries that there are (may be more)
 * @stats:    pointer to an array of struct popcorn_msg_info
 * @info_size: in: sizeof(struct popcorn_msg_info) of the caller; less, and the histograms are left out
 * @node:     only of this node, or POPCORN_NODE_ANY
 * @reserved: zero
 *
 * Types of which there was no message yet have no entry. A node has at most 65.
 *
 * ENODEV no such node       ENOMEM
 */
struct popcorn_msg_stats {
	__u32 size;
	__u32 count;
	__u64 stats;
	__u32 info_size;
	__s32 node;
	__u64 reserved;
};

/**
 * POPCORN_IOC_WHERE: the node where the calling thread runs now (as the return value).
 */
#define POPCORN_IOC_MAGIC     'P'
#define POPCORN_IOC_MIGRATE   _IOW(POPCORN_IOC_MAGIC, 0x81, struct popcorn_migrate)
#define POPCORN_IOC_NODES     _IOWR(POPCORN_IOC_MAGIC, 0x82, struct popcorn_nodes)
#define POPCORN_IOC_THREADS   _IOWR(POPCORN_IOC_MAGIC, 0x83, struct popcorn_threads)
#define POPCORN_IOC_WHERE     _IO(POPCORN_IOC_MAGIC, 0x84)
#define POPCORN_IOC_PING      _IOWR(POPCORN_IOC_MAGIC, 0x85, struct popcorn_ping)
#define POPCORN_IOC_MSG_STATS _IOWR(POPCORN_IOC_MAGIC, 0x86, struct popcorn_msg_stats)

#endif /* _UAPI_LINUX_POPCORN_H */

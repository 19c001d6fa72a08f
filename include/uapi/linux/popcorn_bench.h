/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Popcorn: what messages between kernels cost, measured between kernels and not between programs.
 *
 * /dev/popcorn_bench is there while the module popcorn_bench is loaded; the node that is measured with has it
 * loaded, too. Structures grow as those of popcorn.h do, with the same errors.
 */
#ifndef _UAPI_LINUX_POPCORN_BENCH_H
#define _UAPI_LINUX_POPCORN_BENCH_H

#include <linux/ioctl.h>
#include <linux/types.h>

/* popcorn_bench_run.what */

/* One request after the other, each with its answer. */
#define POPCORN_BENCH_ECHO   1
/* One-way messages, as many as the way takes, and at the end the question how many came. */
#define POPCORN_BENCH_STREAM 2

/* popcorn_bench_run.flags */
#define POPCORN_BENCH_POLL (1u << 0) /* both look for messages all the time, and nobody sleeps */

/* popcorn_bench_run.clocks */
#define POPCORN_BENCH_ONE_CLOCK (1u << 0) /* both kernels read the same time-stamp counter */

/* The least and the most bytes of a payload, and the most messages of a run. */
#define POPCORN_BENCH_BYTES_MIN 24
#define POPCORN_BENCH_BYTES_MAX 65536
#define POPCORN_BENCH_COUNT_MAX 1000000

/**
 * struct popcorn_bench_sample - one request and its answer, by the time-stamp counters
 * @sent:     before the request is handed over to popcorn_msg, here
 * @arrived:  when its service has it, there
 * @answered: before the answer is handed over, there
 * @received: when the caller has it, here
 */
struct popcorn_bench_sample {
	__u64 sent;
	__u64 arrived;
	__u64 answered;
	__u64 received;
};

/**
 * struct popcorn_bench_run - POPCORN_BENCH_IOC_RUN: measure
 * @size:      sizeof(struct popcorn_bench_run)
 * @what:      POPCORN_BENCH_ECHO or POPCORN_BENCH_STREAM
 * @node:      with which node
 * @flags:     POPCORN_BENCH_POLL or 0
 * @bytes:     of each payload, both ways; POPCORN_BENCH_BYTES_MIN to POPCORN_BENCH_BYTES_MAX
 * @count:     how many messages, 1 to POPCORN_BENCH_COUNT_MAX
 * @samples:   POPCORN_BENCH_ECHO: pointer to an array of @count struct popcorn_bench_sample, or 0. Else 0
 * @total_ns:  out: from the first message until the last answer has come
 * @messages:  out: POPCORN_BENCH_STREAM: how many came, as the other node has counted
 * @in_order:  out: how many of these came in their order
 * @bytes_in:  out: bytes of their payloads
 * @stamp_khz: out: ticks of this kernel's time-stamp counter in a millisecond
 * @clocks:    out: POPCORN_BENCH_ONE_CLOCK or 0
 * @reserved:  zero
 *
 * EACCES (open) the file is root's           EPERM no CAP_SYS_ADMIN
 * EINVAL @what, @flags, @bytes or @count out of range, or this node itself
 * ENODEV no such node     EHOSTDOWN not online, or it died meanwhile
 * EOPNOTSUPP the other node does not have the module
 * EBUSY  there is another run with that node        ESRCH another run took its place there
 * EINTR  a signal of any kind came   ETIMEDOUT an answer took 10 s   EIO a wrong answer   ENOMEM
 */
struct popcorn_bench_run {
	__u32 size;
	__u32 what;
	__u32 node;
	__u32 flags;
	__u32 bytes;
	__u32 count;
	__u64 samples;
	__u64 total_ns;
	__u64 messages;
	__u64 in_order;
	__u64 bytes_in;
	__u32 stamp_khz;
	__u32 clocks;
	__u64 reserved;
};

#define POPCORN_BENCH_IOC_MAGIC 'P'
#define POPCORN_BENCH_IOC_RUN	_IOWR(POPCORN_BENCH_IOC_MAGIC, 0xb1, struct popcorn_bench_run)

#endif /* _UAPI_LINUX_POPCORN_BENCH_H */

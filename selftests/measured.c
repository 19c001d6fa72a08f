// SPDX-License-Identifier: GPL-2.0
/*
 * The module that measures messages, /dev/popcorn_bench: bad input, who may use it, and that what it counts is what
 * was sent, to the last message. guest/measuring loads it here and on the other node.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <linux/popcorn_bench.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* Message types (docs/protocol.md). */
#define BENCH_ECHO   0x0502
#define BENCH_STREAM 0x0503

/* More than a node has. */
#define ROOM 256

static const unsigned int sizes[] = { 24, 25, 64, 256, 4096, 65535, 65536 };

static int device(void)
{
	int fd;

	need_remote();
	fd = open("/dev/popcorn_bench", O_RDWR | O_CLOEXEC);
	if (fd < 0 && errno == EACCES)
		case_skip("must be root");
	CHECK_OK(fd);
	return fd;
}

/* A right one. */
static struct popcorn_bench_run good(unsigned int what)
{
	return (struct popcorn_bench_run){
		.size = sizeof(struct popcorn_bench_run),
		.what = what,
		.node = away_node(),
		.bytes = 64,
		.count = 10,
	};
}

static int run(int fd, struct popcorn_bench_run r)
{
	return ioctl(fd, POPCORN_BENCH_IOC_RUN, &r);
}

#define GOOD(what, change)                                   \
	({                                                   \
		struct popcorn_bench_run good_ = good(what); \
		good_.change;                                \
		good_;                                       \
	})

/* What was counted of a type, by popcorn_msg. */
static struct popcorn_msg_info counted(unsigned int type)
{
	static struct popcorn_msg_info info[ROOM];
	int count = popcorn_messages(away_node(), info, ROOM);

	CHECK_OK(count);
	CHECK(count <= ROOM);
	for (int i = 0; i < count; i++)
		if (info[i].type == type)
			return info[i];
	return (struct popcorn_msg_info){ .type = type };
}

static void bad_values(void)
{
	static const unsigned int kinds[] = { POPCORN_BENCH_ECHO, POPCORN_BENCH_STREAM };
	static const unsigned int bad_bytes[] = { 0, 1, 23, 65537, 1 << 20, UINT32_MAX };
	static const unsigned int bad_counts[] = { 0, 1000001, UINT32_MAX };
	static const unsigned int bad_nodes[] = { POPCORN_NODE_MAX - 1, POPCORN_NODE_MAX, INT32_MAX,
						  UINT32_MAX };
	int fd = device();

	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_PING, NULL), ENOTTY);
	CHECK_ERRNO(run(fd, good(0)), EINVAL);
	CHECK_ERRNO(run(fd, good(3)), EINVAL);
	CHECK_ERRNO(run(fd, good(UINT32_MAX)), EINVAL);
	for (size_t k = 0; k < ARRAY_SIZE(kinds); k++) {
		for (size_t i = 0; i < ARRAY_SIZE(bad_bytes); i++)
			CHECK_ERRNO(run(fd, GOOD(kinds[k], bytes = bad_bytes[i])), EINVAL);
		for (size_t i = 0; i < ARRAY_SIZE(bad_counts); i++)
			CHECK_ERRNO(run(fd, GOOD(kinds[k], count = bad_counts[i])), EINVAL);
		for (size_t i = 0; i < ARRAY_SIZE(bad_nodes); i++)
			CHECK_ERRNO(run(fd, GOOD(kinds[k], node = bad_nodes[i])), ENODEV);
		CHECK_ERRNO(run(fd, GOOD(kinds[k], node = home_node())), EINVAL);
		CHECK_ERRNO(run(fd, GOOD(kinds[k], flags = 2)), EINVAL);
		CHECK_ERRNO(run(fd, GOOD(kinds[k], flags = 1u << 31)), EINVAL);
		CHECK_ERRNO(run(fd, GOOD(kinds[k], reserved = 1)), EINVAL);
		/* and all the same it works */
		CHECK_OK(run(fd, good(kinds[k])));
	}
	CHECK_ERRNO(run(fd, GOOD(POPCORN_BENCH_STREAM, samples = 4096)), EINVAL);
}

static void bad_pointers_and_sizes(void)
{
	/* room for a caller that knows more than the kernel */
	struct {
		struct popcorn_bench_run r;
		uint64_t more[4];
	} big = { .r = good(POPCORN_BENCH_ECHO) };
	struct popcorn_bench_run *read_only = anon(PAGE);
	int fd = device();

	CHECK_ERRNO(ioctl(fd, POPCORN_BENCH_IOC_RUN, NULL), EFAULT);
	CHECK_ERRNO(ioctl(fd, POPCORN_BENCH_IOC_RUN, (void *)(1UL << 63)), EFAULT);
	CHECK_ERRNO(run(fd, GOOD(POPCORN_BENCH_ECHO, samples = 8)), EFAULT);
	CHECK_ERRNO(run(fd, GOOD(POPCORN_BENCH_ECHO, samples = UINT64_MAX - 8)), EFAULT);
	CHECK_ERRNO(run(fd, GOOD(POPCORN_BENCH_ECHO, samples = 1UL << 63)), EFAULT);
	*read_only = good(POPCORN_BENCH_ECHO);
	CHECK_OK(mprotect(read_only, PAGE, PROT_READ));
	CHECK_ERRNO(ioctl(fd, POPCORN_BENCH_IOC_RUN, read_only), EFAULT);

	big.r.size = sizeof(big);
	CHECK_OK(ioctl(fd, POPCORN_BENCH_IOC_RUN, &big));
	big.more[3] = 1;
	CHECK_ERRNO(ioctl(fd, POPCORN_BENCH_IOC_RUN, &big), E2BIG);
	for (uint32_t size = 0; size < sizeof(big.r); size++) {
		big.r.size = size;
		CHECK_ERRNO(ioctl(fd, POPCORN_BENCH_IOC_RUN, &big), EINVAL);
	}
	/* what failed is over: another can begin */
	CHECK_OK(run(fd, good(POPCORN_BENCH_ECHO)));
}

static void only_for_root(void)
{
	int fd = device();

	CHECK_OK(setresgid(65534, 65534, 65534));
	CHECK_OK(setresuid(65534, 65534, 65534));
	CHECK_ERRNO(open("/dev/popcorn_bench", O_RDWR), EACCES);
	CHECK_ERRNO(open("/dev/popcorn_bench", O_RDONLY), EACCES);
	CHECK_ERRNO(run(fd, good(POPCORN_BENCH_ECHO)), EPERM);
	CHECK_ERRNO(run(fd, good(POPCORN_BENCH_STREAM)), EPERM);
}

/* Each exchange is one sample, one message there and one back, of that length. */
static void exchanges_are_counted(void)
{
	struct popcorn_bench_sample samples[101];
	int fd = device();

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		struct popcorn_bench_run r = good(POPCORN_BENCH_ECHO);
		struct popcorn_msg_info before = counted(BENCH_ECHO), after;

		memset(samples, 0xaa, sizeof(samples));
		r.bytes = sizes[i];
		r.count = 100;
		r.samples = (uintptr_t)samples;
		CHECK_OK(ioctl(fd, POPCORN_BENCH_IOC_RUN, &r));
		CHECK(r.total_ns && r.stamp_khz && !r.messages && !r.bytes_in && !r.in_order);
		for (int k = 0; k < 100; k++) {
			const struct popcorn_bench_sample *s = &samples[k];

			CHECK(s->sent < s->received && s->arrived <= s->answered);
			/* one counter: it happened in this order */
			if (r.clocks & POPCORN_BENCH_ONE_CLOCK)
				CHECK(s->sent <= s->arrived && s->answered <= s->received);
			if (k)
				CHECK(s->sent > s[-1].received && s->arrived > s[-1].answered);
		}
		CHECK(samples[100].sent == 0xaaaaaaaaaaaaaaaa);
		after = counted(BENCH_ECHO);
		CHECK(after.sent - before.sent == 100, "%llu", after.sent - before.sent);
		CHECK(after.received - before.received == 100);
		CHECK(after.sent_bytes - before.sent_bytes == 100UL * sizes[i]);
		CHECK(after.received_bytes - before.received_bytes == 100UL * sizes[i]);
	}
}

/* What the other node has counted is what was sent; and nothing of another run. */
static void streams_are_counted(void)
{
	static const unsigned int counts[] = { 1, 2, 33, 300 };
	int fd = device();

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (size_t k = 0; k < ARRAY_SIZE(counts); k++) {
			struct popcorn_bench_run r = good(POPCORN_BENCH_STREAM);
			struct popcorn_msg_info before = counted(BENCH_STREAM), after;
			uint64_t bytes = (uint64_t)sizes[i] * counts[k];

			r.bytes = sizes[i];
			r.count = counts[k];
			CHECK_OK(ioctl(fd, POPCORN_BENCH_IOC_RUN, &r));
			CHECK(r.messages == counts[k] && r.in_order == counts[k],
			      "%llu, %llu of %u", r.messages, r.in_order, counts[k]);
			CHECK(r.bytes_in == bytes && r.total_ns);
			after = counted(BENCH_STREAM);
			CHECK(after.sent - before.sent == counts[k]);
			CHECK(after.sent_bytes - before.sent_bytes == bytes);
			CHECK(after.lost == before.lost);
		}
	}
}

/* The same when nobody sleeps. */
static void polled(void)
{
	int fd = device();

	for (int i = 0; i < 20; i++) {
		struct popcorn_bench_run r = good(POPCORN_BENCH_STREAM);

		r.flags = POPCORN_BENCH_POLL;
		r.bytes = sizes[i % ARRAY_SIZE(sizes)];
		r.count = 100;
		CHECK_OK(ioctl(fd, POPCORN_BENCH_IOC_RUN, &r));
		CHECK(r.messages == 100 && r.in_order == 100 && r.bytes_in == 100UL * r.bytes);
		CHECK_OK(run(fd, GOOD(POPCORN_BENCH_ECHO, flags = POPCORN_BENCH_POLL)));
		CHECK_OK(run(fd, good(POPCORN_BENCH_ECHO)));
	}
}

/* One run with a node at a time; a run that is killed makes room for the next. */
static void one_at_a_time(void)
{
	static const unsigned int flags[] = { 0, POPCORN_BENCH_POLL };
	int fd = device();

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		pid_t pid;

		pid = fork();
		CHECK_OK(pid);
		if (!pid)
			/* until it is killed */
			while (!run(fd, GOOD(POPCORN_BENCH_ECHO, count = 1000000)) ||
			       errno == EBUSY)
				;
		while (!run(fd, GOOD(POPCORN_BENCH_ECHO, flags = flags[i])))
			nap();
		CHECK(errno == EBUSY, "%s", strerror(errno));
		CHECK_OK(kill(pid, SIGKILL));
		expect_killed(pid, SIGKILL);
		CHECK_OK(run(fd, GOOD(POPCORN_BENCH_STREAM, flags = flags[i])));
	}
}

/* A signal ends a run, which then says so. */
static void ignore(int signal)
{
	(void)signal;
}

static void signals_end_it(void)
{
	struct sigaction action = { .sa_handler = ignore };
	int fd = device();

	CHECK_OK(sigaction(SIGALRM, &action, NULL));
	alarm(1);
	CHECK_ERRNO(run(fd, GOOD(POPCORN_BENCH_ECHO, count = 1000000)), EINTR);
	alarm(1);
	while (!run(fd, GOOD(POPCORN_BENCH_STREAM, count = 1000000)))
		alarm(1);
	CHECK(errno == EINTR, "%s", strerror(errno));
	CHECK_OK(run(fd, good(POPCORN_BENCH_STREAM)));
}

static const struct test tests[] = {
	TEST(bad_values),	   TEST(bad_pointers_and_sizes),
	TEST(only_for_root),	   TEST(exchanges_are_counted),
	TEST(streams_are_counted), TEST(polled),
	TEST(one_at_a_time),	   TEST(signals_end_it),
};

int main(void)
{
	return RUN_TESTS(tests);
}

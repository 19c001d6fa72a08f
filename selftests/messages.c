// SPDX-License-Identifier: GPL-2.0
/*
 * What is counted of the messages between nodes: POPCORN_IOC_MSG_STATS, with bad input, and beside
 * traffic that is known to the last message.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Message types (docs/protocol.md). */
#define ECHO	     0x0001
#define MIGRATE	     0x0101
#define PAGE_REQUEST 0x0301

/* More than a node has. */
#define ROOM 256

/* What was counted of a type with the node to which we go; zeros if there is nothing. */
static struct popcorn_msg_info counted(unsigned int type)
{
	static struct popcorn_msg_info info[ROOM];
	int count = popcorn_messages(away_node(), info, ROOM);

	CHECK_OK(count);
	CHECK(count <= ROOM);
	for (int i = 0; i < count; i++) {
		CHECK((int)info[i].node == away_node());
		if (info[i].type == type)
			return info[i];
	}
	return (struct popcorn_msg_info){ .type = type };
}

static uint64_t answered(const struct popcorn_msg_info *info)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < POPCORN_LATENCY_BUCKETS; i++)
		sum += info->latency[i];
	return sum;
}

static void need_root(void)
{
	need_remote();
	if (getuid())
		case_skip("must be root");
}

static void bad_pointers(void)
{
	struct popcorn_msg_stats s = {
		.size = sizeof(s),
		.count = 4,
		.stats = 8,
		.info_size = sizeof(struct popcorn_msg_info),
		.node = POPCORN_NODE_ANY,
	};
	struct popcorn_msg_stats *read_only = anon(PAGE);
	struct popcorn_ping p = { .node = away_node(), .bytes = 1, .count = 1 };
	int fd;

	need_root();
	CHECK_OK(popcorn_ping(&p)); /* so that there is something to be copied */
	fd = popcorn_fd();
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, NULL), EFAULT);
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, (void *)1L), EFAULT);
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, (void *)(1UL << 63)), EFAULT);
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, &s), EFAULT);
	s.stats = UINT64_MAX - 8;
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, &s), EFAULT);
	s.stats = 1UL << 63;
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, &s), EFAULT);
	/* without room nothing is copied */
	s.count = 0;
	CHECK_OK(ioctl(fd, POPCORN_IOC_MSG_STATS, &s));
	CHECK(s.count > 0);

	s.count = 0;
	*read_only = s;
	CHECK_OK(mprotect(read_only, PAGE, PROT_READ));
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, read_only), EFAULT);

	p.samples = 8;
	CHECK_ERRNO(popcorn_ping(&p), EFAULT);
}

static void bad_sizes(void)
{
	/* room for a caller that knows more than the kernel */
	struct {
		struct popcorn_msg_stats s;
		uint64_t more[4];
	} big = { .s = { .size = sizeof(big), .node = POPCORN_NODE_ANY } };
	int fd;

	need_remote();
	fd = popcorn_fd();
	CHECK_OK(fd);
	CHECK_OK(ioctl(fd, POPCORN_IOC_MSG_STATS, &big));
	CHECK(big.s.size == sizeof(big));
	CHECK_OK(ioctl(fd, _IOWR(POPCORN_IOC_MAGIC, 0x86, big), &big));
	big.more[3] = 1;
	big.s.count = 0;
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, &big), E2BIG);
	for (uint32_t size = 0; size < sizeof(big.s); size++) {
		big.s.size = size;
		CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, &big), EINVAL);
	}
	big.s.size = UINT32_MAX;
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, &big), E2BIG);
	big.s.size = sizeof(big.s);
	big.s.reserved = 1;
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, &big), EINVAL);
	big.s.reserved = 1UL << 63;
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MSG_STATS, &big), EINVAL);
}

static void no_such_node(void)
{
	static const int bad[] = { POPCORN_NODE_MAX - 1, POPCORN_NODE_MAX, INT32_MAX, -2,
				   INT32_MIN };

	need_remote();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		CHECK_ERRNO(popcorn_messages(bad[i], NULL, 0), ENODEV);
	/* with oneself there are none */
	CHECK(popcorn_messages(home_node(), NULL, 0) == 0);
}

/* Elements of another size: what does not fit is left out, what is not known is left as it was. */
static void element_sizes(void)
{
	struct {
		struct popcorn_msg_info info;
		uint64_t more;
	} wide[2];
	struct popcorn_msg_info narrow[2];
	struct popcorn_msg_stats s = { .size = sizeof(s), .node = away_node() };
	struct popcorn_ping p = { .node = away_node(), .bytes = 1, .count = 1 };
	int fd;

	need_root();
	CHECK_OK(popcorn_ping(&p));
	fd = popcorn_fd();

	memset(wide, 0xaa, sizeof(wide));
	s.stats = (uintptr_t)wide;
	s.info_size = sizeof(wide[0]);
	s.count = 1;
	CHECK_OK(ioctl(fd, POPCORN_IOC_MSG_STATS, &s));
	CHECK(s.count >= 1 && (int)wide[0].info.node == away_node());
	CHECK(wide[0].more == 0xaaaaaaaaaaaaaaaa);
	/* beyond the room there is nothing */
	CHECK(wide[1].info.node == 0xaaaaaaaa && wide[1].info.sent == 0xaaaaaaaaaaaaaaaa);
	for (size_t i = 0; i < ARRAY_SIZE(wide[0].info.reserved); i++)
		CHECK(!wide[0].info.reserved[i]);

	/* without the histogram */
	memset(narrow, 0xaa, sizeof(narrow));
	s.stats = (uintptr_t)narrow;
	s.info_size = offsetof(struct popcorn_msg_info, latency);
	s.count = 1;
	CHECK_OK(ioctl(fd, POPCORN_IOC_MSG_STATS, &s));
	CHECK((int)narrow[0].node == away_node() && narrow[0].latency[0] == 0xaaaaaaaaaaaaaaaa);

	s.info_size = 0;
	s.count = ROOM;
	CHECK_OK(ioctl(fd, POPCORN_IOC_MSG_STATS, &s));
}

/* Each ping is a message there and one back, and a call, to the last one and to the last byte. */
static void pings_are_counted(void)
{
	static const uint32_t counts[] = { 1, 50, 333 }, sizes[] = { 0, 100, 4096 };

	need_root();
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++) {
		struct popcorn_ping p = { .node = away_node(),
					  .bytes = sizes[i],
					  .count = counts[i] };
		struct popcorn_msg_info before = counted(ECHO), after;
		uint64_t bytes = (uint64_t)sizes[i] * counts[i];

		CHECK_OK(popcorn_ping(&p));
		after = counted(ECHO);
		CHECK(after.sent - before.sent == counts[i], "%llu", after.sent - before.sent);
		CHECK(after.received - before.received == counts[i]);
		CHECK(after.sent_bytes - before.sent_bytes == bytes);
		CHECK(after.received_bytes - before.received_bytes == bytes);
		CHECK(after.calls - before.calls == counts[i]);
		CHECK(answered(&after) - answered(&before) == counts[i]);
		/* ping looks at the clock outside of the call */
		CHECK(after.latency_ns - before.latency_ns <= p.total_ns);
		CHECK(after.latency_min_ns && after.latency_min_ns <= p.min_ns);
		CHECK(after.latency_max_ns >= after.latency_min_ns);
		CHECK(after.errors == before.errors && after.timed_out == before.timed_out);
		CHECK(after.interrupted == before.interrupted && after.failed == before.failed);
		CHECK(after.host_down == before.host_down && after.retries == before.retries);
		CHECK(after.lost == before.lost && after.late == before.late);
	}
}

static void samples_of_a_ping(void)
{
	uint64_t samples[101], total = 0, min = UINT64_MAX, max = 0;
	struct popcorn_ping p = {
		.node = away_node(),
		.bytes = 8,
		.count = 100,
		.samples = (uintptr_t)samples,
	};
	struct popcorn_ping first = { .size = offsetof(struct popcorn_ping, samples),
				      .node = away_node(),
				      .count = 1,
				      .samples = 8 };

	need_root();
	samples[100] = 0xaaaaaaaaaaaaaaaa;
	CHECK_OK(popcorn_ping(&p));
	for (int i = 0; i < 100; i++) {
		total += samples[i];
		min = samples[i] < min ? samples[i] : min;
		max = samples[i] > max ? samples[i] : max;
	}
	CHECK(total == p.total_ns && min == p.min_ns && max == p.max_ns);
	CHECK(samples[100] == 0xaaaaaaaaaaaaaaaa);

	/* who knows the first version only */
	CHECK_OK(ioctl(popcorn_fd(), POPCORN_IOC_PING, &first));
	CHECK(first.total_ns && first.samples == 8);
	first.size -= 1;
	CHECK_ERRNO(ioctl(popcorn_fd(), POPCORN_IOC_PING, &first), EINVAL);
}

/* All types together are what the list of nodes says, once nobody sends. */
static void types_add_up(void)
{
	static struct popcorn_msg_info info[ROOM];
	struct popcorn_node_info nodes[POPCORN_NODE_MAX];

	need_remote();
	for (int i = 0; i < 100; i++) {
		uint64_t sent = 0, received = 0, sent_bytes = 0, received_bytes = 0;
		int types = popcorn_messages(away_node(), info, ROOM);
		int count = popcorn_nodes(nodes, POPCORN_NODE_MAX);

		CHECK_OK(types);
		CHECK_OK(count);
		for (int k = 0; k < types; k++) {
			sent += info[k].sent;
			received += info[k].received;
			sent_bytes += info[k].sent_bytes;
			received_bytes += info[k].received_bytes;
		}
		for (int k = 0; k < count; k++)
			if ((int)nodes[k].id == away_node() && nodes[k].sent == sent &&
			    nodes[k].received == received && nodes[k].sent_bytes == sent_bytes &&
			    nodes[k].received_bytes == received_bytes)
				return;
		nap();
	}
	CHECK(0, "they differ");
}

/* A thread that moves, and a page that it touches there, are messages of their types. */
static void moves_are_counted(void)
{
	struct popcorn_msg_info moves, pages, now;
	volatile char *memory = anon(4 * PAGE);

	need_remote();
	moves = counted(MIGRATE);
	pages = counted(PAGE_REQUEST);
	memory[0] = 1;
	go_away();
	memory[0]++;
	/* asked from there, answered here */
	now = counted(MIGRATE);
	CHECK(now.calls > moves.calls && now.sent > moves.sent);
	CHECK(answered(&now) > answered(&moves));
	come_home();
	CHECK(memory[0] == 2);
	now = counted(PAGE_REQUEST);
	CHECK(now.received > pages.received && now.sent > pages.sent);
	CHECK(now.sent_bytes - pages.sent_bytes >= PAGE);
}

static const struct test tests[] = {
	TEST(bad_pointers),  TEST(bad_sizes),	      TEST(no_such_node),
	TEST(element_sizes), TEST(pings_are_counted), TEST(samples_of_a_ping),
	TEST(types_add_up),  TEST(moves_are_counted),
};

int main(void)
{
	return RUN_TESTS(tests);
}

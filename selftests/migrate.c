// SPDX-License-Identifier: GPL-2.0
/*
 * The calls of /dev/popcorn themselves: out and back, what the lists say of it, and bad input.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static void out_and_back(void)
{
	pid_t pid = getpid();

	check_home();
	go_away();
	CHECK(getpid() == pid);
	come_home();
	CHECK(getpid() == pid);
}

static void out_and_back_often(void)
{
	volatile unsigned int on_stack = 0;

	for (unsigned int i = 0; i < 50; i++) {
		CHECK(on_stack == 2 * i, "round %u: %u", i, on_stack);
		go_away();
		on_stack++;
		come_home();
		on_stack++;
	}
}

static void exit_while_away(void)
{
	pid_t pid = fork();

	CHECK_OK(pid);
	if (!pid) {
		go_away();
		_exit(42);
	}
	expect_exit(pid, 42);
}

static void home_by_node_id(void)
{
	need_remote();
	go_away();
	CHECK_OK(popcorn_migrate(home_node()));
	check_home();
}

static void popcorn_home_is_idempotent(void)
{
	need_remote();
	go_away();
	CHECK_OK(popcorn_home());
	check_home();
	CHECK_OK(popcorn_home());
	check_home();
}

static void already_there(void)
{
	need_remote();
	CHECK_ERRNO(popcorn_migrate(home_node()), EALREADY);
	CHECK_ERRNO(popcorn_migrate(POPCORN_NODE_ORIGIN), EALREADY);
	go_away();
	CHECK_ERRNO(popcorn_migrate(away_node()), EALREADY);
	check_away();
	come_home();
	CHECK_ERRNO(popcorn_migrate(POPCORN_NODE_ORIGIN), EALREADY);
}

static void no_such_node(void)
{
	static const int bad[] = { POPCORN_NODE_MAX - 1, POPCORN_NODE_MAX, INT_MAX, -2, INT_MIN };

	need_remote();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_ERRNO(popcorn_migrate(bad[i]), ENODEV);
		check_home();
	}
	go_away();
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		CHECK_ERRNO(popcorn_migrate(bad[i]), ENODEV);
		check_away();
	}
}

static void no_such_thread(void)
{
	need_remote();
	CHECK_ERRNO(popcorn_migrate_thread(INT_MAX, away_node(), 0), ESRCH);
	CHECK(popcorn_migrate_thread(-5, away_node(), 0) == -1);
	CHECK(errno == ESRCH || errno == EINVAL, "%s", strerror(errno));
	check_home();
}

static void bad_pointers(void)
{
	int fd;

	need_remote();
	fd = popcorn_fd();
	CHECK_OK(fd);
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MIGRATE, NULL), EFAULT);
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MIGRATE, (void *)-1L), EFAULT);
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_NODES, (void *)1L), EFAULT);
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_THREADS, (void *)(1UL << 63)), EFAULT);
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_PING, NULL), EFAULT);

	/* a good structure that holds a bad pointer */
	CHECK_ERRNO(popcorn_nodes((void *)8L, 4), EFAULT);
	check_home();
}

static void bad_pointers_away(void)
{
	need_remote();
	go_away();
	CHECK_ERRNO(ioctl(popcorn_fd(), POPCORN_IOC_MIGRATE, NULL), EFAULT);
	CHECK_ERRNO(ioctl(popcorn_fd(), POPCORN_IOC_NODES, (void *)-1L), EFAULT);
	check_away();
}

static void read_only_argument(void)
{
	struct popcorn_nodes *n = anon(PAGE);

	need_remote();
	n->size = sizeof(*n);
	n->info_size = sizeof(struct popcorn_node_info);
	CHECK_OK(mprotect(n, PAGE, PROT_READ));
	CHECK_ERRNO(ioctl(popcorn_fd(), POPCORN_IOC_NODES, n), EFAULT);
}

static void sizes(void)
{
	/* room for a caller that knows more than the kernel */
	struct {
		struct popcorn_migrate m;
		uint64_t more[4];
	} big = { .m = { .size = sizeof(big), .node = 1000 } };
	int fd;

	need_remote();
	fd = popcorn_fd();
	CHECK_OK(fd);

	/* unknown bytes that are zero are no error: the call gets as far as the bad node */
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MIGRATE, &big), ENODEV);
	big.more[3] = 1;
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MIGRATE, &big), E2BIG);
	/* such a caller's number of the call has another size in it, too */
	CHECK_ERRNO(ioctl(fd, _IOW(POPCORN_IOC_MAGIC, 0x81, big), &big), E2BIG);

	big.m.size = 0;
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MIGRATE, &big), EINVAL);
	big.m.size = 4;
	CHECK_ERRNO(ioctl(fd, POPCORN_IOC_MIGRATE, &big), EINVAL);

	/* far more than any structure will ever be: refused, whatever follows */
	big.m.size = UINT32_MAX;
	CHECK(ioctl(fd, POPCORN_IOC_MIGRATE, &big) == -1);
	CHECK(errno == E2BIG || errno == EINVAL || errno == EFAULT, "%s", strerror(errno));
	check_home();
}

/* CPU c of node n is CPU 64 * (n + 1) + c to all other nodes. */
static void by_affinity(void)
{
	cpu_set_t home, away, both, none, self, still;

	need_remote();
	CHECK_OK(sched_getaffinity(0, sizeof(home), &home));
	CPU_ZERO(&away);
	CPU_SET(64 * (away_node() + 1), &away);
	CPU_OR(&both, &home, &away);
	CPU_ZERO(&none);
	/* what this node is called on others is no CPU here: refused, as by any kernel, and nothing changes */
	CPU_ZERO(&self);
	for (int cpu = 0; cpu < 64; cpu++)
		CPU_SET(64 * (home_node() + 1) + cpu, &self);
	CHECK_ERRNO(sched_setaffinity(0, sizeof(self), &self), EINVAL);
	CHECK_OK(sched_getaffinity(0, sizeof(still), &still));
	CHECK(CPU_EQUAL(&still, &home));
	check_home();
	for (int i = 0; i < 10; i++) {
		CHECK_OK(sched_setaffinity(0, sizeof(away), &away));
		check_away();
		/* here or there: no reason to move */
		CHECK_OK(sched_setaffinity(0, sizeof(both), &both));
		CHECK_ERRNO(sched_setaffinity(0, sizeof(none), &none), EINVAL);
		CHECK_ERRNO(sched_setaffinity(0, sizeof(self), &self), EINVAL);
		check_away();
		CHECK_OK(sched_setaffinity(0, sizeof(home), &home));
		check_home();
	}
	CPU_ZERO(&away);
	CPU_SET(64 * 14, &away); /* no such node */
	CHECK_ERRNO(sched_setaffinity(0, sizeof(away), &away), ENODEV);
	CHECK_ERRNO(sched_setaffinity(1 << 29, sizeof(home), &home), ESRCH);
	check_home();
}

static void bad_flags(void)
{
	struct popcorn_nodes n = {
		.size = sizeof(n),
		.info_size = sizeof(struct popcorn_node_info),
		.reserved = 1,
	};

	need_remote();
	CHECK_ERRNO(popcorn_migrate_thread(0, away_node(), 1u << 31), EINVAL);
	check_home();
	CHECK_ERRNO(ioctl(popcorn_fd(), POPCORN_IOC_NODES, &n), EINVAL);
}

static void unknown_call(void)
{
	int fd;

	need_remote();
	fd = popcorn_fd();
	CHECK_OK(fd);
	CHECK_ERRNO(ioctl(fd, _IO(POPCORN_IOC_MAGIC, 0xff), 0), ENOTTY);
	CHECK_ERRNO(ioctl(fd, _IO('x', 0x84), 0), ENOTTY);
	go_away();
	CHECK_ERRNO(ioctl(fd, _IO(POPCORN_IOC_MAGIC, 0xff), 0), ENOTTY);
	check_away();
}

static void node_list(void)
{
	struct popcorn_node_info info[POPCORN_NODE_MAX], one;
	int count, self = 0;

	need_remote();
	count = popcorn_nodes(info, ARRAY_SIZE(info));
	CHECK(count >= 2 && count <= POPCORN_NODE_MAX, "%d nodes", count);
	for (int i = 0; i < count; i++) {
		CHECK(info[i].id < POPCORN_NODE_MAX);
		for (int j = 0; j < i; j++)
			CHECK(info[i].id != info[j].id, "node %u is listed twice", info[i].id);
		CHECK(info[i].state <= POPCORN_NODE_DEAD);
		CHECK(memchr(info[i].name, 0, sizeof(info[i].name)), "name not terminated");
		CHECK(!info[i].reserved);
		if (info[i].state == POPCORN_NODE_ONLINE) {
			CHECK(info[i].cpus >= 1, "node %u has no processor", info[i].id);
			CHECK(info[i].memory >= 16 << 20, "node %u: %llu bytes of memory",
			      info[i].id, info[i].memory);
		}
		self += !!(info[i].flags & POPCORN_NODE_SELF);
	}
	CHECK(self == 1, "%d nodes call themselves the one that answers", self);

	/* too little room: the count is whole, and no more than the room is written */
	memset(&one, 0xa5, sizeof(one));
	CHECK(popcorn_nodes(NULL, 0) == count);
	CHECK(popcorn_nodes(&one, 1) == count);
	CHECK(one.id == info[0].id);
}

static void messages_are_counted(void)
{
	struct popcorn_node_info before[POPCORN_NODE_MAX], after[POPCORN_NODE_MAX];
	int count;

	need_remote();
	count = popcorn_nodes(before, ARRAY_SIZE(before));
	go_away();
	come_home();
	CHECK(popcorn_nodes(after, ARRAY_SIZE(after)) == count);
	for (int i = 0; i < count; i++) {
		if ((int)after[i].id != away_node())
			continue;
		CHECK(after[i].sent > before[i].sent);
		CHECK(after[i].received > before[i].received);
		CHECK(after[i].sent_bytes > before[i].sent_bytes);
	}
}

static void thread_list(void)
{
	struct popcorn_thread_info info[8];

	need_remote();
	CHECK(popcorn_threads(getpid(), info, ARRAY_SIZE(info)) == 0);

	go_away();
	memset(info, 0xa5, sizeof(info));
	CHECK(popcorn_threads(getpid(), info, ARRAY_SIZE(info)) == 1);
	CHECK(info[0].pid == getpid() && info[0].tid == gettid());
	CHECK((int)info[0].node == away_node(), "listed on node %u", info[0].node);
	CHECK(info[0].flags & POPCORN_THREAD_AWAY);
	CHECK(info[0].out == 1 && info[0].back == 0, "out %llu back %llu", info[0].out,
	      info[0].back);
	CHECK(info[0].syscalls > 0);
	CHECK(info[0].out_ns_first > 0);
	CHECK(!info[0].reserved);
	CHECK(!strncmp(info[0].comm, "migrate", 7), "comm %.16s", info[0].comm);

	come_home();
	go_away();
	come_home();
	CHECK(popcorn_threads(getpid(), info, ARRAY_SIZE(info)) == 1);
	CHECK((int)info[0].node == home_node());
	CHECK(!(info[0].flags & POPCORN_THREAD_AWAY));
	CHECK(info[0].out == 2 && info[0].back == 2, "out %llu back %llu", info[0].out,
	      info[0].back);
	CHECK(info[0].back_ns_last > 0);
}

static void threads_of_the_dead_are_gone(void)
{
	struct popcorn_thread_info info[8];
	pid_t pid = fork();

	CHECK_OK(pid);
	if (!pid) {
		go_away();
		_exit(0);
	}
	expect_exit(pid, 0);
	need_remote();
	WAIT_UNTIL(popcorn_threads(pid, info, ARRAY_SIZE(info)) <= 0);
}

/* A process of another user: permission is that of ptrace. */
static void not_my_process(void)
{
	pid_t victim, attacker;

	need_remote();
	if (getuid())
		case_skip("must be root, to become somebody else");
	CHECK_OK(popcorn_fd()); /* the attacker may not be allowed to open it */

	victim = fork();
	CHECK_OK(victim);
	if (!victim) {
		for (;;)
			pause();
	}
	attacker = fork();
	CHECK_OK(attacker);
	if (!attacker) {
		CHECK_OK(setgid(65534));
		CHECK_OK(setuid(65534));
		CHECK_ERRNO(popcorn_migrate_thread(victim, away_node(), 0), EPERM);
		CHECK_ERRNO(popcorn_migrate_thread(victim, away_node(), POPCORN_MIGRATE_PROCESS),
			    EPERM);
		CHECK_ERRNO(popcorn_migrate_thread(1, away_node(), 0), EPERM);
		_exit(0);
	}
	expect_exit(attacker, 0);
	CHECK_OK(kill(victim, SIGKILL));
	expect_killed(victim, SIGKILL);
}

static void kernel_thread_cannot_move(void)
{
	need_remote();
	if (getuid())
		case_skip("must be root");
	/* kthreadd; in a pid namespace of its own, 2 may be anything, or nothing */
	if (access("/proc/2/exe", F_OK) == 0)
		case_skip("process 2 is no kernel thread here");
	CHECK(popcorn_migrate_thread(2, away_node(), 0) == -1);
	CHECK(errno == EOPNOTSUPP || errno == EPERM || errno == ESRCH, "%s", strerror(errno));
}

static void ping(void)
{
	struct popcorn_ping p = { .node = away_node(), .bytes = 64, .count = 100 };

	need_remote();
	if (getuid())
		case_skip("must be root");
	CHECK_OK(popcorn_ping(&p));
	CHECK(p.min_ns > 0 && p.min_ns <= p.max_ns && p.max_ns <= p.total_ns,
	      "min %llu max %llu total %llu", p.min_ns, p.max_ns, p.total_ns);
	p.bytes = 4096;
	p.flags = POPCORN_PING_POLL;
	CHECK_OK(popcorn_ping(&p));

	p.bytes = 4097;
	CHECK_ERRNO(popcorn_ping(&p), EINVAL);
	p.bytes = 64;
	p.count = 0;
	CHECK_ERRNO(popcorn_ping(&p), EINVAL);
	p.count = 100001;
	CHECK_ERRNO(popcorn_ping(&p), EINVAL);
	p.count = 1;
	p.flags = 1u << 31;
	CHECK_ERRNO(popcorn_ping(&p), EINVAL);
	p.flags = 0;
	p.node = POPCORN_NODE_MAX;
	CHECK_ERRNO(popcorn_ping(&p), ENODEV);
}

static void ping_needs_privilege(void)
{
	struct popcorn_ping p = { .node = away_node(), .bytes = 64, .count = 1 };

	need_remote();
	CHECK_OK(popcorn_fd());
	if (!getuid())
		CHECK_OK(setuid(65534));
	CHECK_ERRNO(popcorn_ping(&p), EPERM);
}

/* Remote code never runs with root's credentials by accident: who I am does not change. */
static void identity_stays(void)
{
	uid_t ruid, euid, suid, now[3];

	CHECK_OK(getresuid(&ruid, &euid, &suid));
	go_away();
	CHECK_OK(getresuid(&now[0], &now[1], &now[2]));
	CHECK(now[0] == ruid && now[1] == euid && now[2] == suid);
	if (!getuid()) {
		CHECK_OK(setuid(65534));
		CHECK(getuid() == 65534 && geteuid() == 65534);
		CHECK_ERRNO(open("/etc/shadow", O_RDONLY), EACCES);
	}
	come_home();
	CHECK(ruid || getuid() == 65534);
}

static const struct test tests[] = {
	TEST(out_and_back),
	TEST(out_and_back_often),
	TEST(exit_while_away),
	TEST(home_by_node_id),
	TEST(popcorn_home_is_idempotent),
	TEST(already_there),
	TEST(no_such_node),
	TEST(no_such_thread),
	TEST(bad_pointers),
	TEST(bad_pointers_away),
	TEST(read_only_argument),
	TEST(sizes),
	TEST(by_affinity),
	TEST(bad_flags),
	TEST(unknown_call),
	TEST(node_list),
	TEST(messages_are_counted),
	TEST(thread_list),
	TEST(threads_of_the_dead_are_gone),
	TEST(not_my_process),
	TEST(kernel_thread_cannot_move),
	TEST(ping),
	TEST(ping_needs_privilege),
	TEST(identity_stays),
};

int main(void)
{
	return RUN_TESTS(tests);
}

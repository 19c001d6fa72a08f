// SPDX-License-Identifier: GPL-2.0
/*
 * Programs that know nothing of nodes, moved from outside: while they compute, read, sleep.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct child {
	pid_t pid;
	int to, from; /* pipes */
};

static void start(struct child *c, void (*function)(int in, int out))
{
	int to[2], from[2];

	CHECK_OK(pipe(to));
	CHECK_OK(pipe(from));
	c->pid = fork();
	CHECK_OK(c->pid);
	if (!c->pid) {
		close(to[1]);
		close(from[0]);
		function(to[0], from[1]);
		_exit(0);
	}
	close(to[0]);
	close(from[1]);
	c->to = to[1];
	c->from = from[0];
}

static uint64_t answer(const struct child *c)
{
	uint64_t value;

	CHECK(read(c->from, &value, sizeof(value)) == sizeof(value), "the child has ended");
	return value;
}

static void tell(const struct child *c, uint64_t value)
{
	CHECK(write(c->to, &value, sizeof(value)) == sizeof(value));
}

static bool listed(pid_t tid, struct popcorn_thread_info *found)
{
	struct popcorn_thread_info info[64];
	int count = popcorn_threads(0, info, ARRAY_SIZE(info));

	CHECK_OK(count);
	for (int i = 0; i < count && i < (int)ARRAY_SIZE(info); i++) {
		if (info[i].tid == tid) {
			*found = info[i];
			return true;
		}
	}
	return false;
}

static bool is_on(pid_t tid, int node)
{
	struct popcorn_thread_info info;

	if (!listed(tid, &info))
		return node == home_node();
	CHECK(!!(info.flags & POPCORN_THREAD_AWAY) == ((int)info.node != home_node()),
	      "flags %x on node %u", info.flags, info.node);
	return (int)info.node == node;
}

/* Ask, and wait until the thread is there. */
static void move(pid_t tid, int node, unsigned int flags)
{
	if (home_only())
		return;
	if (popcorn_migrate_thread(tid, node, flags))
		CHECK(errno == EALREADY, "migrate %d to node %d: %s", tid, node, strerror(errno));
	if (node == POPCORN_NODE_ORIGIN)
		node = home_node();
	WAIT_UNTIL(is_on(tid, node));
}

static uint64_t churn(uint64_t *memory, size_t words, uint64_t state)
{
	for (size_t i = 0; i < words; i++) {
		memory[random_next(&state) % words] += random_next(&state);
		state += memory[i] | 1;
	}
	return state;
}

#define WORDS (64 * 512UL)

/* Computes until SIGUSR1 is pending; says how many rounds, and with which result. */
static void compute(int in, int out)
{
	uint64_t *memory = anon(WORDS * 8);
	uint64_t state = 12345, rounds = 0;
	sigset_t set, pending;

	/* SIGUSR1, blocked, ends it: sigpending is its only call, once in a round */
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK(write(out, &rounds, 8) == 8);
	do {
		for (int i = 0; i < 20; i++, rounds++)
			state = churn(memory, WORDS, state);
		CHECK_OK(sigpending(&pending));
	} while (!sigismember(&pending, SIGUSR1));
	CHECK(write(out, &rounds, 8) == 8);
	CHECK(write(out, &state, 8) == 8);
	(void)in;
}

static void moved_while_computing(void)
{
	uint64_t *memory, state = 12345, rounds, result;
	struct popcorn_thread_info info;
	struct child c;

	start(&c, compute);
	answer(&c);
	for (int i = 0; i < 20; i++) {
		move(c.pid, away_node(), 0);
		move(c.pid, i % 2 ? POPCORN_NODE_ORIGIN : home_node(), 0);
	}
	if (!home_only()) {
		CHECK(listed(c.pid, &info));
		CHECK(info.out >= 20 && info.back >= 20, "out %llu, back %llu", info.out,
		      info.back);
	}
	move(c.pid, away_node(), 0); /* and it ends there */
	CHECK_OK(kill(c.pid, SIGUSR1));
	rounds = answer(&c);
	result = answer(&c);
	expect_exit(c.pid, 0);

	memory = anon(WORDS * 8);
	for (uint64_t i = 0; i < rounds; i++)
		state = churn(memory, WORDS, state);
	CHECK(state == result, "after %lu rounds: %lx, not %lx", rounds, result, state);
}

/* A loop that never enters the kernel by itself must still move. */
static void spin(int in, int out)
{
	volatile uint64_t n = 0;

	(void)in;
	CHECK(write(out, (void *)&n, 8) == 8);
	for (;;)
		n = n + 1;
}

static void moved_while_spinning(void)
{
	struct child c;

	start(&c, spin);
	answer(&c);
	for (int i = 0; i < 10; i++) {
		move(c.pid, away_node(), 0);
		move(c.pid, POPCORN_NODE_ORIGIN, 0);
	}
	move(c.pid, away_node(), 0);
	CHECK_OK(kill(c.pid, SIGTERM));
	expect_killed(c.pid, SIGTERM);
}

/* Answers every number with its square, reading in between. */
static void serve(int in, int out)
{
	uint64_t value, done = 0;

	CHECK(write(out, &done, 8) == 8);
	while (read(in, &value, 8) == 8) {
		value *= value;
		CHECK(write(out, &value, 8) == 8);
	}
}

/* The move is asked for while it blocks in read(); the read must neither fail nor lose data. */
static void moved_in_a_blocking_read(void)
{
	struct child c;

	start(&c, serve);
	answer(&c);
	for (uint64_t i = 1; i <= 20; i++) {
		if (!home_only() &&
		    popcorn_migrate_thread(c.pid, i % 2 ? away_node() : POPCORN_NODE_ORIGIN, 0))
			CHECK(errno == EALREADY, "%s", strerror(errno));
		if (i % 3)
			nap();
		tell(&c, i);
		CHECK(answer(&c) == i * i);
		if (!home_only()) /* it has left the kernel since */
			WAIT_UNTIL(is_on(c.pid, i % 2 ? away_node() : home_node()));
	}
	CHECK_OK(close(c.to));
	expect_exit(c.pid, 0);
}

/* Sleeps in short pieces: none may end early, or fail. */
static void doze(int in, int out)
{
	uint64_t naps = 0;
	sigset_t set, pending;

	(void)in;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK(write(out, &naps, 8) == 8);
	do {
		struct timespec t = { .tv_nsec = 5000000 }, a, b;

		CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &a));
		CHECK_OK(nanosleep(&t, NULL));
		CHECK_OK(clock_gettime(CLOCK_MONOTONIC, &b));
		CHECK((b.tv_sec - a.tv_sec) * 1000000000 + b.tv_nsec - a.tv_nsec >= 5000000,
		      "slept too short");
		naps++;
		CHECK_OK(sigpending(&pending));
	} while (!sigismember(&pending, SIGUSR1));
	CHECK(write(out, &naps, 8) == 8);
}

static void moved_while_sleeping(void)
{
	struct child c;

	start(&c, doze);
	answer(&c);
	for (int i = 0; i < 10; i++) {
		move(c.pid, away_node(), 0);
		move(c.pid, POPCORN_NODE_ORIGIN, 0);
	}
	CHECK_OK(kill(c.pid, SIGUSR1));
	CHECK(answer(&c) > 0);
	expect_exit(c.pid, 0);
}

/* A process of several threads, moved whole. */
static _Atomic bool stop;

static void *spin_thread(void *arg)
{
	uint64_t *count = arg;

	while (!stop)
		(*count)++;
	return NULL;
}

static void several(int in, int out)
{
	static uint64_t counts[3][512] __attribute__((aligned(4096)));
	pthread_t thread[3];
	uint64_t sum = 0;

	for (int i = 0; i < 3; i++)
		CHECK(!pthread_create(&thread[i], NULL, spin_thread, counts[i]));
	CHECK(write(out, &sum, 8) == 8);
	CHECK(read(in, &sum, 8) == 8);
	stop = true;
	for (int i = 0; i < 3; i++) {
		CHECK(!pthread_join(thread[i], NULL));
		CHECK(counts[i][0] > 0);
	}
	CHECK(write(out, &sum, 8) == 8);
}

static int threads_away(pid_t pid)
{
	struct popcorn_thread_info info[16];
	int count = popcorn_threads(pid, info, ARRAY_SIZE(info)), away = 0;

	CHECK_OK(count);
	for (int i = 0; i < count && i < (int)ARRAY_SIZE(info); i++)
		away += !!(info[i].flags & POPCORN_THREAD_AWAY);
	return away;
}

static void whole_process(void)
{
	struct child c;

	start(&c, several);
	answer(&c);
	for (int i = 0; i < 5 && !home_only(); i++) {
		CHECK_OK(popcorn_migrate_thread(c.pid, away_node(), POPCORN_MIGRATE_PROCESS));
		/* the three that spin; the main thread blocks in read() and may come later */
		WAIT_UNTIL(threads_away(c.pid) >= 3);
		CHECK_OK(popcorn_migrate_thread(c.pid, POPCORN_NODE_ORIGIN,
						POPCORN_MIGRATE_PROCESS));
		WAIT_UNTIL(threads_away(c.pid) == 0);
	}
	if (!home_only())
		CHECK_OK(popcorn_migrate_thread(c.pid, away_node(), POPCORN_MIGRATE_PROCESS));
	tell(&c, 1);
	CHECK(answer(&c) == 1);
	expect_exit(c.pid, 0);
}

/* Contradicting requests from several sides, faster than they can be met. */
static void *pester(void *arg)
{
	const struct child *c = arg;

	for (int i = 0; i < 300 && !home_only(); i++) {
		if (popcorn_migrate_thread(c->pid, i % 2 ? POPCORN_NODE_ORIGIN : away_node(), 0))
			CHECK(errno == EALREADY, "%s", strerror(errno));
	}
	return NULL;
}

static void contradicting_requests(void)
{
	pthread_t other[3];
	struct child c;

	start(&c, serve);
	answer(&c);
	for (int i = 0; i < 3; i++)
		CHECK(!pthread_create(&other[i], NULL, pester, &c));
	for (uint64_t i = 0; i < 100; i++) {
		tell(&c, i);
		CHECK(answer(&c) == i * i);
	}
	for (int i = 0; i < 3; i++)
		CHECK(!pthread_join(other[i], NULL));
	CHECK_OK(close(c.to));
	expect_exit(c.pid, 0);
}

/* A request for a process that is stopped is met when it goes on. */
static void moved_while_stopped(void)
{
	struct child c;
	int status;

	need_remote();
	start(&c, spin);
	answer(&c);
	CHECK_OK(kill(c.pid, SIGSTOP));
	CHECK(waitpid(c.pid, &status, WUNTRACED) == c.pid && WIFSTOPPED(status));
	CHECK_OK(popcorn_migrate_thread(c.pid, away_node(), 0));
	CHECK_OK(kill(c.pid, SIGCONT));
	WAIT_UNTIL(is_on(c.pid, away_node()));
	CHECK_OK(kill(c.pid, SIGKILL));
	expect_killed(c.pid, SIGKILL);
}

static const struct test tests[] = {
	TEST(moved_while_computing), TEST(moved_while_spinning), TEST(moved_in_a_blocking_read),
	TEST(moved_while_sleeping),  TEST(whole_process),	 TEST(contradicting_requests),
	TEST(moved_while_stopped),
};

int main(void)
{
	return RUN_TESTS(tests);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Migrate out, write, read, migrate back, many times with many threads at once.
 *
 * POPCORN_STORM_ROUNDS (default 1000) and POPCORN_STORM_THREADS (default 8) set the amount.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define MAX_THREADS 64

/* One page per thread, written by its owner and read by its neighbour. */
struct slot {
	_Atomic uint64_t begun;
	uint64_t payload[500];
	_Atomic uint64_t ended;
} __attribute__((aligned(4096)));

static struct slot slots[MAX_THREADS];
static _Atomic uint64_t total __attribute__((aligned(4096)));
static pthread_mutex_t mutex __attribute__((aligned(4096))) = PTHREAD_MUTEX_INITIALIZER;
static uint64_t under_mutex;
static __thread uint64_t tls_round;

static long thread_count, round_count;

static void write_slot(struct slot *slot, uint64_t stamp)
{
	slot->begun = stamp;
	for (size_t i = 0; i < ARRAY_SIZE(slot->payload); i += 37)
		slot->payload[i] = stamp + i;
	slot->ended = stamp;
}

static void check_own(const struct slot *slot, uint64_t stamp)
{
	CHECK(slot->begun == stamp && slot->ended == stamp, "%lu and %lu, not %lu", slot->begun,
	      slot->ended, stamp);
	for (size_t i = 0; i < ARRAY_SIZE(slot->payload); i += 37)
		CHECK(slot->payload[i] == stamp + i, "word %zu: %lu, not %lu", i, slot->payload[i],
		      stamp + i);
}

/* Another thread writes it now: stamps only rise, and never is the end seen before the beginning. */
static void check_other(const struct slot *slot, uint64_t *last)
{
	uint64_t ended = slot->ended, begun = slot->begun;

	CHECK(begun >= ended, "ended %lu before begun %lu", ended, begun);
	CHECK(ended >= *last, "%lu after %lu", ended, *last);
	*last = ended;
}

static void *storm_thread(void *arg)
{
	long index = (intptr_t)arg;
	struct slot *mine = &slots[index], *neighbour = &slots[(index + 1) % thread_count];
	uint64_t on_stack[64], last = 0;
	pid_t tid = gettid();

	for (long round = 0; round < round_count; round++) {
		fill(on_stack, sizeof(on_stack), round);
		go_away();
		CHECK_FILL(on_stack, sizeof(on_stack), round);
		check_own(mine, 2 * round);
		write_slot(mine, 2 * round + 1);
		check_own(mine, 2 * round + 1);
		check_other(neighbour, &last);
		tls_round = round;
		total++;
		if (round % 8 == 0) {
			pthread_mutex_lock(&mutex);
			under_mutex++;
			pthread_mutex_unlock(&mutex);
			CHECK(syscall(SYS_gettid) == tid);
		}
		fill(on_stack, sizeof(on_stack), ~round);
		come_home();
		CHECK_FILL(on_stack, sizeof(on_stack), ~round);
		CHECK(tls_round == (uint64_t)round);
		check_own(mine, 2 * round + 1);
		write_slot(mine, 2 * round + 2);
		check_other(neighbour, &last);
	}
	return NULL;
}

static void storm(void)
{
	pthread_t threads[MAX_THREADS];

	for (long i = 0; i < thread_count; i++)
		write_slot(&slots[i], 0);
	for (long i = 0; i < thread_count; i++)
		CHECK(!pthread_create(&threads[i], NULL, storm_thread, (void *)i));
	for (long i = 0; i < thread_count; i++)
		CHECK(!pthread_join(threads[i], NULL));
	CHECK(total == (uint64_t)(thread_count * round_count), "%lu", total);
	CHECK(under_mutex == (uint64_t)(thread_count * ((round_count + 7) / 8)), "%lu",
	      under_mutex);
	for (long i = 0; i < thread_count; i++)
		check_own(&slots[i], 2 * round_count);
	/* the threads have ended: nothing of them may be left */
	if (!home_only())
		WAIT_UNTIL(popcorn_threads(getpid(), NULL, 0) == 0);
}

static const struct test tests[] = {
	TEST(storm),
};

int main(void)
{
	thread_count = env_long("POPCORN_STORM_THREADS", 8);
	round_count = env_long("POPCORN_STORM_ROUNDS", 1000);
	if (thread_count < 1 || thread_count > MAX_THREADS || round_count < 1) {
		fprintf(stderr, "threads: 1 to %d, rounds: at least 1\n", MAX_THREADS);
		return 2;
	}
	setenv("POPCORN_TIMEOUT", "1200", 0);
	return RUN_TESTS(tests);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Two nodes fight for the same pages: what they see must be what one sequentially consistent
 * memory would show. Single writer, no lost write, no stale read.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

/* Each on a page of its own. */
struct cell {
	_Atomic uint64_t value;
} __attribute__((aligned(4096)));

static struct cell x, y, turn, flag;
static long rounds;

/* Run two functions: the first at home, the second away. */
static void home_and_away(void *(*at_home)(void *), void *(*away)(void *))
{
	pthread_t thread;

	CHECK(!pthread_create(&thread, NULL, away, NULL));
	at_home(NULL);
	CHECK(!pthread_join(thread, NULL));
}

/* Spin; give the processor away now and then, as there may be only one for all. */
#define SPIN_UNTIL(condition)                                           \
	do {                                                            \
		for (unsigned int spins_ = 1; !(condition); spins_++) { \
			__asm__ volatile("pause");                      \
			if (spins_ % 4096 == 0)                         \
				sched_yield();                          \
		}                                                       \
	} while (0)

static uint64_t plain_counter[512] __attribute__((aligned(4096)));

/* In turns; the counter is no atomic: the turn orders it. */
static void alternate(uint64_t me)
{
	for (long i = 0; i < rounds; i++) {
		SPIN_UNTIL(turn.value % 2 == me);
		CHECK(plain_counter[100] == turn.value, "round %ld: %lu", i, plain_counter[100]);
		plain_counter[100]++;
		turn.value++;
	}
}

static void *alternate_home(void *arg)
{
	alternate(0);
	return arg;
}

static void *alternate_away(void *arg)
{
	go_away();
	alternate(1);
	return arg;
}

static void turns(void)
{
	rounds = env_long("POPCORN_ROUNDS", 1000);
	home_and_away(alternate_home, alternate_away);
	CHECK(plain_counter[100] == 2 * (uint64_t)rounds);
}

/*
 * Lockstep for the litmus tests: both sides start a round together, and both have ended it before
 * its result is read.
 */
static struct cell ready[2];

static void meet(int me, uint64_t round)
{
	ready[me].value = round;
	SPIN_UNTIL(ready[!me].value >= round);
}

static _Atomic uint64_t result[2] __attribute__((aligned(4096)));

/* Store buffering: x = 1; a = y || y = 1; b = x. Both zero is forbidden. */
static void store_buffering_side(int me)
{
	struct cell *mine = me ? &y : &x, *other = me ? &x : &y;

	for (long i = 1; i <= rounds; i++) {
		meet(me, 3 * i);
		atomic_store(&mine->value, i);
		result[me] = atomic_load(&other->value);
		meet(me, 3 * i + 1);
		CHECK(result[0] == (uint64_t)i || result[1] == (uint64_t)i,
		      "round %ld: neither saw the other: %lu %lu", i, result[0], result[1]);
		meet(me, 3 * i + 2);
	}
}

static void *store_buffering_home(void *arg)
{
	store_buffering_side(0);
	return arg;
}

static void *store_buffering_away(void *arg)
{
	go_away();
	store_buffering_side(1);
	return arg;
}

static void store_buffering(void)
{
	rounds = env_long("POPCORN_ROUNDS", 300);
	home_and_away(store_buffering_home, store_buffering_away);
}

/* Message passing: several pages of plain data, then a flag. */
static uint64_t *message;
#define MESSAGE_PAGES 4

static void send(uint64_t i)
{
	for (int page = 0; page < MESSAGE_PAGES; page++)
		message[page * 512 + i % 512] = i;
	atomic_store_explicit(&flag.value, i, memory_order_release);
}

static void receive(uint64_t i)
{
	SPIN_UNTIL(atomic_load_explicit(&flag.value, memory_order_acquire) == i);
	for (int page = 0; page < MESSAGE_PAGES; page++)
		CHECK(message[page * 512 + i % 512] == i, "message %lu page %d: %lu", i, page,
		      message[page * 512 + i % 512]);
}

static void *message_home(void *arg)
{
	for (long i = 1; i <= rounds; i += 2) {
		send(i);
		receive(i + 1);
	}
	return arg;
}

static void *message_away(void *arg)
{
	go_away();
	for (long i = 1; i <= rounds; i += 2) {
		receive(i);
		send(i + 1);
	}
	return arg;
}

static void message_passing(void)
{
	rounds = env_long("POPCORN_ROUNDS", 300) & ~1L;
	message = anon(MESSAGE_PAGES * PAGE);
	home_and_away(message_home, message_away);
}

/* Both write different words of one page, without any order. No write may be lost. */
static volatile uint64_t shared_page[512] __attribute__((aligned(4096)));

static void false_sharing_side(int me)
{
	for (long i = 1; i <= rounds; i++) {
		for (int word = me; word < 512; word += 2) {
			CHECK(shared_page[word] == (uint64_t)i - 1, "word %d: %lu instead of %ld",
			      word, shared_page[word], i - 1);
			shared_page[word] = i;
		}
	}
}

static void *false_sharing_home(void *arg)
{
	false_sharing_side(0);
	return arg;
}

static void *false_sharing_away(void *arg)
{
	go_away();
	false_sharing_side(1);
	return arg;
}

static void false_sharing(void)
{
	rounds = env_long("POPCORN_ROUNDS", 300);
	home_and_away(false_sharing_home, false_sharing_away);
	for (int word = 0; word < 512; word++)
		CHECK(shared_page[word] == (uint64_t)rounds, "word %d: %lu", word,
		      shared_page[word]);
}

/* One location: who reads it again never sees an older value; the end is the last write. */
static void *write_upwards(void *arg)
{
	for (long i = 1; i <= rounds; i++)
		atomic_store_explicit(&x.value, i, memory_order_relaxed);
	return arg;
}

static void *read_upwards(void *arg)
{
	uint64_t last = 0;

	while (last < (uint64_t)rounds) {
		uint64_t now = atomic_load_explicit(&x.value, memory_order_relaxed);

		CHECK(now >= last, "%lu after %lu", now, last);
		last = now;
		if (now == 0)
			sched_yield();
	}
	return arg;
}

static void *write_upwards_away(void *arg)
{
	go_away();
	return write_upwards(arg);
}

static void *read_upwards_away(void *arg)
{
	go_away();
	return read_upwards(arg);
}

static void no_stale_read_away(void)
{
	rounds = env_long("POPCORN_ROUNDS", 1000) * 1000;
	home_and_away(write_upwards, read_upwards_away);
}

static void no_stale_read_home(void)
{
	rounds = env_long("POPCORN_ROUNDS", 1000) * 1000;
	home_and_away(read_upwards, write_upwards_away);
}

/* Locked instructions from both sides on one word. */
static void *add_home(void *arg)
{
	for (long i = 0; i < rounds; i++) {
		uint64_t seen = y.value;

		atomic_fetch_add(&x.value, 1);
		while (!atomic_compare_exchange_weak(&y.value, &seen, seen + 3))
			;
	}
	return arg;
}

static void *add_away(void *arg)
{
	go_away();
	return add_home(arg);
}

static void atomic_instructions(void)
{
	rounds = env_long("POPCORN_ROUNDS", 20) * 1000;
	home_and_away(add_home, add_away);
	CHECK(x.value == 2 * (uint64_t)rounds && y.value == 6 * (uint64_t)rounds, "%lu %lu",
	      x.value, y.value);
}

/* A seqlock over two pages: a reader that finds an even, unchanged sequence has seen one state. */
static volatile uint64_t guarded[2][512] __attribute__((aligned(4096)));

static void *seqlock_writer(void *arg)
{
	for (long i = 1; i <= rounds; i++) {
		atomic_store(&flag.value, 2 * i - 1);
		for (int k = 0; k < 8; k++) {
			guarded[0][k * 60] = i;
			guarded[1][k * 60] = i;
		}
		atomic_store(&flag.value, 2 * i);
		for (volatile int pause = 0; pause < 2000; pause++)
			;
	}
	return arg;
}

static void *seqlock_reader(void *arg)
{
	uint64_t sequence;

	go_away();
	do {
		uint64_t copy[2][8];

		sequence = atomic_load(&flag.value);
		if (sequence % 2)
			continue;
		for (int k = 0; k < 8; k++) {
			copy[1][k] = guarded[1][k * 60];
			copy[0][k] = guarded[0][k * 60];
		}
		if (atomic_load(&flag.value) != sequence)
			continue;
		for (int k = 0; k < 8; k++)
			CHECK(copy[0][k] == sequence / 2 && copy[1][k] == sequence / 2,
			      "sequence %lu: %lu %lu", sequence, copy[0][k], copy[1][k]);
	} while (sequence != 2 * (uint64_t)rounds);
	return arg;
}

static void seqlock(void)
{
	rounds = env_long("POPCORN_ROUNDS", 500);
	home_and_away(seqlock_writer, seqlock_reader);
}

struct side {
	pthread_t thread;
	int index;
	uint64_t first, second;
};

static pthread_barrier_t barrier;

/* Independent reads of independent writes: two readers must agree on the order of two writers. */
static void *independent_thread(void *arg)
{
	struct side *me = arg;

	if (me->index == 1 || me->index == 2)
		go_away(); /* a writer and a reader at each node */
	for (long i = 1; i <= rounds; i++) {
		pthread_barrier_wait(&barrier);
		switch (me->index) {
		case 0:
			atomic_store(&x.value, i);
			break;
		case 1:
			atomic_store(&y.value, i);
			break;
		case 2:
			me->first = atomic_load(&x.value);
			me->second = atomic_load(&y.value);
			break;
		default:
			me->first = atomic_load(&y.value);
			me->second = atomic_load(&x.value);
		}
		pthread_barrier_wait(&barrier);
		if (me->index == 0) {
			struct side *a = me + 2, *b = me + 3;
			uint64_t now = i;

			/* a: x is new but y is old; b: y is new but x is old */
			CHECK(!(a->first == now && a->second != now && b->first == now &&
				b->second != now),
			      "round %ld: the readers disagree", i);
		}
	}
	return NULL;
}

static void independent_writes(void)
{
	struct side side[4] = { 0 };

	rounds = env_long("POPCORN_ROUNDS", 150);
	CHECK(!pthread_barrier_init(&barrier, NULL, 4));
	for (int i = 0; i < 4; i++) {
		side[i].index = i;
		CHECK(!pthread_create(&side[i].thread, NULL, independent_thread, &side[i]));
	}
	for (int i = 0; i < 4; i++)
		CHECK(!pthread_join(side[i].thread, NULL));
}

/* More pages than one, chosen at random, each guarded by a lock in the page itself. */
#define ARENA_PAGES 32

struct page {
	_Atomic uint64_t lock;
	uint64_t writes[4];
	uint64_t sum;
} __attribute__((aligned(4096)));

static struct page arena[ARENA_PAGES];

static void *arena_thread(void *arg)
{
	struct side *me = arg;
	uint64_t random = me->index + 1;

	if (me->index % 2)
		go_away();
	for (long i = 0; i < rounds; i++) {
		struct page *p = &arena[random_next(&random) % ARENA_PAGES];
		uint64_t amount = random_next(&random);

		SPIN_UNTIL(!atomic_exchange(&p->lock, 1));
		CHECK(p->sum == p->writes[0] + p->writes[1] + p->writes[2] + p->writes[3]);
		p->writes[me->index] += amount;
		p->sum += amount;
		atomic_store(&p->lock, 0);
		me->first += amount;
	}
	return NULL;
}

static void locks_in_many_pages(void)
{
	struct side side[4] = { 0 };
	uint64_t sum = 0, expected = 0;

	rounds = env_long("POPCORN_ROUNDS", 500);
	for (int i = 0; i < 4; i++) {
		side[i].index = i;
		CHECK(!pthread_create(&side[i].thread, NULL, arena_thread, &side[i]));
	}
	for (int i = 0; i < 4; i++) {
		CHECK(!pthread_join(side[i].thread, NULL));
		expected += side[i].first;
	}
	for (int i = 0; i < ARENA_PAGES; i++)
		sum += arena[i].sum;
	CHECK(sum == expected);
}

static const struct test tests[] = {
	TEST(turns),
	TEST(store_buffering),
	TEST(message_passing),
	TEST(false_sharing),
	TEST(no_stale_read_away),
	TEST(no_stale_read_home),
	TEST(atomic_instructions),
	TEST(seqlock),
	TEST(independent_writes),
	TEST(locks_in_many_pages),
};

int main(void)
{
	return RUN_TESTS(tests);
}

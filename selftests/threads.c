// SPDX-License-Identifier: GPL-2.0
/*
 * Threads of one process on two nodes: they start, meet, lock, wait and end as on one.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define THREADS 8

struct worker {
	pthread_t thread;
	int index;
	uint64_t result;
} __attribute__((aligned(4096)));

static struct worker workers[THREADS];

/* Every second thread works away. */
static void choose_place(const struct worker *w)
{
	if (w->index % 2)
		go_away();
}

/* Start all, wait for all. */
static void with_threads(void *(*function)(void *))
{
	for (int i = 0; i < THREADS; i++) {
		workers[i].index = i;
		workers[i].result = 0;
		CHECK(!pthread_create(&workers[i].thread, NULL, function, &workers[i]));
	}
	for (int i = 0; i < THREADS; i++)
		CHECK(!pthread_join(workers[i].thread, NULL));
}

static void *one_thread(void *arg)
{
	int *value = arg;

	check_away(); /* a new thread starts where its creator is */
	*value = *value * 2 + 1;
	return value;
}

static void create_and_join_away(void)
{
	int value = 1;
	void *result;

	go_away();
	for (int i = 0; i < 10; i++) {
		pthread_t thread;

		CHECK(!pthread_create(&thread, NULL, one_thread, &value));
		CHECK(!pthread_join(thread, &result));
		CHECK(result == &value);
	}
	CHECK(value == 2047, "%d", value);
	check_away();
}

static void *come_home_and_end(void *arg)
{
	check_away();
	come_home();
	return arg;
}

static void created_away_ends_at_home(void)
{
	pthread_t thread;
	void *result;

	go_away();
	CHECK(!pthread_create(&thread, NULL, come_home_and_end, workers));
	come_home();
	CHECK(!pthread_join(thread, &result) && result == workers);
}

static _Atomic int detached_done;

static void *detached(void *arg)
{
	go_away();
	detached_done++;
	return arg;
}

static void detached_threads(void)
{
	pthread_attr_t attr;

	CHECK(!pthread_attr_init(&attr));
	CHECK(!pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED));
	for (int i = 0; i < 16; i++) {
		pthread_t thread;

		CHECK(!pthread_create(&thread, &attr, detached, NULL));
	}
	WAIT_UNTIL(detached_done == 16);
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t counter;

static void *count_under_mutex(void *arg)
{
	choose_place(arg);
	for (int i = 0; i < 500; i++) {
		pthread_mutex_lock(&mutex);
		counter++;
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void mutex_counts_exactly(void)
{
	with_threads(count_under_mutex);
	CHECK(counter == THREADS * 500, "%lu", counter);
}

static pthread_spinlock_t spin;

static void *count_under_spinlock(void *arg)
{
	choose_place(arg);
	for (int i = 0; i < 200; i++) {
		/* a trylock with yield: there may be more threads than processors */
		while (pthread_spin_trylock(&spin))
			sched_yield();
		counter++;
		pthread_spin_unlock(&spin);
	}
	return NULL;
}

static void spinlock_counts_exactly(void)
{
	CHECK(!pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE));
	with_threads(count_under_spinlock);
	CHECK(counter == THREADS * 200, "%lu", counter);
}

static _Atomic uint64_t atomic_counter;

static void *count_atomically(void *arg)
{
	choose_place(arg);
	for (int i = 0; i < 5000; i++)
		atomic_counter++;
	return NULL;
}

static void atomics_count_exactly(void)
{
	with_threads(count_atomically);
	CHECK(atomic_counter == THREADS * 5000, "%lu", atomic_counter);
}

static pthread_barrier_t barrier;
static uint64_t rounds[THREADS][512] __attribute__((aligned(4096)));

/* Everybody writes, meets, reads what all have written, meets. */
static void *meet(void *arg)
{
	struct worker *w = arg;

	choose_place(w);
	for (uint64_t round = 1; round <= 40; round++) {
		int serial;

		rounds[w->index][round] = round * 100 + w->index;
		serial = pthread_barrier_wait(&barrier);
		w->result += serial == PTHREAD_BARRIER_SERIAL_THREAD;
		for (int i = 0; i < THREADS; i++)
			CHECK(rounds[i][round] == round * 100 + i, "round %lu thread %d: %lu",
			      round, i, rounds[i][round]);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void barrier_separates(void)
{
	uint64_t serial = 0;

	CHECK(!pthread_barrier_init(&barrier, NULL, THREADS));
	with_threads(meet);
	for (int i = 0; i < THREADS; i++)
		serial += workers[i].result;
	CHECK(serial == 40, "%lu serial threads in 40 rounds", serial);
	CHECK(!pthread_barrier_destroy(&barrier));
}

#define ITEMS 1000
#define ROOM  7

static struct {
	pthread_mutex_t mutex;
	pthread_cond_t not_full, not_empty;
	uint64_t item[ROOM];
	int used, put, taken;
} queue = { PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, PTHREAD_COND_INITIALIZER };

/* Half of the threads produce, half consume; of both there are some at each node. */
static void *produce_or_consume(void *arg)
{
	struct worker *w = arg;

	choose_place(w);
	for (;;) {
		pthread_mutex_lock(&queue.mutex);
		if (w->index < THREADS / 2) {
			while (queue.used == ROOM && queue.put < ITEMS)
				pthread_cond_wait(&queue.not_full, &queue.mutex);
			if (queue.put == ITEMS)
				break;
			queue.item[queue.put % ROOM] = queue.put + 1;
			queue.put++;
			queue.used++;
			pthread_cond_signal(&queue.not_empty);
			if (queue.put == ITEMS)
				pthread_cond_broadcast(&queue.not_full);
		} else {
			while (!queue.used && queue.taken < ITEMS)
				pthread_cond_wait(&queue.not_empty, &queue.mutex);
			if (queue.taken == ITEMS)
				break;
			w->result += queue.item[queue.taken++ % ROOM];
			queue.used--;
			pthread_cond_signal(&queue.not_full);
			if (queue.taken == ITEMS)
				pthread_cond_broadcast(&queue.not_empty);
		}
		pthread_mutex_unlock(&queue.mutex);
	}
	pthread_mutex_unlock(&queue.mutex);
	return NULL;
}

static void condition_variables(void)
{
	uint64_t sum = 0;

	with_threads(produce_or_consume);
	for (int i = 0; i < THREADS; i++)
		sum += workers[i].result;
	CHECK(queue.put == ITEMS && queue.taken == ITEMS && !queue.used);
	CHECK(sum == (uint64_t)ITEMS * (ITEMS + 1) / 2, "%lu", sum);
}

static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
static uint64_t guarded[2][512] __attribute__((aligned(4096)));

static void *read_or_write(void *arg)
{
	struct worker *w = arg;

	choose_place(w);
	for (int i = 0; i < 200; i++) {
		if ((i + w->index) % 4) {
			pthread_rwlock_rdlock(&rwlock);
			CHECK(guarded[0][7] == guarded[1][9], "%lu and %lu", guarded[0][7],
			      guarded[1][9]);
		} else {
			pthread_rwlock_wrlock(&rwlock);
			guarded[0][7]++;
			guarded[1][9]++;
			w->result++;
		}
		pthread_rwlock_unlock(&rwlock);
	}
	return NULL;
}

static void rwlock_guards(void)
{
	uint64_t writes = 0;

	with_threads(read_or_write);
	for (int i = 0; i < THREADS; i++)
		writes += workers[i].result;
	CHECK(guarded[0][7] == writes && guarded[1][9] == writes);
}

static sem_t semaphores[THREADS];

/* A token goes round: every thread hands it to the next. */
static void *pass_the_token(void *arg)
{
	struct worker *w = arg;

	choose_place(w);
	for (int i = 0; i < 50; i++) {
		while (sem_wait(&semaphores[w->index]))
			CHECK(errno == EINTR);
		CHECK(counter % THREADS == (uint64_t)w->index, "token %lu at thread %d", counter,
		      w->index);
		counter++;
		CHECK(!sem_post(&semaphores[(w->index + 1) % THREADS]));
	}
	return NULL;
}

static void semaphores_in_a_ring(void)
{
	for (int i = 0; i < THREADS; i++)
		CHECK(!sem_init(&semaphores[i], 0, !i));
	with_threads(pass_the_token);
	CHECK(counter == THREADS * 50);
}

static int futex(_Atomic uint32_t *word, int op, uint32_t value, const struct timespec *timeout)
{
	return syscall(SYS_futex, word, op, value, timeout, NULL, 0);
}

/* Drepper's three-state lock, on bare futexes. */
static _Atomic uint32_t lock_word __attribute__((aligned(4096)));

static void *count_under_futex(void *arg)
{
	struct worker *w = arg;

	choose_place(w);
	for (int i = 0; i < 300; i++) {
		uint32_t seen = 0;

		if (!__atomic_compare_exchange_n((uint32_t *)&lock_word, &seen, 1, 0,
						 __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
			if (seen != 2)
				seen = __atomic_exchange_n((uint32_t *)&lock_word, 2,
							   __ATOMIC_SEQ_CST);
			while (seen) {
				if (futex(&lock_word, FUTEX_WAIT_PRIVATE, 2, NULL))
					CHECK(errno == EAGAIN || errno == EINTR, "%s",
					      strerror(errno));
				w->result++;
				seen = __atomic_exchange_n((uint32_t *)&lock_word, 2,
							   __ATOMIC_SEQ_CST);
			}
		}
		counter++;
		if (__atomic_exchange_n((uint32_t *)&lock_word, 0, __ATOMIC_SEQ_CST) == 2)
			CHECK_OK(futex(&lock_word, FUTEX_WAKE_PRIVATE, 1, NULL));
	}
	return NULL;
}

static void futex_counts_exactly(void)
{
	with_threads(count_under_futex);
	CHECK(counter == THREADS * 300, "%lu", counter);
}

static void futex_compares(void)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	lock_word = 5;
	go_away();
	CHECK_ERRNO(futex(&lock_word, FUTEX_WAIT_PRIVATE, 4, NULL), EAGAIN);
	CHECK_ERRNO(futex(&lock_word, FUTEX_WAIT_PRIVATE, 5, &ms), ETIMEDOUT);
	lock_word = 6; /* the kernel at home must see what was written here */
	CHECK_ERRNO(futex(&lock_word, FUTEX_WAIT_PRIVATE, 5, NULL), EAGAIN);
	CHECK(futex(&lock_word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL) == 0);
}

static pthread_mutex_t robust;

static void *die_with_the_lock(void *arg)
{
	go_away();
	CHECK(!pthread_mutex_lock(&robust));
	return arg;
}

static void robust_mutex(void)
{
	pthread_mutexattr_t attr;
	pthread_t thread;

	CHECK(!pthread_mutexattr_init(&attr));
	CHECK(!pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST));
	CHECK(!pthread_mutex_init(&robust, &attr));
	CHECK(!pthread_create(&thread, NULL, die_with_the_lock, NULL));
	CHECK(!pthread_join(thread, NULL));
	CHECK(pthread_mutex_lock(&robust) == EOWNERDEAD);
	CHECK(!pthread_mutex_consistent(&robust));
	CHECK(!pthread_mutex_unlock(&robust));
}

static void *inherit(void *arg)
{
	struct worker *w = arg;

	choose_place(w);
	for (int i = 0; i < 100; i++) {
		CHECK(!pthread_mutex_lock(&robust));
		counter++;
		CHECK(!pthread_mutex_unlock(&robust));
	}
	return NULL;
}

/* Priority inheritance: the lock's word holds a tid that the kernel checks. */
static void priority_inheritance_mutex(void)
{
	pthread_mutexattr_t attr;
	int error;

	CHECK(!pthread_mutexattr_init(&attr));
	CHECK(!pthread_mutexattr_setprotocol(&attr, PTHREAD_PRIO_INHERIT));
	error = pthread_mutex_init(&robust, &attr);
	if (error == ENOTSUP)
		case_skip("this kernel has no PI futexes");
	CHECK(!error, "%s", strerror(error));
	with_threads(inherit);
	CHECK(counter == THREADS * 100);
}

static __thread uint64_t tls[1024];

static void *own_tls(void *arg)
{
	struct worker *w = arg;

	for (int round = 0; round < 6; round++) {
		fill(tls, sizeof(tls), w->index * 100 + round);
		pthread_barrier_wait(&barrier);
		if (w->index % 2)
			round % 2 ? come_home() : go_away();
		CHECK_FILL(tls, sizeof(tls), w->index * 100 + round);
		errno = 1000 + w->index;
		pthread_barrier_wait(&barrier);
		CHECK(errno == 1000 + w->index);
	}
	return NULL;
}

static void tls_is_distinct(void)
{
	CHECK(!pthread_barrier_init(&barrier, NULL, THREADS));
	with_threads(own_tls);
}

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static _Atomic int destroyed;

static void destroy(void *value)
{
	destroyed += value == workers;
}

static void initialise_once(void)
{
	counter++;
	CHECK(!pthread_key_create(&key, destroy));
}

static void *use_once(void *arg)
{
	choose_place(arg);
	CHECK(!pthread_once(&once, initialise_once));
	CHECK(counter == 1);
	CHECK(!pthread_setspecific(key, workers));
	return NULL;
}

static void once_and_keys(void)
{
	with_threads(use_once);
	CHECK(counter == 1 && destroyed == THREADS, "%lu and %d", counter, destroyed);
}

static _Atomic int ready;

static void *spin_for_ever(void *arg)
{
	(void)arg;
	go_away();
	CHECK(!pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, NULL));
	ready = 1;
	for (;;)
		__asm__ volatile("pause");
}

static void *sleep_for_ever(void *arg)
{
	(void)arg;
	go_away();
	ready = 1;
	for (;;)
		pause();
	return NULL;
}

static void cancel_away(void)
{
	void *(*function[])(void *) = { spin_for_ever, sleep_for_ever };

	for (size_t i = 0; i < ARRAY_SIZE(function); i++) {
		pthread_t thread;
		void *result;

		ready = 0;
		CHECK(!pthread_create(&thread, NULL, function[i], NULL));
		WAIT_UNTIL(ready);
		CHECK(!pthread_cancel(thread));
		CHECK(!pthread_join(thread, &result));
		CHECK(result == PTHREAD_CANCELED);
	}
}

/* What a thread at home does to the layout is felt by one that is away before the call returns. */
static struct {
	char *page;
	_Atomic int step; /* odd: the thread that is away shall look */
	sigjmp_buf jump;
	volatile int code;
	bool faulted;
	char seen;
} layout;

static void layout_fault(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	layout.code = info->si_code;
	siglongjmp(layout.jump, 1);
}

static void *look_from_away(void *arg)
{
	volatile int step = 1; /* kept over the jump */

	go_away();
	for (;; step += 2) {
		while (layout.step < step)
			sched_yield();
		if (layout.step == 99)
			return arg;
		layout.faulted = true;
		if (!sigsetjmp(layout.jump, 1)) {
			volatile char *page = layout.page;

			layout.seen = page[5];
			page[5] = layout.seen + 1;
			layout.faulted = false;
		}
		layout.step++;
	}
}

static void look(void)
{
	layout.step++;
	while (layout.step % 2)
		sched_yield();
}

static void layout_changes_reach_away(void)
{
	struct sigaction action = { .sa_sigaction = layout_fault, .sa_flags = SA_SIGINFO };
	pthread_t thread;
	char *p = anon(PAGE);

	layout.page = p;
	CHECK_OK(sigaction(SIGSEGV, &action, NULL));
	p[5] = 'a';
	CHECK(!pthread_create(&thread, NULL, look_from_away, NULL));
	look();
	CHECK(!layout.faulted && layout.seen == 'a' && p[5] == 'b');

	CHECK_OK(mprotect(p, PAGE, PROT_READ));
	look();
	CHECK(layout.faulted && layout.code == SEGV_ACCERR, "code %d", layout.code);
	CHECK(layout.seen == 'b' && p[5] == 'b');

	CHECK_OK(mprotect(p, PAGE, PROT_NONE));
	layout.seen = 0;
	look();
	CHECK(layout.faulted && layout.code == SEGV_ACCERR && !layout.seen);

	CHECK_OK(mprotect(p, PAGE, PROT_READ | PROT_WRITE));
	look();
	CHECK(!layout.faulted && layout.seen == 'b' && p[5] == 'c');

	CHECK_OK(madvise(p, PAGE, MADV_DONTNEED));
	look();
	CHECK(!layout.faulted && !layout.seen && p[5] == 1, "saw %d", layout.seen);

	CHECK_OK(munmap(p, PAGE));
	look();
	CHECK(layout.faulted && layout.code == SEGV_MAPERR);

	CHECK(mmap(p, PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == p);
	look();
	CHECK(!layout.faulted && !layout.seen && p[5] == 1);

	layout.step = 99;
	CHECK(!pthread_join(thread, NULL));
}

static void *allocate_and_free(void *arg)
{
	struct worker *w = arg;
	uint64_t random = w->index + 1;
	void *block[64] = { 0 };
	size_t size[64] = { 0 };

	choose_place(w);
	for (int i = 0; i < 600; i++) {
		int slot = random_next(&random) % 64;

		if (block[slot]) {
			CHECK_FILL(block[slot], size[slot], slot + w->index);
			free(block[slot]);
		}
		size[slot] = 16 + random_next(&random) % 4000;
		if (i % 100 == 0)
			size[slot] = 300000; /* mmap and munmap */
		block[slot] = malloc(size[slot]);
		CHECK(block[slot]);
		fill(block[slot], size[slot], slot + w->index);
	}
	for (int i = 0; i < 64; i++)
		free(block[i]);
	return NULL;
}

static void malloc_from_all(void)
{
	with_threads(allocate_and_free);
}

/* Threads that are born and die at both nodes, many times. */
static void *nothing(void *arg)
{
	return arg;
}

static void *create_many(void *arg)
{
	choose_place(arg);
	for (int i = 0; i < 12; i++) {
		pthread_t thread;
		int error = pthread_create(&thread, NULL, nothing, arg);

		CHECK(!error, "%s", strerror(error));
		CHECK(!pthread_join(thread, NULL));
	}
	return NULL;
}

static void creation_storm(void)
{
	with_threads(create_many);
}

static struct {
	_Atomic int there, refused, error;
	sem_t end;
} crowd;

static void *join_crowd(void *arg)
{
	if (!popcorn_migrate(away_node()))
		crowd.there++;
	else if (errno == EAGAIN)
		crowd.refused++;
	else
		crowd.error = errno;
	while (sem_wait(&crowd.end))
		;
	return arg;
}

/* A node takes a thread of another one for each MiB of memory that it has; who comes later stays. */
static void more_than_a_node_takes(void)
{
	struct popcorn_node_info info[POPCORN_NODE_MAX];
	int count = popcorn_nodes(info, ARRAY_SIZE(info)), room = 0, all;
	pthread_attr_t attributes;
	pthread_t *thread;

	need_remote();
	for (int i = 0; i < count && i < (int)ARRAY_SIZE(info); i++)
		if ((int)info[i].id == away_node())
			room = info[i].memory >> 20;
	CHECK(room, "of %d nodes none is node %d", count, away_node());
	if (room > 2048)
		case_skip("that are more threads than a test should have");
	all = room + 20;
	thread = anon(all * sizeof(*thread));
	CHECK(!sem_init(&crowd.end, 0, 0));
	CHECK(!pthread_attr_init(&attributes));
	CHECK(!pthread_attr_setstacksize(&attributes, 64 << 10));
	for (int i = 0; i < all; i++) {
		int error = pthread_create(&thread[i], &attributes, join_crowd, NULL);

		CHECK(!error, "thread %d: %s", i, strerror(error));
	}
	WAIT_UNTIL(crowd.there + crowd.refused == all || crowd.error);
	diag("node %d has %d MiB and took %d threads", away_node(), room, crowd.there);
	CHECK(!crowd.error, "%s", strerror(crowd.error));
	CHECK(crowd.there <= room && crowd.there > room / 2, "%d are there", crowd.there);
	for (int i = 0; i < all; i++)
		CHECK_OK(sem_post(&crowd.end));
	for (int i = 0; i < all; i++)
		CHECK(!pthread_join(thread[i], NULL));
	go_away();
	come_home();
}

static const struct test tests[] = {
	TEST(create_and_join_away),
	TEST(created_away_ends_at_home),
	TEST(detached_threads),
	TEST(mutex_counts_exactly),
	TEST(spinlock_counts_exactly),
	TEST(atomics_count_exactly),
	TEST(barrier_separates),
	TEST(condition_variables),
	TEST(rwlock_guards),
	TEST(semaphores_in_a_ring),
	TEST(futex_counts_exactly),
	TEST(futex_compares),
	TEST(robust_mutex),
	TEST(priority_inheritance_mutex),
	TEST(tls_is_distinct),
	TEST(once_and_keys),
	TEST(cancel_away),
	TEST(layout_changes_reach_away),
	TEST(malloc_from_all),
	TEST(creation_storm),
	TEST(more_than_a_node_takes),
};

int main(void)
{
	return RUN_TESTS(tests);
}

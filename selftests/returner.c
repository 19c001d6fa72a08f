// SPDX-License-Identifier: GPL-2.0
/*
 * A process with threads and pages on another node when that is left in order; guest/parting looks at what
 * becomes of it.
 *
 *   returner NODE
 *
 * Four threads go there, and each fills memory of its own, which stays there: one writes it over and over, one
 * computes and touches no page, one sleeps in a system call that nobody but this program will end, one in many
 * short ones. It says "there" when all are at work. For each line that it is then given it says how many of
 * them are there; at the end of its input they stop, and everything that they wrote must be right. A wrong byte
 * is status 1.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <err.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGES	64
#define BYTES	(PAGES * PAGE)
#define THREADS 4

struct worker {
	int index;
	pid_t tid;
	uint8_t *memory;
	/* What memory holds. */
	uint64_t seed;
	/* Turns of its work. */
	_Atomic uint64_t count;
};

static struct worker workers[THREADS];
static int node, ends[2];
static _Atomic int arrived, done;

static void check(const struct worker *worker)
{
	ssize_t at = mismatch(worker->memory, BYTES, worker->seed);

	if (at >= 0)
		errx(1, "thread %d: wrong at %zd of %lu, in round %llu", worker->index, at, BYTES,
		     (unsigned long long)worker->seed);
}

static void *work(void *pointer)
{
	struct worker *worker = pointer;
	char byte;

	worker->tid = gettid();
	if (popcorn_migrate(node))
		err(2, "moving to node %d", node);
	worker->seed = 1 + worker->index;
	fill(worker->memory, BYTES, worker->seed);
	arrived++;
	switch (worker->index) {
	case 0:
		while (!done) {
			check(worker);
			worker->seed += THREADS;
			fill(worker->memory, BYTES, worker->seed);
			worker->count++;
		}
		break;
	case 1:
		while (!done)
			worker->count++;
		break;
	case 2:
		if (read(ends[0], &byte, 1) != 1 || byte != 'x')
			err(1, "read");
		break;
	default:
		while (!done) {
			nap();
			worker->count++;
		}
	}
	check(worker);
	return NULL;
}

/* How many of the workers are at the node. */
static int there(void)
{
	struct popcorn_thread_info infos[16];
	int count = 0, known = popcorn_threads(getpid(), infos, ARRAY_SIZE(infos));

	if (known < 0)
		err(2, "threads");
	for (int i = 0; i < known && i < (int)ARRAY_SIZE(infos); i++)
		count += infos[i].flags & POPCORN_THREAD_AWAY && (int)infos[i].node == node;
	return count;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS];
	char line[16];

	if (argc != 2)
		errx(2, "usage: returner NODE");
	node = atoi(argv[1]);
	if (pipe(ends))
		err(2, "pipe");
	for (int i = 0; i < THREADS; i++) {
		workers[i].index = i;
		workers[i].memory = anon(BYTES);
		if (pthread_create(&threads[i], NULL, work, &workers[i]))
			errx(2, "no thread");
	}
	while (arrived < THREADS)
		nap();
	puts("there");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		printf("%d\n", there());
		fflush(stdout);
	}
	/* They work where they are now. */
	for (int i = 0; i < 2; i++) {
		uint64_t before = workers[i].count;

		while (workers[i].count <= before)
			nap();
	}
	done = 1;
	if (write(ends[1], "x", 1) != 1)
		err(2, "write");
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < THREADS; i++)
		check(&workers[i]);
	puts("right");
	return fflush(stdout) ? 1 : 0;
}

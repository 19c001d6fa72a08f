// SPDX-License-Identifier: GPL-2.0
/*
 * A process on two nodes, of which can be seen from outside what goes on; guest/suspended looks.
 *
 *   progress NODE DIRECTORY
 *
 * Two threads go there. One writes to a page, over and over, to which the thread at home writes, too, and makes no
 * system call. The other appends a byte to the file "calls" by each of its system calls, and needs no page that
 * anybody else writes to. The thread at home says ten times a second in the file "pages" how often it has
 * written to the page, and how often the first has. It says "there" when all are at work. At the end of its
 * input they stop, and it says "right" if no write and no call is lost; else its status is 1.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <err.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAUSE_MS 100

/* The page that both sides write to. */
struct shared {
	volatile uint64_t home, away;
};

static struct shared *shared;
/* In a page of its own, which is written once. */
static volatile bool *done;
static int node, calls;
static _Atomic int arrived;

static void leave(void)
{
	if (popcorn_migrate(node))
		err(2, "moving to node %d", node);
	arrived++;
}

static void *write_pages(void *count)
{
	uint64_t number = 0;

	leave();
	while (!*done) {
		shared->away++;
		number++;
	}
	*(uint64_t *)count = number;
	return NULL;
}

static void *call_home(void *count)
{
	uint64_t number = 0;

	leave();
	while (!*done) {
		if (write(calls, "x", 1) != 1)
			err(1, "write");
		number++;
	}
	*(uint64_t *)count = number;
	return NULL;
}

/* One line, of one length, so that who reads it while it is written finds both numbers. */
static void report(int pages)
{
	char line[80];
	int length;

	shared->home++;
	length = snprintf(line, sizeof(line), "home %12llu away %12llu\n",
			  (unsigned long long)shared->home, (unsigned long long)shared->away);
	if (pwrite(pages, line, length, 0) != length)
		err(1, "pages");
}

static int create(const char *name)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		err(2, "%s", name);
	return fd;
}

/* Nobody types: it is there when it ends. */
static bool input_ended(void)
{
	struct pollfd input = { .fd = 0, .events = POLLIN };

	return poll(&input, 1, PAUSE_MS) > 0;
}

int main(int argc, char **argv)
{
	static void *(*const work[])(void *) = { write_pages, call_home };
	uint64_t counts[ARRAY_SIZE(work)];
	pthread_t threads[ARRAY_SIZE(work)];
	struct stat called;
	int pages;

	if (argc != 3)
		errx(2, "usage: progress NODE DIRECTORY");
	node = atoi(argv[1]);
	if (chdir(argv[2]))
		err(2, "%s", argv[2]);
	pages = create("pages");
	calls = create("calls");
	shared = anon(PAGE);
	done = anon(PAGE);
	for (size_t i = 0; i < ARRAY_SIZE(work); i++)
		if (pthread_create(&threads[i], NULL, work[i], &counts[i]))
			errx(2, "no thread");
	while (arrived < (int)ARRAY_SIZE(work))
		nap();
	report(pages);
	puts("there");
	fflush(stdout);
	while (!input_ended())
		report(pages);
	*done = true;
	for (size_t i = 0; i < ARRAY_SIZE(work); i++)
		pthread_join(threads[i], NULL);
	if (fstat(calls, &called))
		err(2, "calls");
	if (shared->away != counts[0] || (uint64_t)called.st_size != counts[1])
		errx(1, "%llu of %llu writes, %llu of %llu calls", (unsigned long long)shared->away,
		     (unsigned long long)counts[0], (unsigned long long)called.st_size,
		     (unsigned long long)counts[1]);
	puts("right");
	return fflush(stdout) ? 1 : 0;
}

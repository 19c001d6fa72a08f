// SPDX-License-Identifier: GPL-2.0
/*
 * A process with something on another node when that ends; guest/deaths looks at what becomes of it.
 *
 *   victim thread NODE     its only thread runs there
 *   victim threads NODE    two of its four threads run there
 *   victim call NODE       its thread belongs there and sleeps in a system call, at home
 *   victim pages NODE      all of it is at home, but some of its pages are there alone
 *   victim pages NODE OTHER  they are at these two nodes
 *   victim watched NODE    one of its two threads runs there; the other one, at home, writes on and on
 *   victim offered NODE    it wants to move there and is refused; its name is where it has pages that nobody has touched
 *
 * It says "there" once that is so. "pages" and "offered" then wait for a line and touch their pages: they say how many are
 * lost, and check all others. "watched" says where it writes, for a debugger there (guest/debugger); after a
 * line it looks at each page. A wrong byte is status 1.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <err.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define PAGES	64
#define OFFERED 5000

static int node, other_node = -1;
static _Atomic int arrived;

static void move(int to)
{
	if (popcorn_migrate(to))
		err(2, "moving to node %d", to);
}

static void say(const char *text)
{
	puts(text);
	fflush(stdout);
}

static void *compute(void *away)
{
	volatile uint64_t count = 0;

	if (away)
		move(node);
	arrived++;
	for (;;)
		count++;
	return NULL;
}

static void thread(void)
{
	move(node);
	say("there");
	compute(NULL);
}

static void threads(void)
{
	pthread_t other;

	for (int i = 0; i < 3; i++)
		if (pthread_create(&other, NULL, compute, i < 2 ? &node : NULL))
			errx(2, "no thread");
	while (arrived < 3)
		nap();
	say("there");
	for (;;)
		pause();
}

static void call(void)
{
	char byte;
	int ends[2];

	if (pipe(ends))
		err(2, "pipe");
	move(node);
	say("there");
	/* Nobody writes. */
	if (read(ends[0], &byte, 1) != 1)
		err(2, "read");
}

static uint8_t *there, *here;

/* Away, and home again: what it has written stays there until somebody wants it here. */
static void *write_there(void *unused)
{
	move(node);
	fill(there, PAGES * PAGE, 1);
	move(POPCORN_NODE_ORIGIN);
	return unused;
}

/* The same, but it only reads. */
static void *read_there(void *unused)
{
	move(other_node);
	if (mismatch(there, PAGES * PAGE, 1) >= 0)
		errx(1, "a page is wrong there");
	move(POPCORN_NODE_ORIGIN);
	return unused;
}

static void in_thread(void *(*run)(void *))
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, run, NULL) || pthread_join(thread, NULL))
		errx(2, "no thread");
}

static sigjmp_buf lost;

static void on_bus_error(int signal)
{
	(void)signal;
	siglongjmp(lost, 1);
}

/* Waits for a line; then says how many of these pages are lost. */
static int lost_of(const uint8_t *memory, int number)
{
	volatile int count = 0;
	char line[16];

	signal(SIGBUS, on_bus_error);
	say("there");
	if (!fgets(line, sizeof(line), stdin))
		errx(2, "nobody wants to know");
	for (volatile int i = 0; i < number; i++) {
		if (sigsetjmp(lost, 1))
			count++;
		else
			(void)*(volatile const uint8_t *)(memory + i * PAGE);
	}
	printf("%d of %d lost\n", count, number);
	return count;
}

static void pages(void)
{
	int count;

	there = anon(PAGES * PAGE);
	here = anon(PAGES * PAGE);
	fill(here, PAGES * PAGE, 2);
	in_thread(write_there);
	if (other_node >= 0)
		in_thread(read_there);
	count = lost_of(there, PAGES);
	if (mismatch(here, PAGES * PAGE, 2) >= 0)
		errx(1, "a page that was never there is wrong");
	if (!count && mismatch(there, PAGES * PAGE, 1) >= 0)
		errx(1, "a page that was there is wrong");
	exit(fflush(stdout) ? 1 : 0);
}

/* A node that refuses the thread knows the process by then, and may want pages of it (guest/hostile-peer). */
static void offered(void)
{
	volatile int i = 0, wrong = 0;
	char name[16];

	there = anon(OFFERED * PAGE);
	snprintf(name, sizeof(name), "%lx", (unsigned long)there);
	if (prctl(PR_SET_NAME, name))
		err(2, "prctl");
	if (!popcorn_migrate(node))
		errx(2, "it was not refused");
	lost_of(there, OFFERED);
	for (i = 0; i < OFFERED; i++)
		if (!sigsetjmp(lost, 1))
			wrong += there[i * PAGE] != 0;
	exit(wrong || fflush(stdout));
}

static bool is_told(void)
{
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };

	return poll(&input, 1, 0) > 0;
}

/* A debugger there sees no area that nobody of the process has touched there. */
static void *touch_there(void *unused)
{
	(void)unused;
	move(node);
	(void)*(volatile uint8_t *)there;
	return compute(NULL);
}

static void watched(void)
{
	pthread_t other;
	uint64_t round = 1;

	there = anon(PAGES * PAGE);
	if (pthread_create(&other, NULL, touch_there, NULL))
		errx(2, "no thread");
	while (!arrived)
		nap();
	printf("there 0x%lx %lu\n", (unsigned long)there, PAGES * PAGE);
	fflush(stdout);
	for (; !is_told(); round++) {
		fill(there, PAGES * PAGE, round);
		nap();
	}
	fill(there, PAGES * PAGE, round);
	exit(mismatch(there, PAGES * PAGE, round) >= 0);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*run)(void);
	} kinds[] = {
		{ "thread", thread }, { "threads", threads }, { "call", call },
		{ "pages", pages },   { "watched", watched }, { "offered", offered },
	};

	if (argc != 3 && argc != 4)
		errx(2, "usage: victim thread|threads|call|pages|watched|offered NODE [OTHER]");
	node = atoi(argv[2]);
	if (argc == 4)
		other_node = atoi(argv[3]);
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (!strcmp(argv[1], kinds[i].name))
			kinds[i].run();
	return 2;
}

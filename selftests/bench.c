// SPDX-License-Identifier: GPL-2.0
/*
 * What things cost: messages, faults, migrations, system calls; each also as a multiple of the
 * message round trip of the same run, which is what can be compared between machines.
 *
 *   bench [--json FILE] [--node N] [--pages N] [--moves N] [--calls N]
 *
 * A table on stdout, JSON to the file. In home-only mode (POPCORN_NODE=home) only what needs no other
 * node is measured. Times are taken by the processor's time stamp counter, which is one for all nodes
 * of a machine; where both ends of a measurement are at home, that is as good as any clock.
 */
#define _GNU_SOURCE
#include "harness.h"
#include "stamp.h"

#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct {
	const char *json;
	int node;
	long pages;
	long moves;
	long calls;
} options = { .node = -1, .pages = 512, .moves = 100, .calls = 1000 };

static bool at_home_only;

/* One figure: over samples, in ns. */
struct figure {
	const char *name;
	const char *what;
	uint64_t samples;
	double median, mean, min;
};

static struct figure figures[64];
static size_t figure_count;
static double tsc_per_ns;

static __attribute__((noreturn)) void give_up(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void add(const char *name, const char *what, uint64_t samples, double median, double mean,
		double min)
{
	figures[figure_count++] = (struct figure){ name, what, samples, median, mean, min };
}

/* Samples in ticks of the counter, one per event. */
static void add_ticks(const char *name, const char *what, uint64_t *ticks, long count)
{
	double sum = 0;

	for (long i = 0; i < count; i++)
		sum += ticks[i];
	qsort(ticks, count, sizeof(*ticks), by_value);
	add(name, what, count, ticks[count / 2] / tsc_per_ns, sum / count / tsc_per_ns,
	    ticks[0] / tsc_per_ns);
}

static void move(int node)
{
	if (!at_home_only && popcorn_migrate(node))
		give_up("migrate");
}

static void ping(const char *name, const char *what, unsigned int bytes, unsigned int flags)
{
	struct popcorn_ping p = { .node = options.node, .bytes = bytes, .flags = flags };

	p.count = 100; /* warm up */
	if (popcorn_ping(&p))
		give_up("ping (it needs root)");
	p.count = options.calls;
	if (popcorn_ping(&p))
		give_up("ping");
	/* the kernel gives sum and extremes only */
	add(name, what, p.count, (double)p.total_ns / p.count, (double)p.total_ns / p.count,
	    p.min_ns);
}

static void messages(void)
{
	ping("ping_64", "message round trip, 64 bytes", 64, 0);
	ping("ping_4096", "message round trip, 4 KiB", 4096, 0);
	ping("ping_64_poll", "message round trip, 64 bytes, polled", 64, POPCORN_PING_POLL);
	ping("ping_4096_poll", "message round trip, 4 KiB, polled", 4096, POPCORN_PING_POLL);
}

enum touch {
	READ,
	WRITE
};

enum order {
	ROW, /* one page after the other: those behind the one that is asked for come along */
	JUMPS /* here and there: each page costs a message */
};

/* Touch every page once, one time stamp for each. */
static void touch_pages(volatile uint64_t *memory, uint64_t *ticks, enum touch how,
			enum order order)
{
	/* a prime: it hits every page once, whatever their number, unless that is a multiple */
	const long step = order == ROW ? 1 : 211;

	for (long i = 0, page = 0; i < options.pages; i++, page = (page + step) % options.pages) {
		uint64_t from = stamp();

		if (how == READ)
			(void)memory[page * 512];
		else
			memory[page * 512] = i;
		ticks[i] = stamp() - from;
	}
}

static void faults(void)
{
	uint64_t *ticks = calloc(options.pages, sizeof(*ticks));
	uint64_t *memory = anon(options.pages * PAGE);
	uint64_t *fresh = anon(options.pages * PAGE);

	if (!ticks)
		give_up("memory");
	memset(ticks, 1, options.pages * sizeof(*ticks)); /* the same pages in every run */

	touch_pages(memory, ticks, WRITE, JUMPS);
	add_ticks("local_fault", "first touch of a page at home, for comparison", ticks,
		  options.pages);
	if (at_home_only)
		return;

	move(options.node);
	touch_pages(memory, ticks, READ, JUMPS);
	add_ticks("remote_read_fault", "read away of a page that is at home", ticks, options.pages);
	touch_pages(memory, ticks, WRITE, JUMPS);
	add_ticks("upgrade", "write away to a page that both have (no data)", ticks, options.pages);
	touch_pages(fresh, ticks, WRITE, JUMPS);
	add_ticks("remote_zero_fault", "first touch of a page ever, away", ticks, options.pages);
	move(POPCORN_NODE_ORIGIN);

	touch_pages(memory, ticks, READ, JUMPS);
	add_ticks("home_read_fault", "read at home of a page that is away", ticks, options.pages);
	touch_pages(memory, ticks, WRITE, JUMPS);
	add_ticks("home_upgrade", "write at home to a page that both have", ticks, options.pages);
	move(options.node);
	touch_pages(memory, ticks, READ, ROW);
	add_ticks("remote_read_row", "the same in a row: others come along (see the mean)", ticks,
		  options.pages);
	move(POPCORN_NODE_ORIGIN);
	touch_pages(memory, ticks, WRITE, ROW);
	move(options.node);
	touch_pages(memory, ticks, WRITE, JUMPS);
	add_ticks("remote_write_fault", "write away to a page that is at home", ticks,
		  options.pages);
	move(POPCORN_NODE_ORIGIN);
	touch_pages(memory, ticks, WRITE, JUMPS);
	add_ticks("home_write_fault", "write at home to a page that is away", ticks, options.pages);
	munmap(memory, options.pages * PAGE);
	munmap(fresh, options.pages * PAGE);
	free(ticks);
}

static struct popcorn_thread_info self_info(void)
{
	struct popcorn_thread_info info[8];
	int count = popcorn_threads(getpid(), info, ARRAY_SIZE(info));

	if (count < 0)
		give_up("listing my threads");
	for (int i = 0; i < count && i < (int)ARRAY_SIZE(info); i++)
		if (info[i].tid == gettid())
			return info[i];
	errno = ESRCH;
	give_up("listing my threads");
}

/*
 * The first migrations, of processes that never moved before. Each child sends its own figures.
 */
static void first_migrations(void)
{
	enum {
		CHILDREN = 20
	};
	uint64_t out[CHILDREN], from_user[CHILDREN];
	int count = 0;

	for (int i = 0; i < CHILDREN; i++) {
		uint64_t times[2];
		int ends[2];
		pid_t pid;

		if (pipe(ends))
			give_up("pipe");
		pid = fork();
		if (pid < 0)
			give_up("fork");
		if (!pid) {
			uint64_t from = stamp();

			move(options.node);
			times[1] = stamp() - from;
			times[0] = self_info().out_ns_first;
			_exit(write(ends[1], times, sizeof(times)) == sizeof(times) ? 0 : 1);
		}
		close(ends[1]);
		if (read(ends[0], times, sizeof(times)) != sizeof(times))
			give_up("a first migration");
		close(ends[0]);
		expect_exit(pid, 0);
		out[count] = times[0] * tsc_per_ns;
		from_user[count++] = times[1];
	}
	add_ticks("forward_first", "first migration out of a process (by the kernel)", out, count);
	add_ticks("forward_first_user", "the same, as the program sees it", from_user, count);
}

static void later_migrations(void)
{
	uint64_t *forward = calloc(options.moves, sizeof(*forward));
	uint64_t *backward = calloc(options.moves, sizeof(*backward));
	uint64_t *round = calloc(options.moves, sizeof(*round));

	if (!forward || !backward || !round)
		give_up("memory");
	move(options.node);
	move(POPCORN_NODE_ORIGIN);
	for (long i = 0; i < options.moves; i++) {
		struct popcorn_thread_info info;
		uint64_t from = stamp();

		move(options.node);
		move(POPCORN_NODE_ORIGIN);
		round[i] = stamp() - from;
		info = self_info();
		forward[i] = info.out_ns_last * tsc_per_ns;
		backward[i] = info.back_ns_last * tsc_per_ns;
	}
	add_ticks("forward_later", "later migration out (by the kernel)", forward, options.moves);
	add_ticks("backward", "migration back (by the kernel)", backward, options.moves);
	add_ticks("out_and_back", "out and back, as the program sees it", round, options.moves);
	free(forward);
	free(backward);
	free(round);
}

static void measure_getpid(uint64_t *ticks)
{
	for (long i = 0; i < options.calls; i++) {
		uint64_t from = stamp();

		syscall(SYS_getpid);
		ticks[i] = stamp() - from;
	}
}

/* 4 KiB of a file in memory; with use, the program looks at what it has read. */
static void measure_read(uint64_t *ticks, int fd, char *buffer, bool use)
{
	for (long i = 0; i < options.calls; i++) {
		uint64_t from = stamp();

		if (pread(fd, buffer, PAGE, 0) != (ssize_t)PAGE)
			give_up("pread");
		if (use)
			(void)*(volatile char *)buffer;
		ticks[i] = stamp() - from;
	}
}

static void calls(void)
{
	uint64_t *ticks = anon(options.calls * sizeof(*ticks));
	char *buffer = anon(PAGE);
	int fd = temp_file();

	fill(buffer, PAGE, 1);
	if (write(fd, buffer, PAGE) != (ssize_t)PAGE)
		give_up("write");
	measure_getpid(ticks);
	add_ticks("getpid_home", "getpid at home, for comparison", ticks, options.calls);
	measure_read(ticks, fd, buffer, true);
	add_ticks("read_4096_home", "read of 4 KiB at home, for comparison", ticks, options.calls);
	if (at_home_only)
		return;

	move(options.node);
	memset(ticks, 0, options.calls * sizeof(*ticks));
	measure_getpid(ticks);
	add_ticks("getpid_away", "getpid away, run at home", ticks, options.calls);
	measure_read(ticks, fd, buffer, false);
	add_ticks("read_4096_away", "read of 4 KiB away", ticks, options.calls);
	measure_read(ticks, fd, buffer, true);
	add_ticks("read_4096_away_used", "the same, and look at the data", ticks, options.calls);
	move(POPCORN_NODE_ORIGIN);
	munmap(ticks, options.calls * sizeof(*ticks));
	munmap(buffer, PAGE);
	close(fd);
}

/* A word that two threads take in turns: two write faults for each round. */
static _Atomic uint64_t turn __attribute__((aligned(4096)));

static void *take_turns_away(void *arg)
{
	move(options.node);
	for (long i = 0; i < options.moves; i++) {
		while (turn % 2 == 0)
			__asm__ volatile("pause");
		turn++;
	}
	move(POPCORN_NODE_ORIGIN);
	return arg;
}

static void ping_pong(void)
{
	uint64_t *ticks = calloc(options.moves, sizeof(*ticks));
	pthread_t other;

	if (!ticks || pthread_create(&other, NULL, take_turns_away, NULL))
		give_up("thread");
	for (long i = 0; i < options.moves; i++) {
		uint64_t from;

		while (turn % 2)
			__asm__ volatile("pause");
		from = stamp();
		turn++;
		while (turn % 2)
			__asm__ volatile("pause");
		ticks[i] = stamp() - from;
	}
	pthread_join(other, NULL);
	/* the first waits for the other thread to arrive there */
	add_ticks("page_ping_pong", "a word written there and back", ticks + 1, options.moves - 1);
	free(ticks);
}

/* The unit of all: the round trip of 64 bytes. 0 if it was not measured. */
static double unit(void)
{
	for (size_t i = 0; i < figure_count; i++)
		if (!strcmp(figures[i].name, "ping_64"))
			return figures[i].median;
	return 0;
}

static void print_table(void)
{
	double one = unit();

	printf("%-22s %12s %12s %12s %9s  %s\n", "", "median (us)", "mean (us)", "least (us)",
	       "x ping", "what");
	for (size_t i = 0; i < figure_count; i++) {
		const struct figure *f = &figures[i];

		printf("%-22s %12.2f %12.2f %12.2f ", f->name, f->median / 1e3, f->mean / 1e3,
		       f->min / 1e3);
		if (one > 0)
			printf("%9.2f", f->median / one);
		else
			printf("%9s", "-");
		printf("  %s\n", f->what);
	}
}

static void print_json(const char *path)
{
	FILE *file = fopen(path, "we");
	double one = unit();

	if (!file)
		give_up(path);
	fprintf(file, "{\n  \"unit\": \"ns\",\n  \"pages\": %ld,\n  \"figures\": {", options.pages);
	for (size_t i = 0; i < figure_count; i++) {
		const struct figure *f = &figures[i];

		fprintf(file,
			"%s\n    \"%s\": { \"what\": \"%s\", \"samples\": %lu, \"median\": %.1f, "
			"\"mean\": %.1f, \"min\": %.1f, \"round_trips\": ",
			i ? "," : "", f->name, f->what, f->samples, f->median, f->mean, f->min);
		if (one > 0)
			fprintf(file, "%.3f }", f->median / one);
		else
			fprintf(file, "null }");
	}
	fprintf(file, "\n  }\n}\n");
	if (fclose(file))
		give_up(path);
}

static const char usage[] =
	"Usage: bench [--json FILE] [--node N] [--pages N] [--moves N] [--calls N] [--boot-ns N]\n"
	"Measure messages, faults, migrations and system calls between this node and another.\n"
	"--boot-ns adds the boot time of the second kernel, measured elsewhere, to the list.\n";

static long positive(const char *text)
{
	char *end;
	long value = strtol(text, &end, 10);

	if (end == text || *end || value < 2 || value > 100000000000000) {
		fprintf(stderr, "bench: '%s' is no number that makes sense here\n", text);
		exit(2);
	}
	return value;
}

static uint64_t boot_ns;

static void parse(int argc, char **argv)
{
	static const struct option known[] = {
		{ "json", required_argument, NULL, 'j' },
		{ "node", required_argument, NULL, 'n' },
		{ "pages", required_argument, NULL, 'p' },
		{ "moves", required_argument, NULL, 'm' },
		{ "calls", required_argument, NULL, 'c' },
		{ "boot-ns", required_argument, NULL, 'b' },
		{ "help", no_argument, NULL, 'h' },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case 'j':
			options.json = optarg;
			break;
		case 'n':
			options.node = atoi(optarg);
			break;
		case 'p':
			options.pages = positive(optarg);
			break;
		case 'm':
			options.moves = positive(optarg);
			break;
		case 'c':
			options.calls = positive(optarg);
			break;
		case 'b':
			boot_ns = positive(optarg);
			break;
		case 'h':
			fputs(usage, stdout);
			exit(0);
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
}

static void find_other_node(void)
{
	struct popcorn_node_info info[POPCORN_NODE_MAX];
	const char *wish = getenv("POPCORN_NODE");
	int count;

	at_home_only = wish && !strcmp(wish, "home");
	if (at_home_only || options.node >= 0)
		return;
	count = popcorn_nodes(info, ARRAY_SIZE(info));
	if (count < 0)
		give_up("/dev/popcorn");
	for (int i = 0; i < count && i < (int)ARRAY_SIZE(info) && options.node < 0; i++)
		if (info[i].state == POPCORN_NODE_ONLINE && !(info[i].flags & POPCORN_NODE_SELF))
			options.node = info[i].id;
	if (options.node < 0) {
		errno = EHOSTDOWN;
		give_up("there is no other node");
	}
}

int main(int argc, char **argv)
{
	parse(argc, argv);
	find_other_node();
	tsc_per_ns = stamps_per_ns();
	if (!at_home_only) {
		messages();
		first_migrations();
		later_migrations();
	}
	faults();
	calls();
	if (!at_home_only)
		ping_pong();
	if (boot_ns)
		add("second_kernel_boot", "start of the second kernel until it has booted", 1,
		    boot_ns, boot_ns, boot_ns);
	print_table();
	if (options.json)
		print_json(options.json);
	return fflush(stdout) ? 1 : 0;
}

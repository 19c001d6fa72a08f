// SPDX-License-Identifier: GPL-2.0
/*
 * Count words with many threads, on two kernels at once.
 *
 * An ordinary pthread program: all threads read the same mapped text, fill slices of shared arrays,
 * meet at a barrier, merge a part each of what all have counted, and meet again. The only line that
 * is special is popcorn_migrate(): by it, every second thread works on another kernel, and comes
 * home in the end. The result, on stdout, does not depend on where or by how many it was computed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <popcorn.h>

#define PAGE	    4096UL
#define MAX_THREADS 64
#define LENGTHS	    64 /* words of this length and longer are counted together */
#define BUCKETS	    8192 /* of words, by hash */
#define STEP	    (1UL << 20) /* bytes between two updates of the shared counters */

/* What one thread counts: on pages of its own, as every thread writes it all the time. */
struct slice {
	uint64_t words;
	uint64_t word_hash; /* sum over all words: the order does not matter */
	uint64_t bytes[256];
	uint64_t lengths[LENGTHS + 1];
	uint32_t buckets[BUCKETS];
} __attribute__((aligned(4096)));

struct worker {
	pthread_t thread;
	int index;
	pid_t tid;
	int node; /* where it worked */
	uint64_t from, to; /* its part of the text */
	uint64_t wall_ns; /* from its first to its last line at home */
} __attribute__((aligned(4096)));

/* Counters that all threads update as they go. */
struct progress {
	_Atomic uint64_t bytes;
	_Atomic uint64_t words;
	_Atomic uint64_t threads_away;
} __attribute__((aligned(4096)));

struct file {
	const unsigned char *text;
	uint64_t start, size; /* position of its first byte among all files' */
};

static struct slice slices[MAX_THREADS];
static struct worker workers[MAX_THREADS];
static struct progress progress;
static struct slice total; /* the buckets are merged by all threads, the rest by main */
static pthread_barrier_t barrier;

static struct file *files;
static int file_count;
static uint64_t text_size;

static struct {
	int threads;
	int remote_node;
	bool migrate;
	bool report;
	bool json;
} options = { .threads = 4, .remote_node = 1, .migrate = true };

static __attribute__((noreturn, format(printf, 1, 2))) void die(const char *format, ...)
{
	va_list args;

	fputs("wordcount: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static bool word_character[256];

static void know_words(void)
{
	for (int c = 0; c < 256; c++)
		word_character[c] = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
				    (c >= '0' && c <= '9') || c == '_';
}

/* FNV-1a, byte by byte; mixed in the end, as only the low bits choose the bucket. */
#define HASH_START  0xcbf29ce484222325ULL
#define HASH_FACTOR 0x100000001b3ULL

static void count_word(struct slice *s, uint64_t hash, uint64_t length)
{
	hash ^= hash >> 29;
	s->words++;
	s->word_hash += hash;
	s->lengths[length < LENGTHS ? length : LENGTHS]++;
	s->buckets[hash % BUCKETS]++;
}

/*
 * Count the bytes of [from, to) of a file, and the words that begin there. A word that goes on
 * beyond is counted here whole, and not by who has the next part.
 */
static void count(struct slice *s, const struct file *f, uint64_t from, uint64_t to)
{
	const unsigned char *text = f->text;
	uint64_t hash = HASH_START, length = 0, i = from;

	if (i > 0 && word_character[text[i - 1]])
		for (; i < to && word_character[text[i]]; i++)
			s->bytes[text[i]]++;
	for (; i < to; i++) {
		unsigned char c = text[i];

		s->bytes[c]++;
		if (word_character[c]) {
			hash = (hash ^ c) * HASH_FACTOR;
			length++;
		} else if (length) {
			count_word(s, hash, length);
			hash = HASH_START;
			length = 0;
		}
	}
	if (!length)
		return;
	for (; i < f->size && word_character[text[i]]; i++, length++)
		hash = (hash ^ text[i]) * HASH_FACTOR;
	count_word(s, hash, length);
}

/* The part [from, to) of all files together, in steps. */
static void work(struct slice *s, uint64_t from, uint64_t to)
{
	for (int n = 0; n < file_count; n++) {
		const struct file *f = &files[n];
		uint64_t begin = from > f->start ? from - f->start : 0;
		uint64_t end = to > f->start ? to - f->start : 0;

		if (end > f->size)
			end = f->size;
		while (begin < end) {
			uint64_t stop = end - begin > STEP ? begin + STEP : end, words = s->words;

			count(s, f, begin, stop);
			progress.bytes += stop - begin;
			progress.words += s->words - words;
			begin = stop;
		}
	}
}

/* This thread's share of the buckets, summed over the slices of all. */
static void merge_buckets(int index)
{
	size_t from = (size_t)BUCKETS * index / options.threads;
	size_t to = (size_t)BUCKETS * (index + 1) / options.threads;

	for (int t = 0; t < options.threads; t++)
		for (size_t b = from; b < to; b++)
			total.buckets[b] += slices[t].buckets[b];
}

static void meet(void)
{
	pthread_barrier_wait(&barrier);
}

static void *run(void *arg)
{
	struct worker *w = arg;
	uint64_t start = now_ns();
	bool moves = options.migrate && w->index % 2;

	w->tid = gettid();
	if (moves) {
		if (popcorn_migrate(options.remote_node))
			die("thread %d: migrate to node %d: %s", w->index, options.remote_node,
			    strerror(errno));
		w->node = popcorn_where();
		progress.threads_away++;
	}

	work(&slices[w->index], w->from, w->to);
	meet(); /* all have counted */
	merge_buckets(w->index);
	meet(); /* all have merged */

	if (moves && popcorn_home())
		die("thread %d: migrate home: %s", w->index, strerror(errno));
	w->wall_ns = now_ns() - start;
	meet(); /* all are home: main reads their counters */
	meet();
	return NULL;
}

static void open_files(int count_given, char **paths)
{
	files = calloc(count_given, sizeof(*files));
	if (!files)
		die("%s", strerror(errno));
	for (int i = 0; i < count_given; i++) {
		struct file *f = &files[file_count];
		int fd = open(paths[i], O_RDONLY | O_CLOEXEC);
		struct stat st;
		void *text;

		if (fd < 0 || fstat(fd, &st))
			die("%s: %s", paths[i], strerror(errno));
		if (st.st_size) {
			text = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
			if (text == MAP_FAILED)
				die("%s: mmap: %s", paths[i], strerror(errno));
			*f = (struct file){ text, text_size, st.st_size };
			text_size += st.st_size;
			file_count++;
		}
		close(fd);
	}
}

static void merge_rest(void)
{
	for (int t = 0; t < options.threads; t++) {
		const struct slice *s = &slices[t];

		total.words += s->words;
		total.word_hash += s->word_hash;
		for (int i = 0; i < 256; i++)
			total.bytes[i] += s->bytes[i];
		for (int i = 0; i <= LENGTHS; i++)
			total.lengths[i] += s->lengths[i];
	}
}

static void check_sums(void)
{
	uint64_t bytes = 0, words = 0, in_buckets = 0;

	for (int i = 0; i < 256; i++)
		bytes += total.bytes[i];
	for (int i = 0; i <= LENGTHS; i++)
		words += total.lengths[i];
	for (int i = 0; i < BUCKETS; i++)
		in_buckets += total.buckets[i];
	if (bytes != text_size || progress.bytes != text_size)
		die("counted %lu bytes, %lu by the shared counter, of %lu", bytes, progress.bytes,
		    text_size);
	if (words != total.words || in_buckets != words || progress.words != words)
		die("words: %lu by threads, %lu by length, %lu by bucket, %lu by the shared counter",
		    total.words, words, in_buckets, progress.words);
}

static void print_result(void)
{
	uint64_t digest = 0;
	unsigned int used = 0, most = 0;

	for (int i = 0; i < BUCKETS; i++) {
		digest = (digest ^ total.buckets[i]) * HASH_FACTOR;
		used += total.buckets[i] > 0;
		if (total.buckets[i] > total.buckets[most])
			most = i;
	}
	printf("bytes %lu\nlines %lu\nwords %lu\nword-hash %016lx\n", text_size, total.bytes['\n'],
	       total.words, total.word_hash);
	printf("buckets %u, fullest %u with %u, digest %016lx\n", used, most, total.buckets[most],
	       digest);
	for (int i = 1; i <= LENGTHS; i++)
		if (total.lengths[i])
			printf("length %d%s %lu\n", i, i == LENGTHS ? "+" : "", total.lengths[i]);
	for (int i = 0; i < 256; i++)
		if (total.bytes[i])
			printf("byte %02x %lu\n", i, total.bytes[i]);
}

static const struct popcorn_thread_info *find(const struct popcorn_thread_info *info,
					      int count_listed, pid_t tid)
{
	static const struct popcorn_thread_info none;

	for (int i = 0; i < count_listed; i++)
		if (info[i].tid == tid)
			return &info[i];
	return &none;
}

static void print_report(const struct popcorn_thread_info *info, int listed, uint64_t wall_ns)
{
	if (options.json)
		fprintf(stderr,
			"{\"bytes\": %lu, \"wall_ns\": %lu, \"migrated\": %s, \"threads\": [",
			text_size, wall_ns, options.migrate ? "true" : "false");
	else
		fprintf(stderr, "%7s %5s %12s %10s %11s %7s %9s %14s %13s %11s\n", "thread", "node",
			"bytes", "pages out", "pages back", "grants", "syscalls", "first out (us)",
			"home (us)", "wall (ms)");
	for (int i = 0; i < options.threads; i++) {
		const struct worker *w = &workers[i];
		const struct popcorn_thread_info *t = find(info, listed, w->tid);

		if (options.json)
			fprintf(stderr,
				"%s\n  {\"thread\": %d, \"node\": %d, \"bytes\": %lu, \"out\": %llu, \"back\": %llu, "
				"\"pages_out\": %llu, \"pages_back\": %llu, \"grants\": %llu, "
				"\"syscalls\": %llu, \"bounces\": %llu, \"out_ns_first\": %llu, "
				"\"out_ns_last\": %llu, \"back_ns_last\": %llu, \"wall_ns\": %lu}",
				i ? "," : "", i, w->node, w->to - w->from, t->out, t->back,
				t->pages_out, t->pages_back, t->grants, t->syscalls, t->bounces,
				t->out_ns_first, t->out_ns_last, t->back_ns_last, w->wall_ns);
		else
			fprintf(stderr,
				"%7d %5d %12lu %10llu %11llu %7llu %9llu %14.1f %13.1f %11.1f\n", i,
				w->node, w->to - w->from, t->pages_out, t->pages_back, t->grants,
				t->syscalls, t->out_ns_first / 1e3, t->back_ns_last / 1e3,
				w->wall_ns / 1e6);
	}
	if (options.json)
		fprintf(stderr, "\n]}\n");
	else
		fprintf(stderr, "all: %.1f MiB in %.1f ms, %lu of %d threads away\n",
			text_size / 1048576.0, wall_ns / 1e6, progress.threads_away,
			options.threads);
}

static const char usage[] =
	"Usage: wordcount [OPTION]... FILE...\n"
	"Count words, word lengths and bytes of the files, all taken as one text, with many threads.\n"
	"\n"
	"  --threads N       how many (default 4, at most 64)\n"
	"  --remote-node M   every second thread works on this node (default 1)\n"
	"  --no-migrate      all work at home\n"
	"  --report          tell on stderr where each thread ran and what it took\n"
	"  --json            the report as JSON\n"
	"  --help\n";

static int number(const char *text, int least, int most, const char *what)
{
	char *end;
	long value;

	errno = 0;
	value = strtol(text, &end, 10);
	if (errno || end == text || *end || value < least || value > most)
		die("%s: expected a number from %d to %d, not '%s'", what, least, most, text);
	return value;
}

static void parse(int argc, char **argv)
{
	enum {
		THREADS = 256,
		NODE,
		STAY,
		REPORT,
		JSON,
		HELP
	};
	static const struct option known[] = {
		{ "threads", required_argument, NULL, THREADS },
		{ "remote-node", required_argument, NULL, NODE },
		{ "no-migrate", no_argument, NULL, STAY },
		{ "report", no_argument, NULL, REPORT },
		{ "json", no_argument, NULL, JSON },
		{ "help", no_argument, NULL, HELP },
		{ 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (option) {
		case THREADS:
			options.threads = number(optarg, 1, MAX_THREADS, "--threads");
			break;
		case NODE:
			options.remote_node =
				number(optarg, 0, POPCORN_NODE_MAX - 1, "--remote-node");
			break;
		case STAY:
			options.migrate = false;
			break;
		case JSON:
			options.json = true;
			options.report = true;
			break;
		case REPORT:
			options.report = true;
			break;
		case HELP:
			fputs(usage, stdout);
			exit(0);
		default:
			fputs("Try 'wordcount --help'.\n", stderr);
			exit(2);
		}
	}
	if (optind == argc) {
		fputs(usage, stderr);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	static struct popcorn_thread_info info[MAX_THREADS + 1];
	uint64_t start = now_ns(), wall_ns;
	int listed = 0, home = 0;

	parse(argc, argv);
	know_words();
	if (options.migrate) {
		home = popcorn_where();
		if (home < 0)
			die("/dev/popcorn: %s (load the modules, or use --no-migrate)",
			    strerror(errno));
	}
	open_files(argc - optind, argv + optind);

	errno = pthread_barrier_init(&barrier, NULL, options.threads + 1);
	if (errno)
		die("barrier: %s", strerror(errno));
	for (int i = 0; i < options.threads; i++) {
		struct worker *w = &workers[i];

		w->index = i;
		w->node = home;
		w->from = text_size * i / options.threads;
		w->to = text_size * (i + 1) / options.threads;
		errno = pthread_create(&w->thread, NULL, run, w);
		if (errno)
			die("thread %d: %s", i, strerror(errno));
	}
	meet(); /* all have counted */
	merge_rest();
	meet(); /* all have merged */
	meet(); /* all are home */
	wall_ns = now_ns() - start;
	if (options.migrate) {
		listed = popcorn_threads(getpid(), info, MAX_THREADS + 1);
		if (listed < 0)
			die("listing my threads: %s", strerror(errno));
		if (listed > MAX_THREADS + 1)
			listed = MAX_THREADS + 1;
	}
	meet();
	for (int i = 0; i < options.threads; i++)
		pthread_join(workers[i].thread, NULL);

	check_sums();
	print_result();
	if (fflush(stdout))
		die("writing the result: %s", strerror(errno));
	if (options.report)
		print_report(info, listed, wall_ns);
	return 0;
}

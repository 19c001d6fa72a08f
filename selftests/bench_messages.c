// SPDX-License-Identifier: GPL-2.0
/*
 * What messages between kernels cost, and beside that what they travel by does: round trip, one way, throughput, at
 * several sizes, as JSON on stdout.
 *
 *   bench_messages messages NODE       from kernel to kernel (/dev/popcorn_bench); as root
 *   bench_messages memory CPU CPU      two threads of this kernel, by a line of memory: both look at it all the time,
 *                                      or sleep until they are woken (futex)
 *   bench_messages tcp ADDRESS PORT    programs, over TCP; `serve tcp` is at the other end
 *   bench_messages tls ADDRESS PORT    the same, encrypted by the kernel, with keys that everybody knows; `serve tls`
 *   bench_messages serve tcp|tls PORT  until it is killed
 *
 * --seconds S: for each figure (default 1).
 * --in-step FOLDER NAME COUNT: with others, COUNT in all, each with a name of its own, in a folder that all see and that
 * is empty before: all measure the same at the same time, and who has enough goes on until the others have.
 *
 * Where both sides read one time-stamp counter, the way there is measured.
 * Else it is an estimate: the counters are compared by the fastest exchanges of the first and of the last third of the
 * run, of which both ways are taken to be equally long.
 */
#define _GNU_SOURCE
#include "stamp.h"

#include <linux/futex.h>
#include <linux/popcorn_bench.h>
#include <linux/tls.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <fcntl.h>
#include <unistd.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BYTES_MAX     65536
#define SAMPLES_MAX   20000
/* Fewer tell nothing of the 99th percentile but the most. */
#define SAMPLES_MIN   200
/* A run that takes longer hangs. */
#define PATIENCE      1200 /* s */

struct streamed {
	uint64_t messages, in_order, bytes, ns;
};

/* What is measured. Both return -1 with errno. */
struct medium {
	const char *name;
	/* Exchanges, one after the other. */
	int (*echo)(unsigned int bytes, bool poll, unsigned int count,
		    struct popcorn_bench_sample *samples);
	/* Messages one way, and an answer to the last. */
	int (*stream)(unsigned int bytes, bool poll, unsigned int count, struct streamed *streamed);
	/* How many exchanges at a time. */
	unsigned int batch;
};

static double seconds = 1;
static double per_ns; /* ticks of the time-stamp counter */
static bool one_clock;
static struct popcorn_bench_sample samples[SAMPLES_MAX];
static double times[SAMPLES_MAX];
/* Of exchanges that do not count, of no more than a batch. */
#define BATCH_MAX 250
static struct popcorn_bench_sample others[BATCH_MAX];

static __attribute__((noreturn, format(printf, 1, 2))) void give_up(const char *format, ...)
{
	va_list args;

	fputs("bench_messages: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* ---- by the module ---- */

static int device = -1;
static unsigned int node;

static void messages_begin(const char *to)
{
	char *end;

	node = strtoul(to, &end, 10);
	if (end == to || *end)
		give_up("'%s' is no node", to);
	device = open("/dev/popcorn_bench", O_RDWR | O_CLOEXEC);
	if (device < 0)
		give_up("/dev/popcorn_bench: %s", strerror(errno));
}

static int messages_echo(unsigned int bytes, bool poll, unsigned int count,
			 struct popcorn_bench_sample *into)
{
	struct popcorn_bench_run run = {
		.size = sizeof(run),
		.what = POPCORN_BENCH_ECHO,
		.node = node,
		.flags = poll ? POPCORN_BENCH_POLL : 0,
		.bytes = bytes,
		.count = count,
		.samples = (uintptr_t)into,
	};
	int result = ioctl(device, POPCORN_BENCH_IOC_RUN, &run);

	if (!result)
		one_clock = run.clocks & POPCORN_BENCH_ONE_CLOCK;
	return result;
}

static int messages_stream(unsigned int bytes, bool poll, unsigned int count,
			   struct streamed *streamed)
{
	struct popcorn_bench_run run = {
		.size = sizeof(run),
		.what = POPCORN_BENCH_STREAM,
		.node = node,
		.flags = poll ? POPCORN_BENCH_POLL : 0,
		.bytes = bytes,
		.count = count,
	};
	int result = ioctl(device, POPCORN_BENCH_IOC_RUN, &run);

	if (!result)
		*streamed =
			(struct streamed){ run.messages, run.in_order, run.bytes_in, run.total_ns };
	return result;
}

/* ---- memory ---- */

#define SLOTS 16
#define LINE  __attribute__((aligned(128))) /* processors fetch two lines at once */

enum {
	MEMORY_ECHO,
	MEMORY_STREAM
};

/* Who: the thread that asks, and that which answers. */
enum {
	ASKS,
	ANSWERS
};

static struct {
	/* Written by who asks; the first word last. */
	LINE _Atomic uint64_t ask;
	uint64_t what, bytes, count, poll;
	/* By who answers. */
	LINE _Atomic uint64_t answer;
	uint64_t arrived, answered;
	/* Payload of an exchange, if it does not fit into those lines. */
	LINE char there[BYTES_MAX];
	LINE char back[BYTES_MAX];
	/* Each thread's own: it sleeps, or is about to. */
	struct {
		LINE _Atomic bool sleeps;
	} threads[2];
	struct {
		LINE _Atomic uint64_t full;
		LINE char bytes[BYTES_MAX];
	} slots[SLOTS];
} shared;

static int cpus[2];

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		give_up("processor %d: %s", cpu, strerror(errno));
}

/* Until the word has that value; `who` looks at it all the time, or sleeps. */
static void wait_for(_Atomic uint64_t *word, uint64_t value, bool poll, int who)
{
	uint64_t now;

	while ((now = atomic_load_explicit(word, memory_order_acquire)) != value) {
		if (poll) {
			__builtin_ia32_pause();
			continue;
		}
		/* The kernel looks at the word once more after that: either it is seen there, or this is by who writes it. */
		atomic_store(&shared.threads[who].sleeps, true);
		syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, (uint32_t)now, NULL, NULL, 0);
		atomic_store_explicit(&shared.threads[who].sleeps, false, memory_order_relaxed);
	}
}

/* Gives the word that value; `whom` waits for it so. */
static void tell(_Atomic uint64_t *word, uint64_t value, bool poll, int whom)
{
	if (poll) {
		atomic_store_explicit(word, value, memory_order_release);
		return;
	}
	atomic_store(word, value);
	if (atomic_load(&shared.threads[whom].sleeps))
		syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *memory_answers(void *own)
{
	bool poll = true;

	pin(cpus[1]);
	for (uint64_t next = 1;; next++) {
		wait_for(&shared.ask, next, poll, ANSWERS);
		shared.arrived = stamp();
		poll = shared.poll;
		if (shared.what == MEMORY_STREAM) {
			for (uint64_t i = 0; i < shared.count; i++) {
				wait_for(&shared.slots[i % SLOTS].full, 1, poll, ANSWERS);
				memcpy(own, shared.slots[i % SLOTS].bytes, shared.bytes);
				tell(&shared.slots[i % SLOTS].full, 0, poll, ASKS);
			}
		} else if (shared.bytes > sizeof(uint64_t)) {
			memcpy(own, shared.there, shared.bytes);
			memcpy(shared.back, own, shared.bytes);
		}
		shared.answered = stamp();
		tell(&shared.answer, next, poll, ASKS);
	}
	return NULL;
}

static void memory_begin(const char *one, const char *other)
{
	static char own[BYTES_MAX];
	pthread_t thread;

	cpus[0] = atoi(one);
	cpus[1] = atoi(other);
	if (cpus[0] == cpus[1])
		give_up("memory: two different processors are needed");
	pin(cpus[1]);
	pin(cpus[0]);
	one_clock = true;
	shared.poll = true;
	if (pthread_create(&thread, NULL, memory_answers, own))
		give_up("no thread");
}

static uint64_t memory_ask(unsigned int what, unsigned int bytes, bool poll, unsigned int count)
{
	/* Who answers still waits as it was told with what came before. */
	bool polls = shared.poll;
	static uint64_t last;

	shared.what = what;
	shared.poll = poll;
	shared.bytes = bytes;
	shared.count = count;
	tell(&shared.ask, ++last, polls, ANSWERS);
	return last;
}

static int memory_echo(unsigned int bytes, bool poll, unsigned int count,
		       struct popcorn_bench_sample *into)
{
	static char own[BYTES_MAX];

	for (unsigned int i = 0; i < count; i++) {
		uint64_t number;

		into[i].sent = stamp();
		if (bytes > sizeof(uint64_t))
			memcpy(shared.there, own, bytes);
		number = memory_ask(MEMORY_ECHO, bytes, poll, 1);
		wait_for(&shared.answer, number, poll, ASKS);
		if (bytes > sizeof(uint64_t))
			memcpy(own, shared.back, bytes);
		into[i].received = stamp();
		into[i].arrived = shared.arrived;
		into[i].answered = shared.answered;
	}
	return 0;
}

static int memory_stream(unsigned int bytes, bool poll, unsigned int count,
			 struct streamed *streamed)
{
	static char own[BYTES_MAX];
	uint64_t begin = now_ns(), number;

	number = memory_ask(MEMORY_STREAM, bytes, poll, count);
	for (unsigned int i = 0; i < count; i++) {
		wait_for(&shared.slots[i % SLOTS].full, 0, poll, ASKS);
		memcpy(shared.slots[i % SLOTS].bytes, own, bytes);
		tell(&shared.slots[i % SLOTS].full, 1, poll, ANSWERS);
	}
	wait_for(&shared.answer, number, poll, ASKS);
	*streamed = (struct streamed){ count, count, (uint64_t)bytes * count, now_ns() - begin };
	return 0;
}

/* ---- TCP, in clear text or encrypted ---- */

enum {
	TCP_ECHO = 1,
	TCP_STREAM
};

struct tcp_wish {
	uint32_t what, bytes, count, poll;
};

struct tcp_answer {
	uint64_t arrived, answered; /* of a stream: messages, bytes */
};

static int connection = -1;
static bool encrypted;

/*
 * As messages by TLS go: version 1.3 with AES-128-GCM, by the kernel (Documentation/networking/tls.rst). The handshake
 * is left out, and each direction has a key that both sides know.
 */
static void tcp_encrypt(int fd, bool serves)
{
	static const int directions[] = { TLS_TX, TLS_RX };
	struct tls12_crypto_info_aes_gcm_128 keys = {
		.info = { TLS_1_3_VERSION, TLS_CIPHER_AES_GCM_128 },
	};

	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")))
		give_up("TCP_ULP: %s", strerror(errno));
	for (size_t i = 0; i < ARRAY_SIZE(directions); i++) {
		bool by_server = serves == (directions[i] == TLS_TX);

		memset(keys.key, by_server ? 1 : 2, sizeof(keys.key));
		if (setsockopt(fd, SOL_TLS, directions[i], &keys, sizeof(keys)))
			give_up("keys of TLS: %s", strerror(errno));
	}
}

static void tcp_set_up(int fd, bool serves)
{
	int on = 1;

	if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)))
		give_up("TCP_NODELAY: %s", strerror(errno));
	if (encrypted)
		tcp_encrypt(fd, serves);
}

/* All bytes; with poll the thread does not sleep. False: the other side has gone before the first. */
static bool tcp_read(int fd, void *into, size_t bytes, bool poll)
{
	size_t have = 0;

	while (have < bytes) {
		ssize_t got = recv(fd, (char *)into + have, bytes - have, poll ? MSG_DONTWAIT : 0);

		if (got < 0 && (errno == EAGAIN || errno == EINTR))
			continue;
		if (got < 0)
			give_up("recv: %s", strerror(errno));
		if (!got && !have)
			return false;
		if (!got)
			give_up("the other side has gone");
		have += got;
	}
	return true;
}

static void tcp_write(int fd, const void *from, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		ssize_t put = send(fd, (const char *)from + done, bytes - done, MSG_NOSIGNAL);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			give_up("send: %s", strerror(errno));
		done += put;
	}
}

static struct sockaddr_in tcp_address(const char *address, const char *port)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };

	if (inet_pton(AF_INET, address, &at.sin_addr) != 1 || !at.sin_port)
		give_up("'%s' '%s' is no address and port", address, port);
	return at;
}

static void tcp_begin(const char *address, const char *port)
{
	struct sockaddr_in at = tcp_address(address, port);
	uint64_t end = now_ns() + 60 * 1000000000ULL;

	/* The server may have been started just now. */
	while (1) {
		connection = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (connection < 0)
			give_up("socket: %s", strerror(errno));
		if (!connect(connection, (struct sockaddr *)&at, sizeof(at)))
			break;
		if (now_ns() > end)
			give_up("%s:%s: %s", address, port, strerror(errno));
		close(connection);
		usleep(200000);
	}
	tcp_set_up(connection, false);
	/* Nobody can know whether that address is of this machine: so it is not taken to be. */
	one_clock = false;
}

static int tcp_echo(unsigned int bytes, bool poll, unsigned int count,
		    struct popcorn_bench_sample *into)
{
	struct tcp_wish wish = { TCP_ECHO, bytes, count, poll };
	static char own[BYTES_MAX];

	tcp_write(connection, &wish, sizeof(wish));
	for (unsigned int i = 0; i < count; i++) {
		struct tcp_answer answer;

		into[i].sent = stamp();
		tcp_write(connection, own, bytes);
		if (!tcp_read(connection, own, bytes, poll))
			give_up("the other side has gone");
		into[i].received = stamp();
		memcpy(&answer, own, sizeof(answer));
		into[i].arrived = answer.arrived;
		into[i].answered = answer.answered;
	}
	return 0;
}

static int tcp_stream(unsigned int bytes, bool poll, unsigned int count, struct streamed *streamed)
{
	struct tcp_wish wish = { TCP_STREAM, bytes, count, poll };
	static char own[BYTES_MAX];
	struct tcp_answer answer;
	uint64_t begin;

	tcp_write(connection, &wish, sizeof(wish));
	begin = now_ns();
	for (unsigned int i = 0; i < count; i++)
		tcp_write(connection, own, bytes);
	if (!tcp_read(connection, &answer, sizeof(answer), poll))
		give_up("the other side has gone");
	*streamed = (struct streamed){ answer.arrived, answer.arrived, answer.answered,
				       now_ns() - begin };
	return 0;
}

static void tcp_answer(int fd)
{
	static char own[BYTES_MAX];
	struct tcp_wish wish;

	while (tcp_read(fd, &wish, sizeof(wish), false)) {
		struct tcp_answer answer = { 0 };

		if (wish.bytes < sizeof(answer) || wish.bytes > sizeof(own))
			give_up("a payload of %u bytes", wish.bytes);
		for (uint32_t i = 0; i < wish.count; i++) {
			if (!tcp_read(fd, own, wish.bytes, wish.poll))
				return;
			if (wish.what == TCP_STREAM) {
				answer.arrived++;
				answer.answered += wish.bytes;
				continue;
			}
			answer.arrived = stamp();
			answer.answered = stamp();
			memcpy(own, &answer, sizeof(answer));
			tcp_write(fd, own, wish.bytes);
		}
		if (wish.what == TCP_STREAM)
			tcp_write(fd, &answer, sizeof(answer));
	}
}

static __attribute__((noreturn)) void serve(const char *port)
{
	struct sockaddr_in at = tcp_address("0.0.0.0", port);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	signal(SIGCHLD, SIG_IGN);
	if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
	    bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 16))
		give_up("port %s: %s", port, strerror(errno));
	while (1) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			continue;
		if (!fork()) {
			tcp_set_up(fd, true);
			tcp_answer(fd);
			_exit(0);
		}
		close(fd);
	}
}

/* ---- others that measure at the same time ---- */

static const char *step_folder, *step_name;
static int step_count = 1;
static int step;

/* Tells the others that this one is there. */
static void step_arrive(void)
{
	char path[256];
	int fd;

	step++;
	if (step_count == 1)
		return;
	snprintf(path, sizeof(path), "%s/%d-%s", step_folder, step, step_name);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		give_up("%s: %s", path, strerror(errno));
	close(fd);
}

/* Whether all of them are. */
static bool step_all(void)
{
	char prefix[16];
	struct dirent *entry;
	int count = 0;
	DIR *folder;

	if (step_count == 1)
		return true;
	snprintf(prefix, sizeof(prefix), "%d-", step);
	folder = opendir(step_folder);
	if (!folder)
		give_up("%s: %s", step_folder, strerror(errno));
	while ((entry = readdir(folder)))
		count += !strncmp(entry->d_name, prefix, strlen(prefix));
	closedir(folder);
	return count >= step_count;
}

static void step_begin(void)
{
	step_arrive();
	while (!step_all())
		usleep(2000);
}

/* ---- figures ---- */

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_times(const char *name, long count)
{
	qsort(times, count, sizeof(*times), by_value);
	printf("\"%s\": { \"samples\": %ld, \"median_ns\": %.1f, \"p99_ns\": %.1f, \"min_ns\": %.1f, "
	       "\"max_ns\": %.1f }",
	       name, count, times[count / 2], times[(count * 99 + 99) / 100 - 1], times[0],
	       times[count - 1]);
}

/* Ticks on the way; what the other side did in between is not of it. */
static double on_the_way(const struct popcorn_bench_sample *s)
{
	return (double)(s->received - s->sent) - (double)(s->answered - s->arrived);
}

static long fastest(long from, long to)
{
	long best = from;

	for (long i = from; i < to; i++)
		if (on_the_way(&samples[i]) < on_the_way(&samples[best]))
			best = i;
	return best;
}

/* Middle of an exchange, by either counter; from a moment of its own, or a double could not hold it. */
static double middle_here(const struct popcorn_bench_sample *s)
{
	return ((double)(int64_t)(s->sent - samples[0].sent) +
		(double)(int64_t)(s->received - samples[0].sent)) /
	       2;
}

static double middle_there(const struct popcorn_bench_sample *s)
{
	return ((double)(int64_t)(s->arrived - samples[0].arrived) +
		(double)(int64_t)(s->answered - samples[0].arrived)) /
	       2;
}

static void one_way(long count)
{
	const struct popcorn_bench_sample *a = &samples[fastest(0, count / 3)];
	const struct popcorn_bench_sample *b = &samples[fastest(count - count / 3, count)];
	double rate, offset;

	if (one_clock) {
		for (long i = 0; i < count; i++)
			times[i] = (double)(int64_t)(samples[i].arrived - samples[i].sent) / per_ns;
		return;
	}
	rate = (middle_there(b) - middle_there(a)) / (middle_here(b) - middle_here(a));
	offset = middle_there(a) - rate * middle_here(a);
	for (long i = 0; i < count; i++) {
		double there = (double)(int64_t)(samples[i].arrived - samples[0].arrived);

		times[i] = ((there - offset) / rate -
			    (double)(int64_t)(samples[i].sent - samples[0].sent)) /
			   per_ns;
	}
}

/* Figures of one size; the first batch of each warms up. */
static void measure(const struct medium *medium, unsigned int bytes, bool poll)
{
	unsigned int batch = medium->batch;
	struct streamed sum = { 0 }, now;
	long count = 0;
	uint64_t end;

	printf("{ \"bytes\": %u, \"receiver\": \"%s\", ", bytes, poll ? "polled" : "sleeping");
	step_begin();
	if (medium->echo(bytes, poll, batch, samples))
		give_up("%s, %u bytes: %s", medium->name, bytes, strerror(errno));
	end = now_ns() + seconds * 1e9;
	while (count + batch <= SAMPLES_MAX && (count < SAMPLES_MIN || now_ns() < end)) {
		if (medium->echo(bytes, poll, batch, samples + count))
			give_up("%s, %u bytes: %s", medium->name, bytes, strerror(errno));
		count += batch;
	}
	step_arrive();
	while (!step_all()) {
		if (medium->echo(bytes, poll, batch, others))
			give_up("%s, %u bytes: %s", medium->name, bytes, strerror(errno));
	}
	for (long i = 0; i < count; i++)
		times[i] = (samples[i].received - samples[i].sent) / per_ns;
	print_times("round_trip", count);
	printf(", ");
	one_way(count);
	print_times("one_way", count);

	/* Enough at once that the answer at the end does not count. */
	batch = (2 << 20) / bytes;
	batch = batch > 2000 ? 2000 : batch < 32 ? 32 : batch;
	end = 0;
	step_begin();
	do {
		if (medium->stream(bytes, poll, batch, &now))
			give_up("%s, %u bytes: %s", medium->name, bytes, strerror(errno));
		if (now.messages != batch || now.in_order != batch ||
		    now.bytes != (uint64_t)bytes * batch)
			give_up("%s, %u bytes: of %u messages %llu came, %llu in order",
				medium->name, bytes, batch, (unsigned long long)now.messages,
				(unsigned long long)now.in_order);
		if (!end) {
			end = now_ns() + seconds * 1e9;
			continue;
		}
		sum.messages += now.messages;
		sum.bytes += now.bytes;
		sum.ns += now.ns;
	} while (!sum.ns || now_ns() < end);
	step_arrive();
	while (!step_all()) {
		if (medium->stream(bytes, poll, batch, &now))
			give_up("%s, %u bytes: %s", medium->name, bytes, strerror(errno));
	}
	printf(", \"throughput\": { \"messages\": %llu, \"bytes_per_s\": %.0f, \"messages_per_s\": %.0f } }",
	       (unsigned long long)sum.messages, sum.bytes * 1e9 / sum.ns,
	       sum.messages * 1e9 / sum.ns);
}

static void measure_all(const struct medium *medium, bool with_line)
{
	static const unsigned int sizes[] = { 8, 64, 256, 4096, 65536 };
	bool first = true;

	per_ns = stamps_per_ns();
	printf("{ \"medium\": \"%s\", \"figures\": [\n", medium->name);
	for (size_t i = with_line ? 0 : 1; i < ARRAY_SIZE(sizes); i++) {
		for (int poll = 1; poll >= 0; poll--) {
			printf("%s  ", first ? "" : ",\n");
			measure(medium, sizes[i], poll);
			first = false;
		}
	}
	printf("\n], \"clocks\": \"%s\" }\n", one_clock ? "one" : "two");
}

static const char usage[] =
	"Usage: bench_messages [--seconds S] [--in-step FOLDER NAME COUNT]\n"
	"                      messages NODE | memory CPU CPU | tcp|tls ADDRESS PORT\n"
	"       bench_messages serve tcp|tls PORT\n"
	"Measure round trip, one way and throughput of messages, or of what they travel by.\n";

int main(int argc, char **argv)
{
	static const struct medium messages = { "messages", messages_echo, messages_stream, 50 };
	static const struct medium memory = { "memory", memory_echo, memory_stream, 250 };
	static const struct medium tcp = { "tcp", tcp_echo, tcp_stream, 25 };
	static const struct medium tls = { "tls", tcp_echo, tcp_stream, 25 };
	const struct medium *over = NULL;
	bool serves;

	if (argc > 2 && !strcmp(argv[1], "--seconds")) {
		seconds = atof(argv[2]);
		argc -= 2;
		argv += 2;
	}
	if (argc > 4 && !strcmp(argv[1], "--in-step")) {
		step_folder = argv[2];
		step_name = argv[3];
		step_count = atoi(argv[4]);
		argc -= 4;
		argv += 4;
	}
	serves = argc == 4 && !strcmp(argv[1], "serve");
	if (argc == 4 && !strcmp(argv[1 + serves], "tcp"))
		over = &tcp;
	if (argc == 4 && !strcmp(argv[1 + serves], "tls"))
		over = &tls;
	encrypted = over == &tls;
	if (over && serves)
		serve(argv[3]);
	if (!(seconds > 0) || step_count < 1) {
		fputs(usage, stderr);
		return 2;
	}
	alarm(PATIENCE);
	if (argc == 3 && !strcmp(argv[1], "messages")) {
		messages_begin(argv[2]);
		measure_all(&messages, false);
	} else if (argc == 4 && !strcmp(argv[1], "memory")) {
		memory_begin(argv[2], argv[3]);
		measure_all(&memory, true);
	} else if (over && !serves) {
		tcp_begin(argv[2], argv[3]);
		measure_all(over, false);
	} else {
		fputs(usage, stderr);
		return 2;
	}
	return fflush(stdout) ? 1 : 0;
}

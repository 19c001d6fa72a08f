// SPDX-License-Identifier: GPL-2.0
/*
 * The harness of the test programs; see harness.h.
 *
 * Every case runs in a child with a process group of its own, so that a case that crashes, hangs
 * or leaves children behind harms no other, and so that each starts as a process that never moved.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static struct {
	bool home_only;
	int home;
	int away;
} where;

long env_long(const char *name, long otherwise)
{
	const char *text = getenv(name);
	char *end;
	long value;

	if (!text || !*text)
		return otherwise;
	errno = 0;
	value = strtol(text, &end, 0);
	if (*end || errno) {
		fprintf(stderr, "%s=%s: not a number\n", name, text);
		exit(2);
	}
	return value;
}

uint64_t random_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * 0x2545f4914f6cdd1dULL;
}

/* One write per line: lines of several threads and processes do not mix. */
static void print_line(const char *prefix, const char *format, va_list args)
{
	char line[PATH_MAX + 1024];
	int used = snprintf(line, sizeof(line), "%s", prefix);
	int more = vsnprintf(line + used, sizeof(line) - used - 1, format, args);
	size_t length;

	if (more < 0)
		return;
	length = strlen(line);
	line[length++] = '\n';
	fflush(stdout);
	if (write(STDOUT_FILENO, line, length) < 0)
		_exit(CASE_FAIL);
}

void diag(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line("# ", format, args);
	va_end(args);
}

void case_fail(const char *file, int line, const char *format, ...)
{
	char prefix[PATH_MAX];
	va_list args;

	snprintf(prefix, sizeof(prefix), "# %s:%d: ", file, line);
	va_start(args, format);
	print_line(prefix, format, args);
	va_end(args);
	_exit(CASE_FAIL);
}

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
	char prefix[PATH_MAX];
	va_list args;

	snprintf(prefix, sizeof(prefix), "# %s:%d: not true: %s", file, line, condition);
	va_start(args, format);
	print_line(prefix, format, args);
	va_end(args);
	_exit(CASE_FAIL);
}

void case_skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_line("# skip: ", format, args);
	va_end(args);
	_exit(CASE_SKIP);
}

bool home_only(void)
{
	return where.home_only;
}

int away_node(void)
{
	return where.away;
}

int home_node(void)
{
	return where.home;
}

void need_remote(void)
{
	if (where.home_only)
		case_skip("home-only mode: there is nowhere to go");
}

/*
 * A thread is home for a moment now and then: for a signal, or a call that must be made there. It
 * goes back by itself, later if signals come often.
 */
void check_away(void)
{
	int node = -1;

	if (where.home_only)
		return;
	for (int i = 0; i < 1000; i++) {
		node = popcorn_where();
		if (node == where.away)
			return;
		if (i > 10)
			nap();
	}
	CHECK(0, "runs on node %d, not on %d", node, where.away);
}

void check_home(void)
{
	int node;

	if (where.home_only)
		return;
	node = popcorn_where();
	CHECK(node == where.home, "runs on node %d, not on %d", node, where.home);
}

void go_away(void)
{
	if (where.home_only)
		return;
	if (popcorn_migrate(where.away)) {
		case_fail(__FILE__, __LINE__, "migrate to node %d: %s", where.away,
			  strerror(errno));
	}
	check_away();
}

void come_home(void)
{
	if (where.home_only)
		return;
	if (popcorn_migrate(POPCORN_NODE_ORIGIN))
		case_fail(__FILE__, __LINE__, "migrate home: %s", strerror(errno));
	check_home();
}

void nap(void)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	nanosleep(&ms, NULL);
}

static uint64_t word(uint64_t seed, size_t index)
{
	uint64_t x = seed * 0x9e3779b97f4a7c15ULL + index;

	x ^= x >> 31;
	return x * 0xbf58476d1ce4e5b9ULL | 1; /* never 0: a lost page is never right */
}

void fill(void *memory, size_t bytes, uint64_t seed)
{
	uint64_t *words = memory;

	for (size_t i = 0; i < bytes / sizeof(*words); i++)
		words[i] = word(seed, i);
}

ssize_t mismatch(const void *memory, size_t bytes, uint64_t seed)
{
	const uint64_t *words = memory;

	for (size_t i = 0; i < bytes / sizeof(*words); i++)
		if (words[i] != word(seed, i))
			return i * sizeof(*words);
	return -1;
}

void *anon(size_t bytes)
{
	void *memory =
		mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(memory != MAP_FAILED, "mmap: %s", strerror(errno));
	return memory;
}

int temp_file(void)
{
	char path[] = "/tmp/popcorn-selftest-XXXXXX";
	int fd = mkstemp(path);

	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	CHECK_OK(unlink(path));
	return fd;
}

static int wait_for(pid_t pid)
{
	int status;
	pid_t got;

	do {
		got = waitpid(pid, &status, 0);
	} while (got < 0 && errno == EINTR);
	CHECK(got == pid, "waitpid: %s", strerror(errno));
	return status;
}

void expect_exit(pid_t pid, int status)
{
	int got = wait_for(pid);

	CHECK(!WIFSIGNALED(got), "child killed by signal %d", WTERMSIG(got));
	if (WEXITSTATUS(got) == CASE_SKIP && status != CASE_SKIP)
		_exit(CASE_SKIP);
	CHECK(WEXITSTATUS(got) == status, "child exited with %d, not %d", WEXITSTATUS(got), status);
}

void expect_killed(pid_t pid, int signal)
{
	int got = wait_for(pid);

	if (WIFEXITED(got) && WEXITSTATUS(got) == CASE_SKIP)
		_exit(CASE_SKIP);
	CHECK(WIFSIGNALED(got), "child exited with %d instead of dying of signal %d",
	      WEXITSTATUS(got), signal);
	CHECK(WTERMSIG(got) == signal, "child died of signal %d, not %d", WTERMSIG(got), signal);
}

/* Fill in where from the environment and the node list. Return NULL, or why to skip. */
static const char *find_nodes(void)
{
	struct popcorn_node_info info[POPCORN_NODE_MAX];
	const char *wish = getenv("POPCORN_NODE");
	static char reason[128];
	int count, online = 0, other = -1;

	if (wish && !strcmp(wish, "home")) {
		where.home_only = true;
		return NULL;
	}

	count = popcorn_nodes(info, ARRAY_SIZE(info));
	if (count < 0) {
		snprintf(reason, sizeof(reason), "/dev/popcorn: %s", strerror(errno));
		return reason;
	}
	for (int i = 0; i < count && i < (int)ARRAY_SIZE(info); i++) {
		if (info[i].state != POPCORN_NODE_ONLINE)
			continue;
		online++;
		if (info[i].flags & POPCORN_NODE_SELF)
			where.home = info[i].id;
		else if (other < 0)
			other = info[i].id;
	}
	if (online < 2) {
		snprintf(reason, sizeof(reason), "needs 2 nodes online, has %d", online);
		return reason;
	}
	where.away = env_long("POPCORN_NODE", other);
	return NULL;
}

static const char *signal_label(int signal)
{
	const char *name = sigabbrev_np(signal);

	return name ? name : "?";
}

/* Run one case. Return its CASE_*; why it ended otherwise goes to stdout. */
static int run_case(const struct test *test, int timeout_ms)
{
	struct pollfd poller = { .events = POLLIN };
	int status;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid < 0) {
		diag("fork: %s", strerror(errno));
		return CASE_FAIL;
	}
	if (!pid) {
		setpgid(0, 0);
		test->run();
		fflush(stdout);
		_exit(CASE_PASS);
	}
	setpgid(pid, pid);

	poller.fd = syscall(SYS_pidfd_open, pid, 0);
	if (poller.fd >= 0) {
		int ready;

		do {
			ready = poll(&poller, 1, timeout_ms);
		} while (ready < 0 && errno == EINTR);
		if (!ready)
			diag("%s: no end after %d s, killed", test->name, timeout_ms / 1000);
		close(poller.fd);
		if (!ready) {
			kill(-pid, SIGKILL);
			waitpid(pid, &status, 0);
			return CASE_FAIL;
		}
	}
	if (waitpid(pid, &status, 0) != pid) {
		diag("waitpid: %s", strerror(errno));
		return CASE_FAIL;
	}
	kill(-pid, SIGKILL); /* children that a failed case left behind */
	if (WIFSIGNALED(status)) {
		diag("%s: died of signal %d (SIG%s)", test->name, WTERMSIG(status),
		     signal_label(WTERMSIG(status)));
		return CASE_FAIL;
	}
	return WEXITSTATUS(status);
}

int run_tests(const struct test *tests, size_t count)
{
	int timeout_ms = env_long("POPCORN_TIMEOUT", 120) * env_long("POPCORN_SLOWNESS", 1) * 1000;
	const char *only = getenv("POPCORN_CASE");
	const char *skip = find_nodes();
	int failed = 0;

	printf("TAP version 13\n");
	if (skip) {
		printf("1..0 # SKIP %s\n", skip);
		return CASE_SKIP;
	}
	printf("1..%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		int result;

		if (only && *only && strcmp(only, tests[i].name)) {
			printf("ok %zu - %s # SKIP not asked for\n", i + 1, tests[i].name);
			continue;
		}
		result = run_case(&tests[i], timeout_ms);
		printf("%s %zu - %s%s\n",
		       result == CASE_PASS || result == CASE_SKIP ? "ok" : "not ok", i + 1,
		       tests[i].name, result == CASE_SKIP ? " # SKIP" : "");
		fflush(stdout);
		failed += result != CASE_PASS && result != CASE_SKIP;
	}
	return failed ? CASE_FAIL : CASE_PASS;
}

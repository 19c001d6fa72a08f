/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the test programs share: cases that run in a process of their own, TAP on stdout, and the
 * two moves, go_away() and come_home().
 *
 * POPCORN_NODE chooses the node to go to: a number, or "home", which turns the moves into nothing
 * and so tests the test program itself on any Linux. Without it, it is the first other node that
 * is online; if there is none, the program is skipped.
 * POPCORN_TIMEOUT is the number of seconds after which a case that hangs is killed (default 120), or
 * as many times that as POPCORN_SLOWNESS says.
 */
#ifndef SELFTESTS_HARNESS_H
#define SELFTESTS_HARNESS_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include <popcorn.h>

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define PAGE	      4096UL

/* Exit statuses of a case, as of kselftest. */
#define CASE_PASS 0
#define CASE_FAIL 1
#define CASE_SKIP 4

struct test {
	const char *name;
	void (*run)(void);
};

#define TEST(function) { #function, function }

/* Run the cases, each in a child; print TAP; return main's exit status. */
int run_tests(const struct test *tests, size_t count);
#define RUN_TESTS(tests) run_tests(tests, ARRAY_SIZE(tests))

/* In a case, in any thread of it: fail, or skip, the whole case. */
void case_fail(const char *file, int line, const char *format, ...)
	__attribute__((noreturn, format(printf, 3, 4)));
void check_failed(const char *file, int line, const char *condition, const char *format, ...)
	__attribute__((noreturn, format(printf, 4, 5)));
void case_skip(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
/* A line "# ..." of TAP. */
void diag(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define CHECK(condition, ...)                                                          \
	do {                                                                           \
		if (!(condition))                                                      \
			check_failed(__FILE__, __LINE__, #condition, " " __VA_ARGS__); \
	} while (0)

/* CHECK for a call that answers -1 with errno: says which error it was. */
#define CHECK_OK(call)                                                                   \
	do {                                                                             \
		if ((call) < 0)                                                          \
			case_fail(__FILE__, __LINE__, "%s: %s", #call, strerror(errno)); \
	} while (0)

/* CHECK that a call fails with this errno. */
#define CHECK_ERRNO(call, error)                                                                  \
	do {                                                                                      \
		long ret_ = (call);                                                               \
		int err_ = errno;                                                                 \
		if (ret_ != -1 || err_ != (error))                                                \
			case_fail(__FILE__, __LINE__, "%s: returned %ld, %s; expected %s", #call, \
				  ret_, ret_ == -1 ? strerror(err_) : "no error", #error);        \
	} while (0)

/* True if the moves are nothing (POPCORN_NODE=home). */
bool home_only(void);
/* The node that go_away() goes to; the origin's own id if home_only(). */
int away_node(void);
/* The node of the process that runs the test. */
int home_node(void);
/* Skip the case in home-only mode: it is about the moves themselves. */
void need_remote(void);

/* Move the calling thread, and check that it arrived. EOPNOTSUPP skips the case. */
void go_away(void);
void come_home(void);
/* Check where the calling thread is; nothing in home-only mode. */
void check_away(void);
void check_home(void);

/*
 * Wait, asleep, until a condition becomes true. It has no deadline of its own: the case's time-out
 * ends a wait that never comes true.
 */
#define WAIT_UNTIL(condition)        \
	do {                         \
		while (!(condition)) \
			nap();       \
	} while (0)
void nap(void);

/* An integer from the environment, or the default. */
long env_long(const char *name, long otherwise);
/* xorshift64*: the same sequence for the same state, everywhere. */
uint64_t random_next(uint64_t *state);

/* Fill memory with words that depend on seed and position; find the first byte that is not so. */
void fill(void *memory, size_t bytes, uint64_t seed);
/* Return: offset of the first wrong word, -1 if all is right. */
ssize_t mismatch(const void *memory, size_t bytes, uint64_t seed);
#define CHECK_FILL(memory, bytes, seed)                                                          \
	do {                                                                                     \
		ssize_t at_ = mismatch(memory, bytes, seed);                                     \
		if (at_ >= 0)                                                                    \
			case_fail(__FILE__, __LINE__, "%s: wrong at offset %zd of %zu", #memory, \
				  at_, (size_t)(bytes));                                         \
	} while (0)

/* Anonymous private memory; fails the case if there is none. */
void *anon(size_t bytes);
/* An unlinked temporary file, open for reading and writing. */
int temp_file(void);
/* Wait for a child; fail the case if it did not exit with this status. */
void expect_exit(pid_t pid, int status);
/* ... if it was not killed by this signal. */
void expect_killed(pid_t pid, int signal);

#endif /* SELFTESTS_HARNESS_H */

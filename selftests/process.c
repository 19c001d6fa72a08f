// SPDX-License-Identifier: GPL-2.0
/*
 * Processes that are born, replaced and ended from a node that is not their origin.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static const char *self;

static void fork_and_wait_away(void)
{
	go_away();
	for (int i = 0; i < 10; i++) {
		pid_t parent = getpid(), pid = fork();

		CHECK_OK(pid);
		if (!pid) {
			check_away(); /* a new process starts where its creator is */
			CHECK(getppid() == parent && getpid() != parent);
			_exit(i);
		}
		expect_exit(pid, i);
		check_away();
	}
}

static void child_comes_home(void)
{
	pid_t pid;

	go_away();
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		come_home();
		_exit(9);
	}
	expect_exit(pid, 9);
	check_away();
}

static int descend(int level)
{
	int status;
	pid_t pid;

	if (!level)
		return 1;
	pid = fork();
	CHECK_OK(pid);
	if (!pid)
		_exit(descend(level - 1) + 1);
	CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status), "status %x", status);
	return WEXITSTATUS(status);
}

static void generations(void)
{
	go_away();
	CHECK(descend(5) == 6);
}

/* Many children at once; their ends arrive by SIGCHLD and wait4 in any order. */
static void crowd(void)
{
	enum {
		CHILDREN = 20
	};
	unsigned int seen = 0;

	go_away();
	for (int i = 0; i < CHILDREN; i++) {
		pid_t pid = fork();

		CHECK_OK(pid);
		if (!pid) {
			if (i % 3 == 0)
				come_home();
			_exit(i + 10);
		}
	}
	for (int i = 0; i < CHILDREN; i++) {
		int status;

		CHECK(wait(&status) > 0);
		CHECK(WIFEXITED(status), "status %x", status);
		if (WEXITSTATUS(status) == CASE_SKIP)
			_exit(CASE_SKIP);
		CHECK(WEXITSTATUS(status) >= 10 && WEXITSTATUS(status) < 10 + CHILDREN);
		seen |= 1u << (WEXITSTATUS(status) - 10);
	}
	CHECK(seen == (1u << CHILDREN) - 1, "%x", seen);
	CHECK_ERRNO(wait(NULL), ECHILD);
}

static volatile sig_atomic_t children_died;

static void child_died(int signal)
{
	(void)signal;
	children_died++;
}

static void sigchld_arrives_away(void)
{
	pid_t pid;

	signal(SIGCHLD, child_died);
	go_away();
	pid = fork();
	CHECK_OK(pid);
	if (!pid)
		_exit(0);
	while (!children_died)
		sched_yield();
	expect_exit(pid, 0);
}

static void vfork_and_exec(void)
{
	go_away();
	for (int i = 0; i < 3; i++) {
		volatile pid_t pid = vfork();

		CHECK_OK(pid);
		if (!pid) {
			execl("/bin/sh", "sh", "-c", "exit 5", NULL);
			_exit(127);
		}
		expect_exit(pid, 5);
	}
	check_away();
}

static void spawn_and_system(void)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)"exit 6", NULL };
	int status;
	pid_t pid;

	go_away();
	CHECK(!posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ));
	expect_exit(pid, 6);
	status = system("exit 3");
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 3, "status %x", status);
	check_away();
}

static void pipe_from_a_program(void)
{
	char line[64] = "";
	FILE *stream;

	go_away();
	stream = popen("echo one; echo two", "r");
	CHECK(stream);
	CHECK(fgets(line, sizeof(line), stream) && !strcmp(line, "one\n"), "%s", line);
	CHECK(fgets(line, sizeof(line), stream) && !strcmp(line, "two\n"), "%s", line);
	CHECK(!fgets(line, sizeof(line), stream));
	CHECK(pclose(stream) == 0);
}

/* Run ourselves anew, to tell from within where the new program is; see main(). */
static pid_t exec_where(bool by_flag)
{
	pid_t pid = fork();

	CHECK_OK(pid);
	if (pid)
		return pid;
	if (by_flag)
		CHECK_OK(popcorn_migrate_thread(0, away_node(), POPCORN_MIGRATE_ON_EXEC));
	else
		go_away();
	if (by_flag)
		check_home(); /* not now */
	execl("/proc/self/exe", self, "--where", "an argument", NULL);
	CHECK(0, "exec: %s", strerror(errno));
	return -1;
}

static void exec_keeps_the_node(void)
{
	expect_exit(exec_where(false), 40 + away_node());
}

static void exec_by_flag_migrates(void)
{
	need_remote();
	expect_exit(exec_where(true), 40 + away_node());
}

static void flag_waits_for_a_successful_exec(void)
{
	pid_t pid;

	need_remote();
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		CHECK_OK(popcorn_migrate_thread(0, away_node(), POPCORN_MIGRATE_ON_EXEC));
		CHECK(execl("/no/such/program", "program", NULL) == -1 && errno == ENOENT);
		check_home();
		execl("/proc/self/exe", self, "--where", "an argument", NULL);
		_exit(1);
	}
	expect_exit(pid, 40 + away_node());
}

static void failed_exec_changes_nothing(void)
{
	uint64_t *p = anon(16 * PAGE);
	int fd;

	go_away();
	fill(p, 16 * PAGE, 3);
	CHECK(execl("/no/such/program", "program", NULL) == -1 && errno == ENOENT);
	CHECK(execl("/", "program", NULL) == -1 && errno == EACCES);
	fd = temp_file();
	CHECK(fexecve(fd, (char *[]){ (char *)"x", NULL }, environ) == -1 && errno == EACCES);
	check_away();
	CHECK_FILL(p, 16 * PAGE, 3);
}

static pthread_barrier_t barrier;

#define AWAY ((void *)1)

static void *exit_from_here(void *arg)
{
	go_away();
	pthread_barrier_wait(&barrier);
	exit((int)(intptr_t)arg);
}

static void *stay(void *arg)
{
	if (arg)
		go_away();
	pthread_barrier_wait(&barrier);
	for (;;)
		__asm__ volatile("pause");
	return NULL;
}

/* exit() by a thread that is away, while others spin at home and away. */
static void group_exit_from_away(void)
{
	pid_t pid = fork();

	CHECK_OK(pid);
	if (!pid) {
		pthread_t thread;

		CHECK(!pthread_barrier_init(&barrier, NULL, 5));
		CHECK(!pthread_create(&thread, NULL, stay, NULL));
		CHECK(!pthread_create(&thread, NULL, stay, AWAY));
		CHECK(!pthread_create(&thread, NULL, stay, AWAY));
		CHECK(!pthread_create(&thread, NULL, exit_from_here, (void *)23));
		pthread_barrier_wait(&barrier);
		for (;;)
			pause();
	}
	expect_exit(pid, 23);
}

/* exit() at home, while others spin away. */
static void group_exit_from_home(void)
{
	pid_t pid = fork();

	CHECK_OK(pid);
	if (!pid) {
		pthread_t thread;

		CHECK(!pthread_barrier_init(&barrier, NULL, 4));
		for (int i = 0; i < 3; i++)
			CHECK(!pthread_create(&thread, NULL, stay, AWAY));
		pthread_barrier_wait(&barrier);
		_exit(24);
	}
	expect_exit(pid, 24);
}

static void *outlive_main(void *arg)
{
	pthread_t *main_thread = arg;

	go_away();
	CHECK(!pthread_join(*main_thread, NULL));
	exit(25);
}

static void main_thread_ends_first(void)
{
	pid_t pid = fork();

	CHECK_OK(pid);
	if (!pid) {
		static pthread_t main_thread;
		pthread_t thread;

		main_thread = pthread_self();
		CHECK(!pthread_create(&thread, NULL, outlive_main, &main_thread));
		go_away();
		pthread_exit(NULL);
	}
	expect_exit(pid, 25);
}

static void *exec_from_here(void *arg)
{
	(void)arg;
	go_away();
	pthread_barrier_wait(&barrier);
	execl("/proc/self/exe", self, "--where", "an argument", NULL);
	CHECK(0, "exec: %s", strerror(errno));
	return NULL;
}

/* execve by a thread that is not the leader: the others end, the pid stays. */
static void exec_by_another_thread(void)
{
	pid_t pid = fork();

	CHECK_OK(pid);
	if (!pid) {
		pthread_t thread;

		CHECK(!pthread_barrier_init(&barrier, NULL, 4));
		CHECK(!pthread_create(&thread, NULL, stay, NULL));
		CHECK(!pthread_create(&thread, NULL, stay, AWAY));
		CHECK(!pthread_create(&thread, NULL, exec_from_here, NULL));
		pthread_barrier_wait(&barrier);
		for (;;)
			pause();
	}
	expect_exit(pid, 40 + away_node());
}

/* Fork by a thread that is away while another changes memory at home. */
static _Atomic bool stop;

static void *keep_writing(void *arg)
{
	uint64_t *p = arg;

	while (!stop)
		for (int i = 0; i < 16; i++)
			p[i * 512]++;
	return NULL;
}

static void fork_with_busy_threads(void)
{
	uint64_t *busy = anon(16 * PAGE), *quiet = anon(16 * PAGE);
	pthread_t thread;

	fill(quiet, 16 * PAGE, 5);
	CHECK(!pthread_create(&thread, NULL, keep_writing, busy));
	go_away();
	for (int i = 0; i < 8; i++) {
		pid_t pid = fork();

		CHECK_OK(pid);
		if (!pid) {
			uint64_t before = *(volatile uint64_t *)busy;

			CHECK_FILL(quiet, 16 * PAGE, 5 + i);
			CHECK(*(volatile uint64_t *)busy == before,
			      "the parent's thread writes here");
			_exit(0);
		}
		fill(quiet, 16 * PAGE, 6 + i);
		expect_exit(pid, 0);
	}
	stop = true;
	CHECK(!pthread_join(thread, NULL));
}

/* The process is gone, and so is what it held open: the reader sees the end of the pipe. */
static void descriptors_close_at_exit(void)
{
	int ends[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(ends));
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		go_away();
		CHECK(write(ends[1], "x", 1) == 1);
		_exit(0);
	}
	CHECK_OK(close(ends[1]));
	if (read(ends[0], &c, 1) == 1)
		CHECK(read(ends[0], &c, 1) == 0);
	expect_exit(pid, 0);
}

static void orphan(void)
{
	int ends[2];
	pid_t pid;
	char c;

	CHECK_OK(pipe(ends));
	go_away();
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		pid_t middle = getpid();

		if (!fork()) {
			while (getppid() == middle)
				nap();
			_exit(write(ends[1], "o", 1) == 1 ? 0 : 1);
		}
		_exit(0);
	}
	expect_exit(pid, 0);
	CHECK(read(ends[0], &c, 1) == 1 && c == 'o');
}

static const struct test tests[] = {
	TEST(fork_and_wait_away),
	TEST(child_comes_home),
	TEST(generations),
	TEST(crowd),
	TEST(sigchld_arrives_away),
	TEST(vfork_and_exec),
	TEST(spawn_and_system),
	TEST(pipe_from_a_program),
	TEST(exec_keeps_the_node),
	TEST(exec_by_flag_migrates),
	TEST(flag_waits_for_a_successful_exec),
	TEST(failed_exec_changes_nothing),
	TEST(group_exit_from_away),
	TEST(group_exit_from_home),
	TEST(main_thread_ends_first),
	TEST(exec_by_another_thread),
	TEST(fork_with_busy_threads),
	TEST(descriptors_close_at_exit),
	TEST(orphan),
};

/*
 * "--where ARGUMENT": what exec_where() runs. Exit status: 40 + the node; 1 if the argument did not
 * arrive.
 */
static int tell_where(int argc, char **argv)
{
	const char *wish = getenv("POPCORN_NODE");

	if (argc != 3 || strcmp(argv[2], "an argument"))
		return 1;
	if (wish && !strcmp(wish, "home"))
		return 40;
	return 40 + popcorn_where();
}

int main(int argc, char **argv)
{
	self = argv[0];
	if (argc > 1 && !strcmp(argv[1], "--where"))
		return tell_where(argc, argv);
	return RUN_TESTS(tests);
}

// SPDX-License-Identifier: GPL-2.0
/*
 * SIGKILL at random moments: the process ends, always, and leaves nothing behind: no listed
 * thread, no process, no memory, and a node that still takes threads.
 *
 * POPCORN_KILLS (default 200) sets how often, POPCORN_SEED the moments.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define VICTIM	"popcorn-victim"
#define THREADS 4
#define PAGES	64 /* that each thread touches */

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t shared[512] __attribute__((aligned(4096)));

/* Moves may fail here for want of memory or by the kill: that is not what is tested. */
static void move(int node)
{
	if (!home_only())
		popcorn_migrate(node);
}

/* A thread that does everything by turns, until it is killed. */
static void *live(void *arg)
{
	long index = (intptr_t)arg;
	uint64_t *memory = anon(PAGES * PAGE);
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	for (uint64_t round = 0;; round++) {
		if (index != 1 || round == 0) /* the second stays away from its first round on */
			move(away_node());
		for (int i = 0; i < PAGES; i++)
			memory[i * 512 + round % 512] = round;
		if (zero >= 0 && read(zero, memory, 4 * PAGE) < 0)
			_exit(1);
		pthread_mutex_lock(&mutex);
		shared[index]++;
		pthread_mutex_unlock(&mutex);
		syscall(SYS_getppid);
		if (index == 2)
			nap();
		if (index == 3) {
			void *p = anon(16 * PAGE);

			fill(p, 16 * PAGE, round);
			munmap(p, 16 * PAGE);
		}
		if (index != 1)
			move(POPCORN_NODE_ORIGIN);
		for (int i = 0; i < PAGES; i += 3)
			memory[i * 512 + 1] += round;
	}
	return NULL;
}

static pid_t victim(void)
{
	pid_t pid;

	fflush(stdout);
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		pthread_t thread;

		prctl(PR_SET_NAME, VICTIM);
		for (long i = 1; i < THREADS; i++)
			if (pthread_create(&thread, NULL, live, (void *)i))
				_exit(1);
		live((void *)0);
	}
	return pid;
}

/* Processes or threads of any process that carry the victims' name. */
static int still_there(void)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	int found = 0;

	CHECK(proc);
	while ((entry = readdir(proc))) {
		char path[300], comm[32] = "";
		int fd;

		if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (read(fd, comm, sizeof(comm) - 1) > 0 && !strncmp(comm, VICTIM, strlen(VICTIM)))
			found++;
		close(fd);
	}
	closedir(proc);
	return found;
}

static long available_kib(void)
{
	char text[4096] = "", *line;
	int fd = open("/proc/meminfo", O_RDONLY | O_CLOEXEC);

	CHECK_OK(fd);
	CHECK(read(fd, text, sizeof(text) - 1) > 0);
	close(fd);
	line = strstr(text, "MemAvailable:");
	CHECK(line);
	return atol(line + strlen("MemAvailable:"));
}

static void kill_at_random_moments(void)
{
	long kills = env_long("POPCORN_KILLS", 200), before = 0, after;
	uint64_t seed = env_long("POPCORN_SEED", 0);

	if (!seed)
		seed = (uint64_t)time(NULL) * 1000003 + getpid();
	diag("%ld kills, seed %lu", kills, seed);

	for (long i = 0; i < kills; i++) {
		struct timespec moment = { 0 };
		pid_t pid;

		if (i == kills / 10) /* what is allocated once has been by now */
			before = available_kib();
		pid = victim();
		/* mostly short: the first moments of a process are the most delicate */
		moment.tv_nsec = random_next(&seed) % (i % 4 ? 12000000 : 150000000);
		nanosleep(&moment, NULL);
		CHECK_OK(kill(pid, SIGKILL));
		expect_killed(pid, SIGKILL);
		if (!home_only()) {
			/* the process has been waited for: its threads are no more */
			WAIT_UNTIL(popcorn_threads(pid, NULL, 0) <= 0);
		}
	}
	WAIT_UNTIL(!still_there());
	if (!home_only())
		WAIT_UNTIL(popcorn_threads(0, NULL, 0) == 0);

	/* had each left but a quarter of its pages, it would be more than this */
	after = available_kib();
	diag("available memory: %ld KiB, then %ld KiB", before, after);
	CHECK(before - after < kills * THREADS * PAGES * 4 / 4, "%ld KiB are missing",
	      before - after);

	/* and the node works */
	for (int i = 0; i < 5; i++) {
		uint64_t *memory = anon(PAGES * PAGE);

		go_away();
		fill(memory, PAGES * PAGE, i);
		come_home();
		CHECK_FILL(memory, PAGES * PAGE, i);
	}
}

/* Ctrl-C in a terminal: SIGINT to every process of a group that is spread over the nodes. */
static void kill_a_group(void)
{
	int started[2];
	pid_t leader;

	CHECK_OK(prctl(PR_SET_CHILD_SUBREAPER, 1)); /* the orphans are ours to wait for */
	CHECK_OK(pipe(started));
	leader = fork();
	CHECK_OK(leader);
	if (!leader) {
		setpgid(0, 0);
		for (int i = 0; i < 3; i++) {
			if (!fork()) {
				prctl(PR_SET_NAME, VICTIM);
				if (write(started[1], "x", 1) != 1)
					_exit(1);
				live((void *)0);
			}
		}
		if (write(started[1], "x", 1) != 1)
			_exit(1);
		live((void *)0);
	}
	for (int i = 0; i < 4; i++) {
		char c;

		CHECK(read(started[0], &c, 1) == 1);
	}
	for (int i = 0; i < 30; i++)
		nap();
	CHECK_OK(kill(-leader, SIGINT));
	expect_killed(leader, SIGINT);
	for (int i = 0; i < 3; i++) {
		int status;

		CHECK(wait(&status) > 0 && WIFSIGNALED(status) && WTERMSIG(status) == SIGINT,
		      "status %x", status);
	}
	WAIT_UNTIL(!still_there());
}

static const struct test tests[] = {
	TEST(kill_at_random_moments),
	TEST(kill_a_group),
};

int main(void)
{
	setenv("POPCORN_TIMEOUT", "900", 0);
	return RUN_TESTS(tests);
}

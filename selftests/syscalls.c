// SPDX-License-Identifier: GPL-2.0
/*
 * System calls of a thread that is away mean what they mean at home: same pid, same files, same
 * directory, same clocks, same errors.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void identity(void)
{
	pid_t pid = getpid(), tid = gettid(), parent = getppid(), group = getpgrp(),
	      session = getsid(0);
	struct utsname at_home, away;

	CHECK_OK(uname(&at_home));
	go_away();
	CHECK(syscall(SYS_getpid) == pid && syscall(SYS_gettid) == tid);
	CHECK(getppid() == parent && getpgrp() == group && getsid(0) == session);
	CHECK_OK(uname(&away));
	CHECK(!strcmp(at_home.nodename, away.nodename), "host name %s, not %s", away.nodename,
	      at_home.nodename);
}

static void files(void)
{
	char buffer[64] = "";
	struct stat st;
	int fd;

	go_away();
	fd = temp_file();
	CHECK(write(fd, "hello, world", 12) == 12);
	CHECK(lseek(fd, 7, SEEK_SET) == 7);
	CHECK(read(fd, buffer, sizeof(buffer)) == 5);
	CHECK(!memcmp(buffer, "world", 5));
	CHECK(read(fd, buffer, sizeof(buffer)) == 0);
	CHECK_OK(fstat(fd, &st));
	CHECK(st.st_size == 12 && S_ISREG(st.st_mode) && st.st_uid == geteuid());
	CHECK_OK(ftruncate(fd, 5));
	come_home();
	CHECK(lseek(fd, 0, SEEK_CUR) == 12, "the position did not come along");
	CHECK(pread(fd, buffer, sizeof(buffer), 0) == 5 && !memcmp(buffer, "hello", 5));
	go_away();
	CHECK_OK(close(fd));
	come_home();
	CHECK_ERRNO(read(fd, buffer, 1), EBADF);
}

static void names(void)
{
	char directory[] = "/tmp/popcorn-selftest-XXXXXX", path[PATH_MAX], cwd[PATH_MAX];
	struct dirent *entry;
	struct stat st;
	int found = 0;
	DIR *dir;

	go_away();
	CHECK(mkdtemp(directory), "%s", strerror(errno));
	CHECK_OK(chdir(directory));
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, directory), "in %s", cwd);
	CHECK_OK(close(open("one", O_CREAT | O_WRONLY, 0600)));
	come_home();
	CHECK(getcwd(cwd, sizeof(cwd)) && !strcmp(cwd, directory), "in %s", cwd);
	CHECK_OK(symlink("one", "link"));
	go_away();
	CHECK(readlink("link", path, sizeof(path)) == 3);
	CHECK_OK(rename("one", "two"));
	CHECK_ERRNO(stat("link", &st), ENOENT);
	dir = opendir(".");
	CHECK(dir);
	while ((entry = readdir(dir)))
		found += !strcmp(entry->d_name, "two") + !strcmp(entry->d_name, "link");
	CHECK_OK(closedir(dir));
	CHECK(found == 2, "%d", found);
	CHECK_OK(unlink("link"));
	CHECK_OK(unlink("two"));
	CHECK_OK(chdir("/"));
	CHECK_OK(rmdir(directory));
	come_home();
	CHECK_ERRNO(stat(directory, &st), ENOENT);
}

static void errors(void)
{
	char buffer[8];
	char *unmapped = anon(PAGE);

	CHECK_OK(munmap(unmapped, PAGE));
	go_away();
	CHECK_ERRNO(open("/no/such/file", O_RDONLY), ENOENT);
	CHECK_ERRNO(open("/", O_WRONLY), EISDIR);
	CHECK_ERRNO(read(-1, buffer, 1), EBADF);
	CHECK_ERRNO(write(STDOUT_FILENO, unmapped, 1), EFAULT);
	CHECK_ERRNO(open(unmapped, O_RDONLY), EFAULT);
	CHECK_ERRNO(syscall(0xfff), ENOSYS);
	CHECK_ERRNO(syscall(SYS_futex, (int *)unmapped, 0, 0, NULL), EFAULT);
	CHECK_ERRNO(syscall(SYS_mmap, 1, PAGE, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0),
		    EINVAL);
	check_away();
}

static void big_and_vectored(void)
{
	enum {
		BYTES = 1 << 20
	};
	char *from = malloc(BYTES), *to = malloc(BYTES);
	struct iovec vector[3] = {
		{ from, 100 },
		{ from + 4000, 5000 },
		{ from + BYTES - 300, 300 },
	};
	char head[100], middle[5000], tail[300];
	struct iovec back[3] = { { head, 100 }, { middle, 5000 }, { tail, 300 } };
	int fd = temp_file();

	fill(from, BYTES, 1);
	go_away();
	CHECK(write(fd, from, BYTES) == BYTES);
	CHECK(pread(fd, to, BYTES, 0) == BYTES);
	CHECK_FILL(to, BYTES, 1);
	CHECK_OK(ftruncate(fd, 0));
	CHECK(pwritev(fd, vector, 3, 0) == 5400);
	CHECK(preadv(fd, back, 3, 0) == 5400);
	CHECK(!memcmp(head, from, 100) && !memcmp(middle, from + 4000, 5000));
	CHECK(!memcmp(tail, from + BYTES - 300, 300));
}

struct echo {
	int in[2];
	int out[2];
};

/* The partner at home: sends back every byte, one higher. */
static void *echo_at_home(void *arg)
{
	struct echo *e = arg;
	unsigned char byte;

	while (read(e->in[0], &byte, 1) == 1) {
		byte++;
		CHECK(write(e->out[1], &byte, 1) == 1);
	}
	close(e->out[1]);
	return NULL;
}

static void pipes_both_ways(void)
{
	struct echo e;
	pthread_t partner;
	unsigned char byte;

	CHECK_OK(pipe(e.in));
	CHECK_OK(pipe2(e.out, O_CLOEXEC));
	CHECK(!pthread_create(&partner, NULL, echo_at_home, &e));
	go_away();
	for (int i = 0; i < 200; i++) {
		byte = i;
		CHECK(write(e.in[1], &byte, 1) == 1);
		CHECK(read(e.out[0], &byte, 1) == 1);
		CHECK(byte == (unsigned char)(i + 1), "%d: %d", i, byte);
	}
	CHECK_OK(close(e.in[1]));
	CHECK(read(e.out[0], &byte, 1) == 0);
	CHECK(!pthread_join(partner, NULL));
}

struct stream {
	int fd;
	size_t bytes;
};

static void *write_stream(void *arg)
{
	struct stream *s = arg;
	uint64_t random = 5;
	size_t done = 0;
	char *data = malloc(s->bytes);

	fill(data, s->bytes, 77);
	while (done < s->bytes) {
		size_t piece = 1 + random_next(&random) % 20000;
		ssize_t wrote;

		if (piece > s->bytes - done)
			piece = s->bytes - done;
		wrote = write(s->fd, data + done, piece);
		CHECK_OK(wrote);
		done += wrote;
	}
	CHECK_OK(close(s->fd));
	return NULL;
}

/* More than a pipe holds, so that both sides block. */
static void stream_through_a_pipe(void)
{
	struct stream s = { .bytes = 1 << 20 };
	char *data = malloc(s.bytes + 1);
	pthread_t writer;
	size_t done = 0;
	ssize_t got;
	int ends[2];

	CHECK_OK(pipe(ends));
	s.fd = ends[1];
	CHECK(!pthread_create(&writer, NULL, write_stream, &s));
	go_away();
	while ((got = read(ends[0], data + done, s.bytes + 1 - done)) > 0)
		done += got;
	CHECK_OK(got);
	CHECK(done == s.bytes, "%zu bytes", done);
	CHECK_FILL(data, s.bytes, 77);
	CHECK(!pthread_join(writer, NULL));
}

struct late {
	int fd;
	int64_t value;
};

/* Lets the other one fall asleep first (that it does is likely, not needed). */
static void *write_late(void *arg)
{
	struct late *l = arg;

	for (int i = 0; i < 30; i++)
		nap();
	CHECK(write(l->fd, &l->value, sizeof(l->value)) == sizeof(l->value));
	return NULL;
}

static void poll_and_epoll(void)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), ep;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	struct epoll_event want = { .events = EPOLLIN, .data.u64 = 0x123456789abcdef }, got;
	struct late late = { .fd = fd, .value = 3 };
	pthread_t writer;
	int64_t value;

	CHECK_OK(fd);
	go_away();
	ep = epoll_create1(EPOLL_CLOEXEC);
	CHECK_OK(ep);
	CHECK_OK(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &want));
	CHECK(poll(&p, 1, 0) == 0 && epoll_wait(ep, &got, 1, 0) == 0);
	CHECK_ERRNO(read(fd, &value, sizeof(value)), EAGAIN);

	come_home();
	CHECK(!pthread_create(&writer, NULL, write_late, &late));
	go_away();
	CHECK(poll(&p, 1, -1) == 1 && p.revents == POLLIN);
	CHECK(epoll_wait(ep, &got, 1, -1) == 1 && got.data.u64 == want.data.u64);
	CHECK(read(fd, &value, sizeof(value)) == sizeof(value) && value == 3);
	CHECK(!pthread_join(writer, NULL));
}

static void sockets(void)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	char *data = malloc(100000), byte = 'x';
	struct msghdr message = { 0 };
	struct iovec vector = { &byte, 1 };
	union {
		char space[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	int pair[2], listener, client, server, fd;

	go_away();
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) {
		if (errno == ENOSYS || errno == EAFNOSUPPORT)
			case_skip("this kernel has no unix sockets");
		CHECK(0, "socketpair: %s", strerror(errno));
	}
	fill(data, 8000, 1);
	CHECK(send(pair[0], data, 8000, 0) == 8000);
	memset(data, 0, 8000);
	come_home();
	CHECK(recv(pair[1], data, 8000, MSG_WAITALL) == 8000);
	CHECK_FILL(data, 8000, 1);
	go_away();

	/* a descriptor through a socket */
	message.msg_iov = &vector;
	message.msg_iovlen = 1;
	message.msg_control = control.space;
	message.msg_controllen = sizeof(control.space);
	CMSG_FIRSTHDR(&message)->cmsg_level = SOL_SOCKET;
	CMSG_FIRSTHDR(&message)->cmsg_type = SCM_RIGHTS;
	CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &pair[0], sizeof(int));
	CHECK(sendmsg(pair[1], &message, 0) == 1);
	memset(&control, 0, sizeof(control));
	message.msg_controllen = sizeof(control.space);
	CHECK(recvmsg(pair[0], &message, 0) == 1);
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	CHECK(fd > 2 && fd != pair[0] && fd != pair[1], "descriptor %d", fd);
	CHECK(write(fd, "y", 1) == 1 && read(pair[1], &byte, 1) == 1 && byte == 'y');

	/* a connection by an abstract name */
	snprintf(name.sun_path + 1, sizeof(name.sun_path) - 1, "popcorn-selftest-%d", getpid());
	listener = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	CHECK_OK(listener);
	CHECK_OK(bind(listener, (struct sockaddr *)&name, sizeof(name)));
	CHECK_OK(listen(listener, 1));
	client = socket(AF_UNIX, SOCK_SEQPACKET, 0);
	CHECK_OK(connect(client, (struct sockaddr *)&name, sizeof(name)));
	server = accept(listener, NULL, NULL);
	CHECK_OK(server);
	CHECK(send(client, "one", 3, 0) == 3 && send(client, "three", 5, 0) == 5);
	CHECK(recv(server, data, 100, 0) == 3 && recv(server, data, 100, 0) == 5);
}

static int64_t now(clockid_t clock)
{
	struct timespec t;

	CHECK_OK(clock_gettime(clock, &t));
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

static int64_t now_by_kernel(clockid_t clock)
{
	struct timespec t;

	CHECK(!syscall(SYS_clock_gettime, clock, &t));
	return t.tv_sec * 1000000000L + t.tv_nsec;
}

/* A clock that a thread reads never runs backwards, wherever it reads it. */
static void clocks_never_run_backwards(void)
{
	static const struct {
		clockid_t id;
		const char *name;
	} clocks[] = {
		{ CLOCK_MONOTONIC, "CLOCK_MONOTONIC" },
		{ CLOCK_BOOTTIME, "CLOCK_BOOTTIME" },
		{ CLOCK_MONOTONIC_RAW, "CLOCK_MONOTONIC_RAW" },
		{ CLOCK_MONOTONIC_COARSE, "CLOCK_MONOTONIC_COARSE" },
	};
	int64_t last[ARRAY_SIZE(clocks)] = { 0 };

	for (int round = 0; round < 20; round++) {
		if (round)
			round % 2 ? go_away() : come_home();
		for (int i = 0; i < 50; i++) {
			for (size_t c = 0; c < ARRAY_SIZE(clocks); c++) {
				/* by vdso and by system call, in turn: they are one clock */
				int64_t t = i % 2 ? now(clocks[c].id) : now_by_kernel(clocks[c].id);

				CHECK(t >= last[c], "%s %s: %ld after %ld", clocks[c].name,
				      round % 2 ? "away" : "at home", t, last[c]);
				last[c] = t;
			}
		}
	}
}

/* The time of day away lies between two readings at home. */
static void time_of_day(void)
{
	int64_t before, by_vdso, by_kernel, after;
	time_t seconds;

	before = now(CLOCK_REALTIME);
	CHECK(before > 1577836800L * 1000000000, "the clock of this machine is not set");
	go_away();
	by_vdso = now(CLOCK_REALTIME);
	by_kernel = now_by_kernel(CLOCK_REALTIME);
	seconds = time(NULL);
	come_home();
	after = now(CLOCK_REALTIME);
	CHECK(before <= by_vdso && by_vdso <= by_kernel && by_kernel <= after,
	      "home %ld, away %ld and %ld, home %ld", before, by_vdso, by_kernel, after);
	/* time() rounds down, and may lag behind by a tick */
	CHECK(seconds >= before / 1000000000 - 1 && seconds <= after / 1000000000, "%ld", seconds);
}

static void sleeping(void)
{
	struct timespec t = { .tv_nsec = 20000000 };
	int64_t start = now_by_kernel(CLOCK_MONOTONIC), end;

	go_away();
	CHECK_OK(nanosleep(&t, NULL));
	CHECK(!clock_nanosleep(CLOCK_MONOTONIC, 0, &t, NULL));
	CHECK(poll(NULL, 0, 20) == 0);
	end = now_by_kernel(CLOCK_MONOTONIC);
	CHECK(end - start >= 60000000, "slept %ld ns", end - start);
}

/* The CPU time of the process never shrinks; whether it grows with use away is told, not required. */
static void cpu_time(void)
{
	volatile uint64_t sum = 0;
	int64_t start, after_work;

	go_away();
	start = now_by_kernel(CLOCK_PROCESS_CPUTIME_ID);
	for (uint64_t i = 0; i < 20000000; i++)
		sum += i;
	come_home();
	after_work = now_by_kernel(CLOCK_PROCESS_CPUTIME_ID);
	CHECK(after_work >= start);
	if (after_work - start < 1000000)
		diag("user time used away is not accounted at home: %ld ns", after_work - start);
}

static void descriptors(void)
{
	int ends[2], copy, high;
	char c;

	go_away();
	CHECK_OK(pipe(ends));
	copy = dup(ends[1]);
	CHECK_OK(copy);
	CHECK(fcntl(ends[0], F_GETFD) == 0);
	CHECK_OK(fcntl(ends[0], F_SETFD, FD_CLOEXEC));
	CHECK(fcntl(ends[0], F_GETFD) == FD_CLOEXEC);
	CHECK_OK(fcntl(ends[0], F_SETFL, O_NONBLOCK));
	CHECK_ERRNO(read(ends[0], &c, 1), EAGAIN);
	high = fcntl(copy, F_DUPFD_CLOEXEC, 100);
	CHECK(high >= 100);
	CHECK(dup2(copy, 50) == 50);
	CHECK(write(50, "a", 1) == 1 && write(high, "b", 1) == 1);
	come_home();
	CHECK(read(ends[0], &c, 1) == 1 && c == 'a');
	CHECK(read(ends[0], &c, 1) == 1 && c == 'b');
	CHECK_OK(close(ends[1]));
	CHECK_OK(close(copy));
	CHECK_OK(close(50));
	go_away();
	CHECK_ERRNO(read(ends[0], &c, 1), EAGAIN);
	CHECK_OK(close(high));
	CHECK(read(ends[0], &c, 1) == 0);
}

static char *slurp(const char *path)
{
	static char buffer[65536];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got, used = 0;

	CHECK(fd >= 0, "%s: %s", path, strerror(errno));
	while ((got = read(fd, buffer + used, sizeof(buffer) - 1 - used)) > 0)
		used += got;
	CHECK(got == 0, "%s: %s", path, strerror(errno));
	buffer[used] = 0;
	CHECK_OK(close(fd));
	return buffer;
}

static void proc_self(void)
{
	char path[64], link[PATH_MAX] = "";
	int on_stack = 0;
	bool found = false;
	char *line;

	go_away();
	CHECK(atoi(slurp("/proc/self/stat")) == getpid());
	snprintf(path, sizeof(path), "/proc/%d/stat", getpid());
	CHECK(atoi(slurp(path)) == getpid());
	CHECK(atoi(slurp("/proc/thread-self/stat")) == gettid());
	CHECK(!strncmp(slurp("/proc/self/comm"), "syscalls", 8));
	CHECK(readlink("/proc/self/exe", link, sizeof(link) - 1) > 0);
	CHECK(strstr(link, "syscalls"), "%s", link);
	for (line = strtok(slurp("/proc/self/maps"), "\n"); line; line = strtok(NULL, "\n")) {
		uintptr_t from, to;

		CHECK(sscanf(line, "%lx-%lx", &from, &to) == 2);
		found |= (uintptr_t)&on_stack >= from && (uintptr_t)&on_stack < to;
	}
	CHECK(found, "my stack is not in /proc/self/maps");
}

/* The kernel reads the argument strings from our memory, which may be away. */
static void cmdline_is_read_from_away(void)
{
	char *text;

	go_away();
	CHECK_OK(setenv("POPCORN_SELFTEST", "set while away", 1));
	text = slurp("/proc/self/cmdline");
	CHECK(strstr(text, "syscalls"), "%s", text);
	CHECK(!strcmp(program_invocation_short_name, "syscalls"));
	CHECK(getenv("PATH"));
	come_home();
	CHECK(!strcmp(getenv("POPCORN_SELFTEST"), "set while away"));
}

/* Another process reads and writes our memory, wherever the pages are. */
static void memory_seen_from_outside(void)
{
	uint64_t *memory = anon(8 * PAGE);
	pid_t pid, ended;
	int status;

	fill(memory, 4 * PAGE, 1);
	go_away();
	fill(memory, 8 * PAGE, 2); /* now its pages are away */
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		char path[64];
		uint64_t *copy = anon(8 * PAGE);
		int fd;

		come_home();
		snprintf(path, sizeof(path), "/proc/%d/mem", getppid());
		fd = open(path, O_RDWR);
		CHECK_OK(fd);
		for (int i = 0; i < 20; i++) {
			CHECK(pread(fd, copy, 8 * PAGE, (uintptr_t)memory) == 8 * PAGE);
			CHECK_FILL(copy, 8 * PAGE - 8, 2);
		}
		copy[0] = 4711;
		CHECK(pwrite(fd, copy, 8, (uintptr_t)memory + 8 * PAGE - 8) == 8);
		_exit(0);
	}
	/* keep some of them here meanwhile */
	while (!(ended = waitpid(pid, &status, WNOHANG)))
		for (int i = 0; i < 1000; i++)
			((volatile uint64_t *)memory)[1024] = memory[1024];
	CHECK(ended == pid && !status, "status %x", status);
	check_away();
	CHECK(*(volatile uint64_t *)(memory + PAGE - 1) == 4711);
	CHECK_FILL(memory, 8 * PAGE - 8, 2);
}

/* Two words of a page, one of them written from outside, the other away: neither loses a write. */
static void memory_written_from_outside(void)
{
	volatile uint64_t *memory = anon(PAGE);
	uint64_t writes = 0;
	int status;
	pid_t pid, ended;

	memory[0] = memory[511] = 0;
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		char path[64];
		uint64_t word;
		int fd;

		snprintf(path, sizeof(path), "/proc/%d/mem", getppid());
		fd = open(path, O_RDWR);
		CHECK_OK(fd);
		for (uint64_t i = 0; i < 300; i++) {
			CHECK(pread(fd, &word, 8, (uintptr_t)memory) == 8);
			CHECK(word == i, "%lu instead of %lu", word, i);
			word++;
			CHECK(pwrite(fd, &word, 8, (uintptr_t)memory) == 8);
		}
		_exit(0);
	}
	go_away();
	while (!(ended = waitpid(pid, &status, WNOHANG)))
		for (int i = 0; i < 100; i++) {
			CHECK(memory[511] == writes, "%lu, not %lu", memory[511], writes);
			memory[511] = ++writes;
		}
	CHECK(ended == pid && !status, "status %x", status);
	CHECK(memory[0] == 300 && memory[511] == writes);
	check_away();
}

/* What the kernel leaves for the way to user mode is not left for the way home. */
static void closed_by_dup(void)
{
	int ends[2], other, error, status;
	pid_t pid;
	char c;

	CHECK_OK(pipe(ends));
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		close(ends[1]);
		_exit(read(ends[0], &c, 1));
	}
	go_away();
	other = open("/dev/null", O_WRONLY);
	CHECK_OK(other);
	CHECK_OK(dup2(other, ends[1]));
	do { /* the child sees the end of the file while we stay away */
		error = waitpid(pid, &status, WNOHANG);
		check_away();
	} while (!error);
	CHECK(error == pid && !status, "status %x", status);
}

static void map_file_away(void)
{
	char *p, text[16] = "";
	int fd;

	go_away();
	fd = open("/proc/self/exe", O_RDONLY);
	CHECK_OK(fd);
	p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED, "%s", strerror(errno));
	CHECK(!memcmp(p, "\177ELF", 4));
	CHECK(pread(fd, text, 16, 0) == 16 && !memcmp(p, text, 16));
	CHECK_OK(close(fd));
	come_home();
	CHECK(!memcmp(p, "\177ELF", 4));
}

static void limits_and_misc(void)
{
	struct rlimit limit, changed;
	unsigned char random[64] = { 0 };
	int nonzero = 0;

	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	go_away();
	changed = (struct rlimit){ limit.rlim_cur - 1, limit.rlim_max };
	CHECK_OK(setrlimit(RLIMIT_NOFILE, &changed));
	CHECK(getrandom(random, sizeof(random), 0) == sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		nonzero += !!random[i];
	CHECK(nonzero > 16, "%d of 64 random bytes are not zero", nonzero);
	CHECK_OK(sched_yield());
	umask(027);
	come_home();
	CHECK(umask(022) == 027);
	CHECK_OK(getrlimit(RLIMIT_NOFILE, &limit));
	CHECK(limit.rlim_cur == changed.rlim_cur);
}

static void many_calls(void)
{
	pid_t parent = getppid();

	go_away();
	for (int i = 0; i < 3000; i++)
		CHECK(syscall(SYS_getppid) == parent);
	check_away();
}

/* All six argument registers, and those that a call must keep. */
static void registers_of_a_call(void)
{
	uint64_t rbx, r8, r9, r10, r12, r13, r14, r15, rdi, rsi, rdx, rax;

	go_away();
	for (int i = 0; i < 20; i++) {
		__asm__ volatile(
			"movq $101, %%rdi\n movq $102, %%rsi\n movq $103, %%rdx\n movq $104, %%r10\n"
			"movq $105, %%r8\n movq $106, %%r9\n movq $107, %%rbx\n movq $112, %%r12\n"
			"movq $113, %%r13\n movq $114, %%r14\n movq $115, %%r15\n"
			"movl %[nr], %%eax\n syscall\n"
			"movq %%rdi, %[rdi]\n movq %%rsi, %[rsi]\n movq %%rdx, %[rdx]\n"
			"movq %%r10, %[r10]\n movq %%r8, %[r8]\n movq %%r9, %[r9]\n"
			"movq %%rbx, %[rbx]\n movq %%r12, %[r12]\n movq %%r13, %[r13]\n"
			"movq %%r14, %[r14]\n movq %%r15, %[r15]\n movq %%rax, %[rax]\n"
			: [rdi] "=m"(rdi), [rsi] "=m"(rsi), [rdx] "=m"(rdx), [r10] "=m"(r10),
			  [r8] "=m"(r8), [r9] "=m"(r9), [rbx] "=m"(rbx), [r12] "=m"(r12),
			  [r13] "=m"(r13), [r14] "=m"(r14), [r15] "=m"(r15), [rax] "=m"(rax)
			: [nr] "i"(SYS_getpid)
			: "rax", "rcx", "r11", "rdi", "rsi", "rdx", "r10", "r8", "r9", "rbx", "r12",
			  "r13", "r14", "r15", "memory");
		CHECK(rdi == 101 && rsi == 102 && rdx == 103 && r10 == 104 && r8 == 105);
		CHECK(r9 == 106 && rbx == 107 && r12 == 112 && r13 == 113 && r14 == 114);
		CHECK(r15 == 115);
		CHECK(rax == (uint64_t)getpid());
		i % 2 ? go_away() : come_home();
	}
}

static const struct test tests[] = {
	TEST(identity),
	TEST(files),
	TEST(names),
	TEST(errors),
	TEST(big_and_vectored),
	TEST(pipes_both_ways),
	TEST(stream_through_a_pipe),
	TEST(poll_and_epoll),
	TEST(sockets),
	TEST(clocks_never_run_backwards),
	TEST(time_of_day),
	TEST(sleeping),
	TEST(cpu_time),
	TEST(descriptors),
	TEST(proc_self),
	TEST(cmdline_is_read_from_away),
	TEST(memory_seen_from_outside),
	TEST(memory_written_from_outside),
	TEST(closed_by_dup),
	TEST(map_file_away),
	TEST(limits_and_misc),
	TEST(many_calls),
	TEST(registers_of_a_call),
};

int main(void)
{
	return RUN_TESTS(tests);
}

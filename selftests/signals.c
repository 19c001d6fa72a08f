// SPDX-License-Identifier: GPL-2.0
/*
 * Signals reach a thread that is away, run their handlers there with the right information, and
 * end, stop and continue it as they would at home.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

static volatile sig_atomic_t count;
static volatile int got_signal, got_code, got_value;
static void *volatile got_address;
static volatile pid_t got_pid, got_tid;
static void *volatile handler_frame;
static sigjmp_buf jump;

static void note(int signal, siginfo_t *info, void *context)
{
	char frame;

	(void)context;
	got_signal = signal;
	got_code = info->si_code;
	got_address = info->si_addr;
	got_tid = gettid();
	handler_frame = &frame;
	count++;
}

static void note_sender(int signal, siginfo_t *info, void *context)
{
	(void)context;
	got_signal = signal;
	got_code = info->si_code;
	got_pid = info->si_pid;
	got_value = info->si_value.sival_int;
	count++;
}

static void note_and_jump(int signal, siginfo_t *info, void *context)
{
	note(signal, info, context);
	siglongjmp(jump, 1);
}

static void handle(int signal, void (*handler)(int, siginfo_t *, void *), int flags)
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags };

	CHECK_OK(sigaction(signal, &action, NULL));
	count = 0;
}

static void raise_away(void)
{
	handle(SIGUSR1, note, 0);
	go_away();
	for (int i = 1; i <= 20; i++) {
		CHECK(!raise(SIGUSR1));
		CHECK(count == i, "%d", count);
		CHECK(got_signal == SIGUSR1 && got_tid == gettid());
	}
	check_away();
	come_home();
	CHECK(!raise(SIGUSR1) && count == 21);
}

static void handler_set_away(void)
{
	go_away();
	handle(SIGUSR2, note_sender, 0);
	come_home();
	CHECK(!raise(SIGUSR2) && count == 1);
	go_away();
	CHECK_OK(kill(getpid(), SIGUSR2));
	CHECK(count == 2 && got_code == SI_USER && got_pid == getpid());
}

static void queued_value(void)
{
	union sigval value = { .sival_int = 4711 };

	handle(SIGRTMIN, note_sender, 0);
	go_away();
	for (int i = 0; i < 3; i++)
		CHECK_OK(sigqueue(getpid(), SIGRTMIN, value));
	CHECK(count == 3 && got_value == 4711 && got_code == SI_QUEUE && got_pid == getpid());
}

/* A checksum that every interruption could spoil: integer, floating point and memory. */
static uint64_t compute(uint64_t *memory, size_t words, unsigned int rounds)
{
	double x = 1;
	uint64_t sum = 1;

	for (unsigned int r = 0; r < rounds; r++) {
		for (size_t i = 0; i < words; i++) {
			sum = sum * 6364136223846793005ULL + i;
			memory[i] += sum;
			x = x * 1.0000001 + 1e-9;
		}
	}
	for (size_t i = 0; i < words; i++)
		sum ^= memory[i];
	return sum + (uint64_t)(x * 1e9);
}

static void timer_while_computing(void)
{
	enum {
		WORDS = 4096
	};
	struct itimerval interval = { { 0, 200000 }, { 0, 200000 } }, off = { 0 };
	uint64_t *memory = anon(WORDS * 8), expected = compute(memory, WORDS, 20);

	handle(SIGALRM, note, SA_RESTART);
	go_away();
	CHECK_OK(setitimer(ITIMER_REAL, &interval, NULL));
	while (count < 5) {
		memset(memory, 0, WORDS * 8);
		CHECK(compute(memory, WORDS, 20) == expected, "after %d signals", count);
	}
	CHECK_OK(setitimer(ITIMER_REAL, &off, NULL));
	check_away();
}

/* A loop without any system call must still hear the alarm. */
static void alarm_in_a_loop(void)
{
	handle(SIGALRM, note, 0);
	go_away();
	alarm(1);
	while (!count)
		__asm__ volatile("pause");
	CHECK(got_signal == SIGALRM);
	check_away();
}

static void posix_timer(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 1 };
	struct itimerspec spec = { .it_value.tv_nsec = 2000000, .it_interval.tv_nsec = 2000000 };
	timer_t timer;

	event.sigev_value.sival_int = 99;
	handle(SIGRTMIN + 1, note_sender, 0);
	go_away();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer)) {
		if (errno == ENOSYS)
			case_skip("this kernel has no POSIX timers");
		CHECK(0, "timer_create: %s", strerror(errno));
	}
	CHECK_OK(timer_settime(timer, 0, &spec, NULL));
	while (count < 5)
		__asm__ volatile("pause");
	CHECK(got_code == SI_TIMER && got_value == 99);
	CHECK_OK(timer_delete(timer));
}

static void alternate_stack(void)
{
	char *space = anon(65536);
	stack_t stack = { .ss_sp = space, .ss_size = 65536 }, now;

	CHECK_OK(sigaltstack(&stack, NULL));
	handle(SIGUSR1, note, SA_ONSTACK);
	go_away();
	CHECK(!raise(SIGUSR1));
	CHECK((char *)handler_frame >= space && (char *)handler_frame < space + 65536,
	      "the handler's stack is at %p, not at %p", handler_frame, space);
	CHECK_OK(sigaltstack(NULL, &now));
	CHECK(now.ss_sp == space && !now.ss_flags);

	/* set away, used at home */
	space = anon(65536);
	stack.ss_sp = space;
	CHECK_OK(sigaltstack(&stack, NULL));
	come_home();
	CHECK(!raise(SIGUSR1));
	CHECK((char *)handler_frame >= space && (char *)handler_frame < space + 65536);
}

static volatile unsigned int deepest = ~0u;

static __attribute__((noinline)) unsigned int overflow(unsigned int level)
{
	volatile char frame[4096];

	if (level == deepest)
		return 0;
	frame[level % sizeof(frame)] = level;
	return overflow(level + 1) + frame[0];
}

/* The stack runs over away: only an alternate stack can tell of it. */
static void stack_overflow(void)
{
	char *space = anon(65536);
	stack_t stack = { .ss_sp = space, .ss_size = 65536 };

	CHECK_OK(sigaltstack(&stack, NULL));
	handle(SIGSEGV, note_and_jump, SA_ONSTACK);
	go_away();
	if (!sigsetjmp(jump, 1)) {
		overflow(0);
		CHECK(0, "no end of the stack");
	}
	CHECK(count == 1 && got_signal == SIGSEGV);
	CHECK((char *)handler_frame >= space && (char *)handler_frame < space + 65536);
	check_away();
}

struct partner {
	pthread_t thread;
	_Atomic int state;
	_Atomic pid_t tid;
	int pipe[2];
	ssize_t result;
	int error;
};

static void *spin_away(void *arg)
{
	struct partner *p = arg;

	go_away();
	p->tid = gettid();
	p->state = 1;
	while (p->state == 1)
		__asm__ volatile("pause");
	check_away();
	return NULL;
}

static void thread_signal_while_spinning(void)
{
	struct partner p = { 0 };

	handle(SIGUSR1, note, 0);
	CHECK(!pthread_create(&p.thread, NULL, spin_away, &p));
	WAIT_UNTIL(p.state == 1);
	for (int i = 1; i <= 10; i++) {
		CHECK(!pthread_kill(p.thread, SIGUSR1));
		WAIT_UNTIL(count == i);
		CHECK(got_tid == p.tid && got_code == SI_TKILL, "thread %d, code %d", got_tid,
		      got_code);
	}
	p.state = 2;
	CHECK(!pthread_join(p.thread, NULL));
}

static void *read_away(void *arg)
{
	struct partner *p = arg;
	char c;

	go_away();
	p->state = 1;
	p->result = read(p->pipe[0], &c, 1);
	p->error = errno;
	p->state = 2;
	check_away();
	return NULL;
}

/* Without SA_RESTART, a blocking read ends with EINTR. */
static void interrupted_read(void)
{
	struct partner p = { 0 };

	handle(SIGUSR1, note, 0);
	CHECK_OK(pipe(p.pipe));
	CHECK(!pthread_create(&p.thread, NULL, read_away, &p));
	WAIT_UNTIL(p.state == 1);
	while (p.state != 2) { /* the first may come before it has begun to read */
		CHECK(!pthread_kill(p.thread, SIGUSR1));
		nap();
	}
	CHECK(!pthread_join(p.thread, NULL));
	CHECK(p.result == -1 && p.error == EINTR, "result %zd: %s", p.result, strerror(p.error));
	CHECK(count >= 1);
}

/* With SA_RESTART it goes on, and gets what comes later. */
static void restarted_read(void)
{
	struct partner p = { 0 };

	handle(SIGUSR1, note, SA_RESTART);
	CHECK_OK(pipe(p.pipe));
	CHECK(!pthread_create(&p.thread, NULL, read_away, &p));
	WAIT_UNTIL(p.state == 1);
	for (int i = 1; i <= 5; i++) {
		nap();
		CHECK(!pthread_kill(p.thread, SIGUSR1));
		WAIT_UNTIL(count == i);
		CHECK(p.state == 1);
	}
	CHECK(write(p.pipe[1], "x", 1) == 1);
	CHECK(!pthread_join(p.thread, NULL));
	CHECK(p.result == 1, "result %zd: %s", p.result, strerror(p.error));
}

/* nanosleep restarts by a call of its own kind (restart_syscall) after SIGCONT, ends at a handler. */
static void interrupted_sleep(void)
{
	/* again and again: the first may come before the sleep has begun */
	struct itimerval interval = { { 0, 200000 }, { 0, 200000 } }, off = { 0 };
	struct timespec t = { .tv_sec = 600 }, left = { 0 };

	handle(SIGALRM, note, SA_RESTART); /* which does not help nanosleep */
	go_away();
	CHECK_OK(setitimer(ITIMER_REAL, &interval, NULL));
	CHECK_ERRNO(nanosleep(&t, &left), EINTR);
	CHECK_OK(setitimer(ITIMER_REAL, &off, NULL));
	CHECK(left.tv_sec > 0 && left.tv_sec < 600, "%ld s left", left.tv_sec);
	CHECK(count >= 1);
	check_away();
}

static void blocked_signals(void)
{
	sigset_t set, old, pending;
	siginfo_t info;

	handle(SIGUSR1, note, 0);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	go_away();
	CHECK(!raise(SIGUSR1) && !count);
	CHECK_OK(sigpending(&pending));
	CHECK(sigismember(&pending, SIGUSR1) == 1);
	CHECK_OK(sigprocmask(SIG_BLOCK, NULL, &old));
	CHECK(sigismember(&old, SIGUSR1) == 1 && sigismember(&old, SIGUSR2) == 0);
	come_home();
	CHECK(!count, "a blocked signal was delivered on the way");
	go_away();
	CHECK_OK(sigprocmask(SIG_UNBLOCK, &set, NULL));
	CHECK(count == 1);

	/* take one without a handler */
	CHECK_OK(sigprocmask(SIG_BLOCK, &set, NULL));
	CHECK(!raise(SIGUSR1));
	CHECK(sigwaitinfo(&set, &info) == SIGUSR1);
	CHECK(info.si_pid == getpid() && count == 1);

	/* and by sigsuspend */
	CHECK(!raise(SIGUSR1) && count == 1);
	sigemptyset(&set);
	CHECK_ERRNO(sigsuspend(&set), EINTR);
	CHECK(count == 2);
}

/* The address of the instruction that faults. */
extern const char fault_divide[], fault_undefined[], fault_breakpoint[], fault_general[];

static const void *volatile context_rip;
static volatile unsigned int skip_bytes;

/* Note all, and go on behind the instruction. */
static void note_and_skip(int signal, siginfo_t *info, void *context)
{
	ucontext_t *uc = context;

	note(signal, info, context);
	context_rip = (const void *)uc->uc_mcontext.gregs[REG_RIP];
	uc->uc_mcontext.gregs[REG_RIP] += skip_bytes;
	uc->uc_mcontext.gregs[REG_R12] = 0x5ca1ab1e; /* a register set by the handler arrives */
}

static __attribute__((noinline)) uint64_t divide_by_zero(void)
{
	uint64_t r12 = 0;

	__asm__ volatile("xorl %%ecx, %%ecx\n movl $1, %%eax\n cltd\n"
			 ".globl fault_divide\nfault_divide: idivl %%ecx\n movq %%r12, %0\n"
			 : "=r"(r12)
			 :
			 : "rax", "rcx", "rdx", "r12", "cc");
	return r12;
}

static __attribute__((noinline)) uint64_t undefined_instruction(void)
{
	uint64_t r12 = 0;

	__asm__ volatile(".globl fault_undefined\nfault_undefined: ud2\n movq %%r12, %0\n"
			 : "=r"(r12)
			 :
			 : "r12");
	return r12;
}

static __attribute__((noinline)) uint64_t breakpoint(void)
{
	uint64_t r12 = 0;

	__asm__ volatile(".globl fault_breakpoint\nfault_breakpoint: int3\n movq %%r12, %0\n"
			 : "=r"(r12)
			 :
			 : "r12");
	return r12;
}

static __attribute__((noinline)) uint64_t general_protection(void)
{
	uint64_t r12 = 0;

	__asm__ volatile(
		"movabsq $0x8000000000000000, %%rax\n"
		".globl fault_general\nfault_general: movb (%%rax), %%al\n movq %%r12, %0\n"
		: "=r"(r12)
		:
		: "rax", "r12");
	return r12;
}

static void faults_of_instructions(void)
{
	handle(SIGFPE, note_and_skip, 0);
	handle(SIGILL, note_and_skip, 0);
	handle(SIGTRAP, note_and_skip, 0);
	handle(SIGSEGV, note_and_skip, 0);
	go_away();

	skip_bytes = 2;
	CHECK(divide_by_zero() == 0x5ca1ab1e);
	CHECK(count == 1 && got_signal == SIGFPE && got_code == FPE_INTDIV, "code %d", got_code);
	CHECK(got_address == fault_divide && context_rip == fault_divide);

	CHECK(undefined_instruction() == 0x5ca1ab1e);
	CHECK(count == 2 && got_signal == SIGILL && got_code == ILL_ILLOPN, "code %d", got_code);
	CHECK(got_address == fault_undefined && context_rip == fault_undefined,
	      "address %p, rip %p, at %p", got_address, context_rip, fault_undefined);

	skip_bytes = 0; /* a trap: it is behind already */
	CHECK(breakpoint() == 0x5ca1ab1e);
	CHECK(count == 3 && got_signal == SIGTRAP && got_code == SI_KERNEL, "code %d", got_code);
	CHECK(context_rip == fault_breakpoint + 1);

	skip_bytes = 2;
	CHECK(general_protection() == 0x5ca1ab1e);
	CHECK(count == 4 && got_signal == SIGSEGV && got_code == SI_KERNEL, "code %d", got_code);
	CHECK(!got_address && context_rip == fault_general);
	check_away();
	come_home();
	skip_bytes = 2;
	CHECK(undefined_instruction() == 0x5ca1ab1e && count == 5);
}

/* An exception of the SSE unit, unmasked. Emulators may not have it. */
static void divide_sse(void)
{
	uint32_t mxcsr = 0x1f80 & ~(1u << 9); /* divide by zero unmasked */
	volatile double zero = 0, result;

	__asm__ volatile("ldmxcsr %0" : : "m"(mxcsr));
	result = 1 / zero;
	(void)result;
}

/* One of the x87 unit; it is raised by the next instruction of that unit. */
static void divide_x87(void)
{
	uint16_t control = 0x037f & ~(1u << 2); /* divide by zero unmasked */

	__asm__ volatile("fldcw %0\n fld1\n fldz\n fdivrp\n fwait\n fninit" : : "m"(control));
}

static void floating_point_fault(void)
{
	static void (*const units[])(void) = { divide_x87, divide_sse };

	for (size_t i = 0; i < ARRAY_SIZE(units); i++) {
		handle(SIGFPE, note_and_jump, 0);
		if (!sigsetjmp(jump, 1))
			units[i]();
		if (!count) {
			diag("unit %zu raises no exceptions on this processor", i);
			continue;
		}
		count = 0;
		go_away();
		if (!sigsetjmp(jump, 1)) {
			units[i]();
			CHECK(0, "no exception of unit %zu", i);
		}
		CHECK(count == 1 && got_signal == SIGFPE && got_code == FPE_FLTDIV, "code %d",
		      got_code);
		check_away();
		come_home();
	}
}

static void die_away(int how)
{
	pid_t pid = fork();

	CHECK_OK(pid);
	if (pid) {
		expect_killed(pid, how);
		return;
	}
	go_away();
	switch (how) {
	case SIGILL:
		__asm__ volatile("ud2");
		break;
	case SIGSEGV:
		__asm__ volatile("movb $0, 0");
		break;
	case SIGFPE:
		divide_by_zero();
		break;
	case SIGTRAP:
		__asm__ volatile("int3");
		break;
	case SIGABRT:
		abort();
	default:
		raise(how);
	}
	_exit(1);
}

static void default_actions_kill(void)
{
	static const int signals[] = { SIGILL,	SIGSEGV, SIGFPE,  SIGTRAP,
				       SIGABRT, SIGTERM, SIGPIPE, SIGKILL };

	for (size_t i = 0; i < ARRAY_SIZE(signals); i++)
		die_away(signals[i]);
}

/* A child that computes away until it is told to end; its first byte says that it is there. */
static pid_t spinning_child(int *ready)
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
		for (;;)
			if (count)
				_exit(7);
	}
	close(ends[1]);
	if (read(ends[0], &c, 1) != 1) /* it failed, or skips */
		expect_exit(pid, -1);
	*ready = ends[0];
	return pid;
}

static void interrupt_from_the_keyboard(void)
{
	int ready;
	pid_t pid = spinning_child(&ready);

	CHECK_OK(kill(pid, SIGINT));
	expect_killed(pid, SIGINT);
}

static void kill_while_spinning(void)
{
	int ready;
	pid_t pid = spinning_child(&ready);

	CHECK_OK(kill(pid, SIGKILL));
	expect_killed(pid, SIGKILL);
}

static void stop_and_continue(void)
{
	int ready, status;
	pid_t pid;

	handle(SIGUSR1, note, 0);
	pid = spinning_child(&ready);
	for (int i = 0; i < 5; i++) {
		CHECK_OK(kill(pid, SIGSTOP));
		CHECK(waitpid(pid, &status, WUNTRACED) == pid);
		CHECK(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP, "status %x", status);
		CHECK_OK(kill(pid, SIGCONT));
		CHECK(waitpid(pid, &status, WCONTINUED) == pid && WIFCONTINUED(status), "status %x",
		      status);
	}
	CHECK_OK(kill(pid, SIGUSR1));
	expect_exit(pid, 7);
}

/* A stopped process does not run, wherever it is: its memory stands still. */
static void stopped_is_stopped(void)
{
	int ends[2], status;
	ssize_t got;
	char buffer[65536];
	pid_t pid;

	CHECK_OK(pipe(ends));
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		go_away();
		for (;;)
			CHECK(write(ends[1], "tick", 4) == 4);
	}
	close(ends[1]);
	got = read(ends[0], buffer, 1);
	if (got != 1)
		expect_exit(pid, -1);
	CHECK_OK(kill(pid, SIGSTOP));
	CHECK(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
	/* once the pipe is drained nothing may follow */
	CHECK_OK(fcntl(ends[0], F_SETFL, O_NONBLOCK));
	do {
		got = read(ends[0], buffer, sizeof(buffer));
	} while (got > 0);
	CHECK(got == -1 && errno == EAGAIN);
	for (int i = 0; i < 100; i++) {
		nap();
		CHECK(read(ends[0], buffer, sizeof(buffer)) == -1 && errno == EAGAIN,
		      "it still writes");
	}
	CHECK_OK(kill(pid, SIGKILL));
	expect_killed(pid, SIGKILL);
}

static void jump_out_of_handler(void)
{
	handle(SIGUSR1, note_and_jump, 0);
	go_away();
	for (volatile int i = 0; i < 10; i++) {
		if (!sigsetjmp(jump, 1)) {
			raise(SIGUSR1);
			CHECK(0, "came back from the handler");
		}
		CHECK(count == i + 1);
	}
	check_away();
}

static void handler_that_migrates(int signal)
{
	(void)signal;
	count++;
	come_home();
}

/* A handler that goes home takes the thread along; it goes on there. */
static void migrate_in_handler(void)
{
	struct sigaction action = { .sa_handler = handler_that_migrates };
	volatile uint64_t on_stack = 17;

	CHECK_OK(sigaction(SIGUSR1, &action, NULL));
	for (int i = 0; i < 5; i++) {
		go_away();
		on_stack++;
		CHECK(!raise(SIGUSR1));
		check_home();
		CHECK(on_stack == 18u + i);
	}
	CHECK(count == 5);
}

static void nested_inner(int signal)
{
	(void)signal;
	count += 100;
}

static void nested_outer(int signal)
{
	(void)signal;
	count++;
	raise(SIGUSR2);
	count += 10000;
}

static void nested_handlers(void)
{
	struct sigaction outer = { .sa_handler = nested_outer },
			 inner = { .sa_handler = nested_inner };

	CHECK_OK(sigaction(SIGUSR1, &outer, NULL));
	CHECK_OK(sigaction(SIGUSR2, &inner, NULL));
	go_away();
	CHECK(!raise(SIGUSR1));
	CHECK(count == 10101, "%d", count);
}

static void *bombard(void *arg)
{
	struct partner *p = arg;

	while (p->state == 1) {
		struct timespec pause = { .tv_nsec = rand() % 20 * 1000000 };

		pthread_kill(p->thread, SIGUSR1);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* Signals at every moment of the way out and back. */
static void signals_while_migrating(void)
{
	struct partner p = { .thread = pthread_self(), .state = 1 };
	uint64_t *memory = anon(4 * PAGE);
	int seen_away = 0;
	pthread_t other;
	sigset_t set;

	handle(SIGUSR1, note, SA_RESTART);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	/* the other thread does not take them itself */
	CHECK(!pthread_sigmask(SIG_BLOCK, &set, NULL));
	CHECK(!pthread_create(&other, NULL, bombard, &p));
	CHECK(!pthread_sigmask(SIG_UNBLOCK, &set, NULL));
	/* few, since each signal may cost several moves, and this runs under emulation */
	for (int round = 0; round < 10 || count < 3 || !seen_away; round++) {
		fill(memory, 4 * PAGE, round);
		/* EINTR is allowed: the thread stays where it is, and asks again */
		while (!home_only() && popcorn_migrate(away_node()))
			CHECK(errno == EINTR, "out: %s", strerror(errno));
		/* often a signal has brought it home again already */
		seen_away += home_only() || popcorn_where() == away_node();
		CHECK_FILL(memory, 4 * PAGE, round);
		fill(memory, 4 * PAGE, round + 1000);
		while (!home_only() && popcorn_migrate(POPCORN_NODE_ORIGIN))
			CHECK(errno == EINTR, "back: %s", strerror(errno));
		check_home();
		CHECK_FILL(memory, 4 * PAGE, round + 1000);
	}
	p.state = 2;
	CHECK(!pthread_join(other, NULL));
}

static const struct test tests[] = {
	TEST(raise_away),
	TEST(handler_set_away),
	TEST(queued_value),
	TEST(timer_while_computing),
	TEST(alarm_in_a_loop),
	TEST(posix_timer),
	TEST(alternate_stack),
	TEST(stack_overflow),
	TEST(thread_signal_while_spinning),
	TEST(interrupted_read),
	TEST(restarted_read),
	TEST(interrupted_sleep),
	TEST(blocked_signals),
	TEST(faults_of_instructions),
	TEST(floating_point_fault),
	TEST(default_actions_kill),
	TEST(interrupt_from_the_keyboard),
	TEST(kill_while_spinning),
	TEST(stop_and_continue),
	TEST(stopped_is_stopped),
	TEST(jump_out_of_handler),
	TEST(migrate_in_handler),
	TEST(nested_handlers),
	TEST(signals_while_migrating),
};

int main(void)
{
	return RUN_TESTS(tests);
}

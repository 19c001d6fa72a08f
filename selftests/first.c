// SPDX-License-Identifier: GPL-2.0
/*
 * First program of a kernel whose boot is measured: its first instruction reads the time-stamp counter, the rest
 * writes that to the kernel's log, as "popcorn-first: NUMBER". Without a C library, which would come first.
 */
#include <fcntl.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static long call(long number, long a, long b, long c)
{
	long result;

	__asm__ volatile("syscall"
			 : "=a"(result)
			 : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
	return result;
}

/* Called below, with what the first instruction has read. */
__attribute__((noreturn, used)) static void report(uint64_t tsc)
{
	/* Of the highest level, so that it gets to any console. */
	char line[] = "<0>popcorn-first: 00000000000000000000\n";
	char *digit = line + sizeof(line) - 2;
	long file;

	for (; tsc; tsc /= 10)
		*--digit = '0' + tsc % 10;
	call(SYS_mknod, (long)"/kmsg", S_IFCHR | 0600, 1 << 8 | 11);
	file = call(SYS_open, (long)"/kmsg", O_WRONLY, 0);
	call(SYS_write, file, (long)line, sizeof(line) - 1);
	for (;;)
		call(SYS_pause, 0, 0, 0);
}

__asm__(".globl _start\n"
	"_start:\n"
	"	rdtsc\n"
	"	shlq $32, %rdx\n"
	"	orq %rdx, %rax\n"
	"	movq %rax, %rdi\n"
	"	andq $-16, %rsp\n"
	"	call report\n");

// SPDX-License-Identifier: GPL-2.0
/*
 * Whether this kernel would load another one (kexec): asks it to load nothing, which needs the same rights and
 * changes nothing. guest/stock puts this program into the initramfs of secondaries, so it is linked statically.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static void say(const char *call, long result)
{
	printf("%s %s\n", call, result == -1 ? strerrorname_np(errno) : "allowed");
}

int main(void)
{
	say("kexec_load", syscall(SYS_kexec_load, 0, 0, NULL, 0));
	/* No file: a kernel that would load one says so. */
	say("kexec_file_load", syscall(SYS_kexec_file_load, -1, -1, 0, NULL, 0));
	return 0;
}

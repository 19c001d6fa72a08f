// SPDX-License-Identifier: GPL-2.0
/*
 * Takes a processor for itself, for good: no other task runs there any more. To the outside a kernel with one
 * processor looks then as if it hung. guest/kernels puts this program into a secondary's initramfs, so it is
 * linked statically.
 */
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>

static bool put(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	return file && fputs(text, file) != EOF && fclose(file) != EOF;
}

int main(void)
{
	const struct sched_param first = { .sched_priority = 99 };

	/* Neither a share of time for others, nor the server that sees to it that they get some. */
	mount("debugfs", "/sys/kernel/debug", "debugfs", 0, NULL);
	if (!put("/proc/sys/kernel/sched_rt_runtime_us", "-1") ||
	    !put("/sys/kernel/debug/sched/fair_server/cpu0/runtime", "0") ||
	    sched_setscheduler(0, SCHED_FIFO, &first)) {
		perror("seize");
		return EXIT_FAILURE;
	}
	for (;;)
		;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Takes so many MiB of memory and holds one page of each, so that the kernel cannot move it elsewhere: pipes
 * that nobody reads refer to it. guest/memory puts this program into a secondary's initramfs, so it is linked
 * statically.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#define MIB (1UL << 20)

int main(int argc, char *argv[])
{
	unsigned long count = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	int pipes[2];
	char *memory;

	if (!count || count > 4096) {
		fprintf(stderr, "usage: pin MIB\n");
		return EXIT_FAILURE;
	}
	memory =
		mmap(NULL, count * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED) {
		perror("mmap");
		return EXIT_FAILURE;
	}
	memset(memory, 1, count * MIB);
	for (unsigned long i = 0; i < count; i++) {
		struct iovec page = { memory + i * MIB, 4096 };

		/* A pipe has 16 places at first. */
		if (i % 16 == 0 && pipe(pipes)) {
			perror("pipe");
			return EXIT_FAILURE;
		}
		if (vmsplice(pipes[1], &page, 1, SPLICE_F_NONBLOCK) != 4096) {
			perror("vmsplice");
			return EXIT_FAILURE;
		}
	}
	puts("pinned");
	fflush(stdout);
	for (;;)
		pause();
}

// SPDX-License-Identifier: GPL-2.0
/*
 * How long a further kernel takes from `start` to its first user instruction, and its processor from `kill` to
 * being back; and what memory it costs beyond what it is given. JSON on stdout, one object for each round.
 *
 *   bench_boot KERNEL INITRD COMMAND_LINE CPU MIB ROUNDS
 *
 * The first program in INITRD is selftests/first.c.
 */
#define _GNU_SOURCE
#include "stamp.h"

#include <err.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/popcorn_boot.h>

#define KERNEL "bench"
#define FOLDER "/sys/kernel/config/popcorn_boot/" KERNEL

static double per_ns;

static void put(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);

	if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text))
		err(1, "%s <- %s", path, text);
	close(file);
}

/* put(), and the nanoseconds that it took. */
static uint64_t timed(const char *path, const char *text)
{
	uint64_t from = stamp();

	put(path, text);
	return (stamp() - from) / per_ns;
}

static long free_kib(void)
{
	char line[128];
	FILE *file;
	long kib = -1;

	sync();
	put("/proc/sys/vm/drop_caches", "3");
	file = fopen("/proc/meminfo", "re");
	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemFree: %ld", &kib) == 1)
			break;
	if (kib < 0)
		errx(1, "/proc/meminfo says nothing");
	fclose(file);
	return kib;
}

/* Waits until the kernel's log tells when its first program began. */
static uint64_t first_user(void)
{
	static char log[1 << 20];
	struct popcorn_boot_attach attach = { .size = sizeof(attach),
					      .what = POPCORN_BOOT_LOG,
					      .name = KERNEL };
	int file = open("/dev/popcorn_boot", O_RDONLY | O_CLOEXEC);
	size_t length = 0;

	if (file < 0 || ioctl(file, POPCORN_BOOT_IOC_ATTACH, &attach))
		err(1, "the kernel's log");
	for (int tries = 0; tries < 60000; tries++) {
		ssize_t got = read(file, log + length, sizeof(log) - 1 - length);
		char *line, *end;
		uint64_t tsc;

		if (got < 0)
			err(1, "the kernel's log");
		length += got;
		log[length] = 0;
		line = strstr(log, "popcorn-first: ");
		if (line && strchr(line, '\n')) {
			tsc = strtoull(line + strlen("popcorn-first: "), &end, 10);
			close(file);
			return tsc;
		}
		usleep(2000);
	}
	errx(1, "the kernel's first program has not begun; its log:\n%s", log);
}

static void one_round(char **argv, bool last)
{
	const char *cpu = argv[4];
	long memory_kib = atol(argv[5]) << 10, before, made, running, after;
	uint64_t create_ns, load_ns, kill_ns, back_ns, from, first;
	char size[32];

	snprintf(size, sizeof(size), "%sM", argv[5]);
	before = free_kib();
	from = stamp();
	if (mkdir(FOLDER, 0755))
		err(1, FOLDER);
	put(FOLDER "/cpus", cpu);
	put(FOLDER "/memory", size);
	create_ns = (stamp() - from) / per_ns;
	made = free_kib();
	put(FOLDER "/kernel", argv[1]);
	put(FOLDER "/initrd", argv[2]);
	put(FOLDER "/command_line", argv[3]);
	load_ns = timed(FOLDER "/load", "1");
	from = stamp();
	put(FOLDER "/start", "1");
	first = first_user();
	running = free_kib();
	kill_ns = timed(FOLDER "/kill", "1");
	back_ns = kill_ns + timed(FOLDER "/cpus", "\n");
	if (rmdir(FOLDER))
		err(1, FOLDER);
	after = free_kib();
	printf("  { \"create_ns\": %lu, \"load_ns\": %lu, \"first_user_ns\": %.0f, \"kill_ns\": %lu, \"back_ns\": %lu,\n"
	       "    \"made_extra_kib\": %ld, \"running_extra_kib\": %ld, \"lost_kib\": %ld }%s\n",
	       create_ns, load_ns, (first - from) / per_ns, kill_ns, back_ns,
	       before - made - memory_kib, before - running - memory_kib, before - after,
	       last ? "" : ",");
}

int main(int argc, char **argv)
{
	long rounds = argc == 7 ? atol(argv[6]) : 0;

	if (rounds < 1)
		errx(2, "usage: bench_boot KERNEL INITRD COMMAND_LINE CPU MIB ROUNDS");
	per_ns = stamps_per_ns();
	printf("{ \"stamps_per_ns\": %.6f, \"memory_mib\": %s, \"rounds\": [\n", per_ns, argv[5]);
	for (long i = 0; i < rounds; i++)
		one_round(argv, i + 1 == rounds);
	printf("] }\n");
	return fflush(stdout) ? 1 : 0;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * Memory is the same on both sides: every kind of private memory, changed at one node and read at
 * the other, and every call that changes the layout, made at one node and felt at the other.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define KIB 1024UL
#define MIB (1024 * KIB)

static const uint64_t constants[4 * PAGE / 8] = { 11, 22, 33, [2047] = 55 };
static uint64_t initialised[4 * PAGE / 8] = { 7, [1024] = 8, [2047] = 9 };
static uint64_t bss[64 * PAGE / 8];
static __thread uint64_t tls_value = 1234;
static __thread uint64_t tls_array[PAGE / 8];

/* Read through a volatile pointer: the compiler must not answer for the memory. */
static uint64_t peek(const uint64_t *word)
{
	return *(const volatile uint64_t *)word;
}

static void static_data(void)
{
	const uint64_t *rodata = constants;

	bss[5] = 1;
	initialised[1] = 70;
	go_away();
	CHECK(peek(&rodata[0]) == 11 && peek(&rodata[2047]) == 55 && peek(&rodata[1000]) == 0);
	CHECK(peek(&initialised[0]) == 7 && peek(&initialised[1]) == 70);
	CHECK(peek(&initialised[1024]) == 8 && peek(&initialised[2047]) == 9);
	CHECK(peek(&bss[5]) == 1 && peek(&bss[6]) == 0);
	initialised[1024] = 80;
	fill(bss, sizeof(bss), 1);
	come_home();
	CHECK(peek(&initialised[1024]) == 80 && peek(&initialised[1]) == 70);
	CHECK_FILL(bss, sizeof(bss), 1);
}

/* Recurse with a page of checked memory in every frame. */
static __attribute__((noinline)) void deep(unsigned int level, bool turn)
{
	uint64_t frame[PAGE / 8];

	fill(frame, sizeof(frame), level);
	__asm__ volatile("" : : "r"(frame) : "memory");
	if (level)
		deep(level - 1, turn);
	else if (turn)
		come_home();
	CHECK_FILL(frame, sizeof(frame), level);
}

static void stack_both_ways(void)
{
	uint64_t local[16 * KIB];

	fill(local, sizeof(local), 1);
	go_away();
	CHECK_FILL(local, sizeof(local), 1);
	fill(local, sizeof(local), 2);
	come_home();
	CHECK_FILL(local, sizeof(local), 2);
}

static void stack_grows_away(void)
{
	go_away();
	deep(500, false); /* 2 MiB */
	deep(700, false); /* a part used before, then new */
}

/* The frames are written away, and read at home on the way up. */
static void stack_unwinds_at_home(void)
{
	go_away();
	deep(300, true);
	check_home();
}

static void malloc_both_ways(void)
{
	void *block[400];
	uint64_t random = 42;
	size_t size[ARRAY_SIZE(block)] = { 0 };

	for (int round = 0; round < 4; round++) {
		if (round % 2)
			go_away();
		for (size_t i = 0; i < ARRAY_SIZE(block); i++) {
			if (round) {
				CHECK_FILL(block[i], size[i], i + round - 1);
				if (i % 3 == 0)
					free(block[i]);
			}
			if (!round || i % 3 == 0) {
				size[i] = 8 + random_next(&random) % (i % 20 ? 3000 : 300000);
				block[i] = malloc(size[i]);
				CHECK(block[i]);
			}
			fill(block[i], size[i], i + round);
		}
		if (round % 2)
			come_home();
	}
	for (size_t i = 0; i < ARRAY_SIZE(block); i++) {
		CHECK_FILL(block[i], size[i], i + 3);
		free(block[i]);
	}
}

static void realloc_away(void)
{
	uint64_t *p = malloc(64 * KIB);

	fill(p, 64 * KIB, 9);
	go_away();
	p = realloc(p, 2 * MIB); /* mmap */
	CHECK(p);
	CHECK_FILL(p, 64 * KIB, 9);
	fill(p, 2 * MIB, 10);
	p = realloc(p, 4 * MIB); /* mremap */
	CHECK(p);
	CHECK_FILL(p, 2 * MIB, 10);
	come_home();
	CHECK_FILL(p, 2 * MIB, 10);
	p = realloc(p, 32 * KIB);
	CHECK_FILL(p, 32 * KIB, 10);
	free(p);
}

static void brk_away(void)
{
	char *start;

	go_away();
	start = sbrk(256 * KIB);
	CHECK(start != (void *)-1);
	fill(start, 256 * KIB, 3);
	come_home();
	CHECK_FILL(start, 256 * KIB, 3);
	fill(start, 256 * KIB, 4);
	CHECK(sbrk(128 * KIB) != (void *)-1);
	fill(start + 256 * KIB, 128 * KIB, 5);
	go_away();
	CHECK_FILL(start, 256 * KIB, 4);
	CHECK_FILL(start + 256 * KIB, 128 * KIB, 5);

	/* give it back and take it again: it must be zero */
	CHECK(sbrk(-(long)(384 * KIB)) != (void *)-1);
	CHECK(sbrk(384 * KIB) == start);
	for (size_t i = 0; i < 384 * KIB / 8; i++)
		CHECK(!peek((uint64_t *)start + i), "word %zu survived", i);
}

static void big_array_out(void)
{
	uint64_t *p = anon(8 * MIB);

	fill(p, 8 * MIB, 1);
	go_away();
	CHECK_FILL(p, 8 * MIB, 1);
}

static void big_array_back(void)
{
	uint64_t *p = anon(8 * MIB);

	go_away();
	fill(p, 8 * MIB, 2);
	come_home();
	CHECK_FILL(p, 8 * MIB, 2);
}

static void big_array_both_ways(void)
{
	uint64_t *p = anon(2 * MIB);

	fill(p, 2 * MIB, 0);
	for (int round = 0; round < 3; round++) {
		go_away();
		CHECK_FILL(p, 2 * MIB, 2 * round);
		fill(p, 2 * MIB, 2 * round + 1);
		come_home();
		CHECK_FILL(p, 2 * MIB, 2 * round + 1);
		fill(p, 2 * MIB, 2 * round + 2);
	}
}

/* Pages that differ in what happened to them: nothing, read or written, at home or away. */
static void mixed_history(void)
{
	enum {
		PAGES = 256,
		WORDS = PAGE / 8
	};
	uint64_t *p = anon(PAGES * PAGE);
	uint64_t shadow[PAGES] = { 0 };
	uint64_t random = 1;

	for (int round = 0; round < 12; round++) {
		if (round % 2)
			go_away();
		for (int i = 0; i < PAGES; i++) {
			uint64_t what = random_next(&random) % 4;
			uint64_t *page = p + i * WORDS;

			if (!what)
				continue;
			CHECK(peek(page + i) == shadow[i], "round %d page %d: %lu, not %lu", round,
			      i, page[i], shadow[i]);
			CHECK(peek(page + WORDS - 1) == shadow[i] || i == WORDS - 1);
			if (what == 1)
				continue;
			shadow[i] = random_next(&random);
			page[i] = shadow[i];
			page[WORDS - 1] = shadow[i];
		}
		if (round % 2)
			come_home();
	}
	for (int i = 0; i < PAGES; i++)
		CHECK(peek(p + i * WORDS + i) == shadow[i], "page %d", i);
}

static void zero_pages(void)
{
	uint64_t *p = anon(64 * PAGE);

	/* home reads (it has the zero page mapped), away writes */
	for (int i = 0; i < 32; i++)
		CHECK(!peek(p + i * 512));
	go_away();
	for (int i = 0; i < 64; i++)
		CHECK(!peek(p + i * 512 + 1), "page %d", i);
	for (int i = 0; i < 64; i += 2)
		p[i * 512] = i + 1;
	come_home();
	for (int i = 0; i < 64; i++)
		CHECK(peek(p + i * 512) == (i % 2 ? 0 : (uint64_t)i + 1), "page %d", i);
	/* read only away so far, now written at home, read away again */
	for (int i = 1; i < 64; i += 2)
		p[i * 512] = i + 1;
	go_away();
	for (int i = 0; i < 64; i++)
		CHECK(peek(p + i * 512) == (uint64_t)i + 1, "page %d", i);
}

static void across_two_pages(void)
{
	char *p = anon(4 * PAGE);
	uint64_t value = 0x1122334455667788, got;

	go_away();
	memcpy(p + PAGE - 3, &value, 8);
	come_home();
	memcpy(&got, p + PAGE - 3, 8);
	CHECK(got == value, "%#lx", got);
	value = ~value;
	memcpy(p + 2 * PAGE - 5, &value, 8);
	go_away();
	/* one instruction whose operand lies in two pages that are both at home */
	__asm__ volatile("addq $1, %0" : "+m"(*(uint64_t *)(p + 2 * PAGE - 5)));
	memcpy(&got, p + 2 * PAGE - 5, 8);
	CHECK(got == value + 1, "%#lx", got);
	/* a string move, too */
	__builtin_memset(p, 'x', PAGE);
	__asm__ volatile("rep movsb" : : "S"(p), "D"(p + 2 * PAGE + 100), "c"(PAGE) : "memory");
	come_home();
	for (size_t i = 0; i < PAGE; i++)
		CHECK(p[2 * PAGE + 100 + i] == 'x', "byte %zu", i);
}

static void thread_local_storage(void)
{
	fill(tls_array, sizeof(tls_array), 1);
	go_away();
	CHECK(tls_value == 1234);
	CHECK_FILL(tls_array, sizeof(tls_array), 1);
	tls_value = 5678;
	errno = EDOM;
	come_home();
	CHECK(tls_value == 5678);
	CHECK(errno == EDOM);
}

static void private_file(void)
{
	enum {
		BYTES = 64 * 4096
	};
	uint64_t *buffer = malloc(BYTES), *p;
	int fd = temp_file();

	fill(buffer, BYTES, 1);
	CHECK(pwrite(fd, buffer, BYTES, 0) == BYTES);
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED);

	/* a quarter read, a quarter written before it goes */
	CHECK_FILL(p, BYTES / 4, 1);
	for (int i = BYTES / 4; i < BYTES / 2; i += 4096)
		p[i / 8] = ~0UL;
	go_away();
	for (int i = 0; i < BYTES / 8; i++) {
		bool changed = i * 8 >= BYTES / 4 && i * 8 < BYTES / 2 && i % 512 == 0;

		CHECK(peek(p + i) == (changed ? ~0UL : buffer[i]), "word %d", i);
	}
	fill(p, BYTES, 2);
	come_home();
	CHECK_FILL(p, BYTES, 2);

	/* the file never saw it */
	memset(buffer, 0, BYTES);
	CHECK(pread(fd, buffer, BYTES, 0) == BYTES);
	CHECK_FILL(buffer, BYTES, 1);

	/* MADV_DONTNEED of a private mapping of a file brings the file's bytes back */
	go_away();
	CHECK_OK(madvise(p, BYTES, MADV_DONTNEED));
	CHECK_FILL(p, BYTES, 1);
	come_home();
	CHECK_FILL(p, BYTES, 1);
}

static void private_file_mapped_away(void)
{
	enum {
		BYTES = 32 * 4096
	};
	uint64_t *p;
	int fd;

	go_away();
	fd = temp_file();
	p = malloc(BYTES);
	fill(p, BYTES, 6);
	CHECK(write(fd, p, BYTES) == BYTES);
	free(p);
	p = mmap(NULL, BYTES, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED);
	CHECK_FILL(p, BYTES, 6);
	come_home();
	CHECK_FILL(p, BYTES, 6);
	CHECK_OK(munmap(p, BYTES));
}

/* A file that ends within the mapping: the rest of its last page is zero, then SIGBUS. */
static void end_of_file_in_mapping(void)
{
	int fd = temp_file();
	pid_t pid;
	char *p;

	CHECK(write(fd, "0123456789", 10) == 10);
	p = mmap(NULL, 2 * PAGE, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(p != MAP_FAILED);
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		go_away();
		CHECK(!memcmp(p, "0123456789\0\0", 12));
		CHECK(!p[PAGE - 1]);
		*(volatile char *)(p + PAGE);
		_exit(1);
	}
	expect_killed(pid, SIGBUS);
}

/* Map at the same place again and again; no byte of an earlier mapping may be seen. */
static void address_is_reused(void)
{
	enum {
		BYTES = 16 * 4096
	};
	uint64_t *at = anon(BYTES);

	for (int round = 0; round < 16; round++) {
		/* who fills, who reads, who unmaps and who maps anew: every combination */
		bool fill_away = round & 1, read_away = round & 2, unmap_away = round & 4;
		bool map_away = round & 8;
		uint64_t *again;

		if (fill_away)
			go_away();
		fill(at, BYTES, round);
		if (fill_away)
			come_home();
		if (read_away)
			go_away();
		CHECK_FILL(at, BYTES, round);
		if (read_away)
			come_home();
		if (unmap_away)
			go_away();
		CHECK_OK(munmap(at, BYTES));
		if (unmap_away)
			come_home();
		if (map_away)
			go_away();
		again = mmap(at, BYTES, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		CHECK(again == at, "round %d: %s", round, strerror(errno));
		for (int i = 0; i < BYTES / 8; i++)
			CHECK(!peek(at + i), "round %d: word %d is %lx", round, i, at[i]);
		if (map_away)
			come_home();
		for (int i = 0; i < BYTES / 8; i++)
			CHECK(!peek(at + i), "round %d: word %d is %lx at home", round, i, at[i]);
	}
}

/* MAP_FIXED over a part of an old mapping. */
static void map_over(void)
{
	char *p = anon(8 * PAGE);

	fill(p, 8 * PAGE, 1);
	go_away();
	CHECK_FILL(p, 8 * PAGE, 1);
	CHECK(mmap(p + 2 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 2 * PAGE);
	CHECK(!p[2 * PAGE] && !p[4 * PAGE - 1]);
	CHECK_FILL(p, 2 * PAGE, 1);
	p[2 * PAGE] = 'a';
	come_home();
	CHECK(p[2 * PAGE] == 'a' && !p[3 * PAGE]);
	CHECK(mmap(p, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
		   0) == p);
	go_away();
	CHECK(!p[0] && p[2 * PAGE] == 'a');
}

static volatile sig_atomic_t faults;
static volatile int fault_code;
static void *volatile fault_address;
static void *fault_page;
static sigjmp_buf fault_jump;

/* Make the page usable and let the instruction run again. */
static void repair(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	faults++;
	fault_code = info->si_code;
	fault_address = info->si_addr;
	if (faults > 10 || mprotect(fault_page, PAGE, PROT_READ | PROT_WRITE))
		_exit(99);
}

static void jump_out(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	faults++;
	fault_code = info->si_code;
	fault_address = info->si_addr;
	siglongjmp(fault_jump, 1);
}

static void on_fault(void (*handler)(int, siginfo_t *, void *))
{
	struct sigaction action = { .sa_sigaction = handler, .sa_flags = SA_SIGINFO };

	CHECK_OK(sigaction(SIGSEGV, &action, NULL));
	faults = 0;
}

static void write_to_read_only(void)
{
	char *memory = anon(2 * PAGE);
	volatile char *p = memory; /* each access where it stands in the text */

	fill(memory, 2 * PAGE, 1);
	on_fault(repair);
	fault_page = memory;

	/* protected at home, written away */
	CHECK_OK(mprotect(memory, PAGE, PROT_READ));
	go_away();
	CHECK_FILL(memory, 2 * PAGE, 1);
	p[8] = 1;
	CHECK(faults == 1, "%d faults", faults);
	CHECK(fault_code == SEGV_ACCERR && fault_address == memory + 8, "code %d address %p",
	      fault_code, fault_address);
	CHECK(p[8] == 1);
	check_away();

	/* protected and written away */
	CHECK_OK(mprotect(memory, PAGE, PROT_READ));
	p[9] = 2;
	CHECK(faults == 2, "%d faults", faults);

	/* protected away, written at home */
	CHECK_OK(mprotect(memory, PAGE, PROT_READ));
	come_home();
	p[10] = 3;
	CHECK(faults == 3, "%d faults", faults);
	CHECK(p[8] == 1 && p[9] == 2 && p[10] == 3);
}

static void no_access_and_no_mapping(void)
{
	char *memory = anon(3 * PAGE);
	volatile char *p = memory;
	const volatile char *volatile near_null = (const volatile char *)16;

	on_fault(jump_out);
	p[0] = p[PAGE] = 1;
	go_away();
	p[PAGE + 1] = 2;
	CHECK_OK(mprotect(memory + PAGE, PAGE, PROT_NONE));
	if (!sigsetjmp(fault_jump, 1)) {
		(void)p[PAGE + 1];
		CHECK(0, "read what is PROT_NONE");
	}
	CHECK(faults == 1 && fault_code == SEGV_ACCERR && fault_address == memory + PAGE + 1);
	CHECK_OK(mprotect(memory + PAGE, PAGE, PROT_READ));
	CHECK(p[PAGE] == 1 && p[PAGE + 1] == 2);

	CHECK_OK(munmap(memory + PAGE, PAGE));
	if (!sigsetjmp(fault_jump, 1)) {
		p[PAGE + 5] = 1;
		CHECK(0, "wrote where nothing is mapped");
	}
	CHECK(faults == 2 && fault_code == SEGV_MAPERR && fault_address == memory + PAGE + 5);
	if (!sigsetjmp(fault_jump, 1)) {
		(void)*near_null;
		CHECK(0, "read near the null pointer");
	}
	CHECK(faults == 3 && fault_code == SEGV_MAPERR && fault_address == (void *)16);
	check_away();
	come_home();
	CHECK(p[0] == 1);
}

/* A mapping that goes at home is gone away, too, when it was in use there. */
static void unmapped_at_home(void)
{
	char *p = anon(4 * PAGE);

	on_fault(jump_out);
	go_away();
	fill(p, 4 * PAGE, 1);
	come_home();
	CHECK_OK(munmap(p, 4 * PAGE));
	go_away();
	for (volatile int i = 0; i < 4; i++) {
		if (!sigsetjmp(fault_jump, 1)) {
			(void)*(volatile char *)(p + i * PAGE);
			CHECK(0, "page %d is still there", i);
		}
		CHECK(faults == i + 1 && fault_code == SEGV_MAPERR);
	}
}

static void mremap_moves(void)
{
	enum {
		BYTES = 16 * 4096
	};

	for (int round = 0; round < 4; round++) {
		bool fill_away = round & 1, move_away = round & 2;
		char *p = anon(BYTES), *room = anon(4 * BYTES), *q;

		if (fill_away)
			go_away();
		fill(p, BYTES, round);
		if (fill_away)
			come_home();
		if (move_away)
			go_away();
		q = mremap(p, BYTES, 2 * BYTES, MREMAP_MAYMOVE | MREMAP_FIXED, room);
		CHECK(q == room, "mremap: %s", strerror(errno));
		CHECK_FILL(q, BYTES, round);
		CHECK(!q[BYTES] && !q[2 * BYTES - 1]);
		fill(q, 2 * BYTES, round + 10);
		if (move_away)
			come_home();
		CHECK_FILL(q, 2 * BYTES, round + 10);

		/* shrink, grow in place */
		CHECK(mremap(q, 2 * BYTES, BYTES / 2, 0) == q);
		go_away();
		CHECK_FILL(q, BYTES / 2, round + 10);
		CHECK(mremap(q, BYTES / 2, BYTES, 0) == q);
		CHECK(!q[BYTES / 2] && !q[BYTES - 1], "the old end is back");
		come_home();
		CHECK(!q[BYTES / 2] && !q[BYTES - 1]);
	}
}

static void dont_need(void)
{
	enum {
		BYTES = 16 * 4096
	};
	uint64_t *p = anon(BYTES);

	for (int round = 0; round < 8; round++) {
		bool fill_away = round & 1, drop_away = round & 2, read_away = round & 4;

		if (fill_away)
			go_away();
		fill(p, BYTES, round);
		if (fill_away)
			come_home();
		if (drop_away)
			go_away();
		CHECK_OK(madvise(p, BYTES, MADV_DONTNEED));
		if (drop_away)
			come_home();
		if (read_away)
			go_away();
		for (int i = 0; i < BYTES / 8; i++)
			CHECK(!peek(p + i), "round %d: word %d is %lx", round, i, p[i]);
		if (read_away)
			come_home();
	}
}

/* Other advice must not lose anything, whatever this kernel makes of it. */
static void other_advice(void)
{
	static const int advice[] = { MADV_WILLNEED, MADV_COLD,	  MADV_PAGEOUT,
				      MADV_NORMAL,   MADV_RANDOM, MADV_SEQUENTIAL };
	enum {
		BYTES = 64 * 4096
	};
	uint64_t *p = anon(BYTES);

	fill(p, BYTES, 1);
	for (size_t i = 0; i < ARRAY_SIZE(advice); i++) {
		if (madvise(p, BYTES, advice[i]))
			diag("madvise %d: %s", advice[i], strerror(errno));
		go_away();
		CHECK_FILL(p, BYTES / 2, i + 1);
		fill(p, BYTES, i + 2);
		if (madvise(p, BYTES, advice[i]))
			diag("madvise %d away: %s", advice[i], strerror(errno));
		CHECK_FILL(p, BYTES, i + 2);
		come_home();
		CHECK_FILL(p, BYTES, i + 2);
	}
}

/* A region that may be huge pages at home. */
static void huge_pages(void)
{
	char *raw = anon(6 * MIB), *p = (char *)(((uintptr_t)raw + 2 * MIB - 1) & -(2 * MIB));

	if (madvise(p, 4 * MIB, MADV_HUGEPAGE))
		diag("no huge pages here (%s); plain ones do", strerror(errno));
	fill(p, 4 * MIB, 1);
	go_away();
	CHECK_FILL(p, 4 * MIB, 1);
	fill(p + MIB, MIB, 2);
	come_home();
	CHECK_FILL(p, MIB, 1);
	CHECK_FILL(p + MIB, MIB, 2);
}

static void fork_while_away(void)
{
	enum {
		BYTES = 64 * 4096
	};
	char *p = anon(BYTES), *q = anon(BYTES);
	int to_child[2];
	pid_t pid;
	char c;

	fill(q, BYTES, 7); /* stays at home */
	CHECK_OK(pipe(to_child));
	go_away();
	fill(p, BYTES, 8); /* is away when fork happens */
	pid = fork();
	CHECK_OK(pid);
	if (!pid) {
		CHECK(read(to_child[0], &c, 1) == 1); /* the parent has changed its own by now */
		CHECK_FILL(p, BYTES, 8);
		CHECK_FILL(q, BYTES, 7);
		fill(p, BYTES, 20);
		fill(q, BYTES, 21);
		CHECK_FILL(p, BYTES, 20);
		CHECK_FILL(q, BYTES, 21);
		_exit(3);
	}
	fill(p, BYTES, 9);
	CHECK(write(to_child[1], "x", 1) == 1);
	expect_exit(pid, 3);
	CHECK_FILL(p, BYTES, 9);
	CHECK_FILL(q, BYTES, 7);
	come_home();
	CHECK_FILL(p, BYTES, 9);
	CHECK_FILL(q, BYTES, 7);
}

/* Fork at home when pages are still owned by the remote; the child goes its own ways. */
static void fork_after_return(void)
{
	enum {
		BYTES = 64 * 4096
	};
	char *p = anon(BYTES);
	pid_t pid[2];

	go_away();
	fill(p, BYTES, 1);
	come_home();
	CHECK_FILL(p, BYTES / 4, 1); /* some shared, the rest away */
	for (int i = 0; i < 2; i++) {
		pid[i] = fork();
		CHECK_OK(pid[i]);
		if (!pid[i]) {
			if (i)
				go_away();
			CHECK_FILL(p, BYTES, 1);
			fill(p, BYTES, 30 + i);
			if (i)
				come_home();
			CHECK_FILL(p, BYTES, 30 + i);
			_exit(5);
		}
	}
	CHECK_FILL(p, BYTES, 1);
	go_away();
	CHECK_FILL(p, BYTES, 1);
	fill(p, BYTES, 2);
	expect_exit(pid[0], 5);
	expect_exit(pid[1], 5);
	CHECK_FILL(p, BYTES, 2);
}

/* The kernel itself reads and writes pages that are away, for system calls. */
static void kernel_reads_and_writes(void)
{
	enum {
		BYTES = 512 * 1024
	};
	char *from = anon(BYTES), *to = anon(BYTES);
	int fd = temp_file();

	go_away();
	fill(from, BYTES, 1);
	fill(to, BYTES, 99); /* away, and to be overwritten by the kernel at home */
	CHECK(pwrite(fd, from, BYTES, 0) == BYTES);
	CHECK(pread(fd, to, BYTES, 0) == BYTES);
	CHECK_FILL(to, BYTES, 1);

	/* the same from home, with the pages away */
	fill(from, BYTES, 2);
	fill(to, BYTES, 98);
	come_home();
	CHECK(pwrite(fd, from, BYTES, 0) == BYTES);
	CHECK(pread(fd, to, BYTES, 0) == BYTES);
	CHECK_FILL(to, BYTES, 2);
}

typedef int (*generated)(void);

/* mov eax, value; ret */
static void generate(unsigned char *code, uint32_t value)
{
	code[0] = 0xb8;
	memcpy(code + 1, &value, 4);
	code[5] = 0xc3;
}

static int run_generated(void *code)
{
	generated function;

	memcpy(&function, &code, sizeof(function));
	return function();
}

static void generated_code(void)
{
	unsigned char *code = anon(PAGE);

	generate(code, 1111);
	CHECK_OK(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
	go_away();
	CHECK(run_generated(code) == 1111);
	CHECK_OK(mprotect(code, PAGE, PROT_READ | PROT_WRITE));
	generate(code, 2222);
	CHECK_OK(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
	CHECK(run_generated(code) == 2222);
	come_home();
	CHECK(run_generated(code) == 2222);
	CHECK_OK(mprotect(code, PAGE, PROT_READ | PROT_WRITE));
	generate(code, 3333);
	CHECK_OK(mprotect(code, PAGE, PROT_READ | PROT_EXEC));
	go_away();
	CHECK(run_generated(code) == 3333);
}

/* Code that is data away must not run there. */
static void data_does_not_run(void)
{
	unsigned char *code = anon(PAGE);

	generate(code, 1);
	on_fault(jump_out);
	go_away();
	if (!sigsetjmp(fault_jump, 1)) {
		run_generated(code);
		CHECK(0, "data ran");
	}
	CHECK(faults == 1 && fault_code == SEGV_ACCERR && fault_address == code);
}

/* Shared memory between processes: right on both sides, or the process is refused. */
static void shared_with_child(void)
{
	enum {
		BYTES = 8 * 4096
	};
	char *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int to_child[2], to_parent[2];
	pid_t pid;
	char c;

	CHECK(p != MAP_FAILED);
	CHECK_OK(pipe(to_child));
	CHECK_OK(pipe(to_parent));
	pid = fork();
	CHECK_OK(pid);
	if (!pid) { /* stays at home */
		for (int round = 0; round < 4; round++) {
			CHECK(read(to_child[0], &c, 1) == 1);
			CHECK_FILL(p, BYTES, 2 * round);
			fill(p, BYTES, 2 * round + 1);
			CHECK(write(to_parent[1], "x", 1) == 1);
		}
		_exit(0);
	}
	go_away();
	for (int round = 0; round < 4; round++) {
		fill(p, BYTES, 2 * round);
		CHECK(write(to_child[1], "x", 1) == 1);
		CHECK(read(to_parent[0], &c, 1) == 1);
		CHECK_FILL(p, BYTES, 2 * round + 1);
	}
	expect_exit(pid, 0);
}

static void shared_file(void)
{
	enum {
		BYTES = 8 * 4096
	};
	char *buffer = malloc(BYTES), *p;
	int fd = temp_file();

	CHECK_OK(ftruncate(fd, BYTES));
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	CHECK(p != MAP_FAILED);
	fill(p, BYTES, 1);
	go_away();
	CHECK_FILL(p, BYTES, 1);
	fill(p, BYTES, 2);
	CHECK(pread(fd, buffer, BYTES, 0) == BYTES);
	CHECK_FILL(buffer, BYTES, 2);
	fill(buffer, BYTES, 3);
	CHECK(pwrite(fd, buffer, BYTES, 0) == BYTES);
	CHECK_FILL(p, BYTES, 3);
	fill(p, BYTES, 4);
	/* shared memory is not spread: the thread came home when it touched it, and stayed */
	if (!home_only())
		CHECK_OK(popcorn_home());
	check_home();
	CHECK_FILL(p, BYTES, 4);
	CHECK(pread(fd, buffer, BYTES, 0) == BYTES);
	CHECK_FILL(buffer, BYTES, 4);
}

static void many_mappings(void)
{
	enum {
		COUNT = 300
	};
	char *p[COUNT];

	go_away();
	for (int i = 0; i < COUNT; i++) {
		/* alternating protection: the kernel cannot merge them */
		p[i] = mmap(NULL, 2 * PAGE,
			    PROT_READ | (i % 2 ? PROT_WRITE : PROT_WRITE | PROT_EXEC),
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(p[i] != MAP_FAILED);
		p[i][0] = i;
		p[i][PAGE] = i + 1;
	}
	come_home();
	for (int i = 0; i < COUNT; i++) {
		CHECK(p[i][0] == (char)i && p[i][PAGE] == (char)(i + 1), "mapping %d", i);
		if (i % 2)
			CHECK_OK(munmap(p[i], 2 * PAGE));
	}
	go_away();
	for (int i = 0; i < COUNT; i += 2)
		CHECK(p[i][0] == (char)i, "mapping %d", i);
}

/* Its flags in the VMAs are ours: a distributed process cannot have it, and nothing breaks. */
static void userfaultfd_is_refused(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_writeprotect protect = { .range.len = 4 * PAGE };
	struct uffdio_register range = { .range.len = 4 * PAGE,
					 .mode = UFFDIO_REGISTER_MODE_MISSING };
	uint64_t *memory = anon(4 * PAGE);
	int fd, earlier;

	need_remote();
	earlier = syscall(SYS_userfaultfd, O_CLOEXEC);
	protect.range.start = range.range.start = (uintptr_t)memory;
	fill(memory, 4 * PAGE, 1);
	go_away();
	CHECK_FILL(memory, 4 * PAGE, 1);
	fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	if (fd < 0 && errno == ENOSYS)
		case_skip("this kernel has no userfaultfd");
	CHECK_OK(fd);
	CHECK_OK(ioctl(fd, UFFDIO_API, &api));
	CHECK_ERRNO(ioctl(fd, UFFDIO_REGISTER, &range), EBUSY);
	CHECK_ERRNO(ioctl(fd, UFFDIO_UNREGISTER, &range.range), EBUSY);
	CHECK_ERRNO(ioctl(fd, UFFDIO_WRITEPROTECT, &protect), EBUSY);
	CHECK_OK(close(fd));
	fill(memory, 4 * PAGE, 2);
	come_home();
	CHECK_FILL(memory, 4 * PAGE, 2);
	CHECK_OK(close(earlier));
}

static const struct test tests[] = {
	TEST(static_data),
	TEST(stack_both_ways),
	TEST(stack_grows_away),
	TEST(stack_unwinds_at_home),
	TEST(malloc_both_ways),
	TEST(realloc_away),
	TEST(brk_away),
	TEST(big_array_out),
	TEST(big_array_back),
	TEST(big_array_both_ways),
	TEST(mixed_history),
	TEST(zero_pages),
	TEST(across_two_pages),
	TEST(thread_local_storage),
	TEST(private_file),
	TEST(private_file_mapped_away),
	TEST(end_of_file_in_mapping),
	TEST(address_is_reused),
	TEST(map_over),
	TEST(write_to_read_only),
	TEST(no_access_and_no_mapping),
	TEST(unmapped_at_home),
	TEST(mremap_moves),
	TEST(dont_need),
	TEST(other_advice),
	TEST(huge_pages),
	TEST(fork_while_away),
	TEST(fork_after_return),
	TEST(kernel_reads_and_writes),
	TEST(generated_code),
	TEST(data_does_not_run),
	TEST(shared_with_child),
	TEST(shared_file),
	TEST(many_mappings),
	TEST(userfaultfd_is_refused),
};

int main(void)
{
	return RUN_TESTS(tests);
}

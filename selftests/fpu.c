// SPDX-License-Identifier: GPL-2.0
/*
 * All registers of a thread move with it, both ways: general ones, x87, SSE, AVX, AVX-512,
 * control words, segment bases, protection keys.
 *
 * The registers are loaded, the migrate call is made and the registers are stored by one piece of
 * assembly, so that the compiler cannot spill them around the call.
 */
#define _GNU_SOURCE
#include "harness.h"

#include <asm/prctl.h>
#include <cpuid.h>
#include <fenv.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the assembly calls: ioctl(fd, request, &move), or getppid in home-only mode. */
struct call {
	uint64_t number;
	uint64_t fd;
	uint64_t request;
	struct popcorn_migrate move;
	int64_t result;
};

static void prepare(struct call *c, int node)
{
	c->number = home_only() ? SYS_getppid : SYS_ioctl;
	c->fd = home_only() ? 0 : popcorn_fd();
	c->request = POPCORN_IOC_MIGRATE;
	c->move = (struct popcorn_migrate){ .size = sizeof(c->move), .node = node };
}

static void check_call(const struct call *c)
{
	CHECK(home_only() || !c->result, "migrate: %s", strerror(-c->result));
}

#define LOAD_CALL(c) \
	[nr] "m"((c)->number), [fd] "m"((c)->fd), [rq] "m"((c)->request), [mv] "r"(&(c)->move)
#define DO_CALL \
	"movq %[nr], %%rax\n movq %[fd], %%rdi\n movq %[rq], %%rsi\n movq %[mv], %%rdx\n syscall\n"
#define CALL_CLOBBERS "rax", "rcx", "r11", "rdi", "rsi", "rdx", "memory", "cc"

/* Run a case's step out and back, several times. */
static void both_ways(void (*step)(struct call *c))
{
	for (int i = 0; i < 10; i++) {
		struct call c;

		prepare(&c, i % 2 ? POPCORN_NODE_ORIGIN : away_node());
		step(&c);
		check_call(&c);
		i % 2 ? check_home() : check_away();
	}
}

/* Everything by rbx: there is no other register left. */
struct general {
	struct call c;
	uint64_t in[7];
	uint64_t out[7];
	uint64_t flags;
};

static void general_step(struct call *c)
{
	struct general g = {
		.c = *c,
		.in = { 0x1111111111111111, 0x2222222222222222, 0x8333333333333333,
			0x4444444444444444, 0xf555555555555555, 0x6666666666666666,
			0x7777777777777777 },
	};

	/* rbp is the compiler's; the stack cases of memory.c use it */
	__asm__ volatile(
		"movq %c[in]+0(%%rbx), %%r8\n movq %c[in]+8(%%rbx), %%r9\n"
		"movq %c[in]+16(%%rbx), %%r10\n movq %c[in]+24(%%rbx), %%r12\n"
		"movq %c[in]+32(%%rbx), %%r13\n movq %c[in]+40(%%rbx), %%r14\n"
		"movq %c[in]+48(%%rbx), %%r15\n"
		"movq %c[nr](%%rbx), %%rax\n movq %c[fd](%%rbx), %%rdi\n"
		"movq %c[rq](%%rbx), %%rsi\n leaq %c[mv](%%rbx), %%rdx\n"
		"std\n syscall\n"
		"movq %%rax, %c[result](%%rbx)\n"
		"leaq -128(%%rsp), %%rsp\n pushfq\n popq %%rax\n leaq 128(%%rsp), %%rsp\n cld\n"
		"movq %%rax, %c[flags](%%rbx)\n"
		"movq %%r8, %c[out]+0(%%rbx)\n movq %%r9, %c[out]+8(%%rbx)\n"
		"movq %%r10, %c[out]+16(%%rbx)\n movq %%r12, %c[out]+24(%%rbx)\n"
		"movq %%r13, %c[out]+32(%%rbx)\n movq %%r14, %c[out]+40(%%rbx)\n"
		"movq %%r15, %c[out]+48(%%rbx)\n"
		:
		: "b"(&g), [in] "i"(offsetof(struct general, in)),
		  [out] "i"(offsetof(struct general, out)),
		  [flags] "i"(offsetof(struct general, flags)),
		  [nr] "i"(offsetof(struct general, c.number)),
		  [fd] "i"(offsetof(struct general, c.fd)),
		  [rq] "i"(offsetof(struct general, c.request)),
		  [mv] "i"(offsetof(struct general, c.move)),
		  [result] "i"(offsetof(struct general, c.result))
		: "r8", "r9", "r10", "r12", "r13", "r14", "r15", CALL_CLOBBERS);
	c->result = g.c.result;
	for (size_t i = 0; i < ARRAY_SIZE(g.in); i++)
		CHECK(g.out[i] == g.in[i], "register %zu: %lx", i, g.out[i]);
	CHECK(g.flags & 0x400, "the direction flag is lost");
}

static void general_registers(void)
{
	both_ways(general_step);
}

static void x87_step(struct call *c)
{
	static const double in[8] = { 1.5, -2.25, 3.125, 1e300, -5e-300, 6.0, 7.75, 8.875 };
	const uint16_t control = 0x0b7f; /* round up, all exceptions masked, 64 bit precision */
	uint16_t control_now = 0, status = 0;
	double out[8] = { 0 };

	__asm__ volatile(
		"fninit\n"
		"fldl 56(%[in])\n fldl 48(%[in])\n fldl 40(%[in])\n fldl 32(%[in])\n"
		"fldl 24(%[in])\n fldl 16(%[in])\n fldl 8(%[in])\n fldl 0(%[in])\n"
		"fldcw %[control]\n" DO_CALL "movq %%rax, %[result]\n"
		"fnstcw %[now]\n fnstsw %[status]\n"
		"fstpl 0(%[out])\n fstpl 8(%[out])\n fstpl 16(%[out])\n fstpl 24(%[out])\n"
		"fstpl 32(%[out])\n fstpl 40(%[out])\n fstpl 48(%[out])\n fstpl 56(%[out])\n"
		"fninit\n"
		: [result] "=m"(c->result), [now] "=m"(control_now), [status] "=m"(status)
		: [in] "r"(in), [out] "r"(out), [control] "m"(control), LOAD_CALL(c)
		: "st", "st(1)", "st(2)", "st(3)", "st(4)", "st(5)", "st(6)", "st(7)",
		  CALL_CLOBBERS);
	CHECK(control_now == control, "control word %x", control_now);
	CHECK(((status >> 11) & 7) == 0, "top of stack %d", (status >> 11) & 7);
	for (int i = 0; i < 8; i++)
		CHECK(out[i] == in[i], "st%d: %g", i, out[i]);
}

static void x87(void)
{
	both_ways(x87_step);
}

static void sse_step(struct call *c)
{
	const uint32_t control = 0x1f80 | 0x6000 | 0x8000; /* round to zero, flush to zero */
	const uint32_t normal = 0x1f80;
	uint64_t in[32], out[32] = { 0 };
	uint32_t control_now = 0;

	fill(in, sizeof(in), 7);
	__asm__ volatile(
		"movdqu 0(%[in]), %%xmm0\n movdqu 16(%[in]), %%xmm1\n movdqu 32(%[in]), %%xmm2\n"
		"movdqu 48(%[in]), %%xmm3\n movdqu 64(%[in]), %%xmm4\n movdqu 80(%[in]), %%xmm5\n"
		"movdqu 96(%[in]), %%xmm6\n movdqu 112(%[in]), %%xmm7\n movdqu 128(%[in]), %%xmm8\n"
		"movdqu 144(%[in]), %%xmm9\n movdqu 160(%[in]), %%xmm10\n movdqu 176(%[in]), %%xmm11\n"
		"movdqu 192(%[in]), %%xmm12\n movdqu 208(%[in]), %%xmm13\n"
		"movdqu 224(%[in]), %%xmm14\n movdqu 240(%[in]), %%xmm15\n"
		"ldmxcsr %[control]\n" DO_CALL "movq %%rax, %[result]\n"
		"stmxcsr %[now]\n ldmxcsr %[normal]\n"
		"movdqu %%xmm0, 0(%[out])\n movdqu %%xmm1, 16(%[out])\n movdqu %%xmm2, 32(%[out])\n"
		"movdqu %%xmm3, 48(%[out])\n movdqu %%xmm4, 64(%[out])\n movdqu %%xmm5, 80(%[out])\n"
		"movdqu %%xmm6, 96(%[out])\n movdqu %%xmm7, 112(%[out])\n movdqu %%xmm8, 128(%[out])\n"
		"movdqu %%xmm9, 144(%[out])\n movdqu %%xmm10, 160(%[out])\n"
		"movdqu %%xmm11, 176(%[out])\n movdqu %%xmm12, 192(%[out])\n"
		"movdqu %%xmm13, 208(%[out])\n movdqu %%xmm14, 224(%[out])\n"
		"movdqu %%xmm15, 240(%[out])\n"
		: [result] "=m"(c->result), [now] "=m"(control_now)
		: [in] "r"(in), [out] "r"(out), [control] "m"(control), [normal] "m"(normal),
		  LOAD_CALL(c)
		: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
		  "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", CALL_CLOBBERS);
	CHECK((control_now & ~0x3f) == control, "MXCSR %x", control_now);
	CHECK_FILL(out, sizeof(out), 7);
}

static void sse(void)
{
	both_ways(sse_step);
}

/* Does the processor, and the kernel, have a feature of XSAVE? */
static bool xfeature(unsigned int bit)
{
	unsigned int eax, ebx, ecx, edx;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & bit_OSXSAVE))
		return false;
	__asm__ volatile("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax & (1u << bit);
}

/* The upper half of each register: the lower one is the SSE case's. */
static void avx_step(struct call *c)
{
	uint64_t in[64], out[64] = { 0 };

	fill(in, sizeof(in), 8);
	__asm__ volatile(
		"vmovdqu 0(%[in]), %%ymm0\n vmovdqu 32(%[in]), %%ymm1\n vmovdqu 64(%[in]), %%ymm2\n"
		"vmovdqu 96(%[in]), %%ymm3\n vmovdqu 128(%[in]), %%ymm4\n vmovdqu 160(%[in]), %%ymm5\n"
		"vmovdqu 192(%[in]), %%ymm6\n vmovdqu 224(%[in]), %%ymm7\n"
		"vmovdqu 256(%[in]), %%ymm8\n vmovdqu 288(%[in]), %%ymm9\n"
		"vmovdqu 320(%[in]), %%ymm10\n vmovdqu 352(%[in]), %%ymm11\n"
		"vmovdqu 384(%[in]), %%ymm12\n vmovdqu 416(%[in]), %%ymm13\n"
		"vmovdqu 448(%[in]), %%ymm14\n vmovdqu 480(%[in]), %%ymm15\n" DO_CALL
		"movq %%rax, %[result]\n"
		"vmovdqu %%ymm0, 0(%[out])\n vmovdqu %%ymm1, 32(%[out])\n vmovdqu %%ymm2, 64(%[out])\n"
		"vmovdqu %%ymm3, 96(%[out])\n vmovdqu %%ymm4, 128(%[out])\n"
		"vmovdqu %%ymm5, 160(%[out])\n vmovdqu %%ymm6, 192(%[out])\n"
		"vmovdqu %%ymm7, 224(%[out])\n vmovdqu %%ymm8, 256(%[out])\n"
		"vmovdqu %%ymm9, 288(%[out])\n vmovdqu %%ymm10, 320(%[out])\n"
		"vmovdqu %%ymm11, 352(%[out])\n vmovdqu %%ymm12, 384(%[out])\n"
		"vmovdqu %%ymm13, 416(%[out])\n vmovdqu %%ymm14, 448(%[out])\n"
		"vmovdqu %%ymm15, 480(%[out])\n vzeroupper\n"
		: [result] "=m"(c->result)
		: [in] "r"(in), [out] "r"(out), LOAD_CALL(c)
		: "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9",
		  "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", CALL_CLOBBERS);
	CHECK_FILL(out, sizeof(out), 8);
}

static void avx(void)
{
	if (!xfeature(2))
		case_skip("no AVX here");
	both_ways(avx_step);
}

static void avx512_step(struct call *c)
{
	uint64_t in[24], out[24] = { 0 };

	fill(in, sizeof(in), 9);
	__asm__ volatile(
		"vmovdqu64 0(%[in]), %%zmm3\n vmovdqu64 64(%[in]), %%zmm17\n"
		"vmovdqu64 128(%[in]), %%zmm31\n kmovw 0(%[in]), %%k1\n kmovw 8(%[in]), %%k7\n" DO_CALL
		"movq %%rax, %[result]\n"
		"vmovdqu64 %%zmm3, 0(%[out])\n vmovdqu64 %%zmm17, 64(%[out])\n"
		"vmovdqu64 %%zmm31, 128(%[out])\n"
		"kmovw %%k1, %%eax\n xorw 0(%[in]), %%ax\n xorw %%ax, 0(%[out])\n"
		"kmovw %%k7, %%eax\n xorw 8(%[in]), %%ax\n xorw %%ax, 8(%[out])\n vzeroupper\n"
		: [result] "=m"(c->result)
		: [in] "r"(in), [out] "r"(out), LOAD_CALL(c)
		: "xmm3", CALL_CLOBBERS);
	CHECK_FILL(out, sizeof(out), 9);
}

static void avx512(void)
{
	if (!xfeature(5) || !xfeature(6) || !xfeature(7))
		case_skip("no AVX-512 here");
	both_ways(avx512_step);
}

static void rounding_mode(void)
{
	volatile double one = 1, three = 3, down, up;

	CHECK(!fesetround(FE_DOWNWARD));
	go_away();
	CHECK(fegetround() == FE_DOWNWARD);
	down = one / three;
	CHECK(!fesetround(FE_UPWARD));
	come_home();
	CHECK(fegetround() == FE_UPWARD);
	up = one / three;
	CHECK(down < up);
	CHECK(!fesetround(FE_TONEAREST));
}

static void segment_bases(void)
{
	uint64_t fs_at_home, gs_at_home = 0, base, loaded;
	uint64_t *target = anon(PAGE);

	target[3] = 0xfeedface;
	CHECK(!syscall(SYS_arch_prctl, ARCH_GET_FS, &fs_at_home));
	CHECK(!syscall(SYS_arch_prctl, ARCH_GET_GS, &gs_at_home));
	CHECK(!syscall(SYS_arch_prctl, ARCH_SET_GS, target));
	go_away();
	CHECK(!syscall(SYS_arch_prctl, ARCH_GET_FS, &base) && base == fs_at_home);
	__asm__ volatile("movq %%fs:0, %0" : "=r"(loaded));
	CHECK(loaded == fs_at_home); /* the ABI's self pointer */
	__asm__ volatile("movq %%gs:24, %0" : "=r"(loaded));
	CHECK(loaded == 0xfeedface, "%lx", loaded);

	/* set away: at once, and after the return */
	target[512 / 8 + 3] = 0xabcdef;
	CHECK(!syscall(SYS_arch_prctl, ARCH_SET_GS, target + 512 / 8));
	__asm__ volatile("movq %%gs:24, %0" : "=r"(loaded));
	CHECK(loaded == 0xabcdef, "%lx", loaded);
	come_home();
	__asm__ volatile("movq %%gs:24, %0" : "=r"(loaded));
	CHECK(loaded == 0xabcdef, "%lx", loaded);
	CHECK(!syscall(SYS_arch_prctl, ARCH_SET_GS, gs_at_home));
}

static uint32_t read_pkru(void)
{
	uint32_t eax, edx;

	__asm__ volatile(".byte 0x0f, 0x01, 0xee" : "=a"(eax), "=d"(edx) : "c"(0));
	return eax;
}

static void protection_keys(void)
{
	int key = pkey_alloc(0, PKEY_DISABLE_WRITE);
	uint32_t pkru;

	if (key < 0)
		case_skip("no protection keys here: %s", strerror(errno));
	pkru = read_pkru();
	go_away();
	CHECK(read_pkru() == pkru, "PKRU %x, not %x", read_pkru(), pkru);
	CHECK(!pkey_set(key, 0));
	pkru = read_pkru();
	come_home();
	CHECK(read_pkru() == pkru, "PKRU %x, not %x", read_pkru(), pkru);
}

/* Mixed arithmetic that keeps values in registers of all kinds for long. */
static __attribute__((noinline)) uint64_t churn(unsigned int rounds)
{
	long double x = 1.0L;
	double y = 2.0;
	float z[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
	uint64_t n = 0x9e3779b97f4a7c15;

	for (unsigned int i = 0; i < rounds; i++) {
		x = x * 1.0000001L + 1e-12L;
		y = y * 0.9999999 + 1e-7;
		for (int k = 0; k < 8; k++)
			z[k] = z[k] * 0.99999f + (float)k;
		n = (n << 13 | n >> 51) * 31 + i;
	}
	for (int k = 0; k < 8; k++)
		n += (uint64_t)(z[k] * 16);
	return n + (uint64_t)(x * 1e15L) + (uint64_t)(y * 1e12);
}

static _Atomic bool done;

static void *push_around(void *arg)
{
	pid_t tid = *(pid_t *)arg;

	for (int i = 0; !done; i++) {
		if (!home_only() &&
		    popcorn_migrate_thread(tid, i % 2 ? POPCORN_NODE_ORIGIN : away_node(), 0))
			CHECK(errno == EALREADY || errno == ESRCH, "%s", strerror(errno));
		for (int k = 0; k < 5; k++)
			nap();
	}
	return NULL;
}

/* How often the threads of this process have left so far. */
static uint64_t departures(void)
{
	struct popcorn_thread_info info[4];
	int count = popcorn_threads(getpid(), info, ARRAY_SIZE(info));
	uint64_t moves = 0;

	for (int i = 0; i < count && i < (int)ARRAY_SIZE(info); i++)
		moves += info[i].out;
	return moves;
}

/* Moved by another thread at any instruction, not by a call of its own. */
static void moved_while_computing(void)
{
	uint64_t expected = churn(2000000);
	pid_t tid = gettid();
	pthread_t other;

	CHECK(!pthread_create(&other, NULL, push_around, &tid));
	/* until it has moved often enough; if it never does, the limit of the case ends it */
	for (int i = 0; i < 8 || (!home_only() && departures() < 4); i++) {
		uint64_t got = churn(2000000);

		CHECK(got == expected, "round %d: %lx, not %lx", i, got, expected);
	}
	done = true;
	CHECK(!pthread_join(other, NULL));
}

static const struct test tests[] = {
	TEST(general_registers),
	TEST(x87),
	TEST(sse),
	TEST(avx),
	TEST(avx512),
	TEST(rounding_mode),
	TEST(segment_bases),
	TEST(protection_keys),
	TEST(moved_while_computing),
};

int main(void)
{
	return RUN_TESTS(tests);
}

/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The first instructions of a secondary's processor: from real mode to the 64-bit entry of a kernel.
 *
 * This is data to the kernel that holds it. It is copied to a page below 1 MiB and runs only there, on
 * a processor that has nothing but the page itself: it finds out where it is from CS and adjusts its
 * own pointers, so every start needs a fresh copy.
 *
 * The arguments (struct pcn_trampoline_args) lie at the end. In them it also reports how far it came,
 * which is all that can be known of a processor without a kernel.
 *
 * At the kernel's entry: long mode, interrupts off, flat segments CS 0x10 and DS = ES = SS 0x18, RSI the
 * zero page. Documentation/arch/x86/boot.rst, "64-bit boot protocol".
 */
#include <linux/linkage.h>

#include <asm/msr-index.h>
#include <asm/processor-flags.h>

#include "trampoline.h"

#define AT(symbol) ((symbol) - pcn_trampoline_start)

#define CODE32	0x08
#define CODE64	0x10
#define DATA	0x18

	.section .rodata
	.balign 16
SYM_DATA_START(pcn_trampoline_start)
	.code16
	cli
	cld
	movw	%cs, %ax
	movw	%ax, %ds
	movl	$PCN_TRAMPOLINE_REAL_MODE, AT(.Lstage)

	/* EBX: the address of the page, from here on. */
	xorl	%ebx, %ebx
	movw	%cs, %bx
	shll	$4, %ebx
	addl	%ebx, AT(.Lgdt_base)
	addl	%ebx, AT(.Lfar32)
	addl	%ebx, AT(.Lfar64)

	lgdtl	AT(.Lgdt_pointer)
	movl	%cr0, %eax
	/* INIT leaves the cache bits alone: be sure that the caches are on. */
	andl	$~(X86_CR0_CD | X86_CR0_NW), %eax
	orl	$X86_CR0_PE, %eax
	movl	%eax, %cr0
	ljmpl	*(AT(.Lfar32))

	.code32
.Lprotected:
	movw	$DATA, %ax
	movw	%ax, %ds
	movw	%ax, %es
	movw	%ax, %ss
	movl	$X86_CR4_PAE, %eax
	movl	%eax, %cr4
	movl	AT(.Ltop_table)(%ebx), %eax
	movl	%eax, %cr3
	movl	$MSR_EFER, %ecx
	rdmsr
	orl	$(1 << _EFER_LME), %eax
	wrmsr
	movl	%cr0, %eax
	orl	$X86_CR0_PG, %eax
	movl	%eax, %cr0
	ljmpl	*AT(.Lfar64)(%ebx)

	.code64
.Llong:
	xorl	%eax, %eax
	movw	%ax, %fs
	movw	%ax, %gs
	movl	$PCN_TRAMPOLINE_LONG_MODE, AT(.Lstage)(%rbx)
	movq	AT(.Lzero_page)(%rbx), %rsi
	movq	AT(.Lentry)(%rbx), %rax
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	jmp	*%rax

	.balign 8
	/* So that the base is aligned to four bytes. */
	.word	0
.Lgdt_pointer:
	.word	.Lgdt_end - .Lgdt - 1
.Lgdt_base:
	.long	AT(.Lgdt)
	.balign 8
.Lfar32:
	.long	AT(.Lprotected)
	.word	CODE32
	.balign 8
.Lfar64:
	.long	AT(.Llong)
	.word	CODE64
	.balign 8
.Lgdt:
	.quad	0
	.quad	0x00cf9b000000ffff	/* 0x08: 32-bit code */
	.quad	0x00af9b000000ffff	/* 0x10: 64-bit code */
	.quad	0x00cf93000000ffff	/* 0x18: data */
.Lgdt_end:

	/* struct pcn_trampoline_args */
	.balign 8
SYM_DATA_START(pcn_trampoline_args)
.Lstage:
	.long	0
.Ltop_table:
	.long	0
.Lentry:
	.quad	0
.Lzero_page:
	.quad	0
SYM_DATA_END(pcn_trampoline_args)
SYM_DATA_END_LABEL(pcn_trampoline_start, SYM_L_GLOBAL, pcn_trampoline_end)

	.section .note.GNU-stack, "", @progbits

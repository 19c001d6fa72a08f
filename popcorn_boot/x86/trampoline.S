/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The first instructions of a secondary's processor: from real mode to the 64-bit entry of a kernel.
 *
 * This is data to the kernel that holds it. It is copied to a page below 1 MiB and runs only there, on
 * a processor that has nothing but the page itself: it finds out where it is from CS and sets its own
 * pointers.
 *
 * The arguments (struct pcn_trampoline_args) lie at the end. In them it also reports how far it came,
 * which is all that can be known of a processor without a kernel.
 *
 * From long mode on, until the kernel has loaded its own table, each exception ends in the park loop below:
 * without that it would be a triple fault, which resets the whole machine. In the twenty instructions
 * before there is nothing to be done about one.
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
#define CODE64	PCN_TRAMPOLINE_CODE64
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
	/* Stored, not added: it may be that this page is run twice. */
	leal	AT(.Lgdt)(%ebx), %eax
	movl	%eax, AT(.Lgdt_base)
	leal	AT(.Lprotected)(%ebx), %eax
	movl	%eax, AT(.Lfar32)
	leal	AT(.Llong)(%ebx), %eax
	movl	%eax, AT(.Lfar64)

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
	leaq	PCN_TRAMPOLINE_STACK(%rbx), %rsp
	leaq	PCN_TRAMPOLINE_IDT(%rbx), %rax
	movq	%rax, AT(.Lidt_base)(%rbx)
	lidt	AT(.Lidt_pointer)(%rbx)
	movl	$PCN_TRAMPOLINE_LONG_MODE, AT(.Lstage)(%rbx)
	movq	AT(.Lzero_page)(%rbx), %rsi
	movq	AT(.Lentry)(%rbx), %rax
	xorl	%edi, %edi
	xorl	%ebp, %ebp
	jmp	*%rax

	/* Nothing that the code before has left in a register counts here. */
SYM_INNER_LABEL(pcn_trampoline_fault, SYM_L_GLOBAL)
	movl	$PCN_TRAMPOLINE_FAULT, .Lstage(%rip)
.Lpark:
	cli
	hlt
	jmp	.Lpark

	.balign 8
	/* So that the base is aligned to four bytes. */
	.word	0
.Lgdt_pointer:
	.word	.Lgdt_end - .Lgdt - 1
.Lgdt_base:
	.long	0
	.balign 8
	.word	0
	.word	0
	.word	0
.Lidt_pointer:
	.word	PCN_TRAMPOLINE_IDT_SIZE - 1
.Lidt_base:
	.quad	0
.Lfar32:
	.long	0
	.word	CODE32
	.balign 8
.Lfar64:
	.long	0
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

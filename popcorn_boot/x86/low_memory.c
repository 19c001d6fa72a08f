// SPDX-License-Identifier: GPL-2.0
/*
 * The first megabyte: processors start there, in real mode. Linux reserves all of it early and uses none
 * of it later but for its own real-mode code. What is RAM besides can be lent.
 */
#include <linux/export.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/page-flags.h>
#include <linux/sizes.h>

#include <asm/realmode.h>

#include "helpers/boot.h"

/*
 * More than the real-mode code takes. It is put as high as it can be, so hardly anything of use lies
 * behind it.
 */
#define REAL_MODE_CODE_MAX SZ_128K

bool pcn_low_page_is_unused(u64 address)
{
	unsigned long pfn = PHYS_PFN(address);
	u64 code = virt_to_phys(real_mode_header);

	if (address >= SZ_1M || (address >= code && address < code + REAL_MODE_CODE_MAX))
		return false;
	/* One that is not reserved was given to the page allocator, by a Linux that knows better. */
	return page_is_ram(pfn) && pfn_valid(pfn) && PageReserved(pfn_to_page(pfn));
}
EXPORT_SYMBOL_GPL(pcn_low_page_is_unused);

/* SPDX-License-Identifier: GPL-2.0 */
/* What rust/kernel/boot/pci.rs needs from C: lending a PCI device to another kernel. */
#ifndef PCN_HELPERS_PCI_H
#define PCN_HELPERS_PCI_H

#include <linux/types.h>

struct pcn_lent_device;

/* What the port above a device forwards to it. */
enum pcn_pci_window {
	PCN_PCI_PORTS,
	PCN_PCI_MEMORY,
	PCN_PCI_PREFETCHABLE,
	PCN_PCI_WINDOWS,
};

/*
 * Takes a device from its driver and keeps it from all others; it is then as after a reset, without bus
 * mastering, and behind an IOMMU it reaches no memory. An ERR_PTR on failure, of which the log tells why: -ENODEV no such device, -EOPNOTSUPP it
 * is not one that can be lent, -EBUSY somebody uses it or would not let go, -EIO it cannot be reset, -ENOMEM.
 * Sleeps, for as long as the driver takes to let go.
 */
struct pcn_lent_device *pcn_lent_device_take(u16 segment, u8 bus, u8 devfn);
/*
 * Stops it in whatever it does, and makes it what it was after it was taken. The kernel that had it must
 * not run any more. An error means that it could not be reset; it then has no access to memory as far as the
 * bus can tell. Sleeps.
 */
int pcn_lent_device_reset(struct pcn_lent_device *lent);
/* Resets it and gives it back to its driver. Sleeps. */
void pcn_lent_device_give_back(struct pcn_lent_device *lent);
/*
 * Lets it reach [@start, @start + @size), whole pages that it does not reach yet, at these addresses. Without
 * an IOMMU it reaches everything anyway. -ENOMEM, or what the IOMMU's driver says. Sleeps.
 */
int pcn_lent_device_allow(struct pcn_lent_device *lent, u64 start, u64 size);
/* It does not reach that any more, which was allowed as a whole. Sleeps. */
void pcn_lent_device_revoke(struct pcn_lent_device *lent, u64 start, u64 size);
/* It reaches nothing, behind an IOMMU. Sleeps. */
void pcn_lent_device_revoke_all(struct pcn_lent_device *lent);
/* One of the port's windows; false if it has none of that kind. */
bool pcn_lent_device_window(const struct pcn_lent_device *lent, enum pcn_pci_window window,
			    u64 *start, u64 *size);
/* Whether the registers at physical address @registers are those of this device. Sleeps. */
bool pcn_lent_device_is_at(const struct pcn_lent_device *lent, u64 registers);
/* One line about it in the log, at the level of an error. */
void pcn_lent_device_complain(const struct pcn_lent_device *lent, const char *text);

/*
 * The firmware's table of configuration windows: NULL if there is none. To be put back by
 * pcn_pci_windows_put. May sleep.
 */
const void *pcn_pci_windows_get(size_t *size);
void pcn_pci_windows_put(const void *table);

#endif /* PCN_HELPERS_PCI_H */

/* SPDX-License-Identifier: GPL-2.0 */
/* What pci.c is made of: who uses a device, and what keeps one that is lent to its kernel's memory. */
#ifndef PCN_HELPERS_PCI_PRIVATE_H
#define PCN_HELPERS_PCI_PRIVATE_H

#include <linux/types.h>

struct device;
struct iommu_domain;
struct pci_dev;

/* Who uses a device of @pdev's driver, as text; NULL if that is nobody that we know of. Sleeps. */
const char *pcn_pci_user(struct pci_dev *pdev);

/*
 * A device behind an IOMMU reaches only the memory that it is allowed to reach, by the addresses that
 * processors use. For one that is behind none all this does nothing. The lock of the device is held, and
 * a driver with driver_managed_dma is bound to it.
 */
struct pcn_confinement {
	/* What it reaches; NULL: nothing. */
	struct iommu_domain *domain;
	/* There is an IOMMU, and nobody else has a say. */
	bool owned;
};

/* Why a device cannot be lent because of an IOMMU; NULL if it can. */
const char *pcn_confinement_objection(struct pci_dev *pdev);
/* From here on it reaches nothing. -EOPNOTSUPP if it cannot be had alone, -ENOMEM. Sleeps. */
int pcn_confinement_begin(struct pcn_confinement *confinement, struct device *dev);
/* It is as any device of this kernel again. Sleeps. */
void pcn_confinement_end(struct pcn_confinement *confinement, struct device *dev);
/* It reaches [@start, @start + @size) as well, whole pages that it did not reach yet. Sleeps. */
int pcn_confinement_allow(struct pcn_confinement *confinement, struct device *dev, u64 start,
			  u64 size);
/* It does not reach that any more, which was allowed as a whole; nor does anything of it come. Sleeps. */
void pcn_confinement_revoke(struct pcn_confinement *confinement, u64 start, u64 size);
/* It reaches nothing. Sleeps. */
void pcn_confinement_revoke_all(struct pcn_confinement *confinement, struct device *dev);

#endif /* PCN_HELPERS_PCI_PRIVATE_H */

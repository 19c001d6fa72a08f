// SPDX-License-Identifier: GPL-2.0
/*
 * See pci_private.h: an IOMMU between a device that is lent and memory.
 *
 * The kernel that has the device knows of no IOMMU: it has no table of any, and gives the device the
 * addresses that its processors use. So these are what is mapped, as they are. What else the device asks
 * for, faults, which this kernel's log tells.
 *
 * Interrupts are another matter: an IOMMU that remaps them takes messages in its own form only, with an
 * index into a table of this kernel's, and drops those that a kernel makes up which does not know of it.
 *
 * Lock order: the device's lock, that of its IOMMU group.
 */
#include <linux/device.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/iommu.h>
#include <linux/msi.h>
#include <linux/pci.h>

#include "pci_private.h"

const char *pcn_confinement_objection(struct pci_dev *pdev)
{
	if (msi_device_has_isolated_msi(&pdev->dev))
		return "its interrupts are remapped, by a table that only this kernel knows: boot with intremap=off";
	if (!device_iommu_mapped(&pdev->dev))
		return NULL;
#ifdef CONFIG_PCI_ATS
	/* The other kernel could switch that on, and use addresses that the IOMMU does not look at. */
	if (pdev->ats_cap)
		return "it can translate addresses itself (ATS), past the IOMMU: boot with pci=noats";
#endif
	return NULL;
}

static int attach(struct pcn_confinement *confinement, struct device *dev)
{
	struct iommu_domain *domain = iommu_paging_domain_alloc(dev);
	int ret;

	if (IS_ERR(domain))
		return PTR_ERR(domain);
	ret = iommu_attach_device(domain, dev);
	if (ret) {
		iommu_domain_free(domain);
		return ret;
	}
	confinement->domain = domain;
	return 0;
}

int pcn_confinement_begin(struct pcn_confinement *confinement, struct device *dev)
{
	int ret;

	if (!device_iommu_mapped(dev))
		return 0;
	ret = iommu_device_claim_dma_owner(dev, confinement);
	if (ret)
		goto refuse;
	/* Whether that works at all: not if there are others in its group. */
	ret = attach(confinement, dev);
	if (ret) {
		iommu_device_release_dma_owner(dev);
		goto refuse;
	}
	confinement->owned = true;
	pcn_confinement_revoke_all(confinement, dev);
	return 0;

refuse:
	return ret == -ENOMEM ? ret : -EOPNOTSUPP;
}

void pcn_confinement_end(struct pcn_confinement *confinement, struct device *dev)
{
	if (!confinement->owned)
		return;
	pcn_confinement_revoke_all(confinement, dev);
	iommu_device_release_dma_owner(dev);
	confinement->owned = false;
}

int pcn_confinement_allow(struct pcn_confinement *confinement, struct device *dev, u64 start,
			  u64 size)
{
	int ret = 0;

	if (!confinement->owned)
		return 0;
	if (!confinement->domain)
		ret = attach(confinement, dev);
	if (ret)
		return ret;
	return iommu_map(confinement->domain, start, start, size,
			 IOMMU_READ | IOMMU_WRITE | IOMMU_CACHE, GFP_KERNEL);
}

void pcn_confinement_revoke(struct pcn_confinement *confinement, u64 start, u64 size)
{
	if (confinement->domain)
		iommu_unmap(confinement->domain, start, size);
}

void pcn_confinement_revoke_all(struct pcn_confinement *confinement, struct device *dev)
{
	if (!confinement->domain)
		return;
	/* As long as somebody owns it, this leaves it with a domain that has nothing. */
	iommu_detach_device(confinement->domain, dev);
	iommu_domain_free(confinement->domain);
	confinement->domain = NULL;
}

// SPDX-License-Identifier: GPL-2.0
/*
 * See pci_private.h: whether a PCI device is in use.
 *
 * A driver lets its device go whenever it is told to, also with a file system mounted or a connection open,
 * as if somebody had pulled the device out. Whoever lends one would not expect that.
 */
#include <linux/blk_types.h>
#include <linux/blkdev.h>
#include <linux/device.h>
#include <linux/device/class.h>
#include <linux/netdevice.h>
#include <linux/pci.h>
#include <linux/string.h>

#include "pci_private.h"

static bool is_of(const struct device *dev, const char *class)
{
	return dev->class && !strcmp(dev->class->name, class);
}

/*
 * A disk that may have other ways to it (NVMe multipath) is opened by one that stands for all of them and is
 * nobody's child here. What is below the device is only a path, which is hidden and which nobody can open.
 */
static const char *user_of_disk(struct device *dev)
{
	if (atomic_read(&dev_to_bdev(dev)->bd_openers))
		return "a disk of it is mounted, or open";
	if (dev_to_disk(dev)->flags & GENHD_FL_HIDDEN)
		return "a disk of it may be mounted, or open, by another path (not so with nvme_core.multipath=N)";
	return NULL;
}

static int look_for_user(struct device *dev, void *data)
{
	const char **user = data;

	if (IS_ENABLED(CONFIG_BLOCK) && is_of(dev, "block"))
		*user = user_of_disk(dev);
	else if (IS_ENABLED(CONFIG_NET) && is_of(dev, "net") && to_net_dev(dev)->flags & IFF_UP)
		*user = "a network interface of it is up";
	/* Not deep: device, bus of the driver's own, disk, partition. */
	return *user ? 1 : device_for_each_child(dev, data, look_for_user);
}

const char *pcn_pci_user(struct pci_dev *pdev)
{
	const char *user = NULL;

	device_for_each_child(&pdev->dev, &user, look_for_user);
	return user;
}

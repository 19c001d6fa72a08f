// SPDX-License-Identifier: GPL-2.0
/*
 * See pci.h. All is exported, for inlined Rust in other modules calls it.
 *
 * A lent device is bound to a driver of its own, as pci-stub does it, so that no other driver can take
 * it, and /sys/bus/pci shows where it is. That driver's table holds the device's own numbers, and its
 * probe function accepts nothing but the device itself. It asks for no power management, so device and
 * port stay awake.
 *
 * Lock order: pci_lock_rescan_remove(), the device's lock.
 */
#include <linux/acpi.h>
#include <linux/device.h>
#include <linux/err.h>
#include <linux/errno.h>
#include <linux/export.h>
#include <linux/io.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include "pci.h"
#include "pci_private.h"

/* "Not connected", on x86: a driver that asks for this line gets an error. */
#define PCN_NO_LINE 0xff

struct pcn_lent_device {
	struct pci_dev *pdev;
	/* As it was when it was taken, without bus mastering. */
	struct pci_saved_state *state;
	struct pci_driver driver;
	struct pci_device_id ids[2];
	char name[32];
	/* What its port forwards, by enum pcn_pci_window; none has size 0. */
	struct {
		u64 start;
		u64 size;
	} windows[PCN_PCI_WINDOWS];
	/* The device's lock. */
	struct pcn_confinement confinement;
	bool had_driver;
	/* It is being given back. */
	bool returning;
};

static int pcn_lent_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct pci_driver *driver = to_pci_driver(pdev->dev.driver);

	return container_of(driver, struct pcn_lent_device, driver)->pdev == pdev ? 0 : -ENODEV;
}

static void pcn_lent_remove(struct pci_dev *pdev)
{
	struct pci_driver *driver = to_pci_driver(pdev->dev.driver);
	struct pcn_lent_device *lent = container_of(driver, struct pcn_lent_device, driver);

	if (!lent->returning)
		pci_warn(pdev, "popcorn: removed while it is lent to another kernel\n");
	pcn_confinement_end(&lent->confinement, &pdev->dev);
}

/* This kernel ends, and the other one was stopped before; what it had started must end, too. */
static void pcn_lent_shutdown(struct pci_dev *pdev)
{
	pci_clear_master(pdev);
}

void pcn_lent_device_complain(const struct pcn_lent_device *lent, const char *text)
{
	pci_err(lent->pdev, "popcorn: cannot be lent: %s\n", text);
}
EXPORT_SYMBOL_GPL(pcn_lent_device_complain);

/* Why a device cannot be lent; NULL if it can. */
static const char *pcn_pci_objection(struct pci_dev *pdev)
{
	struct pci_dev *port = pdev->bus->self;

	if (pdev->is_virtfn || pdev->hdr_type != PCI_HEADER_TYPE_NORMAL)
		return "not an ordinary device";
	if (!port || !pci_is_pcie(port) || !pci_is_pcie(pdev) ||
	    (pci_pcie_type(port) != PCI_EXP_TYPE_ROOT_PORT &&
	     pci_pcie_type(port) != PCI_EXP_TYPE_DOWNSTREAM))
		return "not behind a PCI Express port of its own";
	if (pdev->multifunction || pdev->devfn)
		return "one function of several";
	if (!list_is_singular(&pdev->bus->devices) || !list_empty(&pdev->bus->children))
		return "not alone on its bus";
	if (!pdev->msi_cap && !pdev->msix_cap)
		return "it can only signal by interrupt lines";
	if (!pdev->reset_methods[0])
		return "it cannot be reset";
	return pcn_confinement_objection(pdev);
}

static_assert(PCI_BRIDGE_RESOURCES + PCN_PCI_PORTS == PCI_BRIDGE_IO_WINDOW);
static_assert(PCI_BRIDGE_RESOURCES + PCN_PCI_MEMORY == PCI_BRIDGE_MEM_WINDOW);
static_assert(PCI_BRIDGE_RESOURCES + PCN_PCI_PREFETCHABLE == PCI_BRIDGE_PREF_MEM_WINDOW);

/* Notes what the port forwards. Returns why that is not enough; NULL if it is. */
static const char *pcn_lent_windows(struct pcn_lent_device *lent)
{
	struct pci_dev *port = lent->pdev->bus->self;
	bool memory = false;
	int i;

	for (i = 0; i < PCN_PCI_WINDOWS; i++) {
		struct resource *res = &port->resource[PCI_BRIDGE_RESOURCES + i];
		struct pci_bus_region region;

		if (!res->flags || !res->parent)
			continue;
		pcibios_resource_to_bus(port->bus, &region, res);
		if (region.start != res->start)
			return "its addresses are not those that processors use";
		lent->windows[i].start = res->start;
		lent->windows[i].size = resource_size(res);
		memory |= i != PCN_PCI_PORTS;
	}
	return memory ? NULL : "its port forwards no memory addresses";
}

/*
 * The device's lock is held. What the device's registers hold is whatever the other kernel has left there,
 * and what this one remembers of them is out of date.
 */
static int pcn_lent_reset_locked(struct pcn_lent_device *lent)
{
	struct pci_dev *pdev = lent->pdev;
	int ret, loaded;

	/* Nothing goes to memory from here on, not even an interrupt. */
	pci_write_config_word(pdev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
	pdev->current_state = PCI_UNKNOWN;
	pci_set_power_state(pdev, PCI_D0);
	pci_write_config_word(pdev, PCI_COMMAND, PCI_COMMAND_INTX_DISABLE);
	if (!pci_wait_for_pending_transaction(pdev))
		pci_warn(pdev, "popcorn: does not finish what it does; resetting it anyway\n");
	ret = __pci_reset_function_locked(pdev);
	/* Also without a reset, for addresses must be where the port has them. */
	loaded = pci_load_saved_state(pdev, lent->state);
	if (!loaded)
		pci_restore_state(pdev);
	pci_write_config_byte(pdev, PCI_INTERRUPT_LINE, PCN_NO_LINE);
	return ret ?: loaded;
}

int pcn_lent_device_reset(struct pcn_lent_device *lent)
{
	int ret;

	device_lock(&lent->pdev->dev);
	ret = pcn_lent_reset_locked(lent);
	device_unlock(&lent->pdev->dev);
	if (ret)
		pci_err(lent->pdev, "popcorn: cannot be reset: %d\n", ret);
	return ret ? -EIO : 0;
}
EXPORT_SYMBOL_GPL(pcn_lent_device_reset);

/* Binds the device, which has no driver, to its own. */
static int pcn_lent_bind(struct pcn_lent_device *lent)
{
	struct pci_dev *pdev = lent->pdev;
	bool bound;
	int ret;

	snprintf(lent->name, sizeof(lent->name), "popcorn-%s", pci_name(pdev));
	lent->ids[0] = (struct pci_device_id){
		.vendor = pdev->vendor,
		.device = pdev->device,
		.subvendor = PCI_ANY_ID,
		.subdevice = PCI_ANY_ID,
	};
	lent->driver.name = lent->name;
	lent->driver.id_table = lent->ids;
	lent->driver.probe = pcn_lent_probe;
	lent->driver.remove = pcn_lent_remove;
	lent->driver.shutdown = pcn_lent_shutdown;
	lent->driver.driver_managed_dma = true;
	/* It cannot be unbound by hand. */
	lent->driver.driver.suppress_bind_attrs = true;
	lent->driver.driver.probe_type = PROBE_FORCE_SYNCHRONOUS;
	ret = __pci_register_driver(&lent->driver, THIS_MODULE, KBUILD_MODNAME);
	if (ret)
		return ret;
	device_lock(&pdev->dev);
	bound = pdev->dev.driver == &lent->driver.driver;
	device_unlock(&pdev->dev);
	if (bound)
		return 0;
	pci_unregister_driver(&lent->driver);
	return -EBUSY;
}

/*
 * Remembers how the device, which is bound, is set up, takes memory out of its reach, and resets it for the
 * first time.
 */
static int pcn_lent_prepare_device(struct pcn_lent_device *lent)
{
	struct pci_dev *pdev = lent->pdev;
	int ret;

	device_lock(&pdev->dev);
	pci_set_power_state(pdev, PCI_D0);
	pci_clear_master(pdev);
	pci_intx(pdev, 0);
	pci_save_state(pdev);
	lent->state = pci_store_saved_state(pdev);
	pdev->state_saved = false;
	ret = lent->state ? pcn_confinement_begin(&lent->confinement, &pdev->dev) : -ENOMEM;
	device_unlock(&pdev->dev);
	if (ret == -EOPNOTSUPP)
		pcn_lent_device_complain(
			lent, "its IOMMU has others with it, or it needs memory of the firmware's");
	return ret ?: pcn_lent_device_reset(lent);
}

/* Lets go of the device, which is then as it was when it was taken. */
static void pcn_lent_unbind(struct pcn_lent_device *lent)
{
	lent->returning = true;
	pci_unregister_driver(&lent->driver);
	if (lent->state) {
		/* With the interrupt line that it had. */
		device_lock(&lent->pdev->dev);
		if (!pci_load_saved_state(lent->pdev, lent->state))
			pci_restore_state(lent->pdev);
		device_unlock(&lent->pdev->dev);
	}
}

/* If it had a driver before, it gets one again, unless it was removed meanwhile. */
static void pcn_lent_attach_former(struct pcn_lent_device *lent)
{
	struct device *dev = &lent->pdev->dev;

	if (lent->had_driver && device_is_registered(dev) && device_attach(dev) <= 0)
		pci_warn(lent->pdev, "popcorn: its driver did not take it back\n");
}

static void pcn_lent_free(struct pcn_lent_device *lent)
{
	kfree(lent->state);
	pci_dev_put(lent->pdev);
	kfree(lent);
}

/* Whether one of our drivers has it. Nobody else takes or gives one back meanwhile. */
static bool pcn_lent_already(struct pci_dev *pdev)
{
	bool ours;

	device_lock(&pdev->dev);
	ours = pdev->dev.driver && to_pci_driver(pdev->dev.driver)->probe == pcn_lent_probe;
	device_unlock(&pdev->dev);
	return ours;
}

/* pci_lock_rescan_remove() is held: the bus does not change meanwhile. */
static struct pcn_lent_device *pcn_lent_take_locked(struct pci_dev *pdev)
{
	const char *why = pcn_pci_objection(pdev);
	struct pcn_lent_device *lent;
	int ret = -EOPNOTSUPP;

	lent = kzalloc(sizeof(*lent), GFP_KERNEL);
	if (!lent)
		return ERR_PTR(-ENOMEM);
	lent->pdev = pci_dev_get(pdev);
	if (!why)
		why = pcn_lent_windows(lent);
	if (!why) {
		if (pci_num_vf(pdev))
			why = "its virtual functions are in use";
		else if (pcn_lent_already(pdev))
			why = "another kernel has it";
		else
			why = pcn_pci_user(pdev);
		ret = -EBUSY;
	}
	if (why) {
		pcn_lent_device_complain(lent, why);
		goto free;
	}
	lent->had_driver = pdev->dev.driver;
	device_release_driver(&pdev->dev);
	ret = pcn_lent_bind(lent);
	if (ret) {
		pcn_lent_device_complain(lent, "another driver has it, or is to have it");
		goto attach;
	}
	ret = pcn_lent_prepare_device(lent);
	if (ret)
		goto unbind;
	pci_info(pdev, "popcorn: lent; %s\n",
		 lent->confinement.owned ? "an IOMMU keeps it to what it is allowed to reach"
					 : "nothing keeps it from any memory");
	return lent;

unbind:
	pcn_lent_unbind(lent);
attach:
	pcn_lent_attach_former(lent);
free:
	pcn_lent_free(lent);
	return ERR_PTR(ret);
}

struct pcn_lent_device *pcn_lent_device_take(u16 segment, u8 bus, u8 devfn)
{
	struct pcn_lent_device *lent = ERR_PTR(-ENODEV);
	struct pci_dev *pdev;

	pci_lock_rescan_remove();
	pdev = pci_get_domain_bus_and_slot(segment, bus, devfn);
	if (pdev)
		lent = pcn_lent_take_locked(pdev);
	else
		pr_err("popcorn: there is no PCI device %04x:%02x:%02x.%d\n", segment, bus,
		       PCI_SLOT(devfn), PCI_FUNC(devfn));
	pci_unlock_rescan_remove();
	pci_dev_put(pdev);
	return lent;
}
EXPORT_SYMBOL_GPL(pcn_lent_device_take);

void pcn_lent_device_give_back(struct pcn_lent_device *lent)
{
	pci_lock_rescan_remove();
	pcn_lent_device_reset(lent);
	pcn_lent_unbind(lent);
	pcn_lent_attach_former(lent);
	pci_unlock_rescan_remove();
	pcn_lent_free(lent);
}
EXPORT_SYMBOL_GPL(pcn_lent_device_give_back);

int pcn_lent_device_allow(struct pcn_lent_device *lent, u64 start, u64 size)
{
	int ret;

	device_lock(&lent->pdev->dev);
	ret = pcn_confinement_allow(&lent->confinement, &lent->pdev->dev, start, size);
	device_unlock(&lent->pdev->dev);
	if (ret)
		pci_err(lent->pdev, "popcorn: its IOMMU cannot map %#llx bytes at %#llx: %d\n",
			size, start, ret);
	return ret;
}
EXPORT_SYMBOL_GPL(pcn_lent_device_allow);

void pcn_lent_device_revoke(struct pcn_lent_device *lent, u64 start, u64 size)
{
	device_lock(&lent->pdev->dev);
	pcn_confinement_revoke(&lent->confinement, start, size);
	device_unlock(&lent->pdev->dev);
}
EXPORT_SYMBOL_GPL(pcn_lent_device_revoke);

void pcn_lent_device_revoke_all(struct pcn_lent_device *lent)
{
	device_lock(&lent->pdev->dev);
	pcn_confinement_revoke_all(&lent->confinement, &lent->pdev->dev);
	device_unlock(&lent->pdev->dev);
}
EXPORT_SYMBOL_GPL(pcn_lent_device_revoke_all);

bool pcn_lent_device_window(const struct pcn_lent_device *lent, enum pcn_pci_window window,
			    u64 *start, u64 *size)
{
	if (window >= PCN_PCI_WINDOWS || !lent->windows[window].size)
		return false;
	*start = lent->windows[window].start;
	*size = lent->windows[window].size;
	return true;
}
EXPORT_SYMBOL_GPL(pcn_lent_device_window);

bool pcn_lent_device_is_at(const struct pcn_lent_device *lent, u64 registers)
{
	void __iomem *at = ioremap(registers, PAGE_SIZE);
	u32 there, known;

	if (!at)
		return false;
	there = readl(at + PCI_VENDOR_ID);
	iounmap(at);
	known = lent->pdev->vendor | (u32)lent->pdev->device << 16;
	return there == known;
}
EXPORT_SYMBOL_GPL(pcn_lent_device_is_at);

const void *pcn_pci_windows_get(size_t *size)
{
	struct acpi_table_header *table;

	if (ACPI_FAILURE(acpi_get_table(ACPI_SIG_MCFG, 0, &table)))
		return NULL;
	*size = table->length;
	return table;
}
EXPORT_SYMBOL_GPL(pcn_pci_windows_get);

void pcn_pci_windows_put(const void *table)
{
	acpi_put_table((struct acpi_table_header *)table);
}
EXPORT_SYMBOL_GPL(pcn_pci_windows_put);

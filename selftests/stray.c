// SPDX-License-Identifier: GPL-2.0
/*
 * stray DEVICE ADDRESS: lets a disk write where it should not. DEVICE, as 0000:01:00.0, is a virtio disk; it
 * reads its first sector to physical address ADDRESS, which need not be memory of the kernel that runs this.
 *
 * It is a driver in user space, and needs the rights of root: it takes the device from the kernel's driver,
 * and gives it its own ring of requests. What came of it is one line on stdout. guest/devices and guest/iommu
 * put it into a secondary's initramfs, so it is linked statically.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/pci_regs.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_config.h>
#include <linux/virtio_pci.h>
#include <linux/virtio_ring.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PAGE	4096UL
#define ENTRIES 8U
#define SECTOR	512U
#define BARS	6
/* How long to wait, in steps of 10 ms. */
#define STEPS	1000

static const char *device;
static int config;

static __attribute__((noreturn)) void fail(const char *what)
{
	printf("stray: %s: %s\n", what, strerror(errno));
	exit(EXIT_FAILURE);
}

static void path_of(char *path, size_t size, const char *format, ...)
{
	int used = snprintf(path, size, "/sys/bus/pci/devices/%s/", device);
	va_list args;

	va_start(args, format);
	vsnprintf(path + used, size - used, format, args);
	va_end(args);
}

static uint32_t config_read(unsigned int at, size_t size)
{
	uint32_t value = 0;

	if (pread(config, &value, size, at) != (ssize_t)size)
		fail("reading configuration registers");
	return value;
}

/* The kernel's driver lets go of it. */
static void unbind(void)
{
	char path[256];
	int fd;

	path_of(path, sizeof(path), "driver/unbind");
	fd = open(path, O_WRONLY);
	if (fd < 0 && errno == ENOENT)
		return;
	if (fd < 0 || write(fd, device, strlen(device)) < 0)
		fail("taking it from its driver");
	close(fd);
}

static void open_device(void)
{
	uint16_t command;
	char path[256];

	path_of(path, sizeof(path), "config");
	config = open(path, O_RDWR);
	if (config < 0)
		fail(path);
	command = config_read(PCI_COMMAND, 2) | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER |
		  PCI_COMMAND_INTX_DISABLE;
	if (pwrite(config, &command, sizeof(command), PCI_COMMAND) != sizeof(command))
		fail("switching it on");
}

/* The registers of kind @type, and what is behind their description. */
static volatile void *registers(uint8_t type, uint32_t *multiplier)
{
	static volatile uint8_t *bars[BARS];
	unsigned int at = config_read(PCI_CAPABILITY_LIST, 1);

	for (; at; at = config_read(at + PCI_CAP_LIST_NEXT, 1)) {
		uint8_t bar = config_read(at + VIRTIO_PCI_CAP_BAR, 1);
		struct stat stat;
		char path[256];
		int fd;

		if (config_read(at, 1) != PCI_CAP_ID_VNDR ||
		    config_read(at + VIRTIO_PCI_CAP_CFG_TYPE, 1) != type || bar >= BARS)
			continue;
		if (!bars[bar]) {
			path_of(path, sizeof(path), "resource%d", bar);
			fd = open(path, O_RDWR);
			if (fd < 0 || fstat(fd, &stat))
				fail(path);
			bars[bar] =
				mmap(NULL, stat.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
			if (bars[bar] == MAP_FAILED)
				fail("mapping its registers");
		}
		if (multiplier)
			*multiplier = config_read(at + VIRTIO_PCI_NOTIFY_CAP_MULT, 4);
		return bars[bar] + config_read(at + VIRTIO_PCI_CAP_OFFSET, 4);
	}
	errno = ENODEV;
	fail("looking for its registers");
}

/* What ring and requests are in. */
struct page {
	struct vring_desc desc[ENTRIES];
	uint16_t avail[2 + ENTRIES] __attribute__((aligned(64))); /* flags, idx, ring */
	volatile struct {
		uint16_t flags;
		uint16_t idx;
		struct vring_used_elem ring[ENTRIES];
	} used __attribute__((aligned(64)));
	struct virtio_blk_outhdr header;
	volatile uint8_t status;
};

/* A page of memory that stays where it is. */
static struct page *new_page(uint64_t *physical)
{
	struct page *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
				 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	int fd = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry;

	if (page == MAP_FAILED || mlock(page, PAGE) || fd < 0 ||
	    pread(fd, &entry, sizeof(entry), (uintptr_t)page / PAGE * sizeof(entry)) !=
		    sizeof(entry))
		fail("finding memory for a ring");
	close(fd);
	*physical = (entry & ((UINT64_C(1) << 55) - 1)) * PAGE;
	return page;
}

static uint64_t in_page(uint64_t physical, const struct page *page, const volatile void *part)
{
	return physical + ((uintptr_t)part - (uintptr_t)page);
}

static void set64(volatile uint32_t *low, volatile uint32_t *high, uint64_t value)
{
	*low = (uint32_t)value;
	*high = value >> 32;
}

static void choose_features(volatile struct virtio_pci_common_cfg *common)
{
	uint64_t offered, wanted;

	common->device_feature_select = 0;
	offered = common->device_feature;
	common->device_feature_select = 1;
	offered |= (uint64_t)common->device_feature << 32;
	wanted = offered & (1ULL << VIRTIO_F_VERSION_1 | 1ULL << VIRTIO_F_ACCESS_PLATFORM);
	common->guest_feature_select = 0;
	common->guest_feature = (uint32_t)wanted;
	common->guest_feature_select = 1;
	common->guest_feature = wanted >> 32;
}

int main(int argc, char **argv)
{
	volatile struct virtio_pci_common_cfg *common;
	volatile uint8_t *notify;
	uint32_t multiplier = 0;
	uint64_t target, at;
	struct page *page;
	int i;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (argc != 3) {
		fprintf(stderr, "usage: stray DEVICE ADDRESS\n");
		return EXIT_FAILURE;
	}
	device = argv[1];
	target = strtoull(argv[2], NULL, 0);
	unbind();
	open_device();
	common = registers(VIRTIO_PCI_CAP_COMMON_CFG, NULL);
	notify = registers(VIRTIO_PCI_CAP_NOTIFY_CFG, &multiplier);
	page = new_page(&at);

	common->device_status = 0;
	while (common->device_status)
		;
	common->device_status = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER;
	choose_features(common);
	common->device_status |= VIRTIO_CONFIG_S_FEATURES_OK;
	if (!(common->device_status & VIRTIO_CONFIG_S_FEATURES_OK)) {
		errno = EPROTO;
		fail("agreeing with it");
	}

	page->header.type = VIRTIO_BLK_T_IN;
	page->status = 0xff;
	page->desc[0] = (struct vring_desc){
		.addr = in_page(at, page, &page->header),
		.len = sizeof(page->header),
		.flags = VRING_DESC_F_NEXT,
		.next = 1,
	};
	page->desc[1] = (struct vring_desc){
		.addr = target,
		.len = SECTOR,
		.flags = VRING_DESC_F_NEXT | VRING_DESC_F_WRITE,
		.next = 2,
	};
	page->desc[2] = (struct vring_desc){
		.addr = in_page(at, page, &page->status),
		.len = 1,
		.flags = VRING_DESC_F_WRITE,
	};
	page->avail[1] = 1;

	common->queue_select = 0;
	common->queue_size = ENTRIES;
	common->queue_msix_vector = VIRTIO_MSI_NO_VECTOR;
	set64(&common->queue_desc_lo, &common->queue_desc_hi, in_page(at, page, page->desc));
	set64(&common->queue_avail_lo, &common->queue_avail_hi, in_page(at, page, page->avail));
	set64(&common->queue_used_lo, &common->queue_used_hi, in_page(at, page, &page->used));
	common->queue_enable = 1;
	common->device_status |= VIRTIO_CONFIG_S_DRIVER_OK;
	__sync_synchronize();
	*(volatile uint16_t *)(notify + (size_t)common->queue_notify_off * multiplier) = 0;

	for (i = 0; i < STEPS; i++) {
		if (page->used.idx) {
			printf("stray: done, status %u\n", page->status);
			return EXIT_SUCCESS;
		}
		if (common->device_status & VIRTIO_CONFIG_S_NEEDS_RESET) {
			printf("stray: the device gave up\n");
			return EXIT_SUCCESS;
		}
		usleep(10000);
	}
	printf("stray: no answer\n");
	return EXIT_SUCCESS;
}

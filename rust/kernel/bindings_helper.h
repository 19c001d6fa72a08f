/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What bindgen reads for rust/kernel: see bindgen_parameters for what of it is emitted.
 */
#include <linux/configfs.h>
#include <linux/kthread.h>
#include <linux/miscdevice.h>
#include <linux/workqueue.h>

#include <uapi/linux/popcorn.h>
#include <uapi/linux/popcorn_bench.h>
#include <uapi/linux/popcorn_boot.h>

#include "helpers/boot.h"
#include "helpers/connections.h"
#include "helpers/crash.h"
#include "helpers/doorbell.h"
#include "helpers/hooks.h"
#include "helpers/hotplug.h"
#include "helpers/kernel.h"
#include "helpers/key.h"
#include "helpers/log.h"
#include "helpers/netdev.h"
#include "helpers/packet.h"
#include "helpers/pci.h"
#include "helpers/socket.h"
#include "helpers/suspend.h"
#include "helpers/terminal.h"
#include "helpers/tls.h"
#include "helpers/trace.h"

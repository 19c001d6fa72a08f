// SPDX-License-Identifier: GPL-2.0
//! `/dev/popcorn_boot`: see `include/uapi/linux/popcorn_boot.h`.
//!
//! Only what concerns a user is here: what a call may hold, and who may make it.

use crate::partition::Partition;
use crate::partition::Request;
use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::ArcBorrow;
use kernel::uaccess::UserSlice;
use kernel::uaccess::UserSliceWriter;
use popcorn_kernel::boot::may_boot;
use popcorn_kernel::boot::name_too_long;
use popcorn_kernel::boot::uapi::popcorn_boot_kill;
use popcorn_kernel::boot::uapi::popcorn_boot_start;
use popcorn_kernel::boot::uapi::popcorn_boot_status;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_CMDLINE_MAX;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_IOC_KILL;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_IOC_START;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_IOC_STATUS;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_KILL_RELEASE;
use popcorn_kernel::global::Global;
use popcorn_kernel::global::GlobalGuard;
use popcorn_kernel::miscdevice::MiscDevice;
use popcorn_kernel::miscdevice::Registration;
use popcorn_kernel::uapi::is_call;
use popcorn_kernel::uapi::read_sized;
use popcorn_kernel::uapi::write_sized;

/// For the owner alone: starting a kernel is as good as owning the machine.
const MODE: u16 = 0o600;

/// What an open file refers to; here while the device is registered.
static PARTITION: Global<Partition> = Global::new();

/// The device.
pub(crate) struct BootDevice;

/// While it lives, the device is there. Dropping it may sleep.
pub(crate) struct Device {
    // In this order: nobody opens the device any more when the partition goes.
    _registration: Pin<KBox<Registration<BootDevice>>>,
    _partition: GlobalGuard<Partition>,
}

impl Device {
    /// Makes the device for `partition`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of `misc_register()`.
    pub(crate) fn new(partition: Arc<Partition>, module: &'static ThisModule) -> Result<Self> {
        let partition = PARTITION.set(partition)?;
        let registration = Registration::register(c_str!("popcorn_boot"), MODE, module);
        Ok(Self {
            _registration: KBox::try_pin_init(registration, GFP_KERNEL)?,
            _partition: partition,
        })
    }
}

impl MiscDevice for BootDevice {
    type File = Arc<Partition>;

    fn open() -> Result<Self::File> {
        PARTITION.get().ok_or(ENODEV)
    }

    fn ioctl(partition: ArcBorrow<'_, Partition>, command: u32, argument: usize) -> Result<isize> {
        let call = |known| is_call(command, known);
        if call(POPCORN_BOOT_IOC_START) {
            start(&partition, argument)
        } else if call(POPCORN_BOOT_IOC_KILL) {
            kill(&partition, argument)
        } else if call(POPCORN_BOOT_IOC_STATUS) {
            status(&partition, argument)
        } else {
            Err(ENOTTY)
        }?;
        Ok(0)
    }

    fn read(
        partition: ArcBorrow<'_, Partition>,
        to: &mut UserSliceWriter,
        position: &mut i64,
    ) -> Result<usize> {
        partition.read_console(to, position)
    }
}

fn start(partition: &Partition, argument: usize) -> Result {
    if !may_boot() {
        return Err(EPERM);
    }
    let call: popcorn_boot_start = read_sized(argument)?;
    if call.flags != 0 {
        return Err(EINVAL);
    }
    if call.cmdline_len > POPCORN_BOOT_CMDLINE_MAX {
        return Err(name_too_long());
    }
    let mut command_line = KVec::new();
    let user = UserSlice::new(
        usize::try_from(call.cmdline)? as _,
        call.cmdline_len as usize,
    );
    user.read_all(&mut command_line, GFP_KERNEL)?;
    partition.start(&Request {
        cpu: call.cpu,
        kernel_fd: call.kernel_fd,
        initrd_fd: (call.initrd_fd != -1).then_some(call.initrd_fd),
        command_line: &command_line,
    })
}

fn kill(partition: &Partition, argument: usize) -> Result {
    if !may_boot() {
        return Err(EPERM);
    }
    let call: popcorn_boot_kill = read_sized(argument)?;
    if call.flags & !POPCORN_BOOT_KILL_RELEASE != 0 {
        return Err(EINVAL);
    }
    partition.kill(call.flags & POPCORN_BOOT_KILL_RELEASE != 0)
}

fn status(partition: &Partition, argument: usize) -> Result {
    let call: popcorn_boot_status = read_sized(argument)?;
    let answer = popcorn_boot_status {
        size: call.size,
        ..partition.status()
    };
    write_sized(argument, call.size as usize, &answer)
}

// SPDX-License-Identifier: GPL-2.0
//! `/dev/popcorn_boot`: see `include/uapi/linux/popcorn_boot.h`.
//!
//! Only what concerns a user is here: what a call may hold, and who may make it.

use crate::core_file::CoreFile;
use crate::core_file::Known;
use crate::memory::Memory;
use crate::partition::Partition;
use crate::registry::REGISTRY;
use crate::terminal::Seat;
use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::new_mutex;
use kernel::sync::Arc;
use kernel::sync::ArcBorrow;
use kernel::sync::Mutex;
use kernel::uaccess::UserSliceReader;
use kernel::uaccess::UserSliceWriter;
use popcorn_kernel::boot::may_boot;
use popcorn_kernel::boot::uapi::popcorn_boot_attach;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_CORE;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_IOC_ATTACH;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_LOG;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_NAME_SIZE;
use popcorn_kernel::boot::uapi::POPCORN_BOOT_TERMINAL;
use popcorn_kernel::errno;
use popcorn_kernel::miscdevice::MiscDevice;
use popcorn_kernel::miscdevice::Registration;
use popcorn_kernel::uapi::is_call;
use popcorn_kernel::uapi::read_sized;

/// For the owner alone: starting a kernel is as good as owning the machine.
const MODE: u16 = 0o600;

/// The device.
pub(crate) struct BootDevice;

/// While it lives, the device is there. Dropping it may sleep.
pub(crate) struct Device {
    _registration: Pin<KBox<Registration<BootDevice>>>,
}

impl Device {
    /// Makes the device. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and those of `misc_register()`.
    pub(crate) fn new(module: &'static ThisModule) -> Result<Self> {
        let registration = Registration::register(c_str!("popcorn_boot"), MODE, module);
        Ok(Self {
            _registration: KBox::try_pin_init(registration, GFP_KERNEL)?,
        })
    }
}

/// What is read, or written, through a file.
enum What {
    /// The console log.
    Log,
    /// The memory, as a core, of the kernel of this start.
    Core(CoreFile, u32),
    /// The terminal. Its zone may be somebody else's by now: only who has the memory may touch it.
    Terminal(Seat),
}

/// What a file is bound to.
struct Bound {
    what: What,
    kernel: Arc<Partition>,
}

impl Bound {
    /// The memory, if this is its terminal.
    fn memory_of(&self, seat: &Seat) -> Result<Arc<Memory>> {
        let memory = self.kernel.memory_or_error()?;
        if !seat.is_of(&memory.terminal) {
            return Err(errno::stale());
        }
        Ok(memory)
    }
}

/// An open file.
#[pin_data]
pub(crate) struct File {
    #[pin]
    bound: Mutex<Option<Arc<Bound>>>,
}

impl File {
    fn bound(&self) -> Result<Arc<Bound>> {
        self.bound.lock().clone().ok_or(EINVAL)
    }
}

impl MiscDevice for BootDevice {
    type File = Arc<File>;

    fn open() -> Result<Self::File> {
        Arc::pin_init(
            pin_init!(File {
                bound <- new_mutex!(None, "popcorn_boot file"),
            }),
            GFP_KERNEL,
        )
    }

    fn ioctl(file: ArcBorrow<'_, File>, command: u32, argument: usize) -> Result<isize> {
        if is_call(command, POPCORN_BOOT_IOC_ATTACH) {
            attach(&file, argument)?;
            return Ok(0);
        }
        let bound = file.bound().map_err(|_| ENOTTY)?;
        match &bound.what {
            What::Terminal(seat) => {
                let _memory = bound.memory_of(seat)?;
                seat.ioctl(command, argument)?;
                Ok(0)
            }
            _ => Err(ENOTTY),
        }
    }

    fn read(
        file: ArcBorrow<'_, File>,
        to: &mut UserSliceWriter,
        position: &mut i64,
        nonblocking: bool,
    ) -> Result<usize> {
        let bound = file.bound()?;
        let kernel = &bound.kernel;
        match &bound.what {
            What::Log => kernel.memory_or_error()?.console.read(to, position),
            What::Core(_, start) if *start != kernel.facts().starts => Err(errno::stale()),
            What::Core(core, _) => core.read(&*kernel.memory_or_error()?, to, position),
            What::Terminal(seat) => {
                let _memory = bound.memory_of(seat)?;
                seat.read(to, nonblocking, || kernel.is_running())
            }
        }
    }

    fn write(
        file: ArcBorrow<'_, File>,
        from: &mut UserSliceReader,
        nonblocking: bool,
    ) -> Result<usize> {
        let bound = file.bound()?;
        match &bound.what {
            What::Terminal(seat) => {
                let _memory = bound.memory_of(seat)?;
                seat.write(from, nonblocking, || bound.kernel.is_running())
            }
            _ => Err(EINVAL),
        }
    }
}

fn attach(file: &File, argument: usize) -> Result {
    if !may_boot() {
        return Err(EPERM);
    }
    let call: popcorn_boot_attach = read_sized(argument)?;
    let mut name = [0; POPCORN_BOOT_NAME_SIZE as usize];
    for (to, from) in name.iter_mut().zip(call.name) {
        *to = from;
    }
    let end = name.iter().position(|&byte| byte == 0).ok_or(EINVAL)?;
    let registry = REGISTRY.get().ok_or(ENODEV)?;
    let kernel = registry.find(&name[..end]).ok_or(ENOENT)?;
    let what = match call.what {
        POPCORN_BOOT_LOG => What::Log,
        POPCORN_BOOT_CORE => open_core(&kernel)?,
        POPCORN_BOOT_TERMINAL => What::Terminal(kernel.memory_or_error()?.terminal.clone().sit()?),
        _ => return Err(EINVAL),
    };
    let mut bound = file.bound.lock();
    if bound.is_some() {
        return Err(EBUSY);
    }
    *bound = Some(Arc::new(Bound { what, kernel }, GFP_KERNEL)?);
    Ok(())
}

fn open_core(kernel: &Partition) -> Result<What> {
    let memory = kernel.memory_or_error()?;
    let facts = kernel.facts();
    if facts.starts == 0 {
        return Err(ESRCH);
    }
    let known = Known::new(&memory.status.page(), facts.mapping);
    let core = CoreFile::new(&*memory, &memory.ram()?, &known)?;
    Ok(What::Core(core, facts.starts))
}

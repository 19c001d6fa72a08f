// SPDX-License-Identifier: GPL-2.0
//! The terminal of a kernel that was started by another one: `/dev/hvcN`, whose other end is in the
//! primary.
//!
//! It uses the zone of `rust/core/terminal.rs` and nothing else: no messages, no interrupts. A thread
//! looks whether somebody types.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::bootparams::Extent;
use popcorn_core::byte_ring::Consumer;
use popcorn_core::byte_ring::Producer;
use popcorn_core::terminal::AttachError;
use popcorn_core::terminal::FarEnd;
use popcorn_core::terminal::Window;
use popcorn_core::terminal::WindowSize;
use popcorn_core::terminal::ZONE_SIZE;
use popcorn_kernel::boot::memory::PhysicalMemory;
use popcorn_kernel::boot::terminal;
use popcorn_kernel::boot::terminal::Line;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::module::Pinned;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::try_lock::TryLock;
use popcorn_kernel::wait::WaitQueue;

/// How often to look while somebody types.
const LOOK_MS: u32 = 10;
/// How often when nobody does: what the first key waits.
const LOOK_IDLE_MS: u32 = 100;
/// How many looks without a key until nobody types: two seconds.
const LOOKS: u32 = 200;

/// The terminal's thread; the terminal itself stays for good.
pub(super) struct Terminal {
    _look: Kthread,
}

impl Terminal {
    /// Makes a terminal with the zone at physical address `zone`. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`: no primary of the same version has prepared the zone. `EBUSY`: it is this kernel's own
    /// memory. `EINVAL`: no page's address. `EOPNOTSUPP`: this kernel has no hvc driver. `ENOMEM`.
    pub(super) fn new(zone: u64, module: &'static ThisModule) -> Result<Self> {
        let extent = Extent::new(zone, ZONE_SIZE as u64);
        let memory = PhysicalMemory::claim_unknown(extent, c_str!("Popcorn terminal"))?;
        let end = FarEnd::attach(memory.map(extent)?).map_err(|e| match e {
            AttachError::Size => EINVAL,
            AttachError::Mark => ENODEV,
        })?;
        let window = Arc::new(end.window, GFP_KERNEL)?;
        let ends = Ends {
            keyboard: TryLock::new(end.keyboard),
            screen: TryLock::new(end.screen),
            typed: AtomicU64::new(0),
            _memory: memory,
        };
        let ends = Arc::new(ends, GFP_KERNEL)?;
        let wait = WaitQueue::boxed(
            c_str!("popcorn_boot terminal"),
            kernel::static_lock_class!(),
        )?;
        // The thread first, since it can be taken back.
        let look = Kthread::spawn(c_str!("popcorn_tty"), {
            let (ends, window) = (ends.clone(), window.clone());
            move || look_for_keys(&ends, &window, &wait)
        })?;
        let index = terminal::register(Shared(ends), Pinned::new(module)?)?;
        window.answer();
        pr_info!("terminal at /dev/hvc{}\n", index);
        Ok(Self { _look: look })
    }
}

/// The two rings, and what keeps them.
struct Ends {
    // By those who read and write the terminal, in any context. Who finds a ring taken does without: a
    // terminal tries again, and kernel messages are lost rather than waited for in a panic.
    keyboard: TryLock<Consumer<SharedMemory>>,
    screen: TryLock<Producer<SharedMemory>>,
    /// Bytes taken from the keyboard.
    typed: AtomicU64,
    _memory: PhysicalMemory,
}

/// Both the terminal and the thread have them.
struct Shared(Arc<Ends>);

impl Line for Shared {
    fn read(&self, to: &mut [u8]) -> usize {
        let length = match self.0.keyboard.try_lock() {
            Some(mut keyboard) => keyboard.pop(to),
            None => 0,
        };
        self.0.typed.fetch_add(length as u64, Ordering::Relaxed);
        length
    }

    fn write(&self, from: &[u8]) -> usize {
        match self.0.screen.try_lock() {
            Some(mut screen) => screen.push(from),
            None => 0,
        }
    }
}

/// The thread: tells the terminal what the primary does.
fn look_for_keys(ends: &Ends, window: &Window<SharedMemory>, wait: &WaitQueue) {
    let mut size = WindowSize::default();
    let mut typed = 0;
    let mut looks = 0;
    loop {
        let pause = if looks > 0 { LOOK_MS } else { LOOK_IDLE_MS };
        // The thread's owner wakes it by itself when it is to stop.
        if wait.wait_idle(Some(pause), kthread::should_stop) {
            return;
        }
        let now = window.size();
        if now != size && terminal::resize(now) {
            size = now;
        }
        // If nobody takes them, then nobody has the terminal open, or its reader is slow.
        let pending = match ends.keyboard.try_lock() {
            Some(keyboard) => keyboard.is_pending(),
            None => false,
        };
        if pending {
            terminal::kick();
        }
        let typed_now = ends.typed.load(Ordering::Relaxed);
        looks = if typed_now != typed {
            LOOKS
        } else {
            looks.saturating_sub(1)
        };
        typed = typed_now;
    }
}

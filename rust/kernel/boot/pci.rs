// SPDX-License-Identifier: GPL-2.0
//! A PCI device that this kernel lends to another one.
//!
//! It goes with its bus (see [`popcorn_core::pci`]): it must be the only device there, behind a port of
//! PCI Express that stays this kernel's. Its driver lets it go, and one of ours holds it, so that no other
//! takes it. Each time it changes hands it is reset, which ends its access to memory.
//!
//! Behind an IOMMU the device reaches only what it was allowed to reach ([`LentDevice::allow`]), by the
//! addresses that processors use: the other kernel sees no IOMMU. Without one the hardware does not keep that
//! kernel from letting the device access memory that is not its own. In neither case does it keep the device
//! from signalling to any processor: where interrupts are remapped, a device cannot be lent. As with memory
//! and processors, an honest kernel keeps to what it was told of.
//!
//! Lock order: takes the lock of all PCI buses and the device's; no lock that a driver takes when it lets
//! go of a device may be held.
//!
//! C side: `helpers/pci.c`.

use super::suspend::Awake;
use crate::bindings;
use crate::errno::not_supported;
use core::ptr::NonNull;
use core::slice;
use kernel::c_str;
use kernel::error::from_err_ptr;
use kernel::error::to_result;
use kernel::prelude::*;
use kernel::str::CStr;
use popcorn_core::bootparams::Extent;
use popcorn_core::pci::configuration_window;
use popcorn_core::pci::Address;
use popcorn_core::pci::HostBridge;

/// A device that is lent. Dropping it resets it and gives it back to the driver that it had; may sleep.
///
/// The kernel that has it must be stopped first: there is nothing here that could wait for that.
///
/// # Invariants
///
/// `device` is from `pcn_lent_device_take` and nobody else has it.
pub struct LentDevice {
    device: NonNull<bindings::pcn_lent_device>,
    address: Address,
    bridge: HostBridge,
    _awake: Awake,
}

// SAFETY: the functions called on it take the locks they need, on any thread.
unsafe impl Send for LentDevice {}
// SAFETY: as above; `reset` holds the device's lock.
unsafe impl Sync for LentDevice {}

impl LentDevice {
    /// Takes the device at `address` from its driver, and resets it. May sleep, for as long as the driver
    /// takes to let go: a disk, for example, writes what it must.
    ///
    /// # Errors
    ///
    /// `ENODEV`: there is none. `EOPNOTSUPP`: it cannot be lent, of which the log tells why. `EBUSY`: it is in
    /// use, as a disk that is mounted or a network interface that is up, or its virtual functions are; another
    /// kernel has it, or another driver took it at the same time; or this kernel is about to suspend. `EIO`: it
    /// cannot be reset. `ENOMEM`.
    pub fn take(address: Address) -> Result<Self> {
        let awake = Awake::new()?;
        // SAFETY: process context, as required of the caller.
        let device = from_err_ptr(unsafe {
            bindings::pcn_lent_device_take(address.segment, address.bus, address.device_function())
        })?;
        let none = HostBridge {
            segment: address.segment,
            bus: address.bus,
            ecam: 0,
            memory: None,
            prefetchable: None,
            ports: None,
        };
        // INVARIANT: just taken. From here on dropping it gives it back.
        let mut device = Self {
            device: NonNull::new(device).ok_or(ENODEV)?,
            address,
            bridge: none,
            _awake: awake,
        };
        device.bridge = HostBridge {
            ecam: device.find_registers()?,
            memory: device.window(bindings::pcn_pci_window_PCN_PCI_MEMORY),
            prefetchable: device.window(bindings::pcn_pci_window_PCN_PCI_PREFETCHABLE),
            ports: device.window(bindings::pcn_pci_window_PCN_PCI_PORTS),
            ..none
        };
        Ok(device)
    }

    /// Where it is.
    pub fn address(&self) -> Address {
        self.address
    }

    /// What the other kernel has to be told of it.
    pub fn bridge(&self) -> HostBridge {
        self.bridge
    }

    /// Stops it in whatever it does; it is then as it was when it was taken, and a kernel may be told of
    /// it. The one that had it before must not run any more; its memory may be used again afterwards. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `EIO`: it could not be reset. It was told to access no memory, but must not be given to anybody.
    pub fn reset(&self) -> Result {
        // SAFETY: taken, by the invariant.
        to_result(unsafe { bindings::pcn_lent_device_reset(self.device.as_ptr()) })
    }

    /// Lets it reach `range`, whole pages that it was not allowed yet; of use only behind an IOMMU. May
    /// sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM`, and what the driver of the IOMMU says: addresses that it cannot map, say.
    pub fn allow(&self, range: Extent) -> Result {
        let (start, size) = (range.start, range.size);
        // SAFETY: taken, by the invariant. What it may access then is up to who lends it, as all of it is
        // without an IOMMU.
        to_result(unsafe { bindings::pcn_lent_device_allow(self.device.as_ptr(), start, size) })
    }

    /// Takes `range`, which was allowed as a whole, out of its reach again; whatever it was doing there has
    /// ended or faults. Without an IOMMU it does nothing. May sleep.
    pub fn revoke(&self, range: Extent) {
        // SAFETY: taken, by the invariant.
        unsafe { bindings::pcn_lent_device_revoke(self.device.as_ptr(), range.start, range.size) };
    }

    /// The same of all that it was allowed. May sleep.
    pub fn revoke_all(&self) {
        // SAFETY: taken, by the invariant.
        unsafe { bindings::pcn_lent_device_revoke_all(self.device.as_ptr()) };
    }

    /// The configuration window of its segment, which must really hold its registers.
    fn find_registers(&self) -> Result<u64> {
        let Some(ecam) = Windows::get().and_then(|windows| windows.find(self.address)) else {
            self.complain(c_str!(
                "the machine has no table of configuration windows with it"
            ));
            return Err(not_supported());
        };
        let registers = self.address.registers(ecam).ok_or(EINVAL)?;
        // SAFETY: taken, by the invariant.
        let there =
            unsafe { bindings::pcn_lent_device_is_at(self.device.as_ptr(), registers.start) };
        if !there {
            self.complain(c_str!(
                "its registers are not where the machine's table says"
            ));
            return Err(not_supported());
        }
        Ok(ecam)
    }

    fn window(&self, which: bindings::pcn_pci_window) -> Option<Extent> {
        let (mut start, mut size) = (0, 0);
        // SAFETY: taken, by the invariant; writes to the two variables, which live.
        let has = unsafe {
            bindings::pcn_lent_device_window(self.device.as_ptr(), which, &mut start, &mut size)
        };
        has.then_some(Extent::new(start, size))
    }

    fn complain(&self, text: &CStr) {
        // SAFETY: taken, by the invariant; the text lives.
        unsafe {
            bindings::pcn_lent_device_complain(self.device.as_ptr(), text.as_char_ptr());
        }
    }
}

impl Drop for LentDevice {
    fn drop(&mut self) {
        // SAFETY: taken, by the invariant, and not used any more.
        unsafe { bindings::pcn_lent_device_give_back(self.device.as_ptr()) };
    }
}

/// The machine's table of configuration windows.
///
/// # Invariants
///
/// `table` is from `pcn_pci_windows_get`, of `size` bytes.
struct Windows {
    table: NonNull<u8>,
    size: usize,
}

impl Windows {
    /// `None` if there is none. May sleep.
    fn get() -> Option<Self> {
        let mut size = 0;
        // SAFETY: writes to `size`, which lives.
        let table = unsafe { bindings::pcn_pci_windows_get(&mut size) };
        // INVARIANT: just got.
        Some(Self {
            table: NonNull::new(table.cast_mut().cast())?,
            size,
        })
    }

    fn find(&self, address: Address) -> Option<u64> {
        // SAFETY: `size` bytes, by the invariant, which nobody writes to.
        let table = unsafe { slice::from_raw_parts(self.table.as_ptr(), self.size) };
        configuration_window(table, address.segment, address.bus)
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        // SAFETY: from pcn_pci_windows_get(), by the invariant.
        unsafe { bindings::pcn_pci_windows_put(self.table.as_ptr().cast()) };
    }
}

// SPDX-License-Identifier: GPL-2.0

//! PCI Express as two kernels of one machine share it: by the bus.
//!
//! A device that is alone on its bus, behind a port of its own, can be told apart from all others by the
//! bus number: its configuration registers are one MiB of the machine's configuration window (*ECAM*),
//! and its addresses are those that the port forwards. So a kernel that is told of a host bridge with
//! just that bus and those addresses can reach this device and no other; the port stays where it was.

use core::fmt;

use crate::bootparams::Extent;

/// Bytes of configuration registers of one bus.
pub const BUS_REGISTERS: u64 = 1 << 20;
/// Bytes of configuration registers of one function.
pub const FUNCTION_REGISTERS: u64 = 4 << 10;

/// Which function of which device on which bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Group of up to 256 buses; also called domain.
    pub segment: u16,
    /// Bus in it.
    pub bus: u8,
    /// Device on it, below 32.
    pub device: u8,
    /// Function of it, below 8.
    pub function: u8,
}

impl Address {
    /// Reads an address as the kernel writes it, such as `0000:01:00.0`; `None` if it is none.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (&[s0, s1, s2, s3, b':', b0, b1, b':', d0, d1, b'.', f0], []) =
            text.split_first_chunk()?
        else {
            return None;
        };
        let number = |digits: &[u8]| {
            digits.iter().try_fold(0u16, |sum, &digit| {
                let digit = char::from(digit).to_digit(16)?;
                Some((sum << 4) | digit as u16)
            })
        };
        let address = Self {
            segment: number(&[s0, s1, s2, s3])?,
            bus: number(&[b0, b1])? as u8,
            device: number(&[d0, d1])? as u8,
            function: number(&[f0])? as u8,
        };
        (address.device < 32 && address.function < 8).then_some(address)
    }

    /// Device and function in one byte, as the hardware has them.
    pub fn device_function(&self) -> u8 {
        (self.device << 3) | self.function
    }

    /// Where in the configuration window that starts at `ecam` its registers are; `None` if that wraps.
    pub fn registers(&self, ecam: u64) -> Option<Extent> {
        let function = u64::from(self.device_function()) * FUNCTION_REGISTERS;
        let start = ecam
            .checked_add(u64::from(self.bus) * BUS_REGISTERS)?
            .checked_add(function)?;
        Some(Extent::new(start, FUNCTION_REGISTERS))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:04x}:{:02x}:{:02x}.{}",
            self.segment, self.bus, self.device, self.function
        )
    }
}

/// A bus with one device on it, as the kernel that has it sees it: what hangs off a host bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostBridge {
    /// Segment of the bus.
    pub segment: u16,
    /// The bus.
    pub bus: u8,
    /// Physical address of the segment's configuration window: that of bus 0.
    pub ecam: u64,
    /// Addresses for memory in which a read may have effects.
    pub memory: Option<Extent>,
    /// Addresses for memory in which it has none.
    pub prefetchable: Option<Extent>,
    /// Ports.
    pub ports: Option<Extent>,
}

impl HostBridge {
    /// The configuration registers of its bus; `None` if the address wraps.
    pub fn registers(&self) -> Option<Extent> {
        let start = self.ecam.checked_add(u64::from(self.bus) * BUS_REGISTERS)?;
        Some(Extent::new(start, BUS_REGISTERS))
    }
}

// The table of configuration windows (PCI Firmware Specification 3.3, 4.1.2).
pub(crate) const MCFG_FIXED: usize = 44;
pub(crate) const MCFG_ENTRY: usize = 16;

/// Looks up the configuration window of a bus in the machine's table (`MCFG`, all of it, as the firmware
/// has left it); `None` if it is not there.
pub fn configuration_window(mcfg: &[u8], segment: u16, bus: u8) -> Option<u64> {
    if mcfg.get(..4)? != b"MCFG" {
        return None;
    }
    let entries = mcfg.get(MCFG_FIXED..)?.chunks_exact(MCFG_ENTRY);
    entries
        .filter_map(|entry| {
            let (address, rest) = entry.split_first_chunk()?;
            let (window_segment, rest) = rest.split_first_chunk()?;
            let (&[first, last], _) = rest.split_first_chunk()?;
            let here =
                u16::from_le_bytes(*window_segment) == segment && (first..=last).contains(&bus);
            here.then_some(u64::from_le_bytes(*address))
        })
        .find(|&address| address != 0)
}

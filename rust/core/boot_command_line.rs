// SPDX-License-Identifier: GPL-2.0

//! The command line of a secondary kernel.
//!
//! What the user asks for comes first and what keeps the kernels apart comes last, since the last one
//! wins. Parameters that would make the secondary take the primary's devices, and cannot be overruled
//! by a later one, are refused.

use core::fmt;
use core::fmt::Write;

use crate::machine_id::MachineId;
use crate::partition::Partition;

/// What the line is made of.
#[derive(Clone, Copy, Debug)]
pub struct Parameters<'a> {
    /// Where everything is.
    pub partition: &'a Partition,
    /// The primary's time-stamp counter, in kHz: without it the secondary would calibrate its own
    /// against timers that are the primary's.
    pub tsc_khz: u32,
    /// Host name of the secondary: letters, digits, '-' and '_'.
    pub name: &'a [u8],
    /// Which machine it is, for its programs.
    pub machine_id: MachineId,
    /// How many of the processors in its tables it has; the others it may get later.
    pub cpus: usize,
    /// Its node id.
    pub node: u16,
    /// Node id of the primary, with which it shares the message window.
    pub peer: u16,
    /// Whether it has devices of its own.
    pub devices: bool,
    /// What the user adds; may be empty.
    pub user: &'a [u8],
}

/// Why there is no command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineError {
    /// It does not fit, or is longer than the kernel takes.
    TooLong,
    /// The user's part holds a byte that is not printable ASCII, or an unpaired quote.
    Character,
    /// The user's part holds a parameter from [`REFUSED`] or [`REFUSED_WITH_DEVICES`].
    Refused(&'static str),
}

/// Parameters that no user may add, as they are written or up to the `=`.
///
/// Without ACPI, or with the I/O APIC ignored, the kernel falls back to devices that every old PC has,
/// and those belong to the primary. A second kernel image and a crash kernel are loaders of their own.
pub const REFUSED: [&str; 9] = [
    "acpi=off",
    "acpi=ht",
    "noapic",
    "nolapic",
    "disableapic",
    "noacpi",
    "acpi_rsdp",
    "memmap",
    "crashkernel",
];

/// Parameters that no user may add if the secondary has devices: they add up, so that a later one does not
/// undo what they do, and of reserved ranges only the first few count.
pub const REFUSED_WITH_DEVICES: [&str; 2] = ["pci", "reserve"];

/// As the kernel looks for it, wherever that stands.
const CRASH_KERNEL: &[u8] = b"crashkernel=";

/// What every secondary is told:
///
/// * no interrupts to all processors, since those are the primary's, too, and none from its NMI line;
/// * no serial port, none of the address-space tricks that leave the partition;
/// * no console but its log: else its terminal would become one, and its messages stand in between what
///   programs print. A user who wants that adds `console=hvc0`;
/// * to stay where it is after a panic: a restart would be the whole machine's;
/// * that its clock is good;
/// * to use memory that it gets while it runs at once, but for nothing that could not be moved away again;
/// * never to load another kernel by itself (kexec), which would begin with the devices of the machine.
const FIXED: &str =
    "no_ipi_broadcast=1 apic_extnmi=none 8250.nr_uarts=0 nokaslr no5lvl console=null panic=0 tsc=reliable \
     memhp_default_state=online_movable sysctl.kernel.kexec_load_disabled=1";

/// To end by an oops as by a panic, of which the primary is told: what goes on after one has lost a thread and
/// whatever that had locked, and answers the primary as if it were well. Nothing takes this back later in the
/// line, so it is left out if the user says what is to become of an oops, which means: anything else.
const OOPS: &str = "oops=panic ";

/// For one without devices: no bus.
const NO_DEVICES: &str = "pci=off";

/// For one with devices: the buses that the ACPI tables list, and no other.
///
/// The ports 0xcf8 to 0xcff lead to the registers of any device of the machine, and use by two kernels at
/// once would mix up both. What is reserved is not probed, so the kernel has only the memory-mapped registers
/// of its tables left. Some drivers use the ports without asking, before there is a table: not if told
/// that it is too early.
const DEVICES: &str = "pci=noearly reserve=0xcf8,8";

/// Writes the line and a zero byte behind it into `out`; the line may have `max` bytes. Returns its
/// length without the zero.
///
/// # Errors
///
/// See [`LineError`].
pub fn build(out: &mut [u8], max: usize, parameters: &Parameters<'_>) -> Result<usize, LineError> {
    check_user(parameters.user, &REFUSED)?;
    if parameters.devices {
        check_user(parameters.user, &REFUSED_WITH_DEVICES)?;
    }
    let user = core::str::from_utf8(parameters.user).map_err(|_| LineError::Character)?;
    let name = core::str::from_utf8(parameters.name).map_err(|_| LineError::Character)?;
    check_user(parameters.name, &REFUSED)?;
    let partition = parameters.partition;
    let console = partition.console();
    let window = partition.window();
    let room = out.len().min(max.saturating_add(1));
    let mut line = Line {
        out: &mut out[..room],
        used: 0,
    };
    let result = (|| {
        // The user may want others.
        write!(
            line,
            "hostname={name} systemd.machine_id={} ",
            parameters.machine_id
        )?;
        if !user.is_empty() {
            write!(line, "{user} ")?;
        }
        if !words(parameters.user).any(|word| is_parameter(word, b"oops")) {
            line.write_str(OOPS)?;
        }
        let buses = if parameters.devices {
            DEVICES
        } else {
            NO_DEVICES
        };
        write!(
            line,
            "{FIXED} {buses} tsc_early_khz={} maxcpus={}",
            parameters.tsc_khz, parameters.cpus
        )?;
        // Memory of type 2 is mapped like RAM; the primary does the same.
        write!(
            line,
            " ramoops.mem_address={:#x} ramoops.mem_size={:#x} ramoops.console_size={:#x}\
             \x20ramoops.record_size=0 ramoops.ftrace_size=0 ramoops.pmsg_size=0 ramoops.mem_type=2",
            console.start, console.size, console.size
        )?;
        write!(
            line,
            " popcorn_msg.shm={:#x} popcorn_msg.shm_size={:#x} popcorn_msg.node={} popcorn_msg.peer={}",
            window.start, window.size, parameters.node, parameters.peer
        )?;
        write!(
            line,
            " popcorn_boot.status={:#x} popcorn_boot.terminal={:#x}",
            partition.status().start,
            partition.terminal().start
        )?;
        line.write_char('\0')
    })();
    result.map_err(|fmt::Error| LineError::TooLong)?;
    Ok(line.used - 1)
}

fn check_user(user: &[u8], refused: &[&'static str]) -> Result<(), LineError> {
    if user.iter().any(|b| !(b' '..=b'~').contains(b)) {
        return Err(LineError::Character);
    }
    // The kernel ends a parameter at a blank outside of quotes; an unpaired one would swallow ours.
    if user.iter().filter(|&&b| b == b'"').count() % 2 != 0 {
        return Err(LineError::Character);
    }
    // The kernel looks for it by itself, in the middle of a word, too.
    if user
        .windows(CRASH_KERNEL.len())
        .any(|part| part == CRASH_KERNEL)
    {
        return Err(LineError::Refused("crashkernel"));
    }
    // Everything behind a lone "--" is for the first process: our parameters must not be.
    for word in words(user) {
        if parameter(word) == (b"--", None) {
            return Err(LineError::Refused("--"));
        }
        for &refused in refused {
            if is_parameter(word, refused.as_bytes()) {
                return Err(LineError::Refused(refused));
            }
        }
    }
    Ok(())
}

/// The parameters of a line in which quotes are paired.
fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |&b| {
        quoted ^= b == b'"';
        b == b' ' && !quoted
    })
}

/// The name that `word` sets, and what to, if it says: as the kernel takes it apart (`next_arg()`).
///
/// Quotes may surround the word or the value, and a "=" at the beginning belongs to the name.
fn parameter(word: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (word, is_quoted) = match word.strip_prefix(b"\"") {
        Some(rest) => (rest, true),
        None => (word, false),
    };
    let unquoted = |text| <[u8]>::strip_suffix(text, b"\"").unwrap_or(text);
    let equals = word.iter().skip(1).position(|&b| b == b'=');
    match equals.map(|at| (&word[..at + 1], &word[at + 2..])) {
        Some((name, value)) => match value.strip_prefix(b"\"") {
            Some(value) => (name, Some(unquoted(value))),
            None if is_quoted => (name, Some(unquoted(value))),
            None => (name, Some(value)),
        },
        None if is_quoted => (unquoted(word), None),
        None => (word, None),
    }
}

/// Whether `word` sets the parameter that `refused` names; if that has a value itself, to one that begins so.
fn is_parameter(word: &[u8], refused: &[u8]) -> bool {
    let (name, value) = parameter(word);
    let (refused_name, refused_value) = parameter(refused);
    // The kernel takes "-" for "_".
    let same = |(&a, &b): (&u8, &u8)| a == b || (a == b'-' && b == b'_');
    let fits = match refused_value {
        None => true,
        Some(start) => value.is_some_and(|value| value.starts_with(start)),
    };
    fits && name.len() == refused_name.len() && name.iter().zip(refused_name).all(same)
}

struct Line<'a> {
    out: &'a mut [u8],
    used: usize,
}

impl fmt::Write for Line<'_> {
    fn write_str(&mut self, s: &str) -> fmt::Result {
        let end = self.used + s.len();
        self.out
            .get_mut(self.used..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(s.as_bytes());
        self.used = end;
        Ok(())
    }
}

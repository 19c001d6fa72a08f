// SPDX-License-Identifier: GPL-2.0
//! The log that a kernel keeps in its own memory, read through its core:
//! [`printk_log`].

use super::core_dump::fill;
use super::core_dump::CoreSource;
use super::core_header::Header;
use super::core_header::HEADER_MAX;
use nix::errno::Errno;
use popcorn_core::printk_log;
use popcorn_core::printk_log::Cursor;
use popcorn_core::printk_log::Ring;
use popcorn_core::printk_log::Step;
use popcorn_core::printk_log::VirtualMemory;
use popcorn_core::printk_log::TEXT_MAX;
use popcorn_core::vmcoreinfo::VmcoreInfo;
use serde::Serialize;
use std::cell::Cell;

/// Searched at once.
const PIECE: usize = 1 << 20;
/// So often a message that is being written is left for the next time.
const PENDING_MAX: u32 = 40;

/// How the log was found in that memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Way {
    /// The kernel told where it is.
    Vmcoreinfo,
    /// By what it looks like.
    Search,
}

/// A core by virtual addresses.
struct Memory {
    source: Box<dyn CoreSource>,
    header: Header,
    /// Why it cannot be read any more.
    failure: Cell<Option<Errno>>,
}

impl VirtualMemory for Memory {
    fn read(&self, address: u64, out: &mut [u8]) -> bool {
        let Some(offset) = self.header.offset(address, out.len()) else {
            return false;
        };
        match fill(&*self.source, out, offset) {
            Ok(length) => length == out.len(),
            Err(errno) => {
                self.failure.set(Some(errno));
                false
            }
        }
    }
}

/// A log, and how far it was read.
pub(crate) struct MemoryLog {
    memory: Memory,
    found: Option<(Ring, Way)>,
    cursor: Cursor,
    /// The number of the message that comes next.
    number: u64,
    pending: u32,
}

impl MemoryLog {
    /// Looks for the log in a core. That there is none yet is no failure.
    pub(crate) fn open(source: Box<dyn CoreSource>) -> Result<Self, Errno> {
        let mut bytes = vec![0; HEADER_MAX];
        let length = fill(&*source, &mut bytes, 0)?;
        let header = Header::parse(&bytes[..length]).ok_or(Errno::EIO)?;
        let memory = Memory {
            source,
            header,
            failure: Cell::new(None),
        };
        let mut log = Self {
            memory,
            found: None,
            cursor: Cursor::default(),
            number: 0,
            pending: 0,
        };
        log.look()?;
        Ok(log)
    }

    /// How it was found, if it was.
    pub(crate) fn way(&self) -> Option<Way> {
        self.found.map(|(_, way)| way)
    }

    /// Looks for it, or for a larger one that has taken its place.
    pub(crate) fn look(&mut self) -> Result<(), Errno> {
        let told = self.told().map(|ring| (ring, Way::Vmcoreinfo));
        let found = told.or_else(|| self.search().map(|ring| (ring, Way::Search)));
        self.check()?;
        if found.is_some() && found != self.found {
            // Who changes over takes all messages along.
            self.cursor = Cursor::default();
            self.found = found;
        }
        Ok(())
    }

    fn told(&self) -> Option<Ring> {
        let info = VmcoreInfo::parse(self.memory.header.info.as_deref()?)?;
        Ring::of_info(&self.memory, &info)
    }

    fn search(&self) -> Option<Ring> {
        let image = self.memory.header.image()?;
        let mut piece = vec![0; PIECE];
        let mut found = None;
        let mut done = 0;
        while done < image.size {
            let length = (image.size - done).min(PIECE as u64) as usize;
            let piece = &mut piece[..length];
            if self.memory.read(image.address + done, piece) {
                let ring = printk_log::find(&self.memory, piece, image.address + done);
                found = printk_log::larger(found, ring);
            }
            done += length as u64;
        }
        found
    }

    /// What was added, in lines as a console prints them. `ended`: nothing more comes, so that what is not
    /// complete is not waited for.
    pub(crate) fn read(&mut self, ended: bool) -> Result<Vec<u8>, Errno> {
        let mut out = Vec::new();
        let Some((ring, _)) = self.found else {
            return Ok(out);
        };
        let mut text = [0; TEXT_MAX];
        // It may grow meanwhile; what comes later is for the next time.
        for _ in 0..2 * ring.capacity() {
            let before = self.cursor;
            match ring.step(&self.memory, &mut self.cursor, &mut text) {
                Step::Record(record) if !record.is_final && !ended && !self.is_overdue() => {
                    self.cursor = before;
                    break;
                }
                Step::Record(record) => {
                    self.pending = 0;
                    // What was read before the log moved elsewhere.
                    if record.number < self.number {
                        continue;
                    }
                    let lost = record.number - self.number;
                    if lost != 0 {
                        out.extend(format!("** {lost} messages are lost **\n").bytes());
                    }
                    self.number = record.number.saturating_add(1);
                    print(&mut out, record.time_ns, &text[..record.length]);
                }
                Step::Pending if !ended && !self.is_overdue() => break,
                Step::Pending => {
                    self.pending = 0;
                    self.cursor.pass();
                }
                Step::Gap => {}
                Step::End => break,
            }
        }
        self.check()?;
        Ok(out)
    }

    /// Another look found the same message being written: its writer may be dead.
    fn is_overdue(&mut self) -> bool {
        self.pending += 1;
        self.pending > PENDING_MAX
    }

    fn check(&self) -> Result<(), Errno> {
        self.memory.failure.take().map_or(Ok(()), Err)
    }
}

/// A message as a console prints it. Another kernel's text goes to somebody's terminal: what is not
/// printable is replaced.
fn print(out: &mut Vec<u8>, time_ns: u64, text: &[u8]) {
    let (seconds, micros) = (time_ns / 1_000_000_000, time_ns / 1000 % 1_000_000);
    for line in text.split(|&byte| byte == b'\n') {
        out.extend(format!("[{seconds:5}.{micros:06}] ").bytes());
        out.extend(line.iter().map(|&byte| match byte {
            b'\t' | b' '..=b'~' | 0x80.. => byte,
            _ => b'?',
        }));
        out.push(b'\n');
    }
}

#[cfg(test)]
#[path = "../../../../rust/core/tests/printk_ring/mod.rs"]
mod printk_ring;

#[cfg(test)]
pub(crate) mod tests {
    use super::printk_ring::Image;
    use super::*;
    use crate::kernel::core_header::tests::core_of;
    use std::sync::Arc;
    use std::sync::Mutex;

    /// A kernel that goes on writing while its core is read.
    #[derive(Clone)]
    pub(crate) struct Live(Arc<Mutex<Inner>>);

    struct Inner {
        image: Image,
        tells: bool,
        /// What reading its core comes to.
        result: Result<(), Errno>,
    }

    impl Live {
        /// One that tells of itself, or does not.
        pub(crate) fn new(tells: bool) -> Self {
            Self(Arc::new(Mutex::new(Inner {
                image: Image::new(7, 48),
                tells,
                result: Ok(()),
            })))
        }

        pub(crate) fn write(&self, text: &str) {
            self.0.lock().unwrap().image.write(text.as_bytes());
        }

        fn change(&self, change: impl FnOnce(&mut Image)) {
            change(&mut self.0.lock().unwrap().image);
        }

        pub(crate) fn fail(&self, errno: Errno) {
            self.0.lock().unwrap().result = Err(errno);
        }

        fn log(&self) -> MemoryLog {
            MemoryLog::open(Box::new(self.clone())).unwrap()
        }
    }

    impl CoreSource for Live {
        fn read_core(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
            let inner = self.0.lock().unwrap();
            inner.result?;
            let info = if inner.tells {
                inner.image.info()
            } else {
                String::new()
            };
            let core = core_of(&info, printk_ring::IMAGE, &inner.image.bytes);
            let rest = core.get(offset as usize..).unwrap_or(&[]);
            let length = rest.len().min(buffer.len());
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        }
    }

    fn text(log: &mut MemoryLog) -> String {
        String::from_utf8(log.read(false).unwrap()).unwrap()
    }

    #[test]
    fn found_in_both_ways_and_followed() {
        for (tells, way) in [(true, Way::Vmcoreinfo), (false, Way::Search)] {
            let live = Live::new(tells);
            live.write("Linux version 6.12");
            let mut log = live.log();
            assert_eq!(log.way(), Some(way));
            assert_eq!(text(&mut log), "[    0.000000] Linux version 6.12\n");
            assert_eq!(text(&mut log), "");
            live.change(|image| _ = image.write_as(b"two\nlines", 12_345_678_000, 0, 2));
            assert_eq!(text(&mut log), "[   12.345678] two\n[   12.345678] lines\n");
        }
    }

    #[test]
    fn where_there_is_none_yet_one_may_come() {
        let live = Live::new(false);
        let mut whole = Vec::new();
        live.change(|image| {
            let empty = vec![0; image.bytes.len()];
            whole = std::mem::replace(&mut image.bytes, empty);
        });
        let mut log = live.log();
        assert_eq!((log.way(), text(&mut log)), (None, String::new()));
        live.change(|image| image.bytes = whole);
        live.write("first");
        log.look().unwrap();
        assert_eq!(text(&mut log), "[    0.000000] first\n");
    }

    #[test]
    fn what_was_overwritten_is_said_to_be_lost() {
        let live = Live::new(false);
        let mut log = live.log();
        (0..300).for_each(|_| live.write("x"));
        let got = text(&mut log);
        let (first, rest) = got.split_once('\n').unwrap();
        let lost: usize = first
            .strip_prefix("** ")
            .and_then(|text| text.split_once(' ')?.0.parse().ok())
            .unwrap();
        assert_eq!(lost + rest.lines().count(), 300);
    }

    #[test]
    fn what_is_being_written_is_waited_for_but_not_for_ever() {
        let live = Live::new(false);
        live.change(|image| _ = image.write_as(b"partial", 0, 0, 1));
        let mut log = live.log();
        assert_eq!(text(&mut log), "");
        assert_eq!(
            live.log().read(true).unwrap(),
            b"[    0.000000] partial\n",
            "the last words of one that is dead"
        );
        live.change(|image| image.set_state(2));
        assert_eq!(text(&mut log), "[    0.000000] partial\n");

        live.change(|image| _ = image.write_as(b"dead", 0, 0, 0));
        live.write("alive");
        let looks = (0..).take_while(|_| text(&mut log).is_empty()).count();
        assert!(looks as u32 <= PENDING_MAX, "{looks}");
    }

    #[test]
    fn a_core_of_another_life_ends_it() {
        let live = Live::new(false);
        live.write("one");
        let mut log = live.log();
        live.fail(Errno::ESTALE);
        assert_eq!(log.read(false), Err(Errno::ESTALE));
    }

    #[test]
    fn nothing_reaches_a_terminal_but_text() {
        let mut out = Vec::new();
        print(&mut out, 0, b"a\x1b[2J\tb\0\x07\xc3\xbc");
        assert_eq!(out, b"[    0.000000] a?[2J\tb??\xc3\xbc\n");
    }
}

// SPDX-License-Identifier: GPL-2.0
//! `popcornctl kernel core`: a kernel's memory into a file that a debugger opens.
//!
//! The module gives the core as an ELF file of the size of that memory. Most of it is zero in most
//! kernels; what is zero becomes a hole.

use super::refusal::refused;
use super::refusal::Action;
use crate::cli::CoreArgs;
use crate::device;
use crate::failure::Failure;
use crate::output;
use crate::output::Output;
use nix::errno::Errno;
use serde::Serialize;
use std::fs::File;
use std::fs::OpenOptions;
use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Where a core comes from: the device, attached to the core of one kernel.
pub(crate) trait CoreSource {
    /// Reads what is at `offset`; 0 bytes: the core ends there.
    fn read_core(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno>;
}

/// `/dev/popcorn_boot`, bound to a core.
impl CoreSource for File {
    fn read_core(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
        self.read_at(buffer, offset)
            .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
    }
}

/// Opens the core of the kernel `name`.
pub(crate) fn open(name: &str) -> Result<File, Failure> {
    let boot = device::open_boot()?;
    device::attach_core(&boot, name).map_err(|errno| refused(Action::Core, name, errno))?;
    Ok(boot)
}

/// Where it goes to.
trait Sink {
    /// Writes some of it that is not zero.
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// All is written; it has `size` bytes.
    fn finish(&mut self, size: u64) -> io::Result<()>;
}

impl Sink for File {
    fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.write_all_at(bytes, offset)
    }

    fn finish(&mut self, size: u64) -> io::Result<()> {
        self.set_len(size)?;
        self.sync_all()
    }
}

/// Read at once.
const STEP: usize = 1 << 20;
/// What is all zero in a piece of this size becomes a hole.
const BLOCK: usize = 4096;
/// The largest header that the module makes.
const HEADER_MAX: u64 = 64 << 10;
/// The core holds the memory of a whole kernel.
const MODE: u32 = 0o600;

/// What a core says of itself.
#[derive(Debug, Default, PartialEq)]
struct Contents {
    /// Bytes of the file.
    size: u64,
    /// Bytes of memory in it.
    memory: u64,
    release: Option<String>,
    panic_cpu: Option<usize>,
}

impl Contents {
    /// Reads the header at the beginning of `bytes`. `None` if it is not one that the module makes.
    fn parse(bytes: &[u8]) -> Option<Self> {
        const PT_LOAD: u64 = 1;
        const PT_NOTE: u64 = 4;
        /// Virtual addresses from here on are those of the kernel's image, a second view of its memory.
        const IMAGE: u64 = 0xffff_ffff_8000_0000;

        if !bytes.starts_with(b"\x7fELF\x02\x01\x01") {
            return None;
        }
        let (table, count) = (word(bytes, 32, 8)?, word(bytes, 56, 2)?);
        let mut contents = Self::default();
        for i in 0..count {
            let at = usize::try_from(table.checked_add(56 * i)?).ok()?;
            let field = |n: usize| word(bytes, at + 8 * n, 8);
            let (offset, address, size) = (field(1)?, field(2)?, field(4)?);
            let end = offset.checked_add(size)?;
            match word(bytes, at, 4)? {
                PT_LOAD => {
                    contents.size = contents.size.max(end);
                    if address < IMAGE {
                        contents.memory = contents.memory.checked_add(size)?;
                    }
                }
                PT_NOTE => {
                    let notes = usize::try_from(offset).ok()?..usize::try_from(end).ok()?;
                    contents.read_notes(bytes.get(notes)?)?;
                }
                _ => {}
            }
        }
        Some(contents)
    }

    fn read_notes(&mut self, mut notes: &[u8]) -> Option<()> {
        const NT_PRSTATUS: u64 = 1;

        let mut processors = 0;
        while !notes.is_empty() {
            let length = |at| Some(word(notes, at, 4)? as usize);
            let text_at = 12 + length(0)?.next_multiple_of(4);
            let text = notes.get(text_at..text_at.checked_add(length(4)?)?)?;
            if notes[12..].starts_with(b"VMCOREINFO\0") {
                let text = String::from_utf8_lossy(text);
                let release = text
                    .lines()
                    .find_map(|line| line.strip_prefix("OSRELEASE="));
                self.release = release.map(str::to_owned);
            } else if word(notes, 8, 4)? == NT_PRSTATUS {
                // The last one is that of the processor that panicked.
                self.panic_cpu = Some(processors);
                processors += 1;
            }
            let end = text_at + text.len().next_multiple_of(4);
            notes = notes.get(end..)?;
        }
        Some(())
    }
}

/// A little-endian number of `length` bytes.
fn word(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    let bytes = bytes.get(at..at.checked_add(length)?)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |n, &byte| (n << 8) | u64::from(byte)),
    )
}

/// The result of `kernel core`.
#[derive(Debug, Serialize)]
struct Summary {
    kernel: String,
    output: PathBuf,
    /// Size of the file.
    bytes: u64,
    /// What of it is not a hole.
    stored_bytes: u64,
    memory_bytes: u64,
    /// `None` if the kernel does not describe itself, or had not come so far.
    release: Option<String>,
    /// The processor that panicked, by that kernel's number, if its registers are in the core.
    panic_cpu: Option<usize>,
}

fn summary_text(summary: &Summary) -> String {
    let mut text = format!(
        "{}: {} of memory, {} stored\n",
        summary.output.display(),
        output::bytes(summary.memory_bytes),
        output::bytes(summary.stored_bytes),
    );
    text += &match &summary.release {
        Some(release) => format!("  release:  {release}\n"),
        None => "  release:  not known; the kernel does not tell (VMCOREINFO)\n".into(),
    };
    if let Some(cpu) = summary.panic_cpu {
        text += &format!("  panicked: on its processor {cpu}\n");
    }
    text
}

/// How far it is, on stderr: a line that runs along on a terminal, one line for each tenth elsewhere.
struct Progress {
    quiet: bool,
    terminal: bool,
    shown: Option<u64>,
}

impl Progress {
    fn new(quiet: bool) -> Self {
        Self {
            quiet,
            terminal: io::stderr().is_terminal(),
            shown: None,
        }
    }

    fn show(&mut self, done: u64, all: u64) {
        let percent = (u128::from(done) * 100 / u128::from(all.max(1))) as u64;
        let step = if self.terminal { percent } else { percent / 10 };
        if self.quiet || self.shown == Some(step) {
            return;
        }
        self.shown = Some(step);
        let text = format!("{percent} % of {}", output::bytes(all));
        // There is nobody to tell if it cannot be written.
        let mut stderr = io::stderr().lock();
        let _ = match (self.terminal, done == all) {
            (true, false) => write!(stderr, "\r{text}\x1b[K"),
            (true, true) => write!(stderr, "\r\x1b[K"),
            (false, _) => writeln!(stderr, "{text}"),
        };
    }
}

/// `kernel core`, with the core of kernel `args.name` as `source`.
pub(crate) fn core(
    source: &impl CoreSource,
    args: &CoreArgs,
    output: &Output,
) -> Result<(), Failure> {
    let path = args
        .output
        .clone()
        .unwrap_or_else(|| PathBuf::from(format!("{}.core", args.name)));
    let complain = |error: io::Error| {
        let next = match error.kind() {
            io::ErrorKind::AlreadyExists => "name another file with --output, or remove this one",
            io::ErrorKind::StorageFull => "name a file with --output where there is more room",
            _ => "name a file with --output that can be written",
        };
        Failure::new(format!("{}: {error}", path.display()), next)
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(MODE)
        .open(&path)
        .map_err(complain)?;
    let mut progress = Progress::new(output.is_json());
    let saved = save(source, &mut file, |done, all| progress.show(done, all));
    let (contents, stored_bytes) = saved.map_err(|error| {
        // Half a core helps nobody. If even that fails, the first failure says more.
        let _ = std::fs::remove_file(&path);
        match error {
            SaveError::Source(errno) => refused(Action::Core, &args.name, errno),
            SaveError::Format => Failure::new(
                format!("what the module gives as core of kernel {} is none", args.name),
                "popcornctl and the modules may be of different versions: build and install both anew",
            ),
            SaveError::Sink(error) => complain(error),
        }
    })?;
    let summary = Summary {
        kernel: args.name.clone(),
        output: path.clone(),
        bytes: contents.size,
        stored_bytes,
        memory_bytes: contents.memory,
        release: contents.release,
        panic_cpu: contents.panic_cpu,
    };
    output.result(&summary, || summary_text(&summary))
}

#[derive(Debug)]
enum SaveError {
    Source(Errno),
    Sink(io::Error),
    Format,
}

/// Copies all; what the core says of itself, and how many bytes are not in holes.
fn save(
    source: &impl CoreSource,
    sink: &mut impl Sink,
    mut progress: impl FnMut(u64, u64),
) -> Result<(Contents, u64), SaveError> {
    let mut buffer = vec![0; STEP];
    let header = fill(source, &mut buffer[..HEADER_MAX as usize], 0)?;
    let contents = Contents::parse(&buffer[..header]).ok_or(SaveError::Format)?;
    let (mut offset, mut stored) = (0, 0);
    while offset < contents.size {
        progress(offset, contents.size);
        let length = (contents.size - offset).min(STEP as u64) as usize;
        let length = fill(source, &mut buffer[..length], offset)?;
        if length == 0 {
            return Err(SaveError::Format);
        }
        stored += store(sink, &buffer[..length], offset).map_err(SaveError::Sink)?;
        offset += length as u64;
    }
    sink.finish(contents.size).map_err(SaveError::Sink)?;
    progress(offset, contents.size);
    Ok((contents, stored))
}

/// Reads until the buffer is full or the core ends.
fn fill(source: &impl CoreSource, buffer: &mut [u8], offset: u64) -> Result<usize, SaveError> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read_core(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(SaveError::Source(errno)),
        }
    }
    Ok(filled)
}

/// Writes the blocks that are not zero, adjacent ones at once; how many bytes that were.
fn store(sink: &mut impl Sink, bytes: &[u8], offset: u64) -> io::Result<u64> {
    let mut stored = 0;
    let mut begin = None;
    let zeros = [0; BLOCK];
    let blocks = bytes
        .chunks(BLOCK)
        .map(|block| block == &zeros[..block.len()]);
    // One more that is zero, so that the last run ends, too.
    for (i, is_zero) in blocks.chain([true]).enumerate() {
        let at = (i * BLOCK).min(bytes.len());
        match (begin, is_zero) {
            (None, false) => begin = Some(at),
            (Some(from), true) => {
                sink.write(&bytes[from..at], offset + from as u64)?;
                stored += (at - from) as u64;
                begin = None;
            }
            _ => {}
        }
    }
    Ok(stored)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::collections::BTreeMap;

    const MEMORY: usize = 5 << 20;

    /// A core with notes and two ranges, and the image in the second; `MEMORY` bytes.
    fn made_up() -> Vec<u8> {
        let info = b"PAGESIZE=4096\nOSRELEASE=6.12.1\n";
        let mut notes = Vec::new();
        let mut note = |name: &[u8], kind: u32, text: &[u8]| {
            for word in [name.len() as u32, text.len() as u32, kind] {
                notes.extend(word.to_le_bytes());
            }
            for part in [name, text] {
                notes.extend(part);
                notes.resize(notes.len().next_multiple_of(4), 0);
            }
        };
        note(b"CORE\0", 1, &[0; 336]);
        note(b"CORE\0", 1, &[7; 336]);
        note(b"VMCOREINFO\0", 0, info);

        let mut core = b"\x7fELF\x02\x01\x01".to_vec();
        core.resize(64, 0);
        core[32] = 64;
        core[56] = 4;
        let mut program = |words: [u64; 7]| {
            for word in words {
                core.extend(word.to_le_bytes());
            }
        };
        let (low, size) = (8192, MEMORY as u64 - 8192);
        let at = 64 + 4 * 56;
        program([4, at, 0, 0, notes.len() as u64, notes.len() as u64, 4]);
        program([1, 12288 + 4096, 0xffff_ffff_8100_0000, 0, 4096, 4096, 4096]);
        program([1, 4096, 0xffff_8880_0000_1000, 0, low, low, 4096]);
        program([1, 12288, 0xffff_8880_0010_0000, 0, size, size, 4096]);
        core.extend(notes);
        core.resize(4096 + MEMORY, 0);
        core
    }

    /// Gives a core in pieces, and is interrupted at first.
    struct FakeCore {
        bytes: Vec<u8>,
        piece: usize,
        interrupted: Cell<bool>,
        broken_from: u64,
    }

    impl FakeCore {
        fn new(bytes: Vec<u8>) -> Self {
            Self {
                bytes,
                piece: 100_000,
                interrupted: Cell::new(false),
                broken_from: u64::MAX,
            }
        }
    }

    impl CoreSource for FakeCore {
        fn read_core(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Errno> {
            if !self.interrupted.replace(true) {
                return Err(Errno::EINTR);
            }
            if offset >= self.broken_from {
                return Err(Errno::EINVAL);
            }
            let rest = self.bytes.get(offset as usize..).unwrap_or(&[]);
            let length = rest.len().min(buffer.len()).min(self.piece);
            buffer[..length].copy_from_slice(&rest[..length]);
            Ok(length)
        }
    }

    /// Remembers what was written where.
    #[derive(Default)]
    struct FakeFile {
        written: BTreeMap<u64, Vec<u8>>,
        size: Option<u64>,
    }

    impl Sink for FakeFile {
        fn write(&mut self, bytes: &[u8], offset: u64) -> io::Result<()> {
            self.written.insert(offset, bytes.to_vec());
            Ok(())
        }

        fn finish(&mut self, size: u64) -> io::Result<()> {
            self.size = Some(size);
            Ok(())
        }
    }

    impl FakeFile {
        fn contents(&self) -> Vec<u8> {
            let mut all = vec![0; self.size.expect("finished") as usize];
            for (&offset, bytes) in &self.written {
                all[offset as usize..][..bytes.len()].copy_from_slice(bytes);
            }
            all
        }
    }

    #[test]
    fn the_header_tells_size_release_and_processor() {
        let core = made_up();
        let contents = Contents::parse(&core[..4096]).unwrap();
        assert_eq!(
            contents,
            Contents {
                size: core.len() as u64,
                memory: MEMORY as u64,
                release: Some("6.12.1".into()),
                panic_cpu: Some(1),
            }
        );
    }

    #[test]
    fn no_header_is_trusted() {
        let core = made_up();
        for length in 0..64 + 4 * 56 + 356 {
            assert_eq!(Contents::parse(&core[..length]), None, "{length}");
        }
        for at in 0..2048 {
            for value in [0, 1, 0x7f, 0xff] {
                let mut core = core[..4096].to_vec();
                core[at] = value;
                // Whatever comes of it: it comes to an end.
                Contents::parse(&core);
            }
        }
    }

    #[test]
    fn zeros_become_holes_and_all_else_is_kept() {
        let mut bytes = made_up();
        bytes[4096 + 20_000] = 1;
        bytes[3 << 20] = 2;
        bytes[(3 << 20) - 1] = 3;
        *bytes.last_mut().unwrap() = 4;
        let mut file = FakeFile::default();
        let mut steps = Vec::new();
        let (_, stored) = save(&FakeCore::new(bytes.clone()), &mut file, |done, all| {
            steps.push((done, all))
        })
        .unwrap();
        assert!(file.contents() == bytes);
        // Header, one block alone, two that touch, and the last.
        assert_eq!(stored, 5 * 4096);
        let starts: Vec<_> = file.written.keys().copied().collect();
        assert_eq!(
            starts,
            [
                0,
                20_480,
                (3 << 20) - 4096,
                3 << 20,
                bytes.len() as u64 - 4096
            ]
        );
        assert!(steps.windows(2).all(|pair| pair[0].0 < pair[1].0));
        let all = bytes.len() as u64;
        assert_eq!(steps.last(), Some(&(all, all)));
    }

    #[test]
    fn a_core_that_ends_early_is_an_error() {
        let mut bytes = made_up();
        bytes.truncate(2 << 20);
        let mut file = FakeFile::default();
        let error = save(&FakeCore::new(bytes), &mut file, |_, _| {}).unwrap_err();
        assert!(matches!(error, SaveError::Format));
        assert_eq!(file.size, None);
    }

    #[test]
    fn a_failure_leaves_no_file() {
        let folder = std::env::temp_dir().join(format!("popcornctl-core-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("one.core");
        let args = CoreArgs {
            name: "one".into(),
            output: Some(path.clone()),
        };
        let output = Output::new(true);
        let broken = FakeCore {
            broken_from: 2 << 20,
            ..FakeCore::new(made_up())
        };
        let failure = core(&broken, &args, &output).unwrap_err();
        assert_eq!(failure.errno, Some(Errno::EINVAL));
        assert!(!path.exists());

        core(&FakeCore::new(made_up()), &args, &output).unwrap();
        assert!(std::fs::read(&path).unwrap() == made_up());
        // It is not overwritten, and not removed either.
        let failure = core(&FakeCore::new(made_up()), &args, &output).unwrap_err();
        assert!(failure.next.contains("--output"), "{}", failure.next);
        assert!(path.exists());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

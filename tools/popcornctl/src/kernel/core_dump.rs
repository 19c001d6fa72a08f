// SPDX-License-Identifier: GPL-2.0
//! `popcornctl kernel core`: a kernel's memory into a file that a debugger opens.
//!
//! The module gives the core as an ELF file of the size of that memory. Most of it is zero in most
//! kernels; what is zero becomes a hole.

use super::core_header::Header;
use super::core_header::HEADER_MAX;
use super::refusal::refused;
use super::refusal::Action;
use crate::cli::kernel::CoreArgs;
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
/// The core holds the memory of a whole kernel.
const MODE: u32 = 0o600;

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
    let (header, stored_bytes) = saved.map_err(|error| {
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
        bytes: header.size(),
        stored_bytes,
        memory_bytes: header.memory(),
        release: header.release().map(str::to_owned),
        panic_cpu: header.panic_cpu,
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
) -> Result<(Header, u64), SaveError> {
    let mut buffer = vec![0; STEP];
    let length = fill(source, &mut buffer[..HEADER_MAX], 0).map_err(SaveError::Source)?;
    let header = Header::parse(&buffer[..length]).ok_or(SaveError::Format)?;
    let (size, mut offset, mut stored) = (header.size(), 0, 0);
    while offset < size {
        progress(offset, size);
        let length = (size - offset).min(STEP as u64) as usize;
        let length = fill(source, &mut buffer[..length], offset).map_err(SaveError::Source)?;
        if length == 0 {
            return Err(SaveError::Format);
        }
        stored += store(sink, &buffer[..length], offset).map_err(SaveError::Sink)?;
        offset += length as u64;
    }
    sink.finish(size).map_err(SaveError::Sink)?;
    progress(offset, size);
    Ok((header, stored))
}

/// Reads until the buffer is full or the core ends.
pub(crate) fn fill(
    source: &(impl CoreSource + ?Sized),
    buffer: &mut [u8],
    offset: u64,
) -> Result<usize, Errno> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read_core(&mut buffer[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(length) => filled += length,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno),
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
    use crate::kernel::core_header::tests::made_up;
    use std::cell::Cell;
    use std::collections::BTreeMap;

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

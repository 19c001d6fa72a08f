// SPDX-License-Identifier: GPL-2.0
//! `popcornctl kernel`: further kernels on this machine.

use crate::kernel::resources;
use crate::kernel::resources::Cpus;
use crate::kernel::resources::Device;
use crate::kernel::resources::Memory;
use clap::Args;
use clap::Subcommand;
use std::path::PathBuf;

#[derive(Debug, Subcommand)]
pub(crate) enum KernelCommand {
    /// Make a kernel of processors and memory of this machine (all that changes one needs CAP_SYS_BOOT)
    Create(CreateArgs),
    /// Give a kernel what it runs, and put it into its memory
    Load(LoadArgs),
    /// Start a kernel; it is loaded as before if need be
    Start(KernelStartArgs),
    /// Wait until a kernel that was started is online as a node
    Wait(WaitArgs),
    /// Ask a kernel to shut down, and wait until it has
    Stop(StopArgs),
    /// Stop a kernel at once, whatever it does
    Kill(NameArgs),
    /// Take a kernel apart: its processors, memory and devices come back
    Destroy(DestroyArgs),
    /// List all kernels but this one
    List,
    /// Tell everything about a kernel
    Show(NameArgs),
    /// Print the console of a kernel
    Log(LogArgs),
    /// Save the memory of a kernel as a core for crash, drgn or gdb; best when it has stopped
    Core(CoreArgs),
    /// Give a kernel more processors, memory, or devices; one that runs, processors or memory
    Add(ChangeArgs),
    /// Take processors, memory, or devices from a kernel; from one that runs, processors or memory
    Remove(ChangeArgs),
    /// Sit at the terminal of a kernel: a root shell there, which needs no network
    Console(ConsoleArgs),
}

#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
}

#[derive(Debug, Args)]
pub(crate) struct CreateArgs {
    /// Its name, which is its host name, too
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Its processors, as 1-3,7; they leave this kernel. It boots on the first
    #[arg(long, value_name = "LIST")]
    pub(crate) cpus: Cpus,
    /// Processors that it may get while it runs (`kernel add --cpus`)
    #[arg(long, value_name = "LIST")]
    pub(crate) possible_cpus: Option<Cpus>,
    /// Its memory, as 512M; or SIZE@ADDRESS, if that was reserved at boot (memmap=)
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Memory,
    /// Its memory below 640 KiB, if it must be a certain one, reserved at boot
    #[arg(long, value_name = "SIZE@ADDRESS", value_parser = resources::place)]
    pub(crate) low_memory: Option<Memory>,
    /// A PCI device, as 0000:01:00.0, which leaves this kernel; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) device: Vec<Device>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// What it runs, a bzImage
    #[arg(long, value_name = "FILE")]
    pub(crate) kernel: PathBuf,
    /// Its initramfs
    #[arg(long, value_name = "FILE")]
    pub(crate) initrd: Option<PathBuf>,
    /// Added to its command line; may be given several times
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    pub(crate) cmdline: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct KernelStartArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Wait until it is online as a node
    #[arg(long)]
    pub(crate) wait: bool,
    /// With --wait: give up after this many seconds
    #[arg(long, default_value_t = 120, requires = "wait")]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct WaitArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Give up after this many seconds
    #[arg(long, default_value_t = 120)]
    pub(crate) timeout: u64,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Give up after this many seconds; if it is shutting down, it goes on doing so
    #[arg(long, default_value_t = 30)]
    pub(crate) timeout: u64,
    /// Do not bring threads and pages home first: who has any there loses them
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DestroyArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Also if it runs: kill it first
    #[arg(long)]
    pub(crate) force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// Go on as it grows, until the kernel has ended
    #[arg(long, short)]
    pub(crate) follow: bool,
    /// Read the log that the kernel keeps in its own memory, also if it has a console: all messages, with those
    /// that the console leaves out, but none that are too old
    #[arg(long, short)]
    pub(crate) memory: bool,
    /// Tell on stderr where it is read from
    #[arg(long, short)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CoreArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    /// The file, which must not be there yet (default: NAME.core)
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// The kernel
    #[arg(value_parser = resources::name)]
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) what: Change,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Change {
    /// Processors, as 1-3,7
    #[arg(long, value_name = "LIST")]
    pub(crate) cpus: Option<Cpus>,
    /// So much memory more or less; if it does not run, all of its memory may be other memory then
    #[arg(long, value_name = "SIZE", value_parser = resources::size)]
    pub(crate) memory: Option<u64>,
    /// A PCI device, as 0000:01:00.0; may be given several times
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) device: Vec<Device>,
}

#[derive(Debug, Args)]
#[command(after_help = CONSOLE_HELP)]
pub(crate) struct ConsoleArgs {
    /// Its name
    pub(crate) name: String,
}

const CONSOLE_HELP: &str = "\
Every key goes to the other kernel, but for Ctrl-]: Ctrl-] q leaves, Ctrl-] Ctrl-] types Ctrl-].
The shell there goes on; what it prints meanwhile is kept, up to 32 KiB, and then makes it wait.

If standard input is no terminal, its bytes are typed as they are, and the console ends with them; keep
it open as long as there is something to be seen:

    (echo uname -n; sleep 1) | popcornctl kernel console NAME";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::tests::error;
    use crate::cli::tests::parse;
    use crate::cli::Command;
    use clap::error::ErrorKind;

    fn kernel(line: &str) -> KernelCommand {
        match parse(&format!("popcornctl kernel {line}")).unwrap().command {
            Command::Kernel(command) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn kernel_create_reads_lists_and_sizes() {
        let KernelCommand::Create(args) = kernel(
            "create node1 --cpus 2-3,1 --memory 1G --low-memory 64K@0x70000 --possible-cpus 7",
        ) else {
            panic!("not create")
        };
        assert_eq!(args.cpus.0, [2, 3, 1]);
        assert_eq!((args.memory.bytes, args.memory.start), (1 << 30, None));
        assert_eq!(args.possible_cpus.unwrap().0, [7]);
        assert_eq!(args.low_memory.unwrap().start, Some(0x70000));
        for wrong in [
            "create node/1 --cpus 1 --memory 1G",
            "create .. --cpus 1 --memory 1G",
            "create node1 --cpus 1,1 --memory 1G",
            "create node1 --cpus 1 --memory plenty",
            "create node1 --cpus 1 --memory 1G --low-memory 64K",
            "create node1 --cpus 1 --memory 1G --device disk",
        ] {
            let line = format!("popcornctl kernel {wrong}");
            assert_eq!(error(&line), ErrorKind::ValueValidation, "{wrong}");
        }
        assert_eq!(
            error("popcornctl kernel create node1 --cpus 1"),
            ErrorKind::MissingRequiredArgument
        );
    }

    #[test]
    fn kernel_load_collects_the_command_line() {
        let KernelCommand::Load(args) =
            kernel("load node1 --kernel bzImage --cmdline quiet --cmdline --loglevel=7")
        else {
            panic!("not load")
        };
        assert_eq!(args.cmdline, ["quiet", "--loglevel=7"]);
        assert_eq!((args.name.as_str(), args.initrd), ("node1", None));
    }

    #[test]
    fn kernel_start_waits_only_if_told_to() {
        let KernelCommand::Start(args) = kernel("start node1 --wait --timeout 9") else {
            panic!("not start")
        };
        assert_eq!((args.wait, args.timeout), (true, 9));
        assert_eq!(
            error("popcornctl kernel start node1 --timeout 9"),
            ErrorKind::MissingRequiredArgument
        );
    }

    #[test]
    fn kernel_core_names_a_kernel() {
        let KernelCommand::Core(args) = kernel("core node1 --output /tmp/core") else {
            panic!("not core")
        };
        assert_eq!(args.name, "node1");
        assert_eq!(args.output, Some("/tmp/core".into()));
        assert_eq!(
            error("popcornctl kernel core"),
            ErrorKind::MissingRequiredArgument
        );
    }

    #[test]
    fn kernel_add_changes_one_thing() {
        let KernelCommand::Add(args) = kernel("add node1 --memory 512M") else {
            panic!("not add")
        };
        assert_eq!((args.what.cpus, args.what.memory), (None, Some(512 << 20)));
        let KernelCommand::Remove(args) = kernel("remove node1 --device 01:00.0 --device 02:00.0")
        else {
            panic!("not remove")
        };
        assert_eq!(args.what.device.len(), 2);
        assert_eq!(
            error("popcornctl kernel add node1 --device 01:00.0 --cpus 1"),
            ErrorKind::ArgumentConflict
        );
        assert_eq!(
            error("popcornctl kernel add node1"),
            ErrorKind::MissingRequiredArgument
        );
        assert_eq!(
            error("popcornctl kernel remove node1 --cpus 1 --memory 1G"),
            ErrorKind::ArgumentConflict
        );
        assert_eq!(
            error("popcornctl kernel remove node1 --memory 1G@0x40000000"),
            ErrorKind::ValueValidation
        );
    }
}

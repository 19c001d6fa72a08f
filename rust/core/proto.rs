// SPDX-License-Identifier: GPL-2.0
//! What the kernels say to each other about processes, address spaces and pages.
//!
//! One number range for each service, so that a dump of messages can be read:
//! `0x00xx` the nodes themselves (popcorn_msg), `0x01xx` threads (popcorn_process), `0x02xx` layout
//! (popcorn_vma), `0x03xx` pages (popcorn_page), `0x04xx` network (popcorn_net), `0x05xx` measurements
//! (popcorn_bench).
//! Answers to requests are not messages of their own: their payload is declared likewise, with the number of the
//! request plus `0x80`.
//!
//! What is declared of a message is looked at before its service sees it: see [`message`](crate::message).

use crate::message::Messages;
use crate::messages;
use crate::net_frame::PIECE_MAX;
use crate::wire::PAYLOAD_MAX;
use crate::wire_message;

/// The first and last type of the nodes' own messages.
pub const NODE_TYPES: core::ops::RangeInclusive<u16> = 0x0000..=0x00ff;
/// The first and last type of the thread service.
pub const THREAD_TYPES: core::ops::RangeInclusive<u16> = 0x0100..=0x01ff;
/// The first and last type of the layout service.
pub const LAYOUT_TYPES: core::ops::RangeInclusive<u16> = 0x0200..=0x02ff;
/// The first and last type of the page service.
pub const PAGE_TYPES: core::ops::RangeInclusive<u16> = 0x0300..=0x03ff;
/// The first and last type of the network service.
pub const NET_TYPES: core::ops::RangeInclusive<u16> = 0x0400..=0x04ff;

/// The first and last type of the service that messages are measured by.
pub const BENCH_TYPES: core::ops::RangeInclusive<u16> = 0x0500..=0x05ff;

/// Bytes of a page.
pub const PAGE_SIZE: usize = 4096;

/// The general registers as they travel: the layout of `struct popcorn_regs`.
pub const REGS: usize = 21;
/// Most bytes of extended state that a message may carry (AVX-512 needs 2,696; AMX 11,008).
pub const FPU_MAX: usize = 16 * 1024;

/// Most pages that are granted beyond the one that was asked for: all fit into one message.
pub const AHEAD_MAX: usize = 14;
/// Most bytes of pages in a message.
const PAGES_MAX: usize = (AHEAD_MAX + 1) * PAGE_SIZE;
/// What fits behind the fixed part of [`BenchEcho`] and [`BenchStream`].
const BENCH_TAIL_MAX: usize = PAYLOAD_MAX - 16;

/// The messages of the nodes themselves.
pub const NODE_MESSAGES: Messages = messages![Echo, EchoByWorker, Part, Stay].within(NODE_TYPES);
/// The messages of the thread service.
pub const THREAD_MESSAGES: Messages =
    messages![Migrate, Back, Syscall, Recall, Abandon, SpaceExit, SpaceLost].within(THREAD_TYPES);
/// The messages of the layout service.
pub const LAYOUT_MESSAGES: Messages = messages![VmaRequest, Unmap].within(LAYOUT_TYPES);
/// The messages of the page service.
pub const PAGE_MESSAGES: Messages =
    messages![PageRequest, Fetch, Invalidate, Mapped].within(PAGE_TYPES);
/// The messages of the network service.
pub const NET_MESSAGES: Messages = messages![NetFrame, NetHello, NetBye].within(NET_TYPES);
/// The messages of the service that messages are measured by.
pub const BENCH_MESSAGES: Messages =
    messages![BenchBegin, BenchEcho, BenchStream, BenchEnd].within(BENCH_TYPES);

/// All of these.
pub const SERVICES: [Messages; 6] = [
    NODE_MESSAGES,
    THREAD_MESSAGES,
    LAYOUT_MESSAGES,
    PAGE_MESSAGES,
    NET_MESSAGES,
    BENCH_MESSAGES,
];

wire_message! {
    /// Answered with the same bytes, where it is received.
    pub struct Echo = 0x0001, request -> Echoed, urgent, tail 0..=PAYLOAD_MAX {}

    /// The same, by a worker.
    pub struct EchoByWorker = 0x0002, request -> Echoed, tail 0..=PAYLOAD_MAX {}

    /// The answer to [`Echo`] and [`EchoByWorker`]: what they brought.
    pub struct Echoed = 0x0081, response, tail 0..=PAYLOAD_MAX {}

    /// The sender is about to leave: from now on no thread goes from one to the other, and all that
    /// the receiver has there comes home. Answered when that is done.
    pub struct Part = 0x0003, request {
        /// Counts the partings of the sender upwards, from 1.
        number: u64,
        /// How long the answer may take, in milliseconds.
        timeout_ms: u32,
        /// Zero.
        reserved: u32,
    }

    /// The sender stays after all: threads may go again.
    pub struct Stay = 0x0004, one_way {
        /// The parting that is called off, and all before it.
        number: u64,
    }

    /// Start a thread at the receiver; the tail is the extended state. Answered when the thread is about
    /// to run its first instruction; or with an error, and then it stays at its origin.
    pub struct Migrate = 0x0101, request, tail 0..=FPU_MAX {
        /// Its address space.
        space: u64,
        /// The thread: the origin's id in the upper 16 bits, below it a count that begins at random.
        thread: u64,
        /// Where its vDSO reads time from, or 0.
        clock_address: u64,
        /// The physical address of that page.
        clock_physical: u64,
        /// Command name.
        name: [u8; 16],
        /// General registers.
        regs: [u64; 21],
    }

    /// A thread comes home; the tail is the extended state.
    pub struct Back = 0x0102, one_way, urgent, tail 0..=FPU_MAX {
        /// Its address space.
        space: u64,
        /// The thread.
        thread: u64,
        /// Why: see [`Reason`].
        reason: u32,
        /// [`Reason::Trap`]: the signal.
        signal: i32,
        /// [`Reason::Trap`]: its code. [`Reason::Fault`]: 0 or the errno why it is not served.
        code: i32,
        /// [`Reason::Fault`]: see [`FaultKind`].
        kind: u32,
        /// [`Reason::Fault`], [`Reason::Trap`]: the address.
        address: u64,
        /// Pages of data that the thread's faults brought to the remote.
        pages: u64,
        /// Faults of the thread that were answered without data.
        grants: u64,
        /// General registers.
        regs: [u64; 21],
    }

    /// Run a system call of a remote thread at home.
    pub struct Syscall = 0x0103, request -> SyscallDone, urgent {
        /// Its address space.
        space: u64,
        /// The thread.
        thread: u64,
        /// Its number.
        number: u64,
        /// General registers at its entry.
        regs: [u64; 21],
    }

    /// The answer to [`Syscall`].
    pub struct SyscallDone = 0x0183, response {
        /// What the thread does next: see [`Verdict`].
        verdict: u32,
        /// Zero.
        reserved: u32,
        /// [`Verdict::Done`]: the result.
        result: i64,
    }

    /// The origin wants a thread back: a signal, or a wish to move it.
    pub struct Recall = 0x0104, one_way, urgent {
        /// Its address space.
        space: u64,
        /// The thread.
        thread: u64,
    }

    /// The origin thread has exited: its remote thread ends, also one that has yet to arrive.
    pub struct Abandon = 0x0105, one_way {
        /// Its address space.
        space: u64,
        /// The thread.
        thread: u64,
    }

    /// The process is gone: its address space at the receiver ends, also one that has yet to be made.
    /// From the origin.
    pub struct SpaceExit = 0x0106, one_way {
        /// The address space.
        space: u64,
    }

    /// The address space at the sender was killed, with the pages it held; or a thread ended there
    /// with the only copy of its registers. To the origin.
    pub struct SpaceLost = 0x0107, one_way {
        /// The address space.
        space: u64,
    }

    /// What is mapped at an address? To the origin, which may answer with `EAGAIN` while the layout there
    /// changes.
    pub struct VmaRequest = 0x0201, request -> VmaInfo {
        /// The address space.
        space: u64,
        /// The address.
        address: u64,
    }

    /// The answer to [`VmaRequest`].
    pub struct VmaInfo = 0x0281, response {
        /// First byte.
        start: u64,
        /// First byte behind it.
        end: u64,
        /// `PROT_*`.
        protection: u64,
        /// The version of the layout that this is of.
        version: u64,
    }

    /// Unmap a range, whose pages are home or unwanted. From the origin.
    pub struct Unmap = 0x0202, request {
        /// The address space.
        space: u64,
        /// First byte.
        start: u64,
        /// First byte behind it.
        end: u64,
        /// The version of the layout from now on: what is of an older one is out of date.
        version: u64,
    }

    /// Give me a page, or the right to write it. To the origin, which may answer with `EAGAIN`: ask again;
    /// any other error: only at home can the access be made.
    pub struct PageRequest = 0x0301, request -> Grant {
        /// The address space.
        space: u64,
        /// The page.
        address: u64,
        /// 1 to write, 0 to read.
        write: u16,
        /// How many pages behind it are welcome, too; at most [`AHEAD_MAX`].
        ahead: u16,
        /// The requester's number of the request, which comes back in [`Mapped`].
        ticket: u32,
    }

    /// The answer to [`PageRequest`]; the tail is the pages for which the contents say so.
    pub struct Grant = 0x0381, response, tail 0..=PAGES_MAX {
        /// What comes along: see [`Content`].
        content: u32,
        /// 1 if the pages may be written.
        exclusive: u32,
        /// 1 if a [`Mapped`] must follow. 0: the requester holds enough already, nothing is to be mapped.
        acknowledge: u32,
        /// How many pages behind it are granted in the same way; at most [`AHEAD_MAX`].
        ahead: u32,
        /// What comes along for each of those: see [`Content`].
        contents: [u8; 16],
    }

    /// Send a page home. From the origin. `ESRCH`, `EPERM` and `EPROTO` mean that the page is gone; after
    /// any other error the holder has it still.
    pub struct Fetch = 0x0302, request -> PageData {
        /// The address space.
        space: u64,
        /// The page.
        address: u64,
        /// 1 to keep a copy for reading.
        keep: u32,
        /// Zero.
        reserved: u32,
    }

    /// The answer to [`Fetch`]; the tail is a page if `content` says so.
    pub struct PageData = 0x0382, response, tail 0..=PAGE_SIZE {
        /// What comes along: see [`Content`].
        content: u32,
        /// Zero.
        reserved: u32,
    }

    /// Drop a copy. From the origin; there need be none. Errors as for [`Fetch`].
    pub struct Invalidate = 0x0303, request {
        /// The address space.
        space: u64,
        /// The page.
        address: u64,
    }

    /// What became of a [`Grant`]. To the origin. Also from who got no answer that could be read:
    /// see [`Outcome::Unread`].
    pub struct Mapped = 0x0304, one_way {
        /// The address space.
        space: u64,
        /// The page.
        address: u64,
        /// See [`Outcome`].
        outcome: u32,
        /// How many pages behind it were granted, too.
        ahead: u32,
        /// Which of those are mapped: bit 0 is the first.
        mapped: u32,
        /// That of the [`PageRequest`].
        ticket: u32,
    }

    /// A frame of the virtual network, or a piece of one, which is the tail. The pieces of a
    /// frame follow each other in their queue, and differ in nothing but the offset. What the fields
    /// may be: [`net_frame`](crate::net_frame).
    pub struct NetFrame = 0x0401, one_way, urgent, tail 1..=PIECE_MAX {
        /// The sender's number of the frame, the same in all its pieces.
        frame: u64,
        /// Bytes of the whole frame, from the Ethernet header on.
        length: u32,
        /// Where in the frame this piece begins.
        offset: u32,
        /// The queue that the sender has chosen: frames of one stream have the same.
        queue: u16,
        /// See [`NetChecksum`].
        checksum: u16,
        /// [`NetChecksum::Missing`]: where in the frame the sum begins. Else 0.
        checksum_start: u16,
        /// [`NetChecksum::Missing`]: where to put it, from there. Else 0.
        checksum_offset: u16,
        /// See [`NetSegments`].
        segments: u16,
        /// Bytes of payload of each segment, or 0 if there are no segments.
        segment_size: u16,
        /// 1 for TCP with congestion notification: the segments do not all get the same flags. Else 0.
        congestion: u16,
        /// Zero.
        reserved: u16,
    }

    /// The sender has a network interface: frames are welcome. The answer says the same of the
    /// receiver. `EOPNOTSUPP`: it has none.
    pub struct NetHello = 0x0402, request {}

    /// The sender's network interface goes.
    pub struct NetBye = 0x0403, one_way {}

    /// The sender measures from now on, and no other run of its.
    pub struct BenchBegin = 0x0501, request {
        /// The sender's number of the run, not 0.
        run: u64,
        /// 1: the receiver looks for messages all the time meanwhile. 0: it sleeps.
        poll: u32,
        /// Zero.
        reserved: u32,
    }

    /// The tail is padding. The answer has one that makes it as long as this, which is no shorter than its fixed
    /// part.
    pub struct BenchEcho = 0x0502, request -> BenchEchoed, urgent, tail 8..=BENCH_TAIL_MAX {
        /// The run.
        run: u64,
        /// Comes back.
        number: u64,
    }

    /// The answer to [`BenchEcho`]. The stamps are the receiver's time-stamp counter.
    pub struct BenchEchoed = 0x0582, response, tail 0..=(BENCH_TAIL_MAX - 8) {
        /// That of the request.
        number: u64,
        /// When the request came.
        arrived: u64,
        /// When this was sent.
        answered: u64,
    }

    /// One of many; the tail is padding.
    pub struct BenchStream = 0x0503, one_way, urgent, tail 0..=BENCH_TAIL_MAX {
        /// The run.
        run: u64,
        /// Counts the messages of the run, from 0.
        number: u64,
    }

    /// The run is over. Behind all that belongs to the run.
    pub struct BenchEnd = 0x0504, request -> BenchCounted, urgent {
        /// The run.
        run: u64,
    }

    /// The answer to [`BenchEnd`]: what came of [`BenchStream`] in this run.
    pub struct BenchCounted = 0x0584, response {
        /// Messages.
        messages: u64,
        /// Bytes of their payload.
        bytes: u64,
        /// How many of them had the number that was next.
        in_order: u64,
    }
}

/// Declares an enum that travels as a number, and its check.
macro_rules! wire_enum {
    ($(#[$meta:meta])* pub enum $name:ident { $( $(#[$vmeta:meta])* $variant:ident = $value:literal ),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $( $(#[$vmeta])* $variant = $value ),* }

        impl $name {
            /// From the wire; `None` for a number that stands for nothing.
            pub const fn new(raw: u32) -> Option<Self> {
                match raw {
                    $( $value => Some(Self::$variant), )*
                    _ => None,
                }
            }
        }
    };
}

wire_enum! {
    /// Why a thread comes home.
    pub enum Reason {
        /// It asked to, or was asked to.
        Asked = 0,
        /// For a system call that is made at home: it needs the registers, or somebody watches it, or it
        /// came by a 32-bit entry. They are those before the call instruction.
        Syscall = 1,
        /// An access that the remote cannot serve. They are those before the access.
        Fault = 2,
        /// A SIGTRAP (a breakpoint, a single step), to be delivered at home. Other exceptions come as
        /// `Fault`: the instruction takes them again at home.
        Trap = 3,
        /// The origin said so in answer to a system call, which it has begun: only the extended
        /// state of the message counts.
        Resume = 4,
    }
}

wire_enum! {
    /// What a remote thread does after a system call was run at home.
    pub enum Verdict {
        /// Go on with the result.
        Done = 0,
        /// Come home, as before the call instruction.
        ComeHome = 1,
        /// Come home; the origin has the registers.
        Resume = 2,
        /// End: the thread has exited.
        Exit = 3,
    }
}

wire_enum! {
    /// What of a page travels with a message.
    pub enum Content {
        /// Nothing: the receiver has it.
        Nothing = 0,
        /// Nothing: it is zeros.
        Zeros = 1,
        /// A page of bytes, in the tail.
        Bytes = 2,
    }
}

wire_enum! {
    /// What became of a grant.
    pub enum Outcome {
        /// It is mapped.
        Mapped = 0,
        /// It is not; what the node had before, it has.
        Refused = 1,
        /// It is not, and the copy it relied on is gone.
        Missing = 2,
        /// If there was one: the answer could not be sent, or makes no sense, or who asked was killed.
        /// `ahead` is how many pages were asked for; whichever were granted are refused.
        Unread = 3,
    }
}

wire_enum! {
    /// What is known of the checksum of a frame's transport header.
    pub enum NetChecksum {
        /// Nothing.
        Unknown = 0,
        /// The sender, or the hardware that it has the frame from, has found it right.
        Right = 1,
        /// It is yet to be made, and with it the frame is right: it has never left memory.
        Missing = 2,
    }
}

wire_enum! {
    /// Whether a frame is many that are yet to be cut, and how.
    pub enum NetSegments {
        /// It is one.
        None = 0,
        /// TCP over IPv4.
        Tcp4 = 1,
        /// TCP over IPv6.
        Tcp6 = 2,
        /// UDP.
        Udp = 3,
    }
}

wire_enum! {
    /// What a thread did that a remote cannot serve.
    pub enum FaultKind {
        /// It read.
        Read = 0,
        /// It wrote.
        Write = 1,
        /// Anything else; only doing it again at home tells what it comes to.
        Other = 2,
    }
}

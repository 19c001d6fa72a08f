// SPDX-License-Identifier: GPL-2.0
//! A bad network between two endpoints of one kernel: it passes bytes on until it cuts, or swallows, them.

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::cell::Cell;
use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::address::Address;
use popcorn_core::stream::frame::HEAD_SIZE;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Hello;
use popcorn_core::wire::Wire;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::socket::Listener;
use popcorn_kernel::socket::Socket;
use popcorn_kernel::time;

/// Bytes that are passed on at once.
const STEP: usize = 4096;
/// Connections, with those that are swallowed.
const PAIRS: usize = 16;

/// What is done to the bytes.
pub(super) struct Faults {
    /// All connections are cut when so many more bytes have passed, and what comes with them is lost; 0: now.
    pub(super) cut_after: AtomicU64,
    /// Nothing passes, and nobody is told.
    pub(super) swallows: AtomicBool,
    /// The same for the connections of the bulk channel that there are, for as long as they are there, and for those
    /// that are made while this is set.
    pub(super) swallows_bulk: AtomicBool,
    /// Of those only what comes back.
    pub(super) one_way: AtomicBool,
    /// Connections that were cut.
    pub(super) cuts: AtomicU32,
}

impl Faults {
    /// How many of so many bytes may still pass.
    fn may_pass(&self, number: usize) -> usize {
        let less = |left| (left != u64::MAX).then(|| u64::saturating_sub(left, number as u64));
        let left = self
            .cut_after
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        left.map_or(number, |left| number.min(left as usize))
    }
}

/// See the module. Dropping it ends it.
pub(super) struct Proxy {
    pub(super) faults: Arc<Faults>,
    _thread: Kthread,
}

impl Proxy {
    /// From one address to another.
    pub(super) fn new(from: Address, to: Address) -> Result<Self> {
        let faults = Arc::new(
            Faults {
                cut_after: AtomicU64::new(u64::MAX),
                swallows: AtomicBool::new(false),
                swallows_bulk: AtomicBool::new(false),
                one_way: AtomicBool::new(false),
                cuts: AtomicU32::new(0),
            },
            GFP_KERNEL,
        )?;
        let socket = Listener::new(&from, 8)?;
        let shared = faults.clone();
        let buffer = KVec::from_elem(0, STEP, GFP_KERNEL)?;
        let thread = Kthread::spawn(c_str!("popcorn proxy"), move || {
            run(&shared, &socket, &to, buffer);
        })?;
        Ok(Self {
            faults,
            _thread: thread,
        })
    }
}

fn run(faults: &Faults, socket: &Listener, to: &Address, mut buffer: KVec<u8>) {
    let mut pairs: [Option<Pair>; PAIRS] = [const { None }; PAIRS];
    while !should_stop() {
        if let Ok(Some(near)) = socket.accept(0) {
            if let Ok(far) = Socket::connect(to, 1000, should_stop) {
                // If there is no place for it, it is closed.
                if let Some(slot) = pairs.iter_mut().find(|slot| slot.is_none()) {
                    *slot = Some(Pair {
                        near,
                        far,
                        is_bulk: None,
                        is_swallowed: false,
                    });
                }
            }
        }
        let mut passed = 0;
        for slot in pairs.iter_mut() {
            let Some(pair) = slot else { continue };
            match pair.pass(faults, &mut buffer) {
                Ok(number) => passed += number,
                Err(_) => *slot = None,
            }
        }
        if faults.cut_after.load(Ordering::SeqCst) == 0 {
            faults.cut_after.store(u64::MAX, Ordering::SeqCst);
            faults.cuts.fetch_add(1, Ordering::SeqCst);
            pairs = [const { None }; PAIRS];
        }
        if passed == 0 {
            time::sleep_ms(1);
        }
    }
}

/// A connection, and the one that goes on from here.
struct Pair {
    near: Socket,
    far: Socket,
    /// Whether it is of the bulk channel, when it has said so.
    is_bulk: Option<bool>,
    is_swallowed: bool,
}

impl Pair {
    /// Passes on what has come, both ways; how much. An error if it is over: also if some of it was lost, whatever the
    /// limit is by now.
    fn pass(&mut self, faults: &Faults, buffer: &mut [u8]) -> Result<usize> {
        let swallows = || faults.swallows_bulk.load(Ordering::SeqCst);
        let one_way = || faults.one_way.load(Ordering::SeqCst);
        self.is_swallowed |= self.is_bulk == Some(true) && swallows();
        if self.is_swallowed && !one_way() || faults.swallows.load(Ordering::SeqCst) {
            return Ok(0);
        }
        let is_cut = Cell::new(false);
        let may_pass = |bytes: &[u8]| {
            let number = faults.may_pass(bytes.len());
            is_cut.set(number < bytes.len());
            number
        };
        let there = pass(&self.near, &self.far, buffer, |bytes| {
            let is_bulk = *self.is_bulk.get_or_insert_with(|| begins_bulk(bytes));
            self.is_swallowed |= is_bulk && swallows();
            if self.is_swallowed && !one_way() {
                return 0;
            }
            may_pass(bytes)
        })?;
        if is_cut.get() {
            return Err(EPIPE);
        }
        if self.is_swallowed {
            return Ok(there);
        }
        let back = pass(&self.far, &self.near, buffer, may_pass)?;
        match is_cut.get() {
            true => Err(EPIPE),
            false => Ok(there + back),
        }
    }
}

/// Whether a connection that begins with these bytes is one of the bulk channel. A hello is small: it comes in one piece.
fn begins_bulk(bytes: &[u8]) -> bool {
    let hello = bytes.get(HEAD_SIZE..HEAD_SIZE + Hello::SIZE);
    let hello = hello.and_then(|bytes| Hello::decode(bytes).ok());
    hello.is_some_and(|hello| hello.channel == Channel::Bulk.get())
}

/// Passes on as much of what has come as `may` says: the rest is lost. How much.
fn pass(
    from: &Socket,
    to: &Socket,
    buffer: &mut [u8],
    may: impl FnOnce(&[u8]) -> usize,
) -> Result<usize> {
    let number = match from.receive_now(buffer) {
        Ok(0) => return Err(EPIPE),
        Ok(number) => number,
        Err(error) if error == EAGAIN => return Ok(0),
        Err(error) => return Err(error),
    };
    let came = buffer.get(..number).unwrap_or(&[]);
    let number = may(came);
    let mut rest = came.get(..number).unwrap_or(&[]);
    while !rest.is_empty() {
        match to.try_send(&[rest], false) {
            Ok(sent) => rest = rest.get(sent..).unwrap_or(&[]),
            Err(error) if error == EAGAIN && !should_stop() => {
                time::sleep_ms(1);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(number)
}

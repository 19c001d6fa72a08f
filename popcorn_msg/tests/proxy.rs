// SPDX-License-Identifier: GPL-2.0
//! A bad network between two endpoints of one kernel: it passes bytes on until it cuts, or swallows, them.

use kernel::c_str;
use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::address::Address;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::socket::Listener;
use popcorn_kernel::socket::Socket;
use popcorn_kernel::time;

/// Bytes that are passed on at once.
const STEP: usize = 4096;

/// What is done to the bytes.
pub(super) struct Faults {
    /// All connections are cut when so many more bytes have passed; 0: now.
    pub(super) cut_after: AtomicU64,
    /// Nothing passes, and nobody is told.
    pub(super) swallows: AtomicBool,
    /// Connections that were cut.
    pub(super) cuts: AtomicU32,
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
    let mut pairs: [Option<(Socket, Socket)>; 4] = [const { None }; 4];
    while !should_stop() {
        if let Ok(Some(near)) = socket.accept(0) {
            if let Ok(far) = Socket::connect(to, 1000, should_stop) {
                // If there is no place for it, it is closed.
                if let Some(slot) = pairs.iter_mut().find(|slot| slot.is_none()) {
                    *slot = Some((near, far));
                }
            }
        }
        let mut passed = 0;
        for slot in pairs.iter_mut() {
            let Some((near, far)) = slot else { continue };
            let both = pass(faults, near, far, &mut buffer)
                .and_then(|one| Ok(one + pass(faults, far, near, &mut buffer)?));
            match both {
                Ok(number) => passed += number,
                Err(_) => *slot = None,
            }
        }
        let left = faults.cut_after.load(Ordering::SeqCst);
        if left != u64::MAX {
            let left = left.saturating_sub(passed as u64);
            if left == 0 {
                faults.cut_after.store(u64::MAX, Ordering::SeqCst);
                faults.cuts.fetch_add(1, Ordering::SeqCst);
                pairs = [const { None }; 4];
            } else {
                faults.cut_after.store(left, Ordering::SeqCst);
            }
        }
        if passed == 0 {
            time::sleep_ms(1);
        }
    }
}

/// Passes on what has come; how much.
fn pass(faults: &Faults, from: &Socket, to: &Socket, buffer: &mut [u8]) -> Result<usize> {
    if faults.swallows.load(Ordering::SeqCst) {
        return Ok(0);
    }
    let number = match from.receive_now(buffer) {
        Ok(0) => return Err(EPIPE),
        Ok(number) => number,
        Err(error) if error == EAGAIN => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut rest = buffer.get(..number).unwrap_or(&[]);
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

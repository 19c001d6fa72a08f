// SPDX-License-Identifier: GPL-2.0
//! This side's end of a channel: what senders and the channel's thread share.
//!
//! Locks: `lanes`, `arrival`, leaves. What is taken out of them is dropped after they are free, for that may
//! sleep.

use super::connection::Connection;
use super::copies::Copies;
use super::queue::Packet;
use super::queue::Queue;
use super::queue::Released;
use crate::link::SendError;
use crate::transport::Meant;

use kernel::prelude::*;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::SpinLock;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Incarnation;
use popcorn_core::stream::frame::lane_index;
use popcorn_core::stream::hello::Checked;
use popcorn_core::stream::lane::Fault;
use popcorn_core::stream::meeting::Greeting;
use popcorn_core::window::Lane;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_core::wire::PAYLOAD_MAX;
use popcorn_kernel::errno;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::socket::Watch;
use popcorn_kernel::wait::WaitQueue;

/// A connection whose other side has said hello.
pub(super) struct Arrival {
    pub(super) connection: Connection,
    pub(super) hello: Checked,
}

/// The two lives of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lives {
    pub(super) own: Incarnation,
    pub(super) peer: Incarnation,
}

struct Lanes {
    lives: Lives,
    session: u64,
    queues: [Queue; 2],
}

impl Lanes {
    fn has_room_for_response(&self) -> bool {
        self.queues[lane_index(Lane::Responses)].has_room(HEADER_SIZE + PAYLOAD_MAX)
    }
}

/// See the module.
#[pin_data]
pub(super) struct End {
    /// `None`: there is no session.
    #[pin]
    lanes: SpinLock<Option<Lanes>>,
    /// The channel's thread sleeps here, until it is `signalled`.
    #[pin]
    wake: WaitQueue,
    signalled: AtomicBool,
    /// See [`End::heard`].
    heard: AtomicU32,
    /// Somebody wants it to look all the time, instead of sleeping.
    polled: AtomicBool,
    copies: Copies,
    /// A connection that the peer has made.
    #[pin]
    arrival: SpinLock<Option<Arrival>>,
}

impl Watch for End {
    fn readable(&self) {
        self.signal();
    }

    fn writable(&self) {
        self.signal();
    }
}

impl End {
    pub(super) fn new() -> Result<Arc<Self>> {
        Arc::pin_init(
            pin_init!(Self {
                lanes <- new_spinlock!(None, "popcorn_msg::tcp::End::lanes"),
                wake <- new_waitqueue!("popcorn_msg::tcp::End::wake"),
                signalled: AtomicBool::new(false),
                heard: AtomicU32::new(0),
                polled: AtomicBool::new(false),
                copies: Copies::default(),
                arrival <- new_spinlock!(None, "popcorn_msg::tcp::End::arrival"),
            }),
            GFP_KERNEL,
        )
    }

    pub(super) fn copies(&self) -> &Copies {
        &self.copies
    }

    /// Makes the thread look around. Any context but NMI.
    pub(super) fn signal(&self) {
        // Whoever finds it set is followed by a look of the thread anyway.
        if !self.signalled.swap(true, Ordering::AcqRel) {
            self.wake.wake_all();
        }
    }

    /// For the thread: sleeps until it is signalled or `timeout_ms` is over, or `or` holds.
    pub(super) fn sleep(&self, timeout_ms: u32, or: impl Fn() -> bool) {
        self.wake.wait_idle(Some(timeout_ms), || {
            self.signalled.load(Ordering::Acquire) || or()
        });
    }

    /// Has the thread look all the time, or not any more. Any context but NMI.
    pub(super) fn set_polled(&self, polled: bool) {
        self.polled.store(polled, Ordering::Release);
        if polled {
            self.signal();
        }
    }

    /// For the thread: whether it is to look again without sleeping.
    pub(super) fn is_polled(&self) -> bool {
        self.polled.load(Ordering::Acquire)
    }

    /// For the thread, before it looks.
    pub(super) fn heed(&self) {
        self.signalled.store(false, Ordering::Release);
        // What was signalled before is seen by what follows.
        core::sync::atomic::fence(Ordering::SeqCst);
    }

    /// Opens it for sending, in a new session of that number. May sleep.
    pub(super) fn open(&self, lives: Lives, session: u64) -> Result {
        let lanes = Lanes {
            lives,
            session,
            queues: [Queue::new()?, Queue::new()?],
        };
        let old = self.lanes.lock().replace(lanes);
        drop(old);
        Ok(())
    }

    /// Closes it: nothing is sent any more, and what was not acknowledged is dropped. May sleep.
    pub(super) fn close(&self) {
        let old = self.lanes.lock().take();
        drop(old);
    }

    /// Takes a message, for the peer that is meant. Does not sleep.
    pub(super) fn push(
        &self,
        lane: Lane,
        meant: Meant,
        build: impl FnOnce() -> core::result::Result<Packet, SendError>,
        flags: kernel::alloc::Flags,
    ) -> core::result::Result<(), SendError> {
        let room = |lanes: &Option<Lanes>, bytes: usize| match lanes {
            Some(lanes) if meant.is(lanes.lives.peer, lanes.session) => {
                if lanes.queues[lane_index(lane)].has_room(bytes) {
                    Ok(lanes.lives.own)
                } else {
                    Err(SendError::Full)
                }
            }
            _ => Err(SendError::Failed(errno::host_down())),
        };
        // Before memory is spent on it.
        let own = room(&self.lanes.lock(), HEADER_SIZE)?;
        let mut packet = build()?;
        packet.header.incarnation = own;
        let packet = Arc::new(packet, flags).map_err(|_| SendError::Full)?;
        {
            let mut guard = self.lanes.lock();
            // Another life of ours may have begun; what was meant for the old one is of no use.
            if room(&guard, packet.length())? != own {
                return Err(SendError::Failed(errno::host_down()));
            }
            if let Some(lanes) = guard.as_mut() {
                let queue = &mut lanes.queues[lane_index(lane)];
                queue.push(packet).map_err(|_| SendError::Full)?;
            }
        }
        self.signal();
        Ok(())
    }

    /// Whether a response of any length would be taken.
    pub(super) fn has_room_for_response(&self) -> bool {
        self.lanes
            .lock()
            .as_ref()
            .is_some_and(Lanes::has_room_for_response)
    }

    /// How many responses the peer has acknowledged; `None`: all that were sent, or it is closed.
    pub(super) fn responses_under_way(&self) -> Option<u64> {
        let guard = self.lanes.lock();
        let queue = &guard.as_ref()?.queues[lane_index(Lane::Responses)];
        (!queue.is_empty()).then(|| queue.acknowledged())
    }

    /// For the thread: something came.
    pub(super) fn count_heard(&self) {
        self.heard.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something came: who finds another number than before knows that the peer was heard meanwhile.
    pub(super) fn heard(&self) -> u32 {
        self.heard.load(Ordering::Relaxed)
    }

    /// Whether all that was sent is acknowledged.
    pub(super) fn is_drained(&self) -> bool {
        let lanes = self.lanes.lock();
        lanes
            .as_ref()
            .is_none_or(|lanes| lanes.queues.iter().all(Queue::is_empty))
    }

    /// For the thread: the peer has that many of each lane. Responses go before requests in all.
    pub(super) fn acknowledge(&self, acknowledged: [u64; 2]) -> core::result::Result<(), Fault> {
        for (lane, to) in [Lane::Requests, Lane::Responses]
            .into_iter()
            .zip(acknowledged)
        {
            loop {
                let mut released: Released = [const { None }; 32];
                let more = match self.lanes.lock().as_mut() {
                    Some(lanes) => lanes.queues[lane_index(lane)].acknowledge(to, &mut released)?,
                    None => false,
                };
                drop(released);
                if !more {
                    break;
                }
            }
        }
        Ok(())
    }

    /// For the thread: the next packets to be sent, responses first; how many.
    pub(super) fn next(&self, packets: &mut [Option<(Lane, u64, Arc<Packet>)>]) -> usize {
        let mut guard = self.lanes.lock();
        let Some(lanes) = guard.as_mut() else {
            return 0;
        };
        let mut number = 0;
        for lane in [Lane::Responses, Lane::Requests] {
            let queue = &mut lanes.queues[lane_index(lane)];
            while let Some(slot) = packets.get_mut(number) {
                let Some((sequence, packet)) = queue.next() else {
                    break;
                };
                *slot = Some((lane, sequence, packet));
                number += 1;
            }
        }
        number
    }

    /// For the thread, on a new connection: what the `peer` has received is not sent again. Calls `retry` with the type
    /// of each message that was sent and will be once more; it runs with a lock held. `None`: the peer speaks of
    /// another session.
    pub(super) fn rewind(
        &self,
        peer: &Greeting,
        mut retry: impl FnMut(u16),
    ) -> Option<core::result::Result<(), Fault>> {
        let mut guard = self.lanes.lock();
        let lanes = guard.as_mut()?;
        let Lives { own, peer: life } = lanes.lives;
        if life != peer.own || peer.accepted.is_some_and(|accepted| accepted != own) {
            return None;
        }
        let mut queues = lanes.queues.iter_mut().zip(peer.received);
        Some(queues.try_for_each(|(queue, received)| queue.rewind(received, &mut retry)))
    }

    /// Hands a connection to the thread, instead of an earlier one that it has not yet looked at.
    pub(super) fn arrive(&self, arrival: Arrival) {
        let old = {
            let mut latest = self.arrival.lock();
            match &*latest {
                Some(there) if there.hello.attempt > arrival.hello.attempt => Some(arrival),
                _ => latest.replace(arrival),
            }
        };
        drop(old);
        self.signal();
    }

    /// For the thread.
    pub(super) fn arrived(&self) -> Option<Arrival> {
        self.arrival.lock().take()
    }
}

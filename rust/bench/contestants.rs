// SPDX-License-Identifier: GPL-2.0
//! One interface for all rings: batches of messages of 64 bytes, copied in and copied out.
//!
//! All have room for about as many bytes. Each is used in the fastest way that it offers for a
//! batch: rtrb and ringbuf copy a whole slice of messages, of which they need not know where one
//! ends.

use crate::memory::SharedMemory;
use crossbeam_queue::ArrayQueue;
use popcorn_core::ring;
use ringbuf::traits::Consumer as _;
use ringbuf::traits::Producer as _;
use ringbuf::traits::Split as _;
use std::sync::Arc;

/// Bytes of a message.
pub const SIZE: usize = 64;
/// A message.
pub type Message = [u8; SIZE];
/// Messages that each of the others has room for; as many bytes as this one's data.
const SLOTS: usize = 4096;

/// The end that sends.
pub trait Sender: Send + 'static {
    /// Sends as many of `batch` as there is room for, and shows them to the receiver at once.
    fn send(&mut self, batch: &[Message]) -> usize;
}

/// The end that receives.
pub trait Receiver: Send + 'static {
    /// Receives what is there, but no more than `batch` has room for, and gives its room back at
    /// once.
    fn receive(&mut self, batch: &mut [Message]) -> usize;
}

/// Both ends of the ring of `popcorn_core`: a record, with its length, for each message.
pub fn popcorn() -> (impl Sender, impl Receiver) {
    let length = ring::HEADER_SIZE + SLOTS * SIZE;
    let memory = SharedMemory::new(length);
    let producer = ring::Producer::new(memory.clone(), 0, length).expect("geometry");
    let consumer = ring::Consumer::new(memory, 0, length).expect("geometry");
    (producer, consumer)
}

impl Sender for ring::Producer<SharedMemory> {
    #[inline]
    fn send(&mut self, batch: &[Message]) -> usize {
        let mut number = 0;
        for message in batch {
            if self.push(&[message]).is_err() {
                break;
            }
            number += 1;
        }
        self.publish();
        number
    }
}

impl Receiver for ring::Consumer<SharedMemory> {
    #[inline]
    fn receive(&mut self, batch: &mut [Message]) -> usize {
        let mut number = 0;
        for message in batch {
            let Some(length) = self.front().expect("an honest producer") else {
                break;
            };
            assert!(length == SIZE && self.read(0, message));
            self.pop();
            number += 1;
        }
        self.release();
        number
    }
}

/// Both ends of rtrb's.
pub fn rtrb() -> (impl Sender, impl Receiver) {
    rtrb::RingBuffer::<Message>::new(SLOTS)
}

impl Sender for rtrb::Producer<Message> {
    #[inline]
    fn send(&mut self, batch: &[Message]) -> usize {
        if let [message] = batch {
            return usize::from(self.push(*message).is_ok());
        }
        self.push_partial_slice(batch).0.len()
    }
}

impl Receiver for rtrb::Consumer<Message> {
    #[inline]
    fn receive(&mut self, batch: &mut [Message]) -> usize {
        if let [place] = batch {
            return match self.pop() {
                Ok(message) => {
                    *place = message;
                    1
                }
                Err(_) => 0,
            };
        }
        self.pop_partial_slice(batch).0.len()
    }
}

/// Both ends of ringbuf's, with its cached indices.
pub fn ringbuf() -> (impl Sender, impl Receiver) {
    ringbuf::HeapRb::<Message>::new(SLOTS).split()
}

impl Sender for ringbuf::HeapProd<Message> {
    #[inline]
    fn send(&mut self, batch: &[Message]) -> usize {
        self.push_slice(batch)
    }
}

impl Receiver for ringbuf::HeapCons<Message> {
    #[inline]
    fn receive(&mut self, batch: &mut [Message]) -> usize {
        self.pop_slice(batch)
    }
}

/// Both ends of crossbeam's queue, which is for many senders and receivers and knows no batches.
pub fn crossbeam() -> (impl Sender, impl Receiver) {
    let queue = Arc::new(ArrayQueue::<Message>::new(SLOTS));
    (queue.clone(), queue)
}

impl Sender for Arc<ArrayQueue<Message>> {
    #[inline]
    fn send(&mut self, batch: &[Message]) -> usize {
        batch
            .iter()
            .take_while(|message| self.push(**message).is_ok())
            .count()
    }
}

impl Receiver for Arc<ArrayQueue<Message>> {
    #[inline]
    fn receive(&mut self, batch: &mut [Message]) -> usize {
        let mut number = 0;
        for place in batch {
            let Some(message) = self.pop() else { break };
            *place = message;
            number += 1;
        }
        number
    }
}

// SPDX-License-Identifier: GPL-2.0
//! One interface for all rings: messages of 64 bytes, alone and in batches, copied in and copied out.
//!
//! All have room for as many bytes. Each is used in the fastest way that it offers: for a batch, rtrb
//! and ringbuf copy a whole slice of messages of one type, and ours a run of records of one length,
//! which it tells the receiver, who checks it.

use crate::memory::SharedMemory;
use crossbeam_queue::ArrayQueue;
use popcorn_core::ring;
use ringbuf::traits::Consumer as _;
use ringbuf::traits::Producer as _;
use ringbuf::traits::Split as _;
use std::sync::Arc;

/// Bytes of a message.
pub const SIZE: usize = 64;
/// A message, which lies in a cache line of its own, here and in the rings of all: else how fast a ring is
/// depends on where its allocator happens to put it.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message(pub [u8; SIZE]);

impl Message {
    /// All bytes the same.
    pub const fn filled(byte: u8) -> Self {
        Self([byte; SIZE])
    }
}

const _: () = assert!(size_of::<Message>() == SIZE);

/// Their bytes.
#[inline]
fn bytes_of(messages: &[Message]) -> &[[u8; SIZE]] {
    let first = messages.as_ptr().cast();
    // SAFETY: a message is such an array and nothing else, by `repr(C)` and the assertion above.
    unsafe { std::slice::from_raw_parts(first, messages.len()) }
}

/// The same, to be written to.
#[inline]
fn bytes_of_mut(messages: &mut [Message]) -> &mut [[u8; SIZE]] {
    let first = messages.as_mut_ptr().cast();
    // SAFETY: as above; any bytes are a message.
    unsafe { std::slice::from_raw_parts_mut(first, messages.len()) }
}
/// Messages that each of the others has room for; as many bytes as this one's data.
pub const SLOTS: usize = 4096;

/// The end that sends.
pub trait Sender: Send + 'static {
    /// Sends one message, and shows it to the receiver; false: there is no room.
    fn send(&mut self, message: &Message) -> bool;

    /// Sends as many of `batch` as there is room for, and shows them to the receiver at once.
    fn send_batch(&mut self, batch: &[Message]) -> usize;
}

/// The end that receives.
pub trait Receiver: Send + 'static {
    /// Receives one message, and gives its room back; false: there is none.
    fn receive(&mut self, message: &mut Message) -> bool;

    /// Receives what is there, but no more than `batch` has room for, and gives its room back at
    /// once.
    fn receive_batch(&mut self, batch: &mut [Message]) -> usize;
}

/// Both ends of the ring of `popcorn_core`.
pub fn popcorn() -> (impl Sender, impl Receiver) {
    ends()
}

fn ends() -> (ring::Producer<SharedMemory>, ring::Consumer<SharedMemory>) {
    let capacity = SLOTS * SIZE;
    let memory = SharedMemory::new(ring::length(capacity));
    let producer = ring::Producer::new(&memory, 0, capacity).expect("geometry");
    let consumer = ring::Consumer::new(&memory, 0, capacity).expect("geometry");
    (producer, consumer)
}

impl Sender for ring::Producer<SharedMemory> {
    #[inline]
    fn send(&mut self, message: &Message) -> bool {
        self.push(&[&message.0]).is_ok() && self.publish()
    }

    #[inline]
    fn send_batch(&mut self, batch: &[Message]) -> usize {
        self.push_slice(bytes_of(batch)).unwrap_or(0)
    }
}

impl Receiver for ring::Consumer<SharedMemory> {
    #[inline]
    fn receive(&mut self, message: &mut Message) -> bool {
        take(self, message) && self.release()
    }

    #[inline]
    fn receive_batch(&mut self, batch: &mut [Message]) -> usize {
        self.pop_slice(bytes_of_mut(batch))
            .expect("an honest producer")
    }
}

/// Takes one message out; whether there is one.
#[inline]
fn take(consumer: &mut ring::Consumer<SharedMemory>, message: &mut Message) -> bool {
    let Some(length) = consumer.front().expect("an honest producer") else {
        return false;
    };
    assert!(length == SIZE && consumer.read(0, &mut message.0));
    consumer.pop();
    true
}

/// The same ring, each message pushed and read by itself, of any length, as `popcorn_msg` does.
pub fn records() -> (impl Sender, impl Receiver) {
    let (producer, consumer) = ends();
    (Records(producer), Records(consumer))
}

/// An end that is used so.
struct Records<T>(T);

impl Sender for Records<ring::Producer<SharedMemory>> {
    #[inline]
    fn send(&mut self, message: &Message) -> bool {
        self.0.send(message)
    }

    #[inline]
    fn send_batch(&mut self, batch: &[Message]) -> usize {
        let number = batch
            .iter()
            .take_while(|message| self.0.push(&[&message.0]).is_ok())
            .count();
        self.0.publish();
        number
    }
}

impl Receiver for Records<ring::Consumer<SharedMemory>> {
    #[inline]
    fn receive(&mut self, message: &mut Message) -> bool {
        self.0.receive(message)
    }

    #[inline]
    fn receive_batch(&mut self, batch: &mut [Message]) -> usize {
        let mut number = 0;
        for message in batch {
            if !take(&mut self.0, message) {
                break;
            }
            number += 1;
        }
        self.0.release();
        number
    }
}

/// Both ends of rtrb's.
pub fn rtrb() -> (impl Sender, impl Receiver) {
    rtrb::RingBuffer::<Message>::new(SLOTS)
}

impl Sender for rtrb::Producer<Message> {
    #[inline]
    fn send(&mut self, message: &Message) -> bool {
        self.push(*message).is_ok()
    }

    #[inline]
    fn send_batch(&mut self, batch: &[Message]) -> usize {
        self.push_partial_slice(batch).0.len()
    }
}

impl Receiver for rtrb::Consumer<Message> {
    #[inline]
    fn receive(&mut self, message: &mut Message) -> bool {
        self.pop().map(|popped| *message = popped).is_ok()
    }

    #[inline]
    fn receive_batch(&mut self, batch: &mut [Message]) -> usize {
        self.pop_partial_slice(batch).0.len()
    }
}

/// Both ends of ringbuf's, with its cached indices.
pub fn ringbuf() -> (impl Sender, impl Receiver) {
    ringbuf::HeapRb::<Message>::new(SLOTS).split()
}

impl Sender for ringbuf::HeapProd<Message> {
    #[inline]
    fn send(&mut self, message: &Message) -> bool {
        self.try_push(*message).is_ok()
    }

    #[inline]
    fn send_batch(&mut self, batch: &[Message]) -> usize {
        self.push_slice(batch)
    }
}

impl Receiver for ringbuf::HeapCons<Message> {
    #[inline]
    fn receive(&mut self, message: &mut Message) -> bool {
        self.try_pop().map(|popped| *message = popped).is_some()
    }

    #[inline]
    fn receive_batch(&mut self, batch: &mut [Message]) -> usize {
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
    fn send(&mut self, message: &Message) -> bool {
        self.push(*message).is_ok()
    }

    #[inline]
    fn send_batch(&mut self, batch: &[Message]) -> usize {
        batch
            .iter()
            .take_while(|message| self.push(**message).is_ok())
            .count()
    }
}

impl Receiver for Arc<ArrayQueue<Message>> {
    #[inline]
    fn receive(&mut self, message: &mut Message) -> bool {
        self.pop().map(|popped| *message = popped).is_some()
    }

    #[inline]
    fn receive_batch(&mut self, batch: &mut [Message]) -> usize {
        let mut number = 0;
        for place in batch {
            let Some(message) = self.pop() else { break };
            *place = message;
            number += 1;
        }
        number
    }
}

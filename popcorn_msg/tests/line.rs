// SPDX-License-Identifier: GPL-2.0
//! A connection of node 1, which is played by the test: it says what the test likes.

use super::node;
use super::LONG_MS;
use super::PROTOCOL;

use kernel::prelude::*;

use popcorn_core::address::Address;
use popcorn_core::ids::Class;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::RequestId;
use popcorn_core::stream::frame::lane_index;
use popcorn_core::stream::frame::HEAD_SIZE;
use popcorn_core::stream::hello::Checked;
use popcorn_core::stream::meeting::Greeting;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Frame;
use popcorn_core::stream::Head;
use popcorn_core::stream::Hello;
use popcorn_core::window::Introduction;
use popcorn_core::window::Lane;
use popcorn_core::window::NAME_LEN;
use popcorn_core::wire;
use popcorn_core::wire::Wire;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::socket::Socket;

/// See the module.
pub(super) struct Line {
    socket: Socket,
    buffer: KVec<u8>,
    head: [u8; HEAD_SIZE],
    /// Bytes of the head that have come, and of what follows one that have not.
    have: usize,
    skip: usize,
    /// Messages that have come, by lane.
    pub(super) come: [u64; 2],
    pub(super) is_over: bool,
}

impl Line {
    /// Says hello, and hears who answers.
    pub(super) fn new(address: &Address, hello: &Hello) -> Result<(Self, Hello)> {
        let socket = Socket::connect(address, LONG_MS, should_stop)?;
        let mut line = Self {
            socket,
            buffer: KVec::from_elem(0u8, 16 << 10, GFP_KERNEL)?,
            head: [0; HEAD_SIZE],
            have: 0,
            skip: 0,
            come: [0; 2],
            is_over: false,
        };
        line.say(Frame::Hello, hello, [0; 2]);
        let mut answer = [0; HEAD_SIZE + Hello::SIZE];
        line.socket.receive_all(&mut answer, LONG_MS)?;
        let hello = Hello::decode(&answer[HEAD_SIZE..]).map_err(|_| EINVAL)?;
        Ok((line, hello))
    }

    fn send(&mut self, frame: Frame, body: &[u8], taken: [u64; 2]) {
        let head = Head {
            frame,
            length: body.len() as u32,
            acknowledged: taken,
        };
        let sent = self.socket.send_all(&[&head.encode(), body], LONG_MS);
        self.is_over |= sent.is_err();
    }

    /// Asks for something, as the request of that number in that life.
    pub(super) fn ask(&mut self, kind: u16, life: Incarnation, sequence: u64) {
        let header = wire::Header {
            kind,
            class: Class::Request,
            flags: 0,
            source: node(1),
            destination: node(0),
            length: 0,
            status: 0,
            sequence,
            request: RequestId::new(0, 1).to_wire(),
            incarnation: life,
        };
        let bytes: [u8; HEADER_SIZE] = header.encode();
        let taken = self.come;
        self.send(Frame::Message(Lane::Requests), &bytes, taken);
    }

    pub(super) fn say<T: Wire>(&mut self, frame: Frame, body: &T, taken: [u64; 2]) {
        let mut bytes = [0; 256];
        match body.encode(&mut bytes) {
            Ok(length) => self.send(frame, &bytes[..length], taken),
            Err(_) => self.is_over = true,
        }
    }

    /// Takes what has come, and counts it.
    pub(super) fn hear(&mut self) {
        while !self.is_over {
            match self.socket.receive_now(&mut self.buffer) {
                Ok(number) if number != 0 => self.parse(number),
                Err(error) if error == EAGAIN => return,
                _ => self.is_over = true,
            }
        }
    }

    fn parse(&mut self, number: usize) {
        let mut at = 0;
        while at < number {
            if self.skip != 0 {
                let step = self.skip.min(number - at);
                self.skip -= step;
                at += step;
                continue;
            }
            let step = (HEAD_SIZE - self.have).min(number - at);
            self.head[self.have..self.have + step].copy_from_slice(&self.buffer[at..at + step]);
            self.have += step;
            at += step;
            if self.have < HEAD_SIZE {
                return;
            }
            self.have = 0;
            match Head::decode(&self.head) {
                Ok(head) => {
                    self.skip = head.length as usize;
                    match head.frame {
                        Frame::Message(lane) => self.come[lane_index(lane)] += 1,
                        Frame::Goodbye => self.is_over = true,
                        _ => {}
                    }
                }
                Err(_) => self.is_over = true,
            }
        }
    }
}

/// The hello of an attempt.
pub(super) fn hello_of(
    life: Incarnation,
    peer: Option<Incarnation>,
    channel: Channel,
    attempt: u64,
) -> Hello {
    let checked = Checked {
        channel,
        attempt,
        greeting: Greeting {
            own: life,
            accepted: peer,
            received: [0; 2],
        },
        introduction: Introduction {
            node: node(1),
            incarnation: life,
            protocol: PROTOCOL,
            cpus: 1,
            memory: 1,
            name: [0; NAME_LEN],
        },
    };
    Hello::of(&checked, node(0))
}

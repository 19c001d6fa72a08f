// SPDX-License-Identifier: GPL-2.0
//! Frames into the socket.

use super::Broken;
use super::Connection;
use super::STEP_MS;
use crate::tcp::end::End;

use kernel::prelude::*;

use popcorn_core::membership::view::Said;
use popcorn_core::stream::frame::HEAD_SIZE;
use popcorn_core::stream::hello::Beat;
use popcorn_core::stream::hello::Goodbye;
use popcorn_core::stream::Frame;
use popcorn_core::stream::Head;
use popcorn_core::stream::Hello;
use popcorn_core::wire::Wire;
use popcorn_kernel::errno;
use popcorn_kernel::time;
use popcorn_kernel::tls::RECORDS_MAX;

/// How often is sent on one connection with TLS. What is sent at once may be many records of TLS: `BATCH` of the
/// longest messages are 33.
pub(super) const SENDS_MAX: u64 = RECORDS_MAX / 40;
/// For the last frame.
const GOODBYE_MS: u64 = 200;

impl Connection {
    /// Whether everything that was given to be sent is with the socket.
    pub(super) fn is_idle(&self) -> bool {
        self.batch.done == self.batch.total
    }

    /// Puts a frame that is no message before all that is not being sent yet. There is room if the
    /// connection [is idle](Self::is_idle).
    fn put_small<T: Wire>(&mut self, frame: Frame, acknowledged: [u64; 2], body: &T) -> Result {
        self.put(frame, acknowledged, |room| {
            body.encode(room).ok().map(|_| T::SIZE)
        })
    }

    fn put(
        &mut self,
        frame: Frame,
        acknowledged: [u64; 2],
        body: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Result {
        if !self.is_idle() {
            return Err(EBUSY);
        }
        let batch = &mut *self.batch;
        batch.clear();
        let (first, rest) = batch.small.split_at_mut(HEAD_SIZE);
        let length = body(rest).ok_or(EINVAL)?;
        let head = Head {
            frame,
            length: length as u32,
            acknowledged,
        };
        first.copy_from_slice(&head.encode());
        batch.small_length = HEAD_SIZE + length;
        batch.total = batch.small_length;
        Ok(())
    }

    /// As [`Connection::beat`], with what this machine says of the members.
    pub(in crate::tcp) fn view(&mut self, acknowledged: [u64; 2], said: &Said) -> bool {
        let put = self.put(Frame::View, acknowledged, |room| said.encode(room));
        self.owes = put.is_err();
        !self.owes
    }

    /// Whether a heartbeat or view found no room: there is some before anything else is sent.
    pub(in crate::tcp) fn owes(&self) -> bool {
        self.owes
    }

    /// A heartbeat, if there is room for one now.
    pub(in crate::tcp) fn beat(&mut self, acknowledged: [u64; 2], count: u64) -> bool {
        let put = self.put_small(Frame::Beat, acknowledged, &Beat { count });
        self.owes = put.is_err();
        !self.owes
    }

    /// Sends what there is in `end`, as far as the socket takes it now; whether it took something.
    pub(in crate::tcp) fn send(
        &mut self,
        end: &End,
        acknowledged: [u64; 2],
    ) -> core::result::Result<bool, Broken> {
        let mut sent = false;
        loop {
            if self.is_idle() {
                if self.owes {
                    // Else it would never come on a connection that always has something to send.
                    return Ok(sent);
                }
                self.batch.clear();
                if !self.batch.fill(end, acknowledged) {
                    return Ok(sent);
                }
            }
            if self.sends_left == 0 {
                // Before the keys are worn; another connection has others.
                return Err(Broken::Lost(errno::stale()));
            }
            match self.batch.push(&self.socket) {
                Ok(_) => {
                    sent = true;
                    self.sends_left -= 1;
                }
                Err(error) if error == EAGAIN => return Ok(sent),
                Err(error) => return Err(Broken::Lost(error)),
            }
        }
    }

    /// Sends a frame that is no message, and waits until the socket has it. May sleep.
    fn send_now<T: Wire>(
        &mut self,
        frame: Frame,
        acknowledged: [u64; 2],
        body: &T,
        timeout_ms: u64,
    ) -> Result {
        let until = time::now_ms() + timeout_ms;
        loop {
            if self.is_idle() {
                self.put_small(frame, acknowledged, body)?;
                break;
            }
            self.push_until(until)?;
        }
        while !self.is_idle() {
            self.push_until(until)?;
        }
        Ok(())
    }

    fn push_until(&mut self, until: u64) -> Result {
        match self.batch.push(&self.socket) {
            Ok(_) => Ok(()),
            Err(error) if error == EAGAIN && time::now_ms() < until => {
                time::sleep_ms(STEP_MS);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Says hello. May sleep.
    pub(in crate::tcp) fn say_hello(&mut self, hello: &Hello, timeout_ms: u64) -> Result {
        self.send_now(Frame::Hello, [0; 2], hello, timeout_ms)
    }

    /// Says why the session ends. May sleep.
    pub(in crate::tcp) fn say_goodbye(
        &mut self,
        goodbye: &Goodbye,
        acknowledged: [u64; 2],
    ) -> Result {
        self.send_now(Frame::Goodbye, acknowledged, goodbye, GOODBYE_MS)
    }
}

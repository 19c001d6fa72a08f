// SPDX-License-Identifier: GPL-2.0
//! Bytes that were read ahead of the frame that they are part of.

use kernel::prelude::*;

use popcorn_kernel::bytes::zeroed;
use popcorn_kernel::socket::Socket;

/// Bytes that are read ahead, at most.
pub(super) const AHEAD: usize = 16 << 10;

/// Bytes that were read ahead.
pub(super) struct Ahead {
    bytes: KVVec<u8>,
    begin: usize,
    end: usize,
}

impl Ahead {
    /// Nothing yet. May sleep.
    pub(super) fn new() -> Result<Self> {
        let bytes = zeroed(AHEAD)?;
        Ok(Self {
            bytes,
            begin: 0,
            end: 0,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.end - self.begin
    }

    /// Takes exactly `N` bytes, if they are there.
    pub(super) fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.bytes.get(self.begin..self.begin + N)?;
        if self.len() < N {
            return None;
        }
        let taken = bytes.try_into().ok()?;
        self.begin += N;
        Some(taken)
    }

    /// Takes exactly so many bytes, if they are there.
    pub(super) fn take_all(&mut self, length: usize) -> Option<&[u8]> {
        if self.len() < length {
            return None;
        }
        let begin = self.begin;
        self.begin += length;
        self.bytes.get(begin..self.begin)
    }

    /// Takes what fits into `room`; how much.
    pub(super) fn take_some(&mut self, room: &mut [u8]) -> usize {
        let number = self.len().min(room.len());
        if let Some(bytes) = self.bytes.get(self.begin..self.begin + number) {
            room[..number].copy_from_slice(bytes);
            self.begin += number;
        }
        number
    }

    /// Room for more, as long as no more than `most` are there then.
    pub(super) fn room(&mut self, most: usize) -> &mut [u8] {
        if self.begin == self.end {
            self.begin = 0;
            self.end = 0;
        } else if self.begin > AHEAD / 2 {
            self.bytes.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        }
        let until = self.begin.saturating_add(most).min(self.bytes.len());
        self.bytes.get_mut(self.end..until).unwrap_or(&mut [])
    }

    /// So many were read into the [room](Self::room).
    pub(super) fn add(&mut self, number: usize) {
        self.end = (self.end + number).min(self.bytes.len());
    }

    /// Reads more from the socket, without waiting, as long as no more than `most` are there then.
    pub(super) fn fill(&mut self, socket: &Socket, most: usize) -> Result<usize> {
        let number = socket.receive_now(self.room(most))?;
        self.add(number);
        Ok(number)
    }
}

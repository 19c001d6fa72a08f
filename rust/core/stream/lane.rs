// SPDX-License-Identifier: GPL-2.0
//! The two ends of a lane: what was sent and not yet acknowledged, what has come and not yet been
//! taken. Numbers only; the messages themselves are their users'.

/// Messages of a lane that may be under way: sent and not yet acknowledged.
pub const MESSAGES_MAX: usize = 1024;
/// Bytes of them, headers included.
pub const BYTES_MAX: usize = 1 << 20;

/// The lane has no room now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// The peer said what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault;

/// The sending end of a lane.
///
/// # Invariants
///
/// `acknowledged <= sent <= next`, `next - acknowledged <= MESSAGES_MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outgoing {
    acknowledged: u64,
    sent: u64,
    next: u64,
    bytes: usize,
}

impl Outgoing {
    /// A lane on which nothing was sent.
    pub const fn new() -> Self {
        Self {
            acknowledged: 0,
            sent: 0,
            next: 0,
            bytes: 0,
        }
    }

    /// Whether a message of `bytes` would be taken. One is always, on an empty lane.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.next == self.acknowledged
            || (self.next - self.acknowledged < MESSAGES_MAX as u64
                && self.bytes.saturating_add(bytes) <= BYTES_MAX)
    }

    /// Takes a message of `bytes`: its sequence number.
    ///
    /// # Errors
    ///
    /// [`Full`].
    pub fn push(&mut self, bytes: usize) -> Result<u64, Full> {
        if !self.has_room(bytes) {
            return Err(Full);
        }
        let sequence = self.next;
        self.next += 1;
        self.bytes += bytes;
        Ok(sequence)
    }

    /// The next message that is to be sent on this connection.
    pub fn unsent(&self) -> Option<u64> {
        (self.sent < self.next).then_some(self.sent)
    }

    /// It is being sent.
    pub fn mark_sent(&mut self) {
        if self.sent < self.next {
            self.sent += 1;
        }
    }

    /// How many messages were sent, and are not to be sent again.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// How many messages were taken in this session.
    pub fn taken(&self) -> u64 {
        self.next
    }

    /// How many of them the peer has acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// The peer has the messages up to `to`: calls `release` with the number of each that was not
    /// acknowledged before; it returns its bytes.
    ///
    /// # Errors
    ///
    /// [`Fault`]: it acknowledged what was not sent, or took an acknowledgement back.
    pub fn acknowledge(
        &mut self,
        to: u64,
        mut release: impl FnMut(u64) -> usize,
    ) -> Result<(), Fault> {
        if to < self.acknowledged || to > self.sent {
            return Err(Fault);
        }
        while self.acknowledged < to {
            let bytes = release(self.acknowledged);
            self.bytes = self.bytes.saturating_sub(bytes);
            self.acknowledged += 1;
        }
        Ok(())
    }

    /// On a new connection: everything from `received` on is sent again. It does not acknowledge:
    /// requests may have been received and not taken.
    ///
    /// # Errors
    ///
    /// [`Fault`]: the peer claims what was never sent, or less than it has acknowledged.
    pub fn rewind(&mut self, received: u64) -> Result<(), Fault> {
        if received < self.acknowledged || received > self.sent {
            return Err(Fault);
        }
        self.sent = received;
        Ok(())
    }
}

/// The receiving end of a lane.
///
/// # Invariants
///
/// `taken <= received`, `received - taken <= MESSAGES_MAX`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Incoming {
    received: u64,
    taken: u64,
    bytes: usize,
}

impl Incoming {
    /// A lane on which nothing has come.
    pub const fn new() -> Self {
        Self {
            received: 0,
            taken: 0,
            bytes: 0,
        }
    }

    /// A message of `bytes` has come.
    ///
    /// # Errors
    ///
    /// [`Fault`]: it is not the next, or more lie here than the window allows.
    pub fn receive(&mut self, sequence: u64, bytes: usize) -> Result<(), Fault> {
        let lie = self.received - self.taken;
        let fits = lie < MESSAGES_MAX as u64 && self.bytes.saturating_add(bytes) <= BYTES_MAX;
        if sequence != self.received || !(fits || lie == 0) {
            return Err(Fault);
        }
        self.received += 1;
        self.bytes += bytes;
        Ok(())
    }

    /// The oldest message, of `bytes`, has been taken.
    pub fn take(&mut self, bytes: usize) {
        if self.taken < self.received {
            self.taken += 1;
            self.bytes = self.bytes.saturating_sub(bytes);
        }
    }

    /// How many have come.
    pub fn received(&self) -> u64 {
        self.received
    }

    /// How many of them have been taken: what is acknowledged.
    pub fn taken(&self) -> u64 {
        self.taken
    }
}

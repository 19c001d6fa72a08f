// SPDX-License-Identifier: GPL-2.0
//! Memory for a kernel that runs, and back from it.
//!
//! It takes memory in, and gives it back, in portions of a size that it tells. What it has booted with it keeps;
//! of the rest it gives back what nothing there holds in its place. What it may be using stays lent, whatever
//! it says or does not say: see `popcorn_core::lent_memory`.

use super::Partition;
use super::Turn;
use crate::memory::Memory;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::partition::PARTITION_MAX;
use popcorn_core::resource_list;
use popcorn_kernel::boot::boot_time_ns;
use popcorn_kernel::boot::memory::PhysicalMemory;
use popcorn_kernel::boot::processor::LentProcessor;
use popcorn_kernel::boot::sleep_killable;
use popcorn_kernel::errno;

/// How long it may take to answer at all.
const ANSWER_MS: u64 = 30_000;
/// And for each portion: more than it tries to give one back (`secondary/memory.rs`).
const PORTION_MS: u64 = 25_000;
/// But in all no longer than this.
const ANSWER_MAX_MS: u64 = 600_000;
/// How long it may take to give up what it is at.
const LEAVE_MS: u64 = 10_000;
const ANSWER_STEP_MS: u32 = 10;

impl Partition {
    /// As [`Partition::set_memory`], while the kernel runs: it gets the difference, or is asked for it.
    ///
    /// # Errors
    ///
    /// `EBUSY`: a certain range is wanted; or it cannot give back so much. `EINVAL`: not a whole number of its
    /// portions more or less, too large, or less than it has booted with. `EOPNOTSUPP`: it takes no memory in
    /// while it runs. `ENOMEM`: so much cannot be had, or it has no room for the records of so much. `ESRCH`: it
    /// has ended. `ETIMEDOUT`: it does not answer. `EINTR`: killed. What else it says. It has then what it has
    /// taken in or not given back by then, and what it may be using.
    pub(super) fn change_memory(&self, turn: &Turn<'_>, wanted: resource_list::Memory) -> Result {
        let resource_list::Memory::Anywhere(wanted) = wanted else {
            pr_err!(
                "{}: a range of its own it can get only while it does not run\n",
                self.name()
            );
            return Err(EBUSY);
        };
        let memory = self.memory().ok_or(ENXIO)?;
        let Some(portion) = memory.portion() else {
            pr_err!(
                "{}: it takes no memory in while it runs: it needs popcorn_boot and CONFIG_MEMORY_HOTPLUG\n",
                self.name()
            );
            return Err(errno::not_supported());
        };
        if memory.grown.is_open() {
            self.memory_answer(turn, &memory, LEAVE_MS)
                .inspect_err(|_| pr_err!("{}: it is still at the last change\n", self.name()))?;
        }
        let (has, booted) = (memory.size(), memory.booted_size());
        // A power of two.
        let odd = has.abs_diff(wanted) & (portion - 1) != 0;
        if odd || wanted > PARTITION_MAX || wanted < booted {
            pr_err!(
                "{}: while it runs it can have the {} MiB that it has booted with, and {} MiB more any number of times, up to 256 GiB\n",
                self.name(),
                booted >> 20,
                portion >> 20
            );
            return Err(EINVAL);
        }
        match wanted.checked_sub(has) {
            Some(0) => Ok(()),
            Some(more) => {
                let near = turn.parts.processors.first().map(LentProcessor::cpu);
                self.lend_memory(turn, &memory, more, portion, near)
            }
            None => self.take_back_memory(turn, &memory, wanted, portion),
        }
    }

    fn lend_memory(
        &self,
        turn: &Turn<'_>,
        memory: &Memory,
        more: u64,
        portion: u64,
        near: Option<u32>,
    ) -> Result {
        let all = memory.size() + more;
        let pieces = PhysicalMemory::take_portions(more, portion, memory.ranges_left()?, near)
            .inspect_err(|&error| {
                if error == ENOMEM {
                    pr_err!(
                        "{}: {} MiB cannot be had in aligned pieces of {} MiB: too little is free, or it is too scattered\n",
                        self.name(),
                        more >> 20,
                        portion >> 20
                    );
                }
            })?;
        let mut shared = KVec::with_capacity(pieces.len(), GFP_KERNEL)?;
        for piece in pieces {
            shared.push(Arc::new(piece, GFP_KERNEL)?, GFP_KERNEL)?;
        }
        // Devices first: the kernel may use them with it at once.
        let lent = shared
            .iter()
            .try_for_each(|piece| turn.allow_devices(piece.extent()))
            .and_then(|()| memory.grown.lend(&memory.status.memory(), portion, &shared));
        if let Err(error) = lent {
            for piece in &shared {
                turn.revoke_devices(piece.extent());
            }
            return Err(error);
        }
        drop(shared);
        let errno = self.ask_memory(turn, memory, patience(more, portion))?;
        let missing = all.saturating_sub(memory.size());
        if missing == 0 {
            return Ok(());
        }
        let error = said(errno);
        pr_err!(
            "{}: it does not take in {} MiB of it: {:?}\n",
            self.name(),
            missing >> 20,
            error
        );
        Err(error)
    }

    /// One part after the other is tried, those with the highest addresses first.
    fn take_back_memory(
        &self,
        turn: &Turn<'_>,
        memory: &Memory,
        wanted: u64,
        portion: u64,
    ) -> Result {
        let page = memory.status.memory();
        let lent = memory.size() - memory.booted_size();
        let deadline = boot_time_ns() + patience(lent, portion) * 1_000_000;
        let (mut tried, mut errno) = (None, 0);
        while let Some(left @ 1..) = memory.size().checked_sub(wanted) {
            if !memory.grown.ask_back(&page, left, &mut tried)? {
                break;
            }
            let now = boot_time_ns();
            match self.ask_memory(turn, memory, deadline.saturating_sub(now) / 1_000_000)? {
                0 => (),
                other => errno = other,
            }
        }
        let left = memory.size().saturating_sub(wanted);
        if left == 0 {
            return Ok(());
        }
        let error = match errno {
            0 => EBUSY,
            errno => said(errno),
        };
        pr_err!(
            "{}: it cannot give back {} MiB of it: {:?}\n",
            self.name(),
            left >> 20,
            error
        );
        Err(error)
    }

    /// Waits for the answer to what was just asked; if none comes everything may stay as it is. May sleep.
    fn ask_memory(&self, turn: &Turn<'_>, memory: &Memory, patience_ms: u64) -> Result<i32> {
        let answer = self.memory_answer(turn, memory, patience_ms);
        if let Err(error) = answer {
            memory.grown.leave(&memory.status.memory());
            // It may need a moment to give up what it is at; if it does not, what is open stays lent.
            if error == errno::timed_out() && !memory.hangs() {
                let _ = self.memory_answer(turn, memory, LEAVE_MS);
            }
            pr_err!("{}: it has not answered: {:?}\n", self.name(), error);
        }
        answer
    }

    /// Waits for an answer, and takes back what is back by that: the errno that it says, or 0. May sleep.
    fn memory_answer(&self, turn: &Turn<'_>, memory: &Memory, patience_ms: u64) -> Result<i32> {
        let deadline = boot_time_ns() + patience_ms * 1_000_000;
        loop {
            let page = memory.status.memory();
            match memory
                .grown
                .settle(&page, |piece| turn.revoke_devices(piece))
            {
                Some(errno) => return Ok(errno),
                None if memory.status.end().is_some() => return Err(ESRCH),
                None if memory.hangs() || boot_time_ns() > deadline => {
                    return Err(errno::timed_out());
                }
                None => sleep_killable(ANSWER_STEP_MS)?,
            }
        }
    }
}

/// What the other kernel gives as a reason.
fn said(errno: i32) -> Error {
    match errno {
        1..=4095 => Error::from_errno(-errno),
        _ => errno::protocol(),
    }
}

/// How long it may take for so much memory, in milliseconds.
fn patience(bytes: u64, portion: u64) -> u64 {
    let portions = bytes.checked_div(portion).unwrap_or(0);
    ANSWER_MS
        .saturating_add(portions.saturating_mul(PORTION_MS))
        .min(ANSWER_MAX_MS)
}

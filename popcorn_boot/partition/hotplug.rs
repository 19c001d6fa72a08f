// SPDX-License-Identifier: GPL-2.0
//! Processors for a kernel that runs, and back from it.
//!
//! Its tables list all processors that it may ever get. Which of them it has, and so may bring online, it is
//! told in the status page, and says there what came of it: see `popcorn_core::lent_cpus`.

use super::exchange::Exchange;
use super::Partition;
use super::Turn;
use kernel::prelude::*;
use popcorn_core::lent_cpus::CpuLists;
use popcorn_core::partition::CPUS_MAX;
use popcorn_kernel::boot::boot_time_ns;
use popcorn_kernel::boot::processor::LentProcessor;
use popcorn_kernel::boot::sleep_killable;
use popcorn_kernel::errno;

/// How long it may take to bring processors online, or offline.
const ANSWER_MS: u64 = 30_000;
const ANSWER_STEP_MS: u32 = 10;

impl Partition {
    /// As [`Partition::set_processors`], while the kernel runs: those that it gets must be among the possible
    /// ones, and the one that it has booted on stays.
    ///
    /// # Errors
    ///
    /// As there; `EINVAL`: not so. `E2BIG`: too many until it has given others back. What it says itself: it
    /// cannot do without one of them, say. It has then what it had before. `ETIMEDOUT`: it does not answer;
    /// `EINTR`: killed. It has then all that it had or was to have, for it may be using it.
    pub(super) fn change_processors(&self, turn: &mut Turn<'_>, wanted: &[u32]) -> Result {
        let had = &turn.parts.processors;
        if wanted.first().copied() != had.first().map(LentProcessor::cpu) {
            pr_err!(
                "{}: it keeps the processor that it has booted on\n",
                self.name()
            );
            return Err(EINVAL);
        }
        let is_known = |cpu: &u32| {
            turn.parts.possible.contains(cpu) || had.iter().any(|each| each.cpu() == *cpu)
        };
        if let Some(cpu) = wanted.iter().find(|cpu| !is_known(cpu)) {
            pr_err!(
                "{}: CPU {} was not among its possible_cpus at its start\n",
                self.name(),
                cpu
            );
            return Err(EINVAL);
        }
        let is_new = |cpu: &&u32| had.iter().all(|each| each.cpu() != **cpu);
        if had.len() + wanted.iter().filter(is_new).count() > CPUS_MAX {
            pr_err!(
                "{}: with those that it has yet to give back it would have more than {} processors\n",
                self.name(),
                CPUS_MAX
            );
            return Err(E2BIG);
        }
        let exchange = Exchange::begin(had, wanted)?;
        let kept = |each: &&LentProcessor| wanted.contains(&each.cpu());
        let mut before = KVec::with_capacity(had.len(), GFP_KERNEL)?;
        let mut after = KVec::with_capacity(wanted.len(), GFP_KERNEL)?;
        for processor in had {
            before.push(processor.id(), GFP_KERNEL)?;
        }
        for processor in Iterator::chain(had.iter().filter(kept), exchange.taken()) {
            after.push(processor.id(), GFP_KERNEL)?;
        }

        // It may use them from the moment on that it is told, and until it has said that it does not.
        self.stop_at_end
            .set(Iterator::chain(had.iter(), exchange.taken()));
        if let Err(error) = self.ask(&mut turn.parts.lists, &after) {
            pr_err!(
                "{}: it cannot change its processors: {:?}\n",
                self.name(),
                error
            );
            match self.ask(&mut turn.parts.lists, &before) {
                // What was taken goes back when `exchange` is dropped.
                Ok(()) => self.stop_at_end.set(had.iter()),
                Err(_) => {
                    exchange.keep_all(&mut turn.parts.processors);
                    self.processors_changed(turn);
                }
            }
            return Err(error);
        }
        let back = exchange.finish(&mut turn.parts.processors, wanted);
        self.processors_changed(turn);
        self.stop_at_end.set(turn.parts.processors.iter());
        drop(back);
        Ok(())
    }

    /// Tells it which processors it has, and waits for its answer. May sleep.
    fn ask(&self, lists: &mut CpuLists, ids: &[u32]) -> Result {
        let memory = self.memory().ok_or(ENXIO)?;
        lists.change(&memory.status.cpus(), ids);
        let deadline = boot_time_ns() + ANSWER_MS * 1_000_000;
        loop {
            match lists.answer(&memory.status.cpus()) {
                Some(Ok(())) => return Ok(()),
                Some(Err(errno)) => return Err(Error::from_errno(-errno)),
                None if memory.end().is_some() => return Err(ESRCH),
                None if boot_time_ns() > deadline => return Err(errno::timed_out()),
                None => sleep_killable(ANSWER_STEP_MS)?,
            }
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Processors for a kernel that runs, and back from it.
//!
//! Its tables list all processors that it may ever get. Which of them it has, and so may bring online, it is
//! told in the status page, and says there what came of it: see `popcorn_core::lent_cpus`.

use super::Partition;
use super::Turn;
use core::mem;
use kernel::prelude::*;
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
    /// As there; `EINVAL`: not so. `ETIMEDOUT`: it does not answer. What it says itself: it cannot do without
    /// one of them, say. `EINTR`: killed. It is then asked to go on with what it had.
    pub(super) fn change_processors(&self, turn: &mut Turn<'_>, wanted: &[u32]) -> Result {
        let had =
            |cpu: u32, turn: &Turn<'_>| turn.parts.processors.iter().any(|each| each.cpu() == cpu);
        if wanted.first().copied() != turn.parts.processors.first().map(LentProcessor::cpu) {
            pr_err!(
                "{}: it keeps the processor that it has booted on\n",
                self.name()
            );
            return Err(EINVAL);
        }
        let mut taken = KVec::with_capacity(wanted.len(), GFP_KERNEL)?;
        for &cpu in wanted {
            if had(cpu, turn) {
                continue;
            }
            if !turn.parts.possible.contains(&cpu) {
                pr_err!(
                    "{}: CPU {} was not among its possible_cpus at its start\n",
                    self.name(),
                    cpu
                );
                return Err(EINVAL);
            }
            taken.push(Some(LentProcessor::take(cpu)?), GFP_KERNEL)?;
        }
        let ids = |processors: &mut dyn Iterator<Item = &LentProcessor>| -> Result<KVec<u32>> {
            let mut ids = KVec::with_capacity(wanted.len().max(super::CPUS_MAX), GFP_KERNEL)?;
            for processor in processors {
                ids.push(processor.id(), GFP_KERNEL)?;
            }
            Ok(ids)
        };
        let kept = |each: &&LentProcessor| wanted.contains(&each.cpu());
        let before = ids(&mut turn.parts.processors.iter())?;
        let after = ids(&mut Iterator::chain(
            turn.parts.processors.iter().filter(kept),
            taken.iter().flatten(),
        ))?;
        // Room for what follows the answer, when there is no way back.
        let mut all = KVec::with_capacity(wanted.len(), GFP_KERNEL)?;
        let mut list = KVec::with_capacity(wanted.len(), GFP_KERNEL)?;
        let mut former = KVec::with_capacity(turn.parts.processors.len(), GFP_KERNEL)?;

        if let Err(error) = self.ask(&after) {
            pr_err!(
                "{}: it cannot change its processors: {:?}\n",
                self.name(),
                error
            );
            // Whatever it has brought online of them is about to be stopped.
            let _ = self.ask(&before);
            return Err(error);
        }
        for processor in mem::take(&mut turn.parts.processors) {
            former.push(Some(processor), GFP_KERNEL)?;
        }
        for &cpu in wanted {
            let mut candidates = Iterator::chain(former.iter_mut(), &mut taken);
            let found = candidates.find(|each| each.as_ref().is_some_and(|each| each.cpu() == cpu));
            if let Some(processor) = found.and_then(Option::take) {
                list.push((cpu, processor.id()), GFP_KERNEL)?;
                all.push(processor, GFP_KERNEL)?;
            }
        }
        self.stop_at_end.set(&all);
        turn.parts.processors = all;
        let old = mem::replace(&mut self.inner.lock().processors, list);
        drop(old);
        drop(former);
        Ok(())
    }

    /// Tells it which processors it has, and waits for its answer. May sleep.
    fn ask(&self, ids: &[u32]) -> Result {
        let memory = self.memory().ok_or(ENXIO)?;
        let number = memory.status.cpus().change(ids);
        let deadline = boot_time_ns() + ANSWER_MS * 1_000_000;
        loop {
            match memory.status.cpus().answer(number) {
                Some(Ok(())) => return Ok(()),
                Some(Err(errno)) => return Err(Error::from_errno(-errno)),
                None if memory.status.end().is_some() => return Err(ESRCH),
                None if boot_time_ns() > deadline => return Err(errno::timed_out()),
                None => sleep_killable(ANSWER_STEP_MS)?,
            }
        }
    }
}

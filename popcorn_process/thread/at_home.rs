// SPDX-License-Identifier: GPL-2.0
//! A thread that is at home: its hooks, its errand, and when it goes (back) to a remote.

use core::sync::atomic::Ordering;
use kernel::prelude::*;
use popcorn_core::syscall;
use popcorn_kernel::current;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::mm;
use popcorn_kernel::mm::Mm;
use popcorn_kernel::regs::CurrentRegs;
use popcorn_kernel::regs::UserRegs;
use popcorn_kernel::task;
use popcorn_kernel::task::UserTask;
use popcorn_kernel::time::now_ns;
use popcorn_page::Report;
use popcorn_page::Space;
use popcorn_vma::Change;

use super::add;
use super::position;
use super::Errand;
use super::Goal;
use super::Thread;
use super::NS_PER_MS;
use super::STAY_MAX_NS;

impl Thread {
    /// Its faults brought pages home.
    pub(crate) fn faulted(&self, report: &Report) {
        add(&self.statistics.pages_back, report.pages);
    }

    /// It enters a system call at home.
    pub(crate) fn syscall(&self, number: u64) {
        let (done, on_exec) = {
            let mut state = self.state.lock();
            let done = match state.errand {
                Errand::None => false,
                Errand::Handler => syscall::is_signal_return(number),
                Errand::Syscall(at, stack) => position() == Some((at, stack)),
                Errand::Fault => true,
            };
            if done {
                state.errand = Errand::None;
            }
            (done, state.on_exec.is_some())
        };
        // On its way out it passes user_return().
        if done || on_exec && syscall::is_exec(number) {
            self.task.notify();
        }
        self.begin_changes(number);
    }

    fn begin_changes(&self, number: u64) {
        let Some(space) = mm::attached_to_current::<Space>() else {
            return;
        };
        let Ok(regs) = CurrentRegs::get() else {
            return;
        };
        // An error means that it is being killed.
        if let Ok(changes) = Change::for_syscall(&space, number, &regs.read()) {
            if changes.iter().any(Option::is_some) {
                self.state.lock().changes = changes;
                self.task.notify();
            }
        }
    }

    fn end_changes(&self) {
        let changes = core::mem::take(&mut self.state.lock().changes);
        drop(changes);
    }

    /// An access at home came to a signal: after its delivery it goes back.
    pub(crate) fn fault_is_real(&self) {
        let errand = core::mem::replace(&mut self.state.lock().errand, Errand::None);
        if errand != Errand::None {
            self.task.notify();
        }
    }

    /// It is about to run user code.
    pub(crate) fn user_return(&self) {
        self.end_changes();
        loop {
            if current::signal_pending() {
                let mut state = self.state.lock();
                state.ready = false;
                if state.goal.is_some() || state.back_to.is_some() {
                    self.task.notify();
                }
                return;
            }
            self.note_handler();
            let Some((goal, asked_at)) = self.next_goal() else {
                return;
            };
            let Goal::Node(node) = goal else {
                return;
            };
            match self.go(node) {
                Ok(()) => (),
                Err(error) => {
                    self.state.lock().back_to = None;
                    if error == EINTR {
                        return;
                    }
                    // Not in a handler that came in between, say.
                    if asked_at.is_some() && asked_at == position() {
                        if let Ok(mut regs) = CurrentRegs::get() {
                            regs.set_result(i64::from(error.to_errno()));
                        }
                    } else {
                        err_ratelimited!(
                            "thread {} cannot move to node {}: {:?}\n",
                            self.task.tid(),
                            node,
                            error
                        );
                    }
                    return;
                }
            }
        }
    }

    /// Whether it is home for something that may come again at once: a signal, the end of a handler
    /// that should have run here, an instruction that the remote cannot do.
    pub(super) fn came_in_vain(&self, recalled: bool, regs: &UserRegs) -> bool {
        recalled
            || match self.state.lock().errand {
                Errand::Fault => true,
                Errand::Syscall(..) => syscall::is_signal_return(regs.next_syscall()),
                _ => false,
            }
    }

    /// It was away for so many nanoseconds: if moving took it longer than that, it stays at home for
    /// a while, and longer each time.
    pub(super) fn linger(&self, away: u64) {
        let moving = self.moving();
        let mut state = self.state.lock();
        if away > 2 * moving {
            state.stay = 0;
            return;
        }
        state.stay = (2 * state.stay).max(4 * moving).min(STAY_MAX_NS);
        state.stay_until = now_ns() + state.stay;
    }

    /// What a move out takes.
    pub(super) fn moving(&self) -> u64 {
        self.statistics
            .out_ns_last
            .load(Ordering::Relaxed)
            .min(STAY_MAX_NS)
    }

    /// A signal handler is about to be set up. Under siglock.
    pub(crate) fn handler_begins(&self) {
        self.handler.store(true, Ordering::Relaxed);
        self.task.notify();
    }

    /// If the kernel has set up a signal handler, it runs at home, also before a move that was asked
    /// for.
    fn note_handler(&self) {
        if !self.handler.swap(false, Ordering::Relaxed) {
            return;
        }
        let mut state = self.state.lock();
        if state.errand == Errand::None {
            state.errand = Errand::Handler;
            state.errand_until = now_ns() + self.moving();
        }
    }

    fn next_goal(&self) -> Option<(Goal, Option<(u64, u64)>)> {
        let mut state = self.state.lock();
        if let Some((node, left)) = state.on_exec {
            if Mm::current().is_some_and(|mm| mm.address() != left) {
                state.on_exec = None;
                state.goal = Some(Goal::Node(node));
            }
        }
        if state.goal.is_none() && state.back_to.is_none() {
            return None;
        }
        let until = match (state.errand, state.goal.is_some()) {
            (Errand::Handler, true) => state.errand_until,
            (_, true) => 0,
            (Errand::None, false) => state.stay_until,
            (_, false) => state.stay_until.max(state.errand_until),
        };
        let left = until.saturating_sub(now_ns());
        if left != 0 {
            state.ready = false;
            self.alarm.schedule((left / NS_PER_MS) as u32 + 1);
            return None;
        }
        if !core::mem::replace(&mut state.ready, true) && task::abort_rseq() {
            return None;
        }
        state.ready = false;
        state.errand = Errand::None;
        let back_to = state.back_to.take();
        match state.goal.take() {
            Some(goal) => Some((goal, state.asked_at.take())),
            None => back_to.map(|node| (Goal::Node(node), None)),
        }
    }
}

/// A system call of a thread that we do not know, in a process that is distributed.
pub(crate) fn first_syscall(number: u64) {
    let Some(space) = mm::attached_to_current::<Space>() else {
        return;
    };
    let Ok(regs) = CurrentRegs::get() else {
        return;
    };
    let brk = space.mm.user().map_or(0, |user| user.brk()) as u64;
    let ranges = popcorn_core::layout::affected(number, &regs.read().arguments(), brk);
    if ranges.iter().all(Option::is_none) {
        return;
    }
    match Thread::of(UserTask::current()) {
        Ok(thread) => thread.syscall(number),
        // Without memory for it the change would go unseen: better not to live on.
        Err(error) => {
            err_ratelimited!(
                "cannot follow a change of memory: {:?}; killing the process\n",
                error
            );
            UserTask::current().kill();
        }
    }
}

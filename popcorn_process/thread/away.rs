// SPDX-License-Identifier: GPL-2.0
//! A thread that leaves, waits while it is away, does there what its carrier asks for, and comes
//! home.

use core::sync::atomic::Ordering;
use kernel::prelude::*;
use kernel::sync::Arc;
use popcorn_core::ids::NodeId;
use popcorn_core::proto;
use popcorn_core::proto::FaultKind;
use popcorn_core::proto::Reason;
use popcorn_core::proto::Verdict;
use popcorn_core::syscall;
use popcorn_core::syscall::Place;
use popcorn_kernel::current;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::errno;
use popcorn_kernel::mm;
use popcorn_kernel::module::Pinned;
use popcorn_kernel::regs;
use popcorn_kernel::regs::CurrentRegs;
use popcorn_kernel::regs::Fpu;
use popcorn_kernel::regs::UserRegs;
use popcorn_kernel::task;
use popcorn_kernel::time::now_ns;
use popcorn_kernel::wait::Sleep;
use popcorn_msg::Request;
use popcorn_page::talk;
use popcorn_page::Role;
use popcorn_page::Space;
use popcorn_vma::Change;

use crate::service::refuse;
use crate::this_module;

use super::add;
use super::Errand;
use super::Thread;
use super::ERRAND_MOVES;

impl Thread {
    /// Leaves for `node`, and comes home.
    ///
    /// # Errors
    ///
    /// The thread is at home, as before: `EHOSTDOWN`, `EOPNOTSUPP`, `ENOMEM`, `EINTR` killed.
    pub(super) fn go(&self, node: NodeId) -> Result {
        if !self.task.can_move() {
            return Err(errno::not_supported());
        }
        // A machine that has lost most of the others lets nobody go until it knows where it stands.
        if popcorn_msg::wait_serving(node, Sleep::Interruptible).is_err() {
            return Err(if current::fatal_signal_pending() {
                EINTR
            } else {
                errno::host_down()
            });
        }
        let begin = now_ns();
        let space = match mm::attached_to_current::<Space>() {
            Some(space) => space,
            None => match Space::new_origin(Pinned::new(this_module())?) {
                // Another thread of the process was faster.
                Err(error) if error == EBUSY => mm::attached_to_current::<Space>().ok_or(EBUSY)?,
                space => space?,
            },
        };
        if space.role != Role::Origin {
            return Err(errno::not_supported());
        }
        if space.is_lost() {
            // A node went down with pages of it.
            return Err(EIO);
        }
        self.task.watch_process_syscalls();
        space.add_node(node);
        task::leave_rseq();
        let mut regs = CurrentRegs::get()?;
        let fpu = Fpu::of_current()?;
        let (clock_address, clock_physical) = space
            .mm
            .user()
            .and_then(|user| user.clock_page())
            .filter(|_| popcorn_msg::shares_memory(node))
            .unwrap_or((0, 0));
        let life = popcorn_msg::life(node);
        {
            let mut state = self.state.lock();
            state.node = Some(node);
            state.life = life;
            state.space = Some(space.clone());
        }
        // First the note that it goes, then this look: a parting does it the other way round.
        if life.is_none() || !popcorn_msg::takes_threads(node) {
            self.arrived();
            let is_known = popcorn_msg::is_known(node);
            return Err(if is_known { errno::host_down() } else { ENODEV });
        }
        let message = proto::Migrate {
            space: space.id,
            thread: self.id,
            clock_address,
            clock_physical,
            name: self.task.name(),
            regs: regs.read().outside_syscall().0,
        };
        let started = talk::call(node, &message, fpu.as_bytes());
        if let Err(error) = started {
            if error == EINTR {
                // Being killed; exited() tells the node.
                return Err(error);
            }
            self.arrived();
            return Err(error);
        }
        self.state.lock().there = true;
        let took = now_ns().saturating_sub(begin);
        let _ = self.statistics.out_ns_first.compare_exchange(
            0,
            took,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
        self.statistics.out_ns_last.store(took, Ordering::Relaxed);
        add(&self.statistics.out, 1);
        self.stay_away(node, &space, &mut regs)
    }

    fn arrived(&self) {
        let mut state = self.state.lock();
        state.node = None;
        state.life = None;
        state.there = false;
        let space = state.space.take();
        // What the node has sent beyond that would else be taken for the next one's.
        let inbox = state.inbox.take();
        drop(state);
        drop(space);
        if let Some((request, _)) = inbox {
            refuse(request, ESRCH);
        }
    }

    /// Sleeps while the thread is away, and does what its carrier asks for.
    fn stay_away(&self, node: NodeId, space: &Arc<Space>, regs: &mut CurrentRegs) -> Result {
        let mut recalled = None;
        // The registers are those of a system call that was begun here, and are to be kept.
        let mut resume = false;
        let begin = now_ns();
        loop {
            let gone = || self.is_gone(node, space);
            let ready = || {
                let state = self.state.lock();
                state.inbox.is_some() || state.goal.is_some() && recalled.is_none()
            };
            let waited = if recalled.is_some() || resume {
                self.wake.wait_killable(|| ready() || gone())
            } else {
                self.wake.wait_interruptible(|| ready() || gone())
            };
            if current::fatal_signal_pending() {
                // exited() does the rest.
                return Err(EINTR);
            }
            let message = self.state.lock().inbox.take();
            if let Some((request, came)) = message {
                if request.kind() == <proto::Back as popcorn_core::wire::Wire>::TYPE {
                    let back = self.back(&request, node, regs, resume, recalled.unwrap_or(came));
                    if let Err(error) = back {
                        err_ratelimited!(
                            "node {} sent back a state of thread {} that cannot be: {:?}; killing it\n",
                            node,
                            self.task.tid(),
                            error
                        );
                        self.task.kill();
                        return Err(EINTR);
                    }
                    if self.came_in_vain(recalled.is_some(), &regs.read()) {
                        self.linger(recalled.unwrap_or(came).saturating_sub(begin));
                    }
                    return Ok(());
                }
                // While this machine does not serve others, the system call has to wait. Coming home needs none.
                if recalled.is_none()
                    && !resume
                    && popcorn_msg::wait_serving(node, Sleep::Interruptible).is_err()
                {
                    if current::fatal_signal_pending() {
                        return Err(EINTR);
                    }
                    verdict(request, Verdict::ComeHome, 0);
                    continue;
                }
                if recalled.is_some() || resume {
                    verdict(request, Verdict::ComeHome, 0);
                } else {
                    resume = self.run_syscall(request, node, space, regs)?;
                }
                continue;
            }
            if gone() {
                self.carrier_is_gone(node, space);
                return Err(EINTR);
            }
            let asked = self.state.lock().goal.is_some();
            if (waited.is_err() || asked) && recalled.is_none() && !resume {
                recalled = Some(now_ns());
                let message = proto::Recall {
                    space: space.id,
                    thread: self.id,
                };
                // If it fails the node is going, which ends the wait.
                let _ = talk::post(node, &message, &[]);
            }
        }
    }

    /// Runs a system call of the carrier. Whether the thread is to come home for the rest of it.
    fn run_syscall(
        &self,
        request: Request,
        node: NodeId,
        space: &Arc<Space>,
        regs: &mut CurrentRegs,
    ) -> Result<bool> {
        let message = match request.decode::<proto::Syscall>() {
            Ok(message) => message,
            Err(error) => {
                refuse(request, error);
                return Ok(false);
            }
        };
        let number = message.number;
        // Filters and tracers see the call made at home.
        if syscall::place(number) != Place::Home
            || number > u64::from(u32::MAX)
            || task::syscalls_are_watched()
        {
            verdict(request, Verdict::ComeHome, 0);
            return Ok(false);
        }
        let user = UserRegs(message.regs);
        if let Err(error) = regs.write(&user) {
            refuse(request, error);
            return Ok(false);
        }
        let changes = Change::for_syscall(space, number, &user)?;
        // First this, then a look: whoever lets the node go does it the other way round.
        self.state.lock().calls = true;
        let result = if self.is_gone(node, space) {
            self.carrier_is_gone(node, space);
            0
        } else {
            regs.run_syscall(number as u32)
        };
        self.state.lock().calls = false;
        drop(changes);
        add(&self.statistics.syscalls, 1);
        if current::fatal_signal_pending() {
            verdict(request, Verdict::Exit, 0);
            return Err(EINTR);
        }
        let asked = self.state.lock().goal.is_some();
        // A signal that the call brought is delivered before the call returns, as ever.
        if asked || current::signal_pending() || syscall::wants_restart(result) {
            verdict(request, Verdict::Resume, 0);
            return Ok(true);
        }
        verdict(request, Verdict::Done, result);
        Ok(false)
    }

    /// If its carrier is gone while it runs a system call for that, nothing else may ever end the call: it could
    /// wait for a pipe or a network. Any context that may send a signal.
    pub(super) fn end_call_if_gone(&self) {
        let state = self.state.lock();
        let from = state.node.filter(|_| state.there && state.calls);
        let from = from.and_then(|node| Some((node, state.space.clone()?)));
        drop(state);
        if let Some((node, space)) = from {
            if self.is_gone(node, &space) {
                self.carrier_is_gone(node, &space);
            }
        }
    }

    /// Whether its registers are lost: with the life of the node that they went to, whether or not there is another.
    fn is_gone(&self, node: NodeId, space: &Space) -> bool {
        let life = self.state.lock().life;
        space.is_lost() || life.is_none() || popcorn_msg::life(node) != life
    }

    /// Ends a thread whose registers are lost, and with it its process.
    fn carrier_is_gone(&self, node: NodeId, space: &Space) {
        err_ratelimited!(
            "node {} is gone, and with it the memory of process {}: killing it\n",
            node,
            self.task.pid()
        );
        space.set_lost();
        self.task.kill();
    }

    /// The thread is back, in this message.
    fn back(
        &self,
        request: &Request,
        node: NodeId,
        regs: &mut CurrentRegs,
        resume: bool,
        begin: u64,
    ) -> Result {
        self.arrived();
        let (message, fpu) = request.decode_prefix::<proto::Back>()?;
        add(&self.statistics.pages_out, message.pages);
        add(&self.statistics.grants, message.grants);
        let reason = Reason::new(message.reason).ok_or(errno::protocol())?;
        let restored = if resume {
            regs::set_fpu(fpu)
        } else {
            regs.write(&UserRegs(message.regs).outside_syscall())
                .and_then(|()| regs::set_fpu(fpu))
        };
        restored?;
        let asked = self.state.lock().goal.is_some();
        let (errand, belongs) = match reason {
            Reason::Asked => (Errand::None, !asked),
            Reason::Resume => (Errand::None, !asked),
            Reason::Syscall => {
                let (at, stack) = regs.read().in_syscall();
                (Errand::Syscall(at, stack), true)
            }
            Reason::Fault => self.serve_fault(&message),
            Reason::Trap => {
                const TRAP: i32 = 5;
                if message.signal == TRAP {
                    task::force_signal(message.signal, message.code, message.address);
                }
                (Errand::None, true)
            }
        };
        {
            let mut state = self.state.lock();
            state.back_to = belongs.then_some(node);
            state.errand = errand;
            state.errand_until = now_ns() + ERRAND_MOVES * self.moving();
        }
        if belongs {
            add(&self.statistics.bounces, 1);
        } else {
            add(&self.statistics.back, 1);
        }
        self.statistics
            .back_ns_last
            .store(now_ns().saturating_sub(begin), Ordering::Relaxed);
        Ok(())
    }

    /// An access that the remote could not serve. What to do about it, and whether the thread
    /// belongs on the remote afterwards.
    fn serve_fault(&self, message: &proto::Back) -> (Errand, bool) {
        let write = match FaultKind::new(message.kind) {
            Some(FaultKind::Read) => false,
            Some(FaultKind::Write) => true,
            _ => return (Errand::Fault, true),
        };
        let address = message.address as usize;
        if mm::touch(address, write).is_err() {
            return (Errand::Fault, true);
        }
        if write {
            grow_stack(address);
        }
        // It is served now. Can the remote have it, too?
        let spreads = mm::attached_to_current::<Space>().is_some_and(|space| {
            space.mm.user().is_some_and(|user| match user.vma(address) {
                Ok(_) => true,
                Err(error) => error != errno::not_supported(),
            })
        });
        let is = |error: Error| message.code == error.to_errno();
        if is(errno::not_supported()) || !spreads {
            return (Errand::None, false);
        }
        if message.code != 0 && !is(EFAULT) {
            // It may be the same again: no memory there, a page that a device or ptrace has pinned.
            return (Errand::Fault, true);
        }
        (Errand::None, true)
    }
}

/// Whether what a thread has on `node` is gone.
/// If `address` is in the lowest page of a mapping that grows downwards, lets it grow by more than
/// a page: each growth brings a remote thread home.
fn grow_stack(address: usize) {
    /// Far less than the gap below a stack in which nothing else is mapped.
    const AHEAD: usize = 64 * mm::PAGE_SIZE;
    let lowest = mm::attached_to_current::<Space>().and_then(|space| {
        let user = space.mm.user()?;
        Some(user.vma(address & !(mm::PAGE_SIZE - 1)).ok()?.start)
    });
    if lowest == Some(address & !(mm::PAGE_SIZE - 1)) {
        // Not a stack, or at its limit: then it stays as it is.
        let _ = mm::touch(address - AHEAD.min(address), true);
    }
}

fn verdict(request: Request, verdict: Verdict, result: i64) {
    let answer = proto::SyscallDone {
        verdict: verdict as u32,
        reserved: 0,
        result,
    };
    // If the node is gone, so is the carrier.
    let _ = request.reply_with(&answer, &[]);
}

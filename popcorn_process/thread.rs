// SPDX-License-Identifier: GPL-2.0
//! A thread at its origin: what is known of it, and where it shall be.
//!
//! Its moves begin in the `user_return` hook: the last thing before user code would run, with all
//! registers at hand and signals dealt with. A thread that is away sleeps in there.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::SpinLock;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::proto;
use popcorn_kernel::errno;
use popcorn_kernel::mm::Mm;
use popcorn_kernel::module::Pinned;
use popcorn_kernel::new_delayed_work;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::regs::CurrentRegs;
use popcorn_kernel::task::UserTask;
use popcorn_kernel::time::now_ns;
use popcorn_kernel::uapi::popcorn_thread_info;
use popcorn_kernel::uapi::POPCORN_THREAD_AWAY;
use popcorn_kernel::wait::WaitQueue;
use popcorn_kernel::work::DelayedWork;
use popcorn_kernel::work::Late;
use popcorn_msg::Request;
use popcorn_page::talk;
use popcorn_page::Space;
use popcorn_vma::Change;

use crate::attached::Attached;
use crate::registry::Registry;
use crate::service::refuse;
use crate::this_module;

mod at_home;
mod away;
mod parting;

pub(crate) use at_home::first_syscall;

/// Where somebody wants a thread to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    /// At its origin.
    Home,
    /// On this node.
    Node(NodeId),
}

/// What a thread at home has to do before it goes back to the remote it came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Errand {
    /// Nothing: it goes at the next return to user code.
    None,
    /// Make the system call that it is in front of; with these instruction and stack pointers when
    /// it has entered that: a signal handler may come first, with calls of its own.
    Syscall(u64, u64),
    /// Do the access that the remote could not serve, for what it comes to.
    Fault,
    /// Run a signal handler, which is short, as a rule, to its end. Not for longer than a move takes,
    /// either: it may jump out instead of ending.
    Handler,
}

/// Longest stay at home of a thread that signals do not let stay away.
const STAY_MAX_NS: u64 = 200_000_000;
const NS_PER_MS: u64 = 1_000_000;
/// Time that an errand has before it is given up, as a multiple of what a move takes: nobody sees
/// when an access is made, and a handler that comes first may jump away.
const ERRAND_MOVES: u64 = 8;

struct State {
    /// Nothing but its move is to be done before it next runs user code.
    ready: bool,
    /// What was asked for and not yet done.
    goal: Option<Goal>,
    /// The goal was asked for by the thread itself, in a system call with these instruction and stack
    /// pointers.
    asked_at: Option<(u64, u64)>,
    /// Go there once the address space is not this one any more.
    on_exec: Option<(NodeId, usize)>,
    /// Where it runs, or is on its way to; `None`: at home.
    node: Option<NodeId>,
    /// The life of that node.
    life: Option<Incarnation>,
    /// It has arrived there.
    there: bool,
    /// It runs a system call for its carrier, so it does not wait for what that sends.
    calls: bool,
    /// Home on an errand, it belongs there.
    back_to: Option<NodeId>,
    errand: Errand,
    /// It does not leave for `back_to` before this time: moving would be all that it does.
    stay_until: u64,
    /// For how long it stayed at home the last time for that reason.
    stay: u64,
    /// Its present errand, if that may have no end that is seen, ends by this time.
    errand_until: u64,
    /// The address space that it left, while it is away.
    space: Option<Arc<Space>>,
    /// What its carrier sent, a system call or itself, and when it came.
    inbox: Option<(Request, u64)>,
    /// Ranges that its present system call changes.
    changes: [Option<Change>; 2],
}

/// Counters for `POPCORN_IOC_THREADS`.
#[derive(Default)]
pub(crate) struct Statistics {
    pub(crate) out: AtomicU64,
    pub(crate) back: AtomicU64,
    pub(crate) bounces: AtomicU64,
    pub(crate) syscalls: AtomicU64,
    pub(crate) pages_out: AtomicU64,
    pub(crate) pages_back: AtomicU64,
    pub(crate) grants: AtomicU64,
    pub(crate) out_ns_first: AtomicU64,
    pub(crate) out_ns_last: AtomicU64,
    pub(crate) back_ns_last: AtomicU64,
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

/// A thread whose origin is this node.
#[pin_data]
pub(crate) struct Thread {
    /// The same on all nodes.
    pub(crate) id: u64,
    pub(crate) task: UserTask,
    #[pin]
    state: SpinLock<State>,
    #[pin]
    wake: WaitQueue,
    #[pin]
    alarm: DelayedWork<Alarm>,
    /// A signal handler is set up. Set under siglock, which interrupts take, so not in `state`.
    handler: AtomicBool,
    pub(crate) statistics: Statistics,
    _module: Pinned,
}

/// Ends a stay at home.
struct Alarm(UserTask);

impl Late for Alarm {
    fn run(&self) {
        self.0.notify();
    }
}

impl Thread {
    /// The object of `task`, made if it has none.
    ///
    /// # Errors
    ///
    /// `ESRCH` if the task exits, `EOPNOTSUPP` if it runs a thread of another node, `ENOMEM`.
    pub(crate) fn of(task: UserTask) -> Result<Arc<Self>> {
        let registry = Registry::get()?;
        let key = task.key();
        if let Some(thread) = registry.by_task.get(key) {
            return Ok(thread);
        }
        let id = registry.new_thread_id();
        let pinned = Pinned::new(this_module())?;
        let alarm = Alarm(task.clone());
        let thread = Arc::pin_init(
            pin_init!(Self {
                id,
                task,
                state <- new_spinlock!(State {
                    ready: false,
                    goal: None,
                    asked_at: None,
                    on_exec: None,
                    node: None,
                    life: None,
                    there: false,
                    calls: false,
                    back_to: None,
                    errand: Errand::None,
                    stay_until: 0,
                    stay: 0,
                    errand_until: 0,
                    space: None,
                    inbox: None,
                    changes: [None, None],
                }, "popcorn thread"),
                wake <- new_waitqueue!("popcorn thread"),
                alarm <- new_delayed_work!("popcorn alarm", alarm),
                handler: AtomicBool::new(false),
                statistics: Statistics::default(),
                _module: pinned,
            }),
            GFP_KERNEL,
        )?;
        registry.threads.insert(thread.id, thread.clone())?;
        if let Err(error) = registry.by_task.insert(key, thread.clone()) {
            drop(registry.threads.remove(thread.id));
            return match registry.by_task.get(key) {
                Some(thread) => Ok(thread),
                None => Err(error),
            };
        }
        let attached = Arc::new(Attached::Origin(thread.clone()), GFP_KERNEL)
            .map_err(Error::from)
            .and_then(|attached| thread.task.attach(attached));
        if let Err(error) = attached {
            drop(registry.by_task.remove(key));
            drop(registry.threads.remove(thread.id));
            // Something else is attached: a carrier.
            return Err(if error == EBUSY {
                errno::not_supported()
            } else {
                error
            });
        }
        Ok(thread)
    }

    /// Where it runs, if that is not its origin.
    pub(crate) fn node(&self) -> Option<NodeId> {
        let state = self.state.lock();
        state.node.filter(|_| state.there)
    }

    /// Notes where it shall go; it goes when it next leaves the kernel.
    ///
    /// # Errors
    ///
    /// `EALREADY` if it is there, `EOPNOTSUPP` if it cannot move.
    pub(crate) fn set_goal(&self, goal: Goal) -> Result {
        if !self.task.can_move() {
            return Err(errno::not_supported());
        }
        {
            let mut state = self.state.lock();
            let place = state.node.or(state.back_to);
            let there = match goal {
                Goal::Home => place.is_none(),
                Goal::Node(node) => place == Some(node),
            };
            if there {
                // If it was about to go somewhere else it stays, or returns at once.
                return match state.goal.take() {
                    Some(_) => Ok(()),
                    None => Err(errno::already()),
                };
            }
            state.goal = Some(goal);
            state.asked_at = None;
            if self.task.is_current() {
                state.asked_at = position();
                // Also from within a signal handler.
                state.errand = Errand::None;
            }
        }
        self.task.notify();
        self.wake.wake_all();
        Ok(())
    }

    /// Notes that it shall go to `node` after its next successful exec. For the current thread.
    pub(crate) fn set_goal_on_exec(&self, node: NodeId) -> Result {
        let mm = Mm::current().ok_or(EINVAL)?;
        self.state.lock().on_exec = Some((node, mm.address()));
        self.task.watch_syscalls();
        Ok(())
    }

    /// For `POPCORN_IOC_THREADS`.
    pub(crate) fn info(&self) -> popcorn_thread_info {
        let node = self.node();
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.statistics;
        let mut info = popcorn_thread_info {
            pid: self.task.pid(),
            tid: self.task.tid(),
            node: u32::from(node.unwrap_or(popcorn_msg::this_node()).get()),
            flags: if node.is_some() {
                POPCORN_THREAD_AWAY
            } else {
                0
            },
            out: get(&counters.out),
            back: get(&counters.back),
            bounces: get(&counters.bounces),
            syscalls: get(&counters.syscalls),
            pages_out: get(&counters.pages_out),
            pages_back: get(&counters.pages_back),
            grants: get(&counters.grants),
            out_ns_first: get(&counters.out_ns_first),
            out_ns_last: get(&counters.out_ns_last),
            back_ns_last: get(&counters.back_ns_last),
            ..Default::default()
        };
        for (to, from) in info.comm.iter_mut().zip(self.task.name()) {
            *to = from as _;
        }
        info
    }

    /// It made a thread or a process, which starts where the maker belongs.
    pub(crate) fn made(&self, child: UserTask) {
        let Some(node) = self.state.lock().back_to else {
            return;
        };
        if let Ok(thread) = Thread::of(child) {
            thread.state.lock().goal = Some(Goal::Node(node));
            thread.task.notify();
        }
    }

    /// It exits.
    pub(crate) fn exited(&self) {
        if let Ok(registry) = Registry::get() {
            drop(registry.by_task.remove(self.task.key()));
            drop(registry.threads.remove(self.id));
        }
        let (node, space, inbox, changes) = {
            let mut state = self.state.lock();
            (
                state.node.take(),
                state.space.take(),
                state.inbox.take(),
                core::mem::take(&mut state.changes),
            )
        };
        drop(changes);
        if let Some((request, _)) = inbox {
            refuse(request, ESRCH);
        }
        if let (Some(node), Some(space)) = (node, space) {
            let message = proto::Abandon {
                space: space.id,
                thread: self.id,
            };
            // If the node cannot be reached its carrier is gone, too.
            let _ = talk::post_last(node, &message);
        }
    }

    /// Its carrier sent something.
    ///
    /// # Errors
    ///
    /// The request, if it is not expected from that node, or another one is not dealt with yet.
    pub(crate) fn deliver(
        &self,
        space: u64,
        request: Request,
    ) -> core::result::Result<(), Request> {
        {
            let mut state = self.state.lock();
            let expected = state.node == Some(request.from())
                && state.inbox.is_none()
                && state.space.as_ref().is_some_and(|each| each.id == space);
            if !expected {
                return Err(request);
            }
            state.inbox = Some((request, now_ns()));
        }
        self.wake.wake_all();
        Ok(())
    }

    /// Something that it may wait for has changed: a node's state, a space.
    pub(crate) fn look(&self) {
        self.wake.wake_all();
        self.end_call_if_gone();
    }
}

/// A process whose origin is here has ended.
pub(crate) fn space_ended(space: &Space) {
    let message = proto::SpaceExit { space: space.id };
    for node in space.nodes() {
        // A node that cannot be reached has nothing of it.
        let _ = talk::post_last(node, &message);
    }
}

/// Instruction and stack pointer of the current thread.
fn position() -> Option<(u64, u64)> {
    let regs = CurrentRegs::get().ok()?.read();
    Some((regs.instruction(), regs.stack()))
}

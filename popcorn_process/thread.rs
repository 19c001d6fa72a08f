// SPDX-License-Identifier: GPL-2.0
//! A thread at its origin: leaving, waiting while it is away, coming home.
//!
//! All of it happens in the `user_return` hook: the last thing before user code would run, with all
//! registers at hand and signals dealt with. A thread that is away sleeps in there.

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;

use kernel::new_spinlock;
use kernel::prelude::*;
use kernel::sync::Arc;
use kernel::sync::SpinLock;
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
use popcorn_kernel::mm::Mm;
use popcorn_kernel::module::Pinned;
use popcorn_kernel::new_delayed_work;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::regs;
use popcorn_kernel::regs::CurrentRegs;
use popcorn_kernel::regs::Fpu;
use popcorn_kernel::regs::UserRegs;
use popcorn_kernel::task;
use popcorn_kernel::task::UserTask;
use popcorn_kernel::time::now_ns;
use popcorn_kernel::uapi::popcorn_thread_info;
use popcorn_kernel::uapi::POPCORN_THREAD_AWAY;
use popcorn_kernel::wait::WaitQueue;
use popcorn_kernel::work::DelayedWork;
use popcorn_kernel::work::Late;
use popcorn_msg::Request;
use popcorn_page::talk;
use popcorn_page::Report;
use popcorn_page::Role;
use popcorn_page::Space;
use popcorn_vma::Change;

use crate::attached::Attached;
use crate::registry::Registry;
use crate::service::refuse;
use crate::this_module;

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
    /// It has arrived there.
    there: bool,
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
                    there: false,
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

    // --- hooks: the thread is current ---

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
            let _ = talk::post(node, &message, &[]);
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
    fn came_in_vain(&self, recalled: bool, regs: &UserRegs) -> bool {
        recalled
            || match self.state.lock().errand {
                Errand::Fault => true,
                Errand::Syscall(..) => syscall::is_signal_return(regs.next_syscall()),
                _ => false,
            }
    }

    /// It was away for so many nanoseconds: if moving took it longer than that, it stays at home for
    /// a while, and longer each time.
    fn linger(&self, away: u64) {
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
    fn moving(&self) -> u64 {
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

    // --- away ---

    /// Leaves for `node`, and comes home.
    ///
    /// # Errors
    ///
    /// The thread is at home, as before: `EHOSTDOWN`, `EOPNOTSUPP`, `ENOMEM`, `EINTR` killed.
    fn go(&self, node: NodeId) -> Result {
        if !self.task.can_move() {
            return Err(errno::not_supported());
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
            .unwrap_or((0, 0));
        {
            let mut state = self.state.lock();
            state.node = Some(node);
            state.space = Some(space.clone());
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
        state.there = false;
        let space = state.space.take();
        drop(state);
        drop(space);
    }

    /// Sleeps while the thread is away, and does what its carrier asks for.
    fn stay_away(&self, node: NodeId, space: &Arc<Space>, regs: &mut CurrentRegs) -> Result {
        let mut recalled = None;
        // The registers are those of a system call that was begun here, and are to be kept.
        let mut resume = false;
        let begin = now_ns();
        loop {
            let gone = || space.is_lost() || !popcorn_msg::is_online(node);
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
                if recalled.is_some() || resume {
                    verdict(request, Verdict::ComeHome, 0);
                } else {
                    resume = self.run_syscall(request, space, regs)?;
                }
                continue;
            }
            if gone() {
                err_ratelimited!(
                    "node {} is gone, and with it the memory of process {}: killing it\n",
                    node,
                    self.task.pid()
                );
                space.set_lost();
                self.task.kill();
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
        let result = regs.run_syscall(number as u32);
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

    // --- messages ---

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
    }
}

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

/// Instruction and stack pointer of the current thread.
fn position() -> Option<(u64, u64)> {
    let regs = CurrentRegs::get().ok()?.read();
    Some((regs.instruction(), regs.stack()))
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

/// A process whose origin is here has ended.
pub(crate) fn space_ended(space: &Space) {
    let message = proto::SpaceExit { space: space.id };
    for node in space.nodes() {
        // A node that cannot be reached has nothing of it.
        let _ = talk::post(node, &message, &[]);
    }
}

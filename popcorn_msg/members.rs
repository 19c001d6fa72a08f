// SPDX-License-Identifier: GPL-2.0
//! Which machines make up the system, and whether this one may serve the others: what becomes of
//! `popcorn_core::membership::machine` in a kernel.
//!
//! | part | what |
//! |---|---|
//! | this | the machine's object, its clock, what comes and goes |
//! | [`notice`] | what the log is told |
//!
//! A machine begins alone, in a list of one, and serves. While it has no links to other machines nothing
//! ticks, and nothing costs. The threads of links hand in what they [hear](Members::heard), send what is to be
//! [said](Members::says), and ask each time how the two [stand](Members::bond): a peer that is silent is
//! *missing*, its session goes on, and only when the others have decided that it is none of them the session
//! ends, and with it every call. So nobody counts as dead for this node alone.
//!
//! Kernels that this machine has started have links to this one only. What they share with it nobody else has,
//! so they need not be told how it stands towards others.
//!
//! Locks: `state`, a leaf, process context; the work under it is bounded (`popcorn_core::membership`).

mod notice;

use crate::life::TICK_MS;
use crate::settings::Settings;
use crate::tcp::listener::Roster;

use kernel::prelude::*;
use kernel::sync::new_spinlock;
use kernel::sync::Arc;
use kernel::sync::SpinLock;

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::membership::machine::Bond;
use popcorn_core::membership::machine::Heard;
use popcorn_core::membership::machine::Machine;
use popcorn_core::membership::machine::Status;
use popcorn_core::membership::view::BadView;
use popcorn_core::membership::view::Said;
use popcorn_core::membership::ForceError;
use popcorn_core::membership::Peer;
use popcorn_core::membership::Places;
use popcorn_kernel::errno;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::new_waitqueue;
use popcorn_kernel::system;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;
use popcorn_kernel::wait::WaitQueue;

/// How far ahead this machine looks whether it serves, in ticks: it looks again in each.
const AHEAD: u64 = 50;

/// How this machine stands.
pub(crate) struct Description {
    pub(crate) status: Status,
    /// Members that are not heard.
    pub(crate) missing: NodeSet,
}

/// What is known of others.
struct Kept<T>(KVec<Option<T>>);

impl<T> Places<T> for Kept<T> {
    fn all(&self) -> &[Option<T>] {
        &self.0
    }

    fn all_mut(&mut self) -> &mut [Option<T>] {
        &mut self.0
    }
}

type State = Machine<NODE_MAX, Kept<Peer>, Kept<Heard>>;

/// See the module.
#[pin_data]
pub(crate) struct Members {
    #[pin]
    state: SpinLock<KBox<State>>,
    /// Our clock in milliseconds, up to which this machine serves; exclusive.
    until_ms: AtomicU64,
    /// How often what this machine stands to has changed.
    stances: AtomicU64,
    /// Whom to tell then.
    roster: Arc<Roster>,
    /// Woken when something has changed.
    #[pin]
    changed: WaitQueue,
}

/// The agreement's clock.
fn ticks() -> u64 {
    time::now_ms() / TICK_MS
}

/// Apart, for it is made on the stack.
#[inline(never)]
fn machine(me: NodeId, dead: u64) -> Result<KBox<State>> {
    let peers = Kept(KVec::from_elem(None, NODE_MAX, GFP_KERNEL)?);
    let heard = Kept(KVec::from_elem(None, NODE_MAX, GFP_KERNEL)?);
    let machine = Machine::new(me, ticks(), dead, system::random_u64, peers, heard);
    Ok(KBox::new(machine, GFP_KERNEL)?)
}

impl Members {
    /// A machine alone. May sleep.
    pub(crate) fn new(me: NodeId, settings: &Settings, roster: Arc<Roster>) -> Result<Arc<Self>> {
        let state = machine(me, settings.agreed_silence())?;
        Arc::pin_init(
            pin_init!(Self {
                state <- new_spinlock!(state, "popcorn_msg::Members"),
                until_ms: AtomicU64::new(u64::MAX),
                stances: AtomicU64::new(0),
                roster,
                changed <- new_waitqueue!("popcorn_msg::Members::changed"),
            }),
            GFP_KERNEL,
        )
    }

    /// Does something, and draws the conclusions.
    fn with<R>(&self, what: impl FnOnce(&mut State, u64) -> R) -> R {
        let (result, news, is_stance_new) = {
            let mut state = self.state.lock();
            let now = ticks();
            let stance = state.stance();
            let result = what(&mut state, now);
            let news = state.conclude(now);
            let until_ms = match state.serves(now, AHEAD) {
                None => u64::MAX,
                Some(0) => 0,
                Some(lease) => now.saturating_add(lease).saturating_mul(TICK_MS),
            };
            self.until_ms.store(until_ms, Ordering::Relaxed);
            (result, news, state.stance() != stance)
        };
        if is_stance_new {
            self.stances.fetch_add(1, Ordering::Release);
            self.roster.signal();
        }
        if let Some(news) = news {
            notice::log(&news);
            self.changed.wake_all();
        }
        result
    }

    /// The ticking thread's main function.
    pub(crate) fn run(&self, settings: &Settings) {
        kthread::prefer(true);
        while !should_stop() {
            self.tick(settings.agreed_silence());
            self.changed.wait_idle(Some(TICK_MS as u32), should_stop);
        }
    }

    fn tick(&self, dead: u64) {
        self.with(|state, now| state.tick(now, dead));
    }

    /// Whether this machine serves processes that it shares with other machines. Any context.
    pub(crate) fn serves(&self) -> bool {
        match self.until_ms.load(Ordering::Relaxed) {
            u64::MAX => true,
            until => time::now_ms() < until,
        }
    }

    /// Waits until this machine serves, or `or` holds, which must not sleep.
    ///
    /// # Errors
    ///
    /// `EINTR`: by a signal that `sleep` heeds.
    pub(crate) fn wait_serving(&self, sleep: Sleep, or: impl Fn() -> bool) -> Result {
        while !self.serves() && !or() {
            let done = || self.serves() || or();
            match self.changed.wait(sleep, Some(TICK_MS as u32), done) {
                Err(error) if error == EINTR => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }

    /// How often what this machine stands to has changed: then the threads of links are woken to say so.
    pub(crate) fn stances(&self) -> u64 {
        self.stances.load(Ordering::Acquire)
    }

    /// This machine's life, which is new whenever it begins anew.
    pub(crate) fn life(&self) -> Incarnation {
        self.state.lock().life()
    }

    /// See [`Machine::says`].
    pub(crate) fn says(&self, to: NodeId, own: Incarnation) -> Option<Said> {
        self.state.lock().says(to, own)
    }

    /// See [`Machine::awaits`].
    pub(crate) fn awaits(&self, peer: NodeId) -> bool {
        self.state.lock().awaits(peer)
    }

    /// See [`Machine::bond`].
    pub(crate) fn bond(&self, peer: NodeId, life: Option<Incarnation>, own: Incarnation) -> Bond {
        self.state.lock().bond(peer, life, own)
    }

    /// A machine has said this.
    ///
    /// # Errors
    ///
    /// [`BadView`]: the peer is at fault.
    pub(crate) fn heard(&self, from: NodeId, said: &Said) -> core::result::Result<(), BadView> {
        self.with(|state, now| state.hear(now, from, said))
    }

    /// The session with that machine is over.
    pub(crate) fn disconnected(&self, peer: NodeId) {
        self.with(|state, now| state.disconnected(now, peer));
    }

    /// That life of a machine is over, and somebody knows.
    pub(crate) fn surely_dead(&self, peer: NodeId, life: Incarnation) {
        self.with(|state, now| state.surely_dead(now, peer, life));
    }

    /// There is a link to that machine, or none any more.
    pub(crate) fn link(&self, peer: NodeId, is_there: bool) {
        self.with(|state, now| state.link(now, peer, is_there));
    }

    /// Leaves the others in order, as far as that can be done in time, if there are others. Links are there
    /// still. May sleep.
    pub(crate) fn leave(&self, timeout_ms: u32) {
        let has_others = self.with(|state, _| state.leave());
        if has_others && !self.wait_gone(timeout_ms) {
            pr_warn!("the other machines do not know that this one leaves\n");
        }
    }

    /// Leaves the others without waiting for them to know it. The end of a link has to follow.
    pub(crate) fn resign(&self) {
        self.with(|state, _| state.leave());
    }

    /// Waits until this machine, which leaves, may go; whether that was in time.
    fn wait_gone(&self, timeout_ms: u32) -> bool {
        let is_gone = || self.state.lock().is_gone(ticks());
        let until = time::now_ms().saturating_add(timeout_ms.into());
        loop {
            // That the last one falls silent who could hear it is no news: nobody is woken by that.
            let left = until.saturating_sub(time::now_ms()).min(TICK_MS);
            if self.changed.wait_idle(Some(left as u32), is_gone) {
                return true;
            }
            if left == 0 {
                return false;
            }
        }
    }

    /// See [`Machine::force`]: the word of an administrator. When he has said so of all that are missing, those that
    /// are here go on.
    ///
    /// # Errors
    ///
    /// `EALREADY`: this machine serves, or is no member: nothing is to be done. `EBUSY`: the node is connected.
    pub(crate) fn force(&self, node: NodeId) -> Result {
        match self.with(|state, now| state.force(now, node)) {
            Ok(()) => Ok(()),
            Err(ForceError::NotNamed(missing)) => {
                pr_warn!(
                    "still suspended: nodes {} are missing, too\n",
                    notice::Names(missing)
                );
                Ok(())
            }
            Err(ForceError::NotSuspended) => Err(errno::already()),
            Err(ForceError::Connected(connected)) => {
                pr_err!("nodes {} are connected\n", notice::Names(connected));
                Err(EBUSY)
            }
        }
    }

    /// How this machine stands now.
    pub(crate) fn describe(&self) -> Description {
        let state = self.state.lock();
        let now = ticks();
        Description {
            status: state.status(now),
            missing: state.missing(now),
        }
    }
}

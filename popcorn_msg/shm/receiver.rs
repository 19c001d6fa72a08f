// SPDX-License-Identifier: GPL-2.0
//! The receiving thread of a window: membership, draining the rings, sleeping.
//!
//! It alone changes the link's state. Others may drain the rings too, while they poll for a
//! response: whoever holds `Window::receive`. What they find wrong they leave to the thread.

use super::Window;
use crate::dispatch;
use crate::dispatch::takes_requests;
use crate::dispatch::Fault;
use crate::life;
use crate::life::new_life;
use crate::life::next_tick_ms;
use crate::life::TICK_MS;
use crate::link::Link;
use crate::link::LinkState;
use crate::service::NodeEvent;

use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::fence;
use core::sync::atomic::Ordering;
use popcorn_core::adaptive_poll::AdaptivePoll;
use popcorn_core::ids::Incarnation;
use popcorn_core::progress::Progress;
use popcorn_core::ring::Consumer;
use popcorn_core::ring::Corrupt;
use popcorn_core::window;
use popcorn_core::window::Lane;
use popcorn_core::window::Mismatch;
use popcorn_core::window::State;
use popcorn_core::wire::Header;
use popcorn_core::wire::HEADER_SIZE;
use popcorn_kernel::bytes::zeroed;
use popcorn_kernel::current;
use popcorn_kernel::doorbell;
use popcorn_kernel::doorbell::Doorbell;
use popcorn_kernel::doorbell::Ring;
use popcorn_kernel::err_ratelimited;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::time;

/// Between two looks when nobody rings for what comes, or came.
const POLL_WITHOUT_DOORBELL_MS: u32 = 1;
/// Messages of one ring that are taken in one go.
pub(crate) const BUDGET: usize = 32;
/// For a doorbell that was rung before the peer saw that we left.
const LATE_DOORBELL_MS: u32 = 20;

/// The reading ends of a link's rings; `None` while the peer is not online.
#[derive(Default)]
pub(crate) struct Receive {
    lanes: Option<[Receiver; 2]>,
    /// For what comes next there was no memory: it lies where it is, and is looked at again a moment later.
    starved: bool,
}

struct Receiver {
    consumer: Consumer<SharedMemory>,
    lane: Lane,
    sequence: u64,
    life: Incarnation,
}

impl From<Corrupt> for Fault {
    fn from(_: Corrupt) -> Self {
        Fault("its ring is corrupt")
    }
}

/// Rings the link's thread awake, and tells the peer where to ring: while the thread has published it,
/// so that the window is there.
struct Bell {
    link: Arc<Link>,
    window: Arc<Window>,
}

impl Ring for Bell {
    fn ring(&self) {
        self.link.kick();
    }

    fn placed(&self, at: Option<window::Doorbell>) {
        self.window.own_header().set_doorbell(at);
    }
}

/// Drains what is there, if nobody else does so now. Called by those who wait for a response, too;
/// how many messages there were.
pub(super) fn poll(link: &Arc<Link>, window: &Window) -> usize {
    let Some(mut receive) = window.receive.try_lock() else {
        return 0;
    };
    match drain(link, &mut receive) {
        Ok(number) => number,
        Err(Fault(what)) => {
            let life = receive
                .lanes
                .as_ref()
                .map(|[requests, _]| requests.life.get());
            // A peer in another life has cleared its rings: no fault of its own.
            let same_life = life == Some(window.peer_header().incarnation());
            let is_first = link.fault();
            drop(receive);
            if same_life && is_first {
                err_ratelimited!("node {} is dropped: {}\n", link.peer(), what);
            }
            link.kick();
            0
        }
    }
}

/// Whether something could be drained now; `None`: somebody else looks, or drains, or there is no memory for it.
pub(super) fn is_pending(link: &Link, window: &Window) -> Option<bool> {
    let receive = window.receive.try_lock()?;
    if receive.starved {
        return None;
    }
    let Some([requests, responses]) = &receive.lanes else {
        return Some(false);
    };
    let is_pending =
        responses.consumer.pending() || requests.consumer.pending() && takes_requests(link);
    Some(is_pending)
}

fn drain(link: &Arc<Link>, receive: &mut Receive) -> core::result::Result<usize, Fault> {
    receive.starved = false;
    let Some([requests, responses]) = &mut receive.lanes else {
        return Ok(0);
    };
    let starved = &mut receive.starved;
    let mut number = 0;
    while number < BUDGET {
        let Some((header, payload)) = responses.next(link, starved)? else {
            break;
        };
        number += 1;
        dispatch::response(link, &header, payload);
    }
    responses.consumer.release();
    let mut taken = 0;
    while taken < BUDGET && takes_requests(link) {
        let Some((header, payload)) = requests.next(link, starved)? else {
            break;
        };
        taken += 1;
        dispatch::request(link, header, payload)?;
    }
    requests.consumer.release();
    Ok(number + taken)
}

impl Receiver {
    fn new(window: &Window, lane: Lane, life: Incarnation) -> Result<Self> {
        let (base, capacity) = window.incoming(lane);
        Ok(Self {
            consumer: Consumer::new(window.memory(), base, capacity).map_err(|_| EINVAL)?,
            lane,
            sequence: 0,
            life,
        })
    }

    /// The next message, with its payload. None if there is none, or no memory for it: then it is `starved`, and the
    /// message is still there.
    fn next(
        &mut self,
        link: &Link,
        starved: &mut bool,
    ) -> core::result::Result<Option<(Header, KVVec<u8>)>, Fault> {
        let Some(length) = self.consumer.front()? else {
            return Ok(None);
        };
        let mut bytes = [0; HEADER_SIZE];
        if !self.consumer.read(0, &mut bytes) {
            return Err(Fault("a message is shorter than its header"));
        }
        let header = dispatch::check(link, &bytes, self.lane, self.life, self.sequence, length)?;
        let Ok(mut payload) = zeroed(header.length as usize) else {
            *starved = true;
            return Ok(None);
        };
        if !self.consumer.read(HEADER_SIZE, &mut payload) {
            return Err(Fault("a message has a wrong length"));
        }
        self.consumer.pop();
        self.sequence += 1;
        dispatch::counted(link, &header);
        Ok(Some((header, payload)))
    }
}

/// How far we are with the peer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Seeking,
    Accepted(Incarnation),
    Online(Incarnation),
}

/// The thread's own state.
pub(crate) struct Thread {
    link: Arc<Link>,
    window: Arc<Window>,
    bell: Option<Doorbell<Bell>>,
    /// Whether the peer can ring it.
    has_place: bool,
    phase: Phase,
    own: Incarnation,
    /// A life of the peer that we do not talk to any more.
    refused: u64,
    reported: Option<Mismatch>,
    beats: u64,
    peer_beats: u64,
    /// Ticks of ours since the peer's heartbeat moved. Ticks, not time: if this whole machine was
    /// stopped for a while, both sides were.
    missed: u32,
    /// Ticks since the peer was accepted, and has not accepted this side.
    in_vain: u32,
    progress: Progress,
    next_tick_ms: u64,
}

impl Thread {
    pub(crate) fn new(link: Arc<Link>, window: Arc<Window>) -> Self {
        let bell = Doorbell::new(Bell {
            link: link.clone(),
            window: window.clone(),
        });
        if let Err(error) = &bell {
            pr_warn!(
                "no doorbell for node {} ({:?}): polling\n",
                link.peer(),
                error
            );
        }
        Self {
            link,
            window,
            bell: bell.ok(),
            has_place: false,
            phase: Phase::Seeking,
            own: new_life(),
            refused: 0,
            reported: None,
            beats: 0,
            peer_beats: 0,
            missed: 0,
            in_vain: 0,
            progress: Progress::default(),
            next_tick_ms: 0,
        }
    }

    /// The thread's main function.
    pub(crate) fn run(mut self) {
        // A node may have one processor, busy with a program that waits for nothing.
        kthread::prefer(true);
        self.join();
        // The latest time at which something was there, and until when to look for more.
        let (mut came_ns, mut look_until) = (0, 0);
        let worth = AdaptivePoll::new();
        while !should_stop() {
            if self.link.kicked.swap(false, Ordering::AcqRel) {
                self.membership();
            }
            let now = time::now_ns();
            if now / 1_000_000 >= self.next_tick_ms {
                self.tick(now / 1_000_000);
                self.membership();
            }
            if poll(&self.link, &self.window) != 0 {
                let most_ns = self.link.core().settings().poll_ns();
                worth.came_after(now.saturating_sub(came_ns), most_ns);
                came_ns = now;
                look_until = now + u64::from(worth.budget(most_ns));
                current::cond_resched();
            } else if now < look_until && !current::need_resched() {
                current::cpu_relax();
            } else {
                self.sleep(now / 1_000_000);
            }
        }
        self.part();
    }

    fn sleep(&self, now_ms: u64) {
        let link = &self.link;
        let header = self.window.own_header();
        header.set_sleeping(true);
        // Pairs with the fence in Window::ring_if_sleeping().
        fence(Ordering::SeqCst);
        let is_pending = is_pending(link, &self.window);
        if is_pending != Some(true) {
            let tick = self.next_tick_ms.saturating_sub(now_ms).clamp(1, TICK_MS) as u32;
            // Who looks just now may have looked before something came for which nobody rings; nor does anybody when
            // there is memory again.
            let timeout = if self.has_place && is_pending.is_some() {
                tick
            } else {
                POLL_WITHOUT_DOORBELL_MS
            };
            link.wake.wait_idle(Some(timeout), || {
                link.kicked.load(Ordering::Acquire) || should_stop()
            });
        }
        header.set_sleeping(false);
    }

    /// Begins a life: clear rings, then the introduction.
    fn join(&mut self) {
        self.own = new_life();
        self.phase = Phase::Seeking;
        self.window.own_header().retract();
        if self.window.clear_rings().is_err() {
            // Cannot be: the geometry was checked when the link was made.
            pr_err!("the window with node {} cannot be used\n", self.link.peer());
        }
        let introduction = self.link.introduce(self.own);
        // Without a place, or this would overwrite one that was told meanwhile.
        self.window.own_header().introduce(&introduction, None);
        self.publish();
        self.window.ring_if_sleeping(&self.link);
    }

    /// Tells the peer where to ring.
    fn publish(&mut self) {
        self.has_place = self.bell.as_ref().is_some_and(Doorbell::publish);
    }

    /// Ends the life of this side, in order.
    fn part(mut self) {
        if let Phase::Online(_) = self.phase {
            self.down(NodeEvent::Left);
        }
        let header = self.window.own_header();
        let peer = self.window.peer_header();
        let wake = peer.sleeping();
        if let Some(bell) = &self.bell {
            bell.withdraw();
        }
        header.leave();
        fence(Ordering::SeqCst);
        if wake {
            doorbell::send(|| peer.doorbell());
        }
        if self.bell.is_some() {
            self.link.wake.wait_idle(Some(LATE_DOORBELL_MS), || false);
        }
    }

    fn tick(&mut self, now_ms: u64) {
        self.next_tick_ms = next_tick_ms(self.next_tick_ms, now_ms);
        self.beats = self.beats.wrapping_add(1);
        let header = self.window.own_header();
        header.set_heartbeat(self.beats);
        self.publish();
        let beats = self.window.peer_header().heartbeat();
        if beats == self.peer_beats {
            self.missed = self.missed.saturating_add(1);
        } else {
            self.peer_beats = beats;
            self.missed = 0;
        }
        self.in_vain = match self.phase {
            Phase::Accepted(_) => self.in_vain.saturating_add(1),
            _ => 0,
        };
        let passed = self.link.passed_while_waiting();
        self.progress.tick(passed, true);
    }

    fn membership(&mut self) {
        let killed = self.link.killed.swap(false, Ordering::AcqRel);
        let faulty = self.link.faulty.swap(false, Ordering::AcqRel);
        let peer = self.window.peer_header();
        match self.phase {
            Phase::Seeking => {
                if killed {
                    self.refused = peer.incarnation();
                    self.link.set_state(LinkState::Dead);
                }
                self.seek(&peer);
            }
            Phase::Accepted(life) => {
                if killed || peer.incarnation() != life.get() || peer.state() != State::Joined {
                    self.refused = if killed { life.get() } else { self.refused };
                    self.window.own_header().accept(None);
                    self.phase = Phase::Seeking;
                } else if peer.accepts(self.own) {
                    self.up(life);
                } else if u64::from(self.in_vain) >= self.link.core().settings().silence() {
                    // It may have met this life, while this side stood still, and given it up.
                    self.join();
                }
            }
            Phase::Online(life) => {
                let limit = self.link.core().settings().silence();
                if killed || faulty {
                    self.give_up(life);
                } else if u64::from(self.missed) >= limit {
                    err_ratelimited!(
                        "node {}: no heartbeat for {} ms\n",
                        self.link.peer(),
                        u64::from(self.missed) * TICK_MS
                    );
                    self.give_up(life);
                } else if self.progress.is_stuck(limit, limit) {
                    // Its requests hold workers that others need, too.
                    err_ratelimited!(
                        "node {} is dropped: it took no response for {} ms\n",
                        self.link.peer(),
                        u64::from(self.progress.ticks()) * TICK_MS
                    );
                    self.give_up(life);
                } else if peer.state() != State::Joined {
                    self.down(NodeEvent::Left);
                    self.join();
                } else if peer.incarnation() != life.get() || !peer.accepts(self.own) {
                    // It began another life without leaving the old one, or gave us up.
                    self.down(NodeEvent::Dead);
                    self.join();
                }
            }
        }
    }

    fn seek(&mut self, header: &window::Header<SharedMemory>) {
        if header.state() != State::Joined || !life::is_told(&self.link) {
            return;
        }
        match header.introduction(self.link.peer(), self.link.core().protocol()) {
            Ok(introduction) if introduction.incarnation.get() != self.refused => {
                self.reported = None;
                self.link.set_introduction(introduction);
                self.peer_beats = header.heartbeat();
                self.missed = 0;
                self.progress = Progress::default();
                self.phase = Phase::Accepted(introduction.incarnation);
                self.window
                    .own_header()
                    .accept(Some(introduction.incarnation));
                self.window.ring_if_sleeping(&self.link);
                if header.accepts(self.own) {
                    self.up(introduction.incarnation);
                }
            }
            Ok(_) | Err(Mismatch::Absent) => {}
            Err(mismatch) => {
                self.link.set_state(LinkState::Mismatch);
                if self.reported != Some(mismatch) {
                    self.reported = Some(mismatch);
                    err_ratelimited!(
                        "node {} does not match this one ({:x?}): it stays offline; load modules of the same build on both\n",
                        self.link.peer(),
                        mismatch
                    );
                }
            }
        }
    }

    /// Both have accepted each other.
    fn up(&mut self, life: Incarnation) {
        let window = self.window.clone();
        let opened = Receiver::new(&window, Lane::Requests, life)
            .and_then(|requests| Ok([requests, Receiver::new(&window, Lane::Responses, life)?]))
            .and_then(|lanes| {
                window.open(self.own, life, self.link.begin_session())?;
                Ok(lanes)
            });
        match opened {
            Ok(lanes) => self.receive_from(Some(lanes)),
            Err(error) => {
                pr_err!("node {} cannot be used: {:?}\n", self.link.peer(), error);
                return;
            }
        }
        self.phase = Phase::Online(life);
        life::begin(&self.link, life);
        // The peer may still be waiting for our acceptance.
        window.ring_if_sleeping(&self.link);
        self.link.core().online().wake_all();
    }

    /// That life of the peer counts as dead from here on, whatever it still says; another is welcome.
    fn give_up(&mut self, life: Incarnation) {
        self.refused = life.get();
        self.down(NodeEvent::Dead);
        self.join();
    }

    /// The peer is gone: nobody sends or receives any more, every call to it fails. Nobody finds it
    /// at fault any more either: what `faulty` says from here on is of this life, and is forgotten
    /// by the next look at the membership, which comes before another life.
    fn down(&mut self, event: NodeEvent) {
        life::close(&self.link, event);
        self.window.close();
        self.receive_from(None);
        if let Phase::Online(life) = self.phase {
            life::end(&self.link, life, event);
        }
        self.phase = Phase::Seeking;
    }

    /// Replaces the reading ends. A poller holds them only while it drains.
    fn receive_from(&self, lanes: Option<[Receiver; 2]>) {
        loop {
            if let Some(mut receive) = self.window.receive.try_lock() {
                receive.lanes = lanes;
                return;
            }
            self.link.wake.wait_idle(Some(1), || false);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! KUnit: nodes that part, with services that do so, refuse, or take too long.

use super::check;
use super::eventually;
use super::node;
use super::two_nodes;
use super::Outcome;
use super::TestNode;
use super::LONG_MS;
use super::OPTIONS;

use crate::endpoint::Registration;
use crate::parting::Limit;
use crate::parting::PARTING_MAX_MS;
use crate::ping::ECHO;
use crate::request::Request;
use crate::service::Handler;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::NodeId;
use popcorn_core::proto;
use popcorn_kernel::errno;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::shared_memory::SharedMemory;

/// Time for a parting that does not come to an end.
const SHORT_MS: u32 = 2000;

/// What a service does when it is to part.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Way {
    Obeys,
    Refuses,
    /// Until the time is over, or nobody waits any more.
    Waits,
}

/// Notes when it was asked to part.
struct Homeward {
    way: AtomicU32,
    /// Its turn, among all of this test, from 1.
    turn: AtomicU32,
    asked: AtomicU32,
    ended: AtomicU32,
}

static TURNS: AtomicU32 = AtomicU32::new(0);

impl Homeward {
    const fn new() -> Self {
        Self {
            way: AtomicU32::new(Way::Obeys as u32),
            turn: AtomicU32::new(0),
            asked: AtomicU32::new(0),
            ended: AtomicU32::new(0),
        }
    }

    fn reset(&self, way: Way) {
        self.way.store(way as u32, Ordering::SeqCst);
        for counter in [&self.turn, &self.asked, &self.ended] {
            counter.store(0, Ordering::SeqCst);
        }
    }

    fn turn(&self) -> u32 {
        self.turn.load(Ordering::SeqCst)
    }

    fn asked(&self) -> u32 {
        self.asked.load(Ordering::SeqCst)
    }

    fn ended(&self) -> u32 {
        self.ended.load(Ordering::SeqCst)
    }
}

impl Handler for Homeward {
    fn request(&self, _from: NodeId, _request: Request) {}

    fn part(&self, _node: NodeId, limit: &Limit<'_>) -> Result {
        let turn = TURNS.fetch_add(1, Ordering::SeqCst) + 1;
        self.turn.store(turn, Ordering::SeqCst);
        self.asked.fetch_add(1, Ordering::SeqCst);
        let way = self.way.load(Ordering::SeqCst);
        let result = if way == Way::Refuses as u32 {
            Err(EBUSY)
        } else if way == Way::Waits as u32 {
            limit.wait(|| false)
        } else {
            limit.check()
        };
        self.ended.fetch_add(1, Ordering::SeqCst);
        result
    }
}

/// Two nodes, each with a service for threads; with the memory between them, and what keeps the services.
fn two_homewards(
    here: &'static Homeward,
    there: &'static Homeward,
) -> Result<(TestNode, TestNode, SharedMemory, [Registration; 2])> {
    let (zero, one, memory) = two_nodes()?;
    let services = [
        zero.register(requests!(0x581), here)?,
        one.register(requests!(0x581), there)?,
    ];
    Ok((zero, one, memory, services))
}

/// Threads may go both ways.
fn is_open(zero: &TestNode, one: &TestNode) -> bool {
    zero.takes_threads(node(1)) && one.takes_threads(node(0))
}

/// A parting of `from` in a thread of its own, and its errno (`u32::MAX` while it has not ended).
fn part_aside(
    from: &TestNode,
    to: u64,
    timeout_ms: u32,
    result: &'static AtomicU32,
) -> Result<Kthread> {
    let endpoint = from.0.clone();
    result.store(u32::MAX, Ordering::SeqCst);
    Kthread::spawn(c_str!("popcorn test"), move || {
        let parting = endpoint.part(node(to), timeout_ms);
        let errno = parting.as_ref().err().map_or(0, |error| error.to_errno());
        result.store(errno.unsigned_abs(), Ordering::SeqCst);
    })
}

/// The peer's services first, and threads before pages; nobody passes meanwhile, and afterwards only if
/// the node stays. Messages pass as ever.
pub(super) fn in_order() -> Outcome {
    static THREADS: Homeward = Homeward::new();
    static PAGES: Homeward = Homeward::new();
    static THREADS_THERE: Homeward = Homeward::new();
    static PAGES_THERE: Homeward = Homeward::new();
    let all = [&THREADS_THERE, &PAGES_THERE, &THREADS, &PAGES];
    TURNS.store(0, Ordering::SeqCst);
    for service in all {
        service.reset(Way::Obeys);
    }
    let (zero, one, _memory) = two_nodes()?;
    // In the wrong order, as modules are loaded.
    let _here = (
        zero.register(requests!(0x583), &PAGES)?,
        zero.register(requests!(0x581), &THREADS)?,
    );
    let _there = (
        one.register(requests!(0x583), &PAGES_THERE)?,
        one.register(requests!(0x581), &THREADS_THERE)?,
    );
    check!(is_open(&zero, &one));
    let parting = zero.part(node(1), LONG_MS)?;
    check!(!zero.takes_threads(node(1)) && !one.takes_threads(node(0)));
    for (index, service) in all.iter().enumerate() {
        check!(service.asked() == 1 && service.turn() == index as u32 + 1);
    }
    check!(zero.part(node(1), LONG_MS).err() == Some(errno::already()));
    zero.call(node(1), ECHO, &[], OPTIONS)?;
    one.call(node(0), ECHO, &[], OPTIONS)?;
    drop(parting);
    check!(zero.takes_threads(node(1)));
    check!(eventually(|| is_open(&zero, &one)));
    // Once more, and this time it leaves.
    let leaving = zero.part_from_system(node(1), LONG_MS)?;
    zero.leave(leaving)?;
    check!(!zero.takes_threads(node(1)) && zero.link(node(1)).is_none());
    check!(eventually(|| !one.is_online(node(0))));
    // From one that is not there, or of which nobody knows.
    drop(one.part(node(0), LONG_MS)?);
    check!(zero.part(node(1), LONG_MS).err() == Some(ENODEV));
    check!(one.part(node(0), PARTING_MAX_MS + 1).err() == Some(EINVAL));
    Ok(())
}

/// A service that cannot, on either side: all is as before.
pub(super) fn refused() -> Outcome {
    static HERE: Homeward = Homeward::new();
    static THERE: Homeward = Homeward::new();
    let (zero, one, _memory, _services) = two_homewards(&HERE, &THERE)?;
    for (here, there) in [(Way::Obeys, Way::Refuses), (Way::Refuses, Way::Obeys)] {
        HERE.reset(here);
        THERE.reset(there);
        check!(zero.part(node(1), LONG_MS).err() == Some(EBUSY));
        check!(THERE.asked() == 1);
        check!(eventually(|| is_open(&zero, &one)));
    }
    HERE.reset(Way::Obeys);
    drop(zero.part(node(1), LONG_MS)?);
    Ok(())
}

/// One that takes too long, on either side: it ends in time, and all is as before.
pub(super) fn too_slow() -> Outcome {
    static HERE: Homeward = Homeward::new();
    static THERE: Homeward = Homeward::new();
    let (zero, one, _memory, _services) = two_homewards(&HERE, &THERE)?;
    for (here, there) in [(Way::Obeys, Way::Waits), (Way::Waits, Way::Obeys)] {
        HERE.reset(here);
        THERE.reset(there);
        check!(zero.part(node(1), SHORT_MS).err() == Some(errno::timed_out()));
        check!(THERE.asked() == 1 && eventually(|| THERE.ended() == 1));
        check!(eventually(|| is_open(&zero, &one)));
    }
    zero.call(node(1), ECHO, &[], OPTIONS)?;
    Ok(())
}

/// What is called off ends at the peer, also if that word comes first.
pub(super) fn called_off() -> Outcome {
    static THERE: Homeward = Homeward::new();
    static RESULT: AtomicU32 = AtomicU32::new(0);
    THERE.reset(Way::Waits);
    let (zero, one, _memory) = two_nodes()?;
    let _there = one.register(requests!(0x581), &THERE)?;
    let waiting = part_aside(&zero, 1, LONG_MS, &RESULT)?;
    check!(eventually(|| THERE.asked() == 1));
    check!(!one.takes_threads(node(0)));
    zero.post_typed(node(1), &proto::Stay { number: 7 }, &[])?;
    let canceled = errno::canceled().to_errno().unsigned_abs();
    check!(eventually(|| RESULT.load(Ordering::SeqCst) == canceled));
    drop(waiting);
    check!(THERE.ended() == 1 && eventually(|| is_open(&zero, &one)));
    // Numbers up to that one are of the past.
    check!(zero.part(node(1), LONG_MS).err() == Some(errno::canceled()));
    check!(THERE.asked() == 1 && eventually(|| is_open(&zero, &one)));
    Ok(())
}

/// The peer ends meanwhile: nobody waits for it, and there is nothing to part from.
pub(super) fn from_lost() -> Outcome {
    static THERE: Homeward = Homeward::new();
    static RESULT: AtomicU32 = AtomicU32::new(0);
    THERE.reset(Way::Waits);
    let (zero, one, _memory) = two_nodes()?;
    let _there = one.register(requests!(0x581), &THERE)?;
    let waiting = part_aside(&zero, 1, LONG_MS, &RESULT)?;
    check!(eventually(|| THERE.asked() == 1));
    // Its workers learn of it, too.
    one.detach(node(0))?;
    check!(eventually(|| THERE.ended() == 1));
    check!(eventually(|| RESULT.load(Ordering::SeqCst) == 0));
    drop(waiting);
    Ok(())
}

/// Both at once: each does for the other what it does for itself.
pub(super) fn both() -> Outcome {
    static HERE: Homeward = Homeward::new();
    static THERE: Homeward = Homeward::new();
    static RESULTS: [AtomicU32; 2] = [const { AtomicU32::new(0) }; 2];
    HERE.reset(Way::Obeys);
    THERE.reset(Way::Obeys);
    let (zero, one, _memory, _services) = two_homewards(&HERE, &THERE)?;
    for round in 1..=10 {
        let first = part_aside(&zero, 1, LONG_MS, &RESULTS[0])?;
        let second = part_aside(&one, 0, LONG_MS, &RESULTS[1])?;
        let ended = |result: &AtomicU32| result.load(Ordering::SeqCst) == 0;
        check!(eventually(|| RESULTS.iter().all(ended)));
        drop((first, second));
        check!(HERE.asked() == 2 * round && THERE.asked() == 2 * round);
        check!(eventually(|| is_open(&zero, &one)));
    }
    Ok(())
}

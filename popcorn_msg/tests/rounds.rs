// SPDX-License-Identifier: GPL-2.0
//! Looking into the rings of a window: a bounded number of messages in one go, and then again.

use super::node;
use super::Puppet;
use super::TestNode;
use super::LONG_MS;
use super::PROTOCOL;
use super::WINDOW;
use crate::link::Link;
use crate::request::Request;
use crate::service::Handler;
use crate::shm::BUDGET;

use kernel::prelude::*;
use kernel::sync::Arc;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Class;
use popcorn_core::ids::NodeId;
use popcorn_core::message::Declared;
use popcorn_core::message::Messages;
use popcorn_core::ring::Producer;
use popcorn_core::window::Lane;
use popcorn_core::window::Layout;
use popcorn_core::window::Side;
use popcorn_core::wire;
use popcorn_kernel::check;
use popcorn_kernel::current;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Failure;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::shared_memory::SharedMemory;

const KIND: u16 = 0x5b0;
const LIST: &[Declared] = &[Declared::one_way("Test", KIND, 0).urgent()];
const MESSAGES: Messages = Messages::new(LIST);
/// So many fit into a ring; were the budget greater, they would not.
const ROUNDS: usize = 120;
const NUMBER: usize = ROUNDS * BUDGET;
/// The node's own thread, which wakes for its ticks, may take all before the test does.
const TRIES: u32 = 20;

/// Takes messages in the receiver.
struct Takes {
    taken: AtomicU32,
    /// Those that came to a worker.
    wrong: AtomicU32,
}

static TAKES: Takes = Takes {
    taken: AtomicU32::new(0),
    wrong: AtomicU32::new(0),
};

impl Handler for Takes {
    fn request(&self, _from: NodeId, _request: Request) {
        self.wrong.fetch_add(1, Ordering::SeqCst);
    }

    fn urgent(&self, _from: NodeId, _request: Request) -> Option<Request> {
        self.taken.fetch_add(1, Ordering::SeqCst);
        None
    }
}

/// A lane of the puppet's, and what it sends there.
struct Source {
    producer: Producer<SharedMemory>,
    header: wire::Header,
}

impl Source {
    /// Nothing was sent there before.
    fn new(puppet: &Puppet, lane: Lane) -> Result<Self> {
        let layout = Layout::new(WINDOW).ok_or(EINVAL)?;
        let base = layout.ring(Side::High, lane);
        let producer = Producer::new(&puppet.memory, base, layout.capacity());
        let (class, request) = match lane {
            Lane::Requests => (Class::OneWay, 0),
            // Nobody waits for them.
            Lane::Responses => (Class::Response, puppet.request.request),
        };
        Ok(Self {
            producer: producer.map_err(|_| EINVAL)?,
            header: wire::Header {
                kind: KIND,
                class,
                request,
                ..puppet.request
            },
        })
    }

    /// Shows all of them at once. Nobody is rung.
    fn fill(&mut self) -> Outcome {
        for _ in 0..NUMBER {
            let message = self.header.encode();
            // Who has taken the former may not have given back their room yet.
            check!(eventually(|| self.producer.push(&[&message]).is_ok()));
            self.header.sequence += 1;
        }
        self.producer.publish();
        Ok(())
    }
}

fn received(link: &Link) -> usize {
    link.statistics().totals().received as usize
}

/// Looks until `all` have come. No look takes more than `most`; whether one took as many.
fn take(link: &Arc<Link>, all: usize, most: usize) -> core::result::Result<bool, Failure> {
    let mut is_seen = false;
    while received(link) < all {
        check!(link.is_online());
        let taken = link.transport().poll(link);
        check!(taken <= most);
        is_seen |= taken == most;
        if taken == 0 {
            current::cond_resched();
        }
    }
    Ok(is_seen)
}

/// Who looks takes so many messages of a lane and no more, however many there are; who looks again gets the others.
pub(super) fn budget() -> Outcome {
    TAKES.taken.store(0, Ordering::SeqCst);
    TAKES.wrong.store(0, Ordering::SeqCst);
    let zero = TestNode::new(0, PROTOCOL, 10 * LONG_MS)?;
    let _service = zero.register(MESSAGES, &TAKES)?;
    let puppet = Puppet::join(&zero, 1)?;
    let link = zero.link(node(1)).ok_or(ENODEV)?;
    let mut requests = Source::new(&puppet, Lane::Requests)?;
    let mut responses = Source::new(&puppet, Lane::Responses)?;
    // Each lane by itself, then both.
    for (has_requests, has_responses) in [(true, false), (false, true), (true, true)] {
        let lanes = usize::from(has_requests) + usize::from(has_responses);
        let mut is_seen = false;
        for _ in 0..TRIES {
            let all = received(&link) + lanes * NUMBER;
            if has_requests {
                requests.fill()?;
            }
            if has_responses {
                responses.fill()?;
            }
            is_seen = take(&link, all, lanes * BUDGET)?;
            if is_seen {
                break;
            }
        }
        check!(is_seen);
    }
    check!(eventually(
        || TAKES.taken.load(Ordering::SeqCst) as usize >= 2 * NUMBER
    ));
    check!(TAKES.wrong.load(Ordering::SeqCst) == 0);
    check!(zero.is_online(node(1)));
    Ok(())
}

/// The node's own thread, woken once, goes on by itself until nothing is left. If it did not, it would look again at each
/// of its ticks; and if it did that, it would need as many ticks as rounds.
pub(super) fn go_on() -> Outcome {
    TAKES.taken.store(0, Ordering::SeqCst);
    let zero = TestNode::new(0, PROTOCOL, 10 * LONG_MS)?;
    let _service = zero.register(MESSAGES, &TAKES)?;
    let puppet = Puppet::join(&zero, 1)?;
    let link = zero.link(node(1)).ok_or(ENODEV)?;
    let mut source = Source::new(&puppet, Lane::Requests)?;
    source.fill()?;
    let begin = puppet.peer_header.heartbeat();
    link.kick();
    check!(eventually(
        || TAKES.taken.load(Ordering::SeqCst) as usize == NUMBER
    ));
    check!(puppet.peer_header.heartbeat() - begin < ROUNDS as u64 / 2);
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0
//! Who takes the long answers, over the connection that they have to themselves: a peer that has lost it for a while does
//! so later, and is none that does not want to.

use super::check;
use super::eventually;
use super::line::hello_of;
use super::line::Line;
use super::members::two_members;
use super::members::DEAD_MS;
use super::node;
use super::statistics_tests::retries;
use super::tcp::listens;
use super::tcp::ports;
use super::Events;
use super::Outcome;
use super::TestNode;
use super::LONG_MS;
use super::OPTIONS;
use super::PROTOCOL;
use crate::endpoint::CallOptions;
use crate::life::new_life;
use crate::ping::ECHO;
use crate::request::Request;
use crate::service::Handler;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::AtomicBool;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::address::Address;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::stream::frame::lane_index;
use popcorn_core::stream::hello::Beat;
use popcorn_core::stream::Channel;
use popcorn_core::stream::Frame;
use popcorn_core::stream::Hello;
use popcorn_core::window::Lane;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::time;

/// Its answers are long: so many of them wait for room that a peer does not make, but not as many as may wait.
const KIND: u16 = 0x5a0;
const ASKED: u32 = 24;
static LONG: [u8; 60_000] = [0x5a; 60_000];

/// Gives long answers, and counts those that were given, or not, because the one who asked is gone.
struct Answers(AtomicU32);

impl Answers {
    fn number(&self) -> u32 {
        self.0.load(Ordering::SeqCst)
    }
}

impl Handler for Answers {
    fn request(&self, _from: NodeId, request: Request) {
        request.reply(0, &[&LONG]).ok();
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The bulk connection alone goes half-open, while many pages are on their way, and it takes longer to have another than
/// a connection may be silent.
pub(super) fn half_open_bulk() -> Outcome {
    goes_on(61, false)
}

/// The same in one direction: who answers still hears beats on it, until who asks notices that it hears nothing.
pub(super) fn deaf_bulk() -> Outcome {
    goes_on(64, true)
}

/// Nobody is dropped, and each answer comes, and comes once.
fn goes_on(case: u16, one_way: bool) -> Outcome {
    static ANSWERS: Answers = Answers(AtomicU32::new(0));
    static ZERO: Events = Events::new();
    static ONE: Events = Events::new();
    static ENDS: AtomicBool = AtomicBool::new(false);
    static RIGHT: AtomicU32 = AtomicU32::new(0);
    static WRONG: AtomicU32 = AtomicU32::new(0);
    static ENDED: AtomicU32 = AtomicU32::new(0);
    /// Ends the callers, also if the test fails: dropped before they are, which waits for them.
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            ENDS.store(true, Ordering::SeqCst);
        }
    }
    for counter in [&ANSWERS.0, &RIGHT, &WRONG, &ENDED] {
        counter.store(0, Ordering::SeqCst);
    }
    ENDS.store(false, Ordering::SeqCst);
    let (zero, one, proxy) = two_members(case)?;
    zero.settle();
    one.settle();
    ZERO.reset();
    ONE.reset();
    let _zero = zero.register(requests!(0x531), &ZERO)?;
    let _one = one.register(requests!(0x531), &ONE)?;
    let _service = zero.register(requests!(KIND), &ANSWERS)?;
    let mut callers = KVec::new();
    let _ends = Ends;
    for _ in 0..ASKED {
        let from = one.0.clone();
        let caller = Kthread::spawn(c_str!("popcorn test"), move || {
            let patient = CallOptions::killable(4 * LONG_MS);
            while !ENDS.load(Ordering::SeqCst) && !should_stop() {
                let answer = from.call(node(0), KIND, &[], patient);
                if answer.is_ok_and(|answer| answer.payload() == &LONG[..]) {
                    RIGHT.fetch_add(1, Ordering::SeqCst);
                } else {
                    WRONG.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            }
            ENDED.fetch_add(1, Ordering::SeqCst);
        })?;
        callers.push(caller, GFP_KERNEL)?;
    }
    let right = || RIGHT.load(Ordering::SeqCst);
    check!(eventually(|| right() >= 2 * ASKED));
    proxy.faults.one_way.store(one_way, Ordering::SeqCst);
    proxy.faults.swallows_bulk.store(true, Ordering::SeqCst);
    let link = zero.link(node(1)).ok_or(ENODEV)?;
    check!(eventually(|| link.passed_while_waiting().is_some()));
    // What is short does not wait for what is long and cannot pass: that passes only when this is done.
    for _ in 0..20 {
        one.call(node(0), ECHO, &[], OPTIONS)?;
        zero.call(node(1), ECHO, &[], OPTIONS)?;
    }
    // Longer than it may be silent, so that the next ones are swallowed, too; not as long as another may take. Or so
    // that it is swallowed for certain, but none that comes after it.
    time::sleep_ms(if one_way { DEAD_MS / 2 } else { DEAD_MS + 1000 });
    let before = right();
    proxy.faults.swallows_bulk.store(false, Ordering::SeqCst);
    check!(eventually(|| right() >= before + 2 * ASKED));
    ENDS.store(true, Ordering::SeqCst);
    check!(eventually(|| ENDED.load(Ordering::SeqCst) == ASKED));
    check!(WRONG.load(Ordering::SeqCst) == 0);
    check!(eventually(|| ANSWERS.number() == right()));
    // Those that were on their way.
    check!(retries(&zero, 1)? != 0);
    check!(ZERO.counts() == (0, 0, 0) && ONE.counts() == (0, 0, 0));
    drop(callers);
    Ok(())
}

/// A peer that asks for long answers and does not take them, while it takes all short ones and its heart beats.
struct Greedy {
    address: Address,
    life: Incarnation,
    peer: Option<Incarnation>,
    urgent: Line,
    /// What has come on this is not acknowledged.
    bulk: Option<Line>,
    has_bulk: bool,
    sent: u64,
    beats: u64,
    /// Short answers that were asked for.
    short: u64,
}

/// Of a later attempt than all before.
fn hello(life: Incarnation, peer: Option<Incarnation>, channel: Channel) -> Hello {
    hello_of(life, peer, channel, time::now_ns())
}

impl Greedy {
    fn new(address: Address, has_bulk: bool) -> Result<Self> {
        let life = new_life();
        let (urgent, answer) = Line::new(&address, &hello(life, None, Channel::Urgent))?;
        Ok(Self {
            address,
            life,
            peer: Incarnation::new(answer.incarnation),
            urgent,
            bulk: None,
            has_bulk,
            sent: 0,
            beats: 0,
            short: 0,
        })
    }

    /// Asks for something.
    fn ask(&mut self, kind: u16) {
        self.urgent.ask(kind, self.life, self.sent);
        self.sent += 1;
    }

    /// What an honest node does all the time, but for acknowledging what is long.
    fn live(&mut self) {
        self.urgent.hear();
        if self.urgent.is_over {
            return;
        }
        self.beats += 1;
        let beat = Beat { count: self.beats };
        let taken = self.urgent.come;
        self.urgent.say(Frame::Beat, &beat, taken);
        if !self.has_bulk {
            return;
        }
        match &mut self.bulk {
            Some(bulk) if !bulk.is_over => {
                bulk.hear();
                bulk.say(Frame::Beat, &beat, [0; 2]);
            }
            // The other side may have closed it, for it had not heard of the session yet.
            _ => {
                let hello = hello(self.life, self.peer, Channel::Bulk);
                self.bulk = Line::new(&self.address, &hello).ok().map(|(line, _)| line);
            }
        }
    }

    /// Asks for a short answer, if the one before has come.
    fn ask_short(&mut self) {
        if self.urgent.come[lane_index(Lane::Responses)] == self.short {
            self.short += 1;
            self.ask(ECHO);
        }
    }
}

/// It is dropped, and its requests hold no worker any more. It asks for so many answers.
fn is_dropped(case: u16, has_bulk: bool, asked: u32) -> Outcome {
    static ANSWERS: Answers = Answers(AtomicU32::new(0));
    static EVENTS: Events = Events::new();
    ANSWERS.0.store(0, Ordering::SeqCst);
    EVENTS.reset();
    let (address, _) = ports(case);
    let zero = TestNode::new(0, PROTOCOL, DEAD_MS)?;
    let _events = zero.register(requests!(0x525), &EVENTS)?;
    let _service = zero.register(requests!(KIND), &ANSWERS)?;
    zero.connect(node(1), listens(address))?;
    let mut peer = Greedy::new(address, has_bulk)?;
    zero.wait_online(node(1), LONG_MS)?;
    for _ in 0..asked {
        peer.ask(KIND);
    }
    let link = zero.link(node(1)).ok_or(ENODEV)?;
    if asked == ASKED {
        check!(eventually(|| {
            peer.live();
            link.passed_while_waiting().is_some()
        }));
        check!(ANSWERS.number() < asked);
    }
    check!(eventually(|| {
        peer.ask_short();
        peer.live();
        EVENTS.counts() == (1, 0, 1)
    }));
    // It took others until then.
    check!(peer.urgent.come[lane_index(Lane::Responses)] > 1);
    check!(eventually(|| ANSWERS.number() == asked));
    check!(eventually(|| link.queued.load(Ordering::Relaxed) == 0));
    Ok(())
}

/// Who takes short answers, but none of those that come by the other connection.
pub(super) fn takes_no_bulk() -> Outcome {
    is_dropped(62, true, ASKED)
}

/// The same without that connection: it takes a moment to make one, but not for ever.
pub(super) fn never_connects_bulk() -> Outcome {
    is_dropped(63, false, ASKED)
}

/// One answer is enough, though there is room for more: who waits for it would wait for ever.
pub(super) fn one_bulk_answer() -> Outcome {
    is_dropped(65, false, 1)?;
    is_dropped(66, true, 1)
}

// SPDX-License-Identifier: GPL-2.0
//! KUnit: one request to several nodes, and what they all say to it.

use super::node;
use super::proxy::Proxy;
use super::statistics_tests::retries;
use super::tcp::connects;
use super::tcp::listens;
use super::tcp::ports;
use super::Gate;
use super::Opens;
use super::Puppet;
use super::TestNode;
use super::OPTIONS;
use super::PROTOCOL;
use super::WINDOW;
use crate::endpoint::Acknowledgement;
use crate::endpoint::CallOptions;
use crate::endpoint::Registration;
use crate::ping::ECHO;
use crate::request::Request;
use crate::service::Handler;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering;
use popcorn_core::deadline::Deadline;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::NodeId;
use popcorn_core::message::Messages;
use popcorn_core::messages;
use popcorn_core::wire_message;
use popcorn_kernel::check;
use popcorn_kernel::errno;
use popcorn_kernel::kthread;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::kunit::LONG_MS;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::time;
use popcorn_kernel::uapi::popcorn_msg_info;
use popcorn_kernel::wait::Sleep;

/// The message of these tests.
const KIND: u16 = 0x5a0;
/// Nodes 1, 2, 3.
const ALL: NodeSet = NodeSet::from_bits(0b1110);

/// Node 0, and three that are linked to it alone, as secondaries are to their primary.
pub(super) struct Star {
    pub(super) zero: TestNode,
    pub(super) others: [TestNode; 3],
}

impl Star {
    pub(super) fn new() -> Result<Self> {
        Self::linked(by_memory)
    }

    /// Each is linked to node 0 by `link`, which is given both.
    fn linked(mut link: impl FnMut(&TestNode, &TestNode) -> Result) -> Result<Self> {
        let zero = TestNode::new(0, PROTOCOL, LONG_MS)?;
        let mut other = |id| {
            let other = TestNode::new(id, PROTOCOL, LONG_MS)?;
            link(&zero, &other)?;
            Ok::<_, Error>(other)
        };
        let others = [other(1)?, other(2)?, other(3)?];
        for other in &others {
            zero.wait_online(other.node(), LONG_MS)?;
            other.wait_online(node(0), LONG_MS)?;
        }
        Ok(Self { zero, others })
    }

    /// One service of `messages` for each of the three.
    fn register(
        &self,
        messages: Messages,
        services: [&'static dyn Handler; 3],
    ) -> Result<[Registration; 3]> {
        let [one, two, three] = &self.others;
        Ok([
            one.register(messages, services[0])?,
            two.register(messages, services[1])?,
            three.register(messages, services[2])?,
        ])
    }

    /// Calls of node 0 that are outstanding.
    fn used(&self) -> usize {
        self.zero.core().pending().used()
    }
}

fn by_memory(zero: &TestNode, other: &TestNode) -> Result {
    let memory = SharedMemory::allocate(WINDOW)?;
    zero.attach(other.node(), memory.clone())?;
    other.attach(node(0), memory)
}

/// Three gates, one for each of the nodes; closed.
struct Gates([Gate; 3]);

impl Gates {
    const fn new() -> Self {
        Self([Gate::new(), Gate::new(), Gate::new()])
    }

    fn reset(&self) {
        self.0.iter().for_each(Gate::reset);
    }

    /// Opens all when it is dropped: before what waits for them.
    fn opens(&'static self) -> [Opens; 3] {
        let [one, two, three] = &self.0;
        [Opens(one), Opens(two), Opens(three)]
    }

    fn services(&'static self) -> [&'static dyn Handler; 3] {
        let [one, two, three] = &self.0;
        [one, two, three]
    }

    fn open(&self, id: u64) {
        self.0[id as usize - 1].open.store(true, Ordering::SeqCst);
    }

    fn begun(&self, id: u64) -> u32 {
        self.0[id as usize - 1].begun.load(Ordering::SeqCst)
    }

    fn done(&self, id: u64) -> u32 {
        self.0[id as usize - 1].done.load(Ordering::SeqCst)
    }
}

fn payload_of(acknowledgement: &Acknowledgement, id: u64) -> &[u8] {
    match acknowledgement.answer(node(id)) {
        Some(Ok(response)) => response.payload(),
        _ => b"none",
    }
}

fn error_of(acknowledgement: &Acknowledgement, id: u64) -> Option<Error> {
    acknowledgement.answer(node(id))?.err()
}

wire_message! {
    /// Who asks.
    pub struct Question = 0x5a0, request -> Sum {
        /// A number.
        value: u32,
    }

    /// Who answers.
    pub struct Sum = 0x5a1, response {
        /// Of the number that was sent, and one's own.
        value: u32,
    }
}

/// Answers with the number that it got, and its own.
struct Adds(u32);

impl Handler for Adds {
    fn request(&self, _from: NodeId, request: Request) {
        let Ok(question) = request.decode::<Question>() else {
            return;
        };
        let value = question.value + self.0;
        request.reply_with(&Sum { value }, &[]).ok();
    }
}

/// All answer, each for itself; one that is asked of nobody has all it needs.
pub(super) fn all_answer() -> Outcome {
    static ADDS: [Adds; 3] = [Adds(1), Adds(2), Adds(3)];
    let star = Star::new()?;
    let [one, two, three] = &ADDS;
    let _services = star.register(messages![Question], [one, two, three])?;
    let zero = &star.zero;
    check!(zero.online_nodes() == ALL);
    check!(star.others[0].online_nodes() == NodeSet::only(node(0)));
    for poll_us in [None, Some(0), Some(200)] {
        let options = CallOptions { poll_us, ..OPTIONS };
        let question = Question { value: 10 };
        let told = zero.multicast_typed(zero.online_nodes(), &question, &[], options)?;
        check!(told.succeeded() == ALL && told.failed().is_empty());
        check!(told.outstanding().is_empty() && told.answers().count() == 3);
        for (id, (from, result)) in (1..).zip(told.answers()) {
            check!(from == node(id));
            let value = result?.decode::<Sum>()?.value;
            check!(u64::from(value) == 10 + id);
        }
        check!(told.answer(node(0)).is_none() && told.answer(node(4)).is_none());
        check!(star.used() == 0);
    }
    // They are calls like others.
    for id in 1..=3 {
        let mut calls = 0;
        zero.message_statistics(Some(node(id)), &mut |info: &popcorn_msg_info| {
            if info.type_ == u32::from(KIND) {
                let ended: u64 = info.latency.iter().sum();
                calls = if info.calls == ended { ended } else { 0 };
            }
            Ok(())
        })?;
        check!(calls == 3);
    }
    let nobody = zero.multicast(NodeSet::EMPTY, KIND, &[], OPTIONS)?;
    check!(nobody.answers().count() == 0 && nobody.succeeded().is_empty());
    check!(nobody.failed().is_empty() && nobody.wait().outstanding().is_empty());
    Ok(())
}

/// Of each round all answer once: one in shared memory, two over TCP, whose connections break meanwhile at odd places.
pub(super) fn by_all_transports() -> Outcome {
    static ADDS: [Adds; 3] = [Adds(1), Adds(2), Adds(3)];
    const ROUNDS: u32 = 300;
    let mut proxies = KVec::new();
    let star = Star::linked(|zero, other| {
        let case = match other.node().get() {
            1 => return by_memory(zero, other),
            2 => 13,
            _ => 14,
        };
        let (near, far) = ports(case);
        proxies.push(Proxy::new(near, far)?, GFP_KERNEL)?;
        zero.connect(other.node(), listens(far))?;
        other.connect(node(0), connects(near))
    })?;
    let [one, two, three] = &ADDS;
    let _services = star.register(messages![Question], [one, two, three])?;
    let zero = &star.zero;
    for value in 0..ROUNDS {
        if value % 20 == 0 {
            for (number, proxy) in (0..).zip(&proxies) {
                let after = 1 + u64::from(value + number * 10) * 7 % 997;
                proxy.faults.cut_after.store(after, Ordering::SeqCst);
            }
        }
        let poll_us = [None, Some(0), Some(50)][value as usize % 3];
        let options = CallOptions { poll_us, ..OPTIONS };
        let told = zero.multicast_typed(ALL, &Question { value }, &[], options)?;
        check!(told.succeeded() == ALL);
        for (id, (from, result)) in (1..).zip(told.answers()) {
            check!(from == node(u64::from(id)));
            check!(result?.decode::<Sum>()?.value == value + id);
        }
        check!(star.used() == 0);
    }
    let mut cuts = 0;
    for proxy in &proxies {
        cuts += proxy.faults.cuts.load(Ordering::SeqCst);
    }
    check!(cuts >= 10);
    // What was on its way then was sent again.
    check!(retries(zero, 2)? + retries(zero, 3)? != 0);
    Ok(())
}

/// One that answers with an error, and those that cannot be asked: nobody else is kept from answering.
pub(super) fn some_fail() -> Outcome {
    static GATES: Gates = Gates::new();
    GATES.reset();
    (1..=3).for_each(|id| GATES.open(id));
    let star = Star::new()?;
    let [one, _two, three] = &star.others;
    let _one = one.register(requests!(KIND), &GATES.0[0])?;
    let _three = three.register(requests!(KIND), &GATES.0[2])?;
    // One that nobody has joined, this node itself, and one that is not known.
    star.zero.attach(node(4), SharedMemory::allocate(WINDOW)?)?;
    let all = ALL.with(node(0)).with(node(4)).with(node(63));
    check!(star.zero.online_nodes() == ALL);
    let told = star.zero.multicast(all, KIND, &[], OPTIONS)?;
    check!(told.succeeded() == ALL.without(node(2)));
    check!(payload_of(&told, 1) == b"gate" && payload_of(&told, 3) == b"gate");
    check!(error_of(&told, 2) == Some(errno::not_supported()));
    check!(error_of(&told, 0) == Some(ENODEV) && error_of(&told, 63) == Some(ENODEV));
    check!(error_of(&told, 4) == Some(errno::host_down()));
    check!(told.failed().len() == 4 && told.outstanding().is_empty());

    // What cannot be sent at all.
    let long = KVec::from_elem(0u8, popcorn_core::wire::PAYLOAD_MAX + 1, GFP_KERNEL)?;
    let told = star.zero.multicast(ALL, KIND, &[&long], OPTIONS)?;
    check!(told.failed() == ALL && error_of(&told, 3) == Some(errno::message_size()));
    check!(star.used() == 0);
    Ok(())
}

/// All are asked before any answers, and may answer in any order; one that dies meanwhile ends nobody's wait but its
/// own.
pub(super) fn any_order() -> Outcome {
    static GATES: Gates = Gates::new();
    static SUCCEEDED: AtomicU64 = AtomicU64::new(0);
    static DEAD: AtomicU64 = AtomicU64::new(0);
    static ENDED: AtomicU32 = AtomicU32::new(0);
    for dies in [false, true] {
        GATES.reset();
        for counter in [&SUCCEEDED, &DEAD] {
            counter.store(0, Ordering::SeqCst);
        }
        ENDED.store(0, Ordering::SeqCst);
        let star = Star::new()?;
        let _services = star.register(requests!(KIND), GATES.services())?;
        let _opens = GATES.opens();
        let endpoint = star.zero.0.clone();
        let asker = Kthread::spawn(c_str!("popcorn test"), move || {
            if let Ok(told) = endpoint.multicast(ALL, KIND, &[], OPTIONS) {
                SUCCEEDED.store(told.succeeded().bits(), Ordering::SeqCst);
                for (from, result) in told.answers() {
                    if result.err() == Some(errno::host_down()) {
                        DEAD.fetch_or(NodeSet::only(from).bits(), Ordering::SeqCst);
                    }
                }
            }
            ENDED.store(1, Ordering::SeqCst);
        })?;
        let asked = || (1..=3).all(|id| GATES.begun(id) == 1);
        check!(eventually(asked));
        // The last first.
        for id in [3, 2, 1] {
            check!(ENDED.load(Ordering::SeqCst) == 0);
            if dies && id == 2 {
                star.zero.node_died(node(2))?;
            } else {
                GATES.open(id);
                check!(eventually(|| GATES.done(id) == 1));
            }
        }
        check!(eventually(|| ENDED.load(Ordering::SeqCst) == 1));
        drop(asker);
        let dead = if dies { 0b0100 } else { 0 };
        check!(DEAD.load(Ordering::SeqCst) == dead);
        check!(SUCCEEDED.load(Ordering::SeqCst) == ALL.bits() & !dead);
        check!(star.used() == 0);
        GATES.open(2);
    }
    Ok(())
}

/// Who has no more time has the answers that came, and may leave the others to somebody else, or to nobody.
pub(super) fn out_of_time() -> Outcome {
    static GATES: Gates = Gates::new();
    static SUCCEEDED: AtomicU64 = AtomicU64::new(0);
    GATES.reset();
    SUCCEEDED.store(0, Ordering::SeqCst);
    GATES.open(1);
    let star = Star::new()?;
    let _services = star.register(requests!(KIND), GATES.services())?;
    let _opens = GATES.opens();
    let brief = CallOptions::killable(50);
    let ask = || star.zero.multicast(ALL, KIND, &[], brief);

    let told = ask()?;
    // Node 1 may have been too slow, on a slow machine.
    check!(told.failed() == told.outstanding());
    check!(told.outstanding().contains(node(2)) && told.outstanding().contains(node(3)));
    check!(error_of(&told, 2) == Some(errno::timed_out()));
    check!(star.used() == told.outstanding().len() as usize);
    drop(told);
    check!(star.used() == 0);

    let left = ask()?;
    check!(eventually(|| GATES.begun(2) == 2 && GATES.begun(3) == 2));
    let other = Kthread::spawn(c_str!("popcorn test"), move || {
        SUCCEEDED.store(left.wait().succeeded().bits(), Ordering::SeqCst);
    })?;
    let _opens = GATES.opens();
    GATES.open(3);
    check!(SUCCEEDED.load(Ordering::SeqCst) == 0);
    GATES.open(2);
    check!(eventually(|| SUCCEEDED.load(Ordering::SeqCst) == ALL.bits()));
    drop(other);
    check!(star.used() == 0);

    // What is left ends with the node.
    check!(eventually(|| GATES.done(2) == 2 && GATES.done(3) == 2));
    GATES.reset();
    let left = ask()?;
    check!(eventually(|| GATES.begun(2) == 1));
    GATES.open(1);
    GATES.open(3);
    star.zero.node_died(node(2))?;
    let told = left.wait();
    check!(told.succeeded() == ALL.without(node(2)));
    check!(error_of(&told, 2) == Some(errno::host_down()));
    check!(star.used() == 0);
    Ok(())
}

/// A signal ends the wait as the time does.
pub(super) fn interrupted() -> Outcome {
    static GATES: Gates = Gates::new();
    static OUTSTANDING: AtomicU64 = AtomicU64::new(0);
    static SUCCEEDED: AtomicU64 = AtomicU64::new(0);
    GATES.reset();
    for counter in [&OUTSTANDING, &SUCCEEDED] {
        counter.store(0, Ordering::SeqCst);
    }
    GATES.open(3);
    let star = Star::new()?;
    let _services = star.register(requests!(KIND), GATES.services())?;
    let endpoint = star.zero.0.clone();
    let asker = Kthread::spawn(c_str!("popcorn test"), move || {
        kthread::heed_interrupts();
        let options = CallOptions {
            sleep: Sleep::Interruptible,
            ..OPTIONS
        };
        let Ok(told) = endpoint.multicast(ALL, KIND, &[], options) else {
            return;
        };
        let is_interrupted = |id| error_of(&told, id) == Some(EINTR);
        if is_interrupted(1) && is_interrupted(2) {
            OUTSTANDING.store(told.outstanding().bits(), Ordering::SeqCst);
        }
        // Whatever signals come.
        SUCCEEDED.store(told.wait().succeeded().bits(), Ordering::SeqCst);
    })?;
    let _opens = GATES.opens();
    check!(eventually(|| GATES.begun(1) == 1 && GATES.begun(2) == 1));
    check!(eventually(|| GATES.done(3) == 1));
    // That answer may be there by then, or come when it is waited for.
    asker.interrupt();
    check!(eventually(
        || OUTSTANDING.load(Ordering::SeqCst) & 0b0110 == 0b0110
    ));
    check!(SUCCEEDED.load(Ordering::SeqCst) == 0);
    GATES.open(2);
    GATES.open(1);
    check!(eventually(|| SUCCEEDED.load(Ordering::SeqCst) == ALL.bits()));
    drop(asker);
    check!(star.used() == 0);
    Ok(())
}

/// Where there is no room: places among the outstanding calls are taken all or none, and a peer that takes nothing
/// delays nobody else's question.
pub(super) fn no_room() -> Outcome {
    static GATES: Gates = Gates::new();
    GATES.reset();
    (1..=3).for_each(|id| GATES.open(id));
    let star = Star::new()?;
    let _services = star.register(requests!(KIND), GATES.services())?;
    let zero = &star.zero;
    let timed_out = Some(errno::timed_out());
    let brief = CallOptions::killable(50);

    let pending = zero.core().pending();
    let over = Deadline::after(0, time::now_ns);
    let mut places = KVec::new();
    while let Ok(place) = pending.begin(node(1), Sleep::Killable, over) {
        places.push(Some(place), GFP_KERNEL)?;
    }
    // Single calls leave some.
    check!(zero.multicast(ALL, KIND, &[], OPTIONS)?.succeeded() == ALL);
    (1..=3).for_each(|id| GATES.0[id - 1].begun.store(0, Ordering::SeqCst));
    loop {
        let mut two = [pending.prepare(node(1))?, pending.prepare(node(2))?];
        if pending.begin_all(&mut two, Sleep::Killable, over).is_err() {
            break;
        }
        for place in two {
            places.push(Some(place), GFP_KERNEL)?;
        }
    }
    let all = star.used();
    places[0] = None;
    places[1] = None;
    let told = zero.multicast(ALL, KIND, &[], brief)?;
    for id in 1..=3 {
        check!(error_of(&told, id) == timed_out && GATES.begun(id) == 0);
    }
    check!(told.outstanding().is_empty() && star.used() == all - 2);
    // There are two.
    let two = ALL.without(node(1));
    check!(zero.multicast(two, KIND, &[], OPTIONS)?.succeeded() == two);
    drop(places);
    check!(star.used() == 0);

    // Node 4 takes nothing, and its ring is full.
    let _puppet = Puppet::join(zero, 4)?;
    let big = KVec::from_elem(0u8, 60_000, GFP_KERNEL)?;
    let mut posted = 0;
    while zero.try_post(node(4), ECHO, &[&big]).is_ok() {
        posted += 1;
        check!(posted < 100);
    }
    let told = zero.multicast(ALL.with(node(4)), ECHO, &[&big], brief)?;
    check!(error_of(&told, 4) == timed_out && !told.outstanding().contains(node(4)));
    // The others were asked, before it or after it.
    let told = told.wait();
    check!(told.succeeded() == ALL && payload_of(&told, 3) == &big[..]);
    check!(star.used() == 0);
    Ok(())
}

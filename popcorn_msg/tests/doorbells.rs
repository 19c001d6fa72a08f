// SPDX-License-Identifier: GPL-2.0
//! Doorbells: interrupts that this kernel sends to itself.

use super::node;
use super::two_nodes;
use super::Puppet;
use super::TestNode;
use super::LONG_MS;
use super::OPTIONS;
use super::PROTOCOL;
use crate::endpoint::Endpoint;
use crate::ping::ECHO;
use crate::request::Request;
use crate::service::Handler;

use kernel::c_str;
use kernel::prelude::*;

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering;
use popcorn_core::ids::Class;
use popcorn_core::ids::NodeId;
use popcorn_core::message::Declared;
use popcorn_core::message::Messages;
use popcorn_core::window;
use popcorn_core::window::Side;
use popcorn_kernel::boot::processor;
use popcorn_kernel::check;
use popcorn_kernel::current;
use popcorn_kernel::doorbell;
use popcorn_kernel::kthread::should_stop;
use popcorn_kernel::kthread::Kthread;
use popcorn_kernel::kunit::eventually;
use popcorn_kernel::kunit::Failure;
use popcorn_kernel::kunit::Outcome;
use popcorn_kernel::shared_memory::SharedMemory;
use popcorn_kernel::system;
use popcorn_kernel::time;

/// Whether node 1, which sleeps, is woken by an interrupt for a call; it may wake up by itself right before that.
fn rings(by: &Endpoint, asleep: &window::Header<SharedMemory>) -> bool {
    if !asleep.sleeping() {
        return false;
    }
    let before = rung(by);
    by.call(node(1), ECHO, &[], OPTIONS).is_ok() && rung(by) > before
}

/// A node that sleeps is woken by an interrupt.
pub(super) fn doorbell() -> Outcome {
    let (zero, one, memory) = two_nodes()?;
    let asleep = window::Header::new(memory, Side::High);
    check!(eventually(|| asleep.doorbell().is_some()));
    for _ in 0..5 {
        check!(eventually(|| rings(&zero, &asleep)));
    }
    one.call(node(0), ECHO, &[], OPTIONS)?;
    Ok(())
}

/// Brings processors online again at the end of a test, also of one that fails.
struct Online<'a>(&'a [u32]);

impl Drop for Online<'_> {
    fn drop(&mut self) {
        processor::set_online(self.0).ok();
    }
}

/// When the processor of a doorbell is offline, peers have been told another one already: it may be
/// another kernel's at once.
pub(super) fn doorbell_moves() -> Outcome {
    const PAIRS: usize = 2;
    let boot = processor::boot_processor_id();
    let mut ids = KVec::new();
    ids.push(boot, GFP_KERNEL)?;
    for cpu in 1..system::cpu_numbers() {
        if let Ok(id) = processor::hardware_id(cpu) {
            ids.push(id, GFP_KERNEL)?;
        }
    }
    check!(ids.len() > 1);
    for _ in 0..3 {
        // Linux puts a new interrupt where there are the fewest, and does not move it back later.
        let mut pairs = KVec::new();
        let mut headers = KVec::new();
        for _ in 0..PAIRS {
            let pair = two_nodes()?;
            for side in [Side::Low, Side::High] {
                headers.push(window::Header::new(pair.2.clone(), side), GFP_KERNEL)?;
            }
            pairs.push(pair, GFP_KERNEL)?;
        }
        let place = |header: &window::Header<SharedMemory>| header.doorbell().map(|at| at.apic_id);
        check!(eventually(|| headers.iter().all(|h| place(h).is_some())));
        check!(headers.iter().any(|header| place(header) != Some(boot)));

        let _online = Online(&ids);
        processor::set_online(&[boot])?;
        check!(headers.iter().all(|header| place(header) == Some(boot)));
        for (zero, one, _) in &pairs {
            zero.call(node(1), ECHO, &[], OPTIONS)?;
            one.call(node(0), ECHO, &[], OPTIONS)?;
        }
        let asleep = headers.get(1).ok_or(EINVAL)?;
        check!(eventually(|| rings(&pairs[0].0, asleep)));
        processor::set_online(&ids)?;
    }
    Ok(())
}

/// Interrupts that a node has sent to node 1.
fn rung(by: &Endpoint) -> u64 {
    by.nodes().map_or(0, |nodes| nodes[1].doorbells)
}

/// Who sends rings for each message to a peer that says that it sleeps, and for none to one that says that it does not.
pub(super) fn only_asleep() -> Outcome {
    const NUMBER: u64 = 1000;
    let zero = TestNode::new(0, PROTOCOL, 10 * LONG_MS)?;
    let puppet = Puppet::join(&zero, 1)?;
    // The puppet has no interrupt: the node rings at its own thread, which finds nothing.
    check!(eventually(|| puppet.peer_header.doorbell().is_some()));
    puppet.header.set_doorbell(puppet.peer_header.doorbell());
    for sleeps in [false, true, false] {
        puppet.header.set_sleeping(sleeps);
        let before = rung(&zero);
        for _ in 0..NUMBER {
            zero.post(node(1), 0x5a0, &[])?;
        }
        check!(rung(&zero) - before == if sleeps { NUMBER } else { 0 });
    }
    Ok(())
}

/// A thread that looks for messages of `from` until it is dropped.
fn poller(of: &TestNode, from: NodeId) -> Result<Kthread> {
    let endpoint = of.0.clone();
    Kthread::spawn(c_str!("popcorn test"), move || {
        // If this fails, what is waited for does not come.
        endpoint.poll_while(from, &mut || !should_stop()).ok();
    })
}

/// A node says that it does not sleep for as long as somebody polls there, and else that it does. Not at every moment: its
/// own thread wakes for each tick, and says that it sleeps when it does so again; who polls puts that right after 256
/// looks in vain. So it is looked for so often in a row that no moment around a tick lasts as long.
pub(super) fn poller_says_so() -> Outcome {
    const LOOKS: u32 = 12;
    let zero = TestNode::new(0, PROTOCOL, 10 * LONG_MS)?;
    let puppet = Puppet::join(&zero, 1)?;
    let says = |sleeps| {
        (0..LOOKS).all(|_| {
            time::sleep_ms(5);
            puppet.peer_header.sleeping() == sleeps
        })
    };
    check!(eventually(|| says(true)));
    let polls = poller(&zero, node(1))?;
    check!(eventually(|| says(false)));
    drop(polls);
    check!(eventually(|| says(true)));
    Ok(())
}

/// Of so many messages in a row, each a moment after the one before has been taken: how many the node was asleep for, that
/// looks for so long before it sleeps.
fn asleep_for(poll_us: u32, number: u32) -> core::result::Result<u32, Failure> {
    /// In between: less than the node looks at most, more than it takes to fall asleep.
    const PAUSE_US: u64 = 300;
    const PATIENCE_NS: u64 = 20_000_000;
    static TAKEN: Taken = Taken(AtomicU32::new(0));
    TAKEN.0.store(0, Ordering::SeqCst);
    let zero = TestNode::looking(0, poll_us)?;
    let mut puppet = Puppet::join(&zero, 1)?;
    let _service = zero.register(TAKES, &TAKEN)?;
    check!(eventually(|| puppet.peer_header.doorbell().is_some()));
    puppet.request.class = Class::OneWay;
    puppet.request.request = 0;
    // Without sleep, which takes longer than the node looks.
    let spin = |ns, until: &dyn Fn() -> bool| {
        let end = time::now_ns() + ns;
        while time::now_ns() < end && !until() {
            current::cpu_relax();
        }
    };
    let mut asleep = 0;
    for sent in 1..=number {
        let is_taken = || TAKEN.0.load(Ordering::SeqCst) == sent;
        spin(PAUSE_US * 1000, &|| false);
        let is_asleep = puppet.peer_header.sleeping();
        asleep += u32::from(is_asleep);
        check!(puppet.ask(TAKE));
        if is_asleep {
            doorbell::send(|| puppet.peer_header.doorbell());
        }
        spin(PATIENCE_NS, &is_taken);
        check!(eventually(is_taken));
    }
    Ok(asleep)
}

const TAKE: u16 = 0x5b8;
const TAKE_LIST: &[Declared] = &[Declared::one_way("Test", TAKE, 0).urgent()];
const TAKES: Messages = Messages::new(TAKE_LIST);

/// Counts messages, where they are received.
struct Taken(AtomicU32);

impl Handler for Taken {
    fn request(&self, _from: NodeId, _request: Request) {}

    fn urgent(&self, _from: NodeId, _request: Request) -> Option<Request> {
        self.0.fetch_add(1, Ordering::SeqCst);
        None
    }
}

/// Where messages come often a node looks for the next one before it sleeps, if it may, and who sends need not ring. What
/// is often depends on the machine, which may be busy: so it is tried a few times.
pub(super) fn adaptive() -> Outcome {
    const NUMBER: u32 = 100;
    const TRIES: u32 = 10;
    let (mut looks, mut sleeps) = (false, false);
    for _ in 0..TRIES {
        looks |= asleep_for(1000, NUMBER)? < NUMBER / 2;
        sleeps |= asleep_for(0, NUMBER)? > NUMBER / 2;
        if looks && sleeps {
            break;
        }
    }
    check!(looks);
    check!(sleeps);
    Ok(())
}

/// Calls to a node that polls ring next to never: only those between the end of a tick of its own thread, which then says
/// that it sleeps, and the moment when who polls says again that it does not, 256 looks in vain later. How many calls
/// that is depends on the machine, and on a busy one may be many: so it is tried a few times.
pub(super) fn polled() -> Outcome {
    const CALLS: u64 = 1000;
    const FEW: u64 = CALLS / 20;
    const TRIES: u32 = 20;
    let (zero, one, memory) = two_nodes()?;
    let header = window::Header::new(memory, Side::High);
    let _polls = poller(&one, node(0))?;
    check!(eventually(|| !header.sleeping()));
    let mut seldom = false;
    for _ in 0..TRIES {
        let before = rung(&zero);
        for _ in 0..CALLS {
            zero.call(node(1), ECHO, &[], OPTIONS)?;
        }
        seldom = rung(&zero) - before <= FEW;
        if seldom {
            break;
        }
    }
    check!(seldom);
    Ok(())
}

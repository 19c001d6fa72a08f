// SPDX-License-Identifier: GPL-2.0
//! KUnit: machines in one kernel that agree on who is a member, through a network that fails.

use super::check;
use super::eventually;
use super::node;
use super::proxy::Proxy;
use super::tcp::connects;
use super::tcp::listens;
use super::tcp::ports;
use super::Events;
use super::Failure;
use super::Outcome;
use super::TestNode;
use super::LONG_MS;
use super::OPTIONS;
use crate::endpoint::CallOptions;
use crate::ping::ECHO;

use core::sync::atomic::Ordering;
use popcorn_core::membership::Standing;
use popcorn_kernel::errno;

/// Short, for a test; long enough for a busy machine.
pub(super) const DEAD_MS: u32 = 3000;

fn cuts(proxy: &Proxy, cuts: bool) {
    proxy.faults.swallows.store(cuts, Ordering::SeqCst);
}

/// The members that a node knows, a bit each.
fn members(node: &TestNode) -> u64 {
    node.core().members().describe().status.members.bits()
}

fn serves(node: &TestNode) -> bool {
    let members = node.core().members();
    members.serves() && members.describe().status.standing == Standing::Serving
}

fn is_suspended(node: &TestNode) -> bool {
    let members = node.core().members();
    !members.serves() && matches!(members.describe().status.standing, Standing::Suspended(_))
}

/// Nodes 0 and 1 of one system; 1 connects through the proxy.
pub(super) fn two_members(case: u16) -> core::result::Result<(TestNode, TestNode, Proxy), Failure> {
    let (near, far) = ports(case);
    let proxy = Proxy::new(near, far)?;
    let zero = TestNode::member(0, DEAD_MS)?;
    let one = TestNode::member(1, DEAD_MS)?;
    check!(serves(&zero) && serves(&one));
    check!(members(&zero) == 0b01 && members(&one) == 0b10);
    zero.connect(node(1), listens(far))?;
    one.connect(node(0), connects(near))?;
    zero.wait_online(node(1), LONG_MS)?;
    one.wait_online(node(0), LONG_MS)?;
    check!(eventually(
        || members(&zero) == 0b11 && members(&one) == 0b11
    ));
    check!(eventually(|| serves(&zero) && serves(&one)));
    check!(zero.call(node(1), ECHO, &[b"in"], OPTIONS)?.payload() == b"in");
    check!(one.call(node(0), ECHO, &[b"in"], OPTIONS)?.payload() == b"in");
    Ok((zero, one, proxy))
}

/// Of two that are cut apart the one with the lower id goes on. The other waits: it neither serves nor counts
/// anybody as dead, until it hears that it was removed; then it comes back as another life.
pub(super) fn two() -> Outcome {
    static ZERO: Events = Events::new();
    static ONE: Events = Events::new();
    let (zero, one, proxy) = two_members(50)?;
    zero.settle();
    one.settle();
    ZERO.reset();
    ONE.reset();
    let _zero = zero.register(requests!(0x531), &ZERO)?;
    let _one = one.register(requests!(0x531), &ONE)?;
    let life = one.core().members().life();
    cuts(&proxy, true);
    check!(eventually(|| members(&zero) != 0b11));
    // Who decides has waited for that.
    check!(!one.core().members().serves());
    check!(members(&zero) == 0b01);
    check!(eventually(|| serves(&zero)));
    check!(eventually(|| ZERO.counts() == (0, 0, 1)));
    check!(!zero.is_online(node(1)));
    check!(is_suspended(&one) && members(&one) == 0b11);
    // Calls wait for what the machines decide.
    let brief = CallOptions::killable(50);
    let waits = one.call(node(0), ECHO, &[b"?"], brief).err();
    check!(waits == Some(errno::timed_out()));
    check!(ONE.counts() == (0, 0, 0));
    cuts(&proxy, false);
    check!(eventually(|| ONE.counts() == (1, 0, 1)));
    check!(eventually(|| ZERO.counts() == (1, 0, 1)));
    check!(eventually(
        || members(&zero) == 0b11 && members(&one) == 0b11
    ));
    check!(eventually(|| serves(&zero) && serves(&one)));
    check!(one.core().members().life() != life);
    check!(one.call(node(0), ECHO, &[b"again"], OPTIONS)?.payload() == b"again");
    check!(zero.call(node(1), ECHO, &[b"again"], OPTIONS)?.payload() == b"again");
    Ok(())
}

/// A short cut is none: the session goes on, and nobody hears of it.
pub(super) fn short_cut() -> Outcome {
    static ONE: Events = Events::new();
    let (zero, one, proxy) = two_members(51)?;
    one.settle();
    ONE.reset();
    let _one = one.register(requests!(0x531), &ONE)?;
    let life = one.core().members().life();
    cuts(&proxy, true);
    // The proxy holds back what is said: one does not serve, and zero may yet remove it.
    check!(eventually(|| !one.core().members().serves()));
    let epoch = zero.core().members().describe().status.epoch;
    cuts(&proxy, false);
    check!(eventually(|| {
        members(&zero) == 0b11 && members(&one) == 0b11 && serves(&zero) && serves(&one)
    }));
    if zero.core().members().describe().status.epoch == epoch {
        // Healed in time.
        check!(one.core().members().life() == life);
        check!(ONE.counts() == (0, 0, 0));
    }
    check!(one.call(node(0), ECHO, &[b"on"], OPTIONS)?.payload() == b"on");
    Ok(())
}

/// Of three any two go on without the third, which has stopped before they count it as dead.
pub(super) fn three() -> Outcome {
    static ONE: Events = Events::new();
    let (near, far) = ports(52);
    let (other_near, other_far) = ports(53);
    let (direct, _) = ports(54);
    let first = Proxy::new(near, far)?;
    let second = Proxy::new(other_near, other_far)?;
    let zero = TestNode::member(0, DEAD_MS)?;
    let one = TestNode::member(1, DEAD_MS)?;
    let two = TestNode::member(2, DEAD_MS)?;
    zero.connect(node(1), listens(direct))?;
    one.connect(node(0), connects(direct))?;
    zero.connect(node(2), listens(far))?;
    two.connect(node(0), connects(near))?;
    one.connect(node(2), listens(other_far))?;
    two.connect(node(1), connects(other_near))?;
    let all = [&zero, &one, &two];
    let is_whole = || {
        all.iter()
            .all(|each| members(each) == 0b111 && serves(each))
    };
    let is_connected = || {
        all.iter().all(|each| {
            (0..3)
                .map(node)
                .all(|id| id == each.node() || each.is_online(id))
        })
    };
    check!(eventually(|| is_whole() && is_connected()));
    one.settle();
    ONE.reset();
    let _one = one.register(requests!(0x531), &ONE)?;
    cuts(&first, true);
    cuts(&second, true);
    check!(eventually(
        || members(&zero) != 0b111 || members(&one) != 0b111
    ));
    check!(!two.core().members().serves());
    check!(eventually(
        || members(&zero) == 0b011 && members(&one) == 0b011
    ));
    check!(eventually(|| serves(&zero) && serves(&one)));
    check!(eventually(|| ONE.counts() == (0, 0, 1)));
    check!(one.call(node(0), ECHO, &[b"on"], OPTIONS)?.payload() == b"on");
    check!(is_suspended(&two) && members(&two) == 0b111);
    cuts(&first, false);
    cuts(&second, false);
    check!(eventually(|| is_whole() && is_connected()));
    check!(two.call(node(1), ECHO, &[b"back"], OPTIONS)?.payload() == b"back");
    check!(eventually(|| ONE.counts() == (1, 0, 1)));
    Ok(())
}

/// The machine with the lower id begins another life: the other one, which waited for it, begins anew, too.
pub(super) fn restart() -> Outcome {
    static ONE: Events = Events::new();
    let (_, far) = ports(55);
    let (zero, one, proxy) = two_members(55)?;
    one.settle();
    ONE.reset();
    let _one = one.register(requests!(0x531), &ONE)?;
    // What it says at its end is not heard.
    cuts(&proxy, true);
    drop(zero);
    proxy.faults.cut_after.store(0, Ordering::SeqCst);
    check!(eventually(|| {
        is_suspended(&one) && proxy.faults.cuts.load(Ordering::SeqCst) == 1
    }));
    let zero = TestNode::member(0, DEAD_MS)?;
    zero.connect(node(1), listens(far))?;
    cuts(&proxy, false);
    check!(eventually(
        || members(&zero) == 0b11 && members(&one) == 0b11
    ));
    check!(eventually(|| serves(&zero) && serves(&one)));
    check!(eventually(|| one.is_online(node(0))));
    check!(one.call(node(0), ECHO, &[b"new"], OPTIONS)?.payload() == b"new");
    check!(ONE.counts().2 >= 1);
    Ok(())
}

/// Who leaves in order makes the list shorter first, also of two the one that the other could not miss.
pub(super) fn leave() -> Outcome {
    static ONE: Events = Events::new();
    let (_, far) = ports(56);
    let (zero, one, _proxy) = two_members(56)?;
    one.settle();
    ONE.reset();
    let _one = one.register(requests!(0x531), &ONE)?;
    let leaving = zero.part_from_system(node(1), LONG_MS)?;
    zero.leave(leaving)?;
    check!(members(&zero) == 0b01 && serves(&zero));
    check!(members(&one) == 0b10);
    check!(eventually(|| serves(&one)));
    check!(eventually(|| ONE.counts() == (0, 1, 0)));
    zero.connect(node(1), listens(far))?;
    check!(eventually(
        || members(&zero) == 0b11 && members(&one) == 0b11
    ));
    one.wait_online(node(0), LONG_MS)?;
    check!(one.call(node(0), ECHO, &[b"again"], OPTIONS)?.payload() == b"again");
    Ok(())
}

/// Of three, who leaves one leaves both, in order; the others stay together.
pub(super) fn leave_one() -> Outcome {
    static ONE: Events = Events::new();
    static TWO: Events = Events::new();
    let zero = TestNode::member(0, DEAD_MS)?;
    let one = TestNode::member(1, DEAD_MS)?;
    let two = TestNode::member(2, DEAD_MS)?;
    let pairs = [(&zero, &one, 60), (&zero, &two, 61), (&one, &two, 62)];
    for (low, high, case) in pairs {
        let (address, _) = ports(case);
        low.connect(high.node(), listens(address))?;
        high.connect(low.node(), connects(address))?;
    }
    let all = [&zero, &one, &two];
    let is_whole = || {
        let sees = |low: &TestNode, high: &TestNode| {
            low.is_online(high.node()) && high.is_online(low.node())
        };
        all.iter()
            .all(|each| members(each) == 0b111 && serves(each))
            && pairs.iter().all(|(low, high, _)| sees(low, high))
    };
    check!(eventually(is_whole));
    one.settle();
    two.settle();
    ONE.reset();
    TWO.reset();
    let _one = one.register(requests!(0x531), &ONE)?;
    let _two = two.register(requests!(0x531), &TWO)?;
    let leaving = zero.part_from_system(node(1), LONG_MS)?;
    check!(!zero.takes_threads(node(1)) && !zero.takes_threads(node(2)));
    zero.leave(leaving)?;
    check!(members(&zero) == 0b001 && serves(&zero));
    check!(eventually(
        || members(&one) == 0b110 && members(&two) == 0b110
    ));
    check!(eventually(|| serves(&one) && serves(&two)));
    // Nobody else has come or gone.
    check!(eventually(
        || ONE.counts() == (0, 1, 0) && TWO.counts() == (0, 1, 0)
    ));
    check!(one.call(node(2), ECHO, &[b"on"], OPTIONS)?.payload() == b"on");
    check!(!zero.is_online(node(2)) && zero.link(node(2)).is_some());
    let (address, _) = ports(60);
    zero.connect(node(1), listens(address))?;
    check!(eventually(is_whole));
    // Who is online is told of right after.
    check!(eventually(
        || ONE.counts() == (1, 1, 0) && TWO.counts() == (1, 1, 0)
    ));
    Ok(())
}

/// Of two, the one that waits for the other leaves it by force, and is expected by a third: it waits no more.
pub(super) fn leave_lost() -> Outcome {
    let (zero, one, proxy) = two_members(67)?;
    let (address, _) = ports(68);
    one.connect(node(5), listens(address))?;
    cuts(&proxy, true);
    drop(zero);
    check!(eventually(|| is_suspended(&one)));
    check!(members(&one) == 0b11);
    one.leave_at_once(node(0))?;
    check!(eventually(|| serves(&one)));
    check!(members(&one) == 0b10);
    Ok(())
}

/// Who has left the others is not dead to them, though nobody hears its goodbye.
pub(super) fn lost_goodbye() -> Outcome {
    static ONE: Events = Events::new();
    let (zero, one, proxy) = two_members(58)?;
    one.settle();
    ONE.reset();
    let _one = one.register(requests!(0x531), &ONE)?;
    zero.leave_members();
    check!(members(&one) == 0b10);
    check!(one.is_online(node(0)) && ONE.counts() == (0, 0, 0));
    cuts(&proxy, true);
    drop(zero);
    check!(eventually(|| ONE.counts() == (0, 1, 0)));
    check!(!one.is_online(node(0)) && members(&one) == 0b10 && serves(&one));
    Ok(())
}

/// An administrator's word ends the waiting; when the other is there after all, it is the one that was removed.
pub(super) fn force() -> Outcome {
    static ONE: Events = Events::new();
    let (zero, one, proxy) = two_members(57)?;
    one.settle();
    ONE.reset();
    let _one = one.register(requests!(0x531), &ONE)?;
    let too_early = one.core().members().force(node(0)).err();
    check!(too_early == Some(errno::already()));
    let life = zero.core().members().life();
    cuts(&proxy, true);
    check!(eventually(|| is_suspended(&one)));
    // It may count on the other for a while yet.
    check!(eventually(|| {
        one.core().members().force(node(0)).is_ok() && members(&one) == 0b10
    }));
    check!(serves(&one));
    check!(eventually(|| ONE.counts() == (0, 0, 1)));
    cuts(&proxy, false);
    check!(eventually(
        || members(&zero) == 0b11 && members(&one) == 0b11
    ));
    check!(zero.core().members().life() != life);
    zero.wait_online(node(1), LONG_MS)?;
    check!(zero.call(node(1), ECHO, &[b"so"], OPTIONS)?.payload() == b"so");
    Ok(())
}

// SPDX-License-Identifier: GPL-2.0
//! To part from a peer in order, before leaving it.
//!
//! From then on no thread goes from one to the other (`popcorn_core::parting`), and the services of
//! both sides bring home what they have over there ([`Handler::part`](crate::Handler::part)): first the
//! peer, when it is asked to, then this node. When both have done so the link can end, and nobody loses
//! anything. When that cannot be done in time both sides go on as before.
//!
//! Nothing is locked meanwhile: who waits here sleeps for a while, and looks again.

use crate::endpoint::CallOptions;
use crate::endpoint::Endpoint;
use crate::link::Link;
use crate::request::encoded;
use crate::request::Request;

use kernel::prelude::*;
use kernel::sync::Arc;

use popcorn_core::deadline::Deadline;
use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Class;
use popcorn_core::ids::NodeId;
use popcorn_core::message::Empty;
use popcorn_core::parting::Refusal;
use popcorn_core::parting::Turn;
use popcorn_core::proto;
use popcorn_core::wire::Wire;
use popcorn_kernel::current;
use popcorn_kernel::errno;
use popcorn_kernel::time;
use popcorn_kernel::wait::Sleep;

/// How long a parting may take if nobody says otherwise, in milliseconds.
pub const PARTING_MS: u32 = 10_000;
/// How long it may take at all: a limit for what peers ask for.
pub const PARTING_MAX_MS: u32 = 600_000;
/// For so long after the time that the peer gave its door stays shut: it has to leave, too.
const LEAVING_MS: u64 = 5_000;
/// Between two looks of who waits.
const LOOK_MS: u32 = 10;
/// How long to try to tell the peer that we stay. Its door opens by itself, too.
const TELL_MS: u32 = 1_000;
/// For the links to those that are left with another to notice it.
const ANEW_MS: u64 = 1_000;

/// A peer from which this node has parted. Dropping it while the peer is still there means that the two
/// stay together after all: threads may go again. That may sleep, not for long.
pub struct Parting {
    link: Arc<Link>,
    number: u64,
}

/// A machine that is about to be left, and all that are left with it.
pub(crate) struct Leaving {
    from: Parting,
    fellows: KVec<Parting>,
    /// This machine leaves the list of members that they are in.
    is_member: bool,
}

impl Drop for Parting {
    fn drop(&mut self) {
        let session = self.link.online();
        let goes_on = self.link.doors().lock().open(self.number);
        let Some(session) = session.ok().filter(|_| goes_on) else {
            return;
        };
        let message = proto::Stay {
            number: self.number,
        };
        let told = encoded(&message, &[], |parts| {
            let kind = proto::Stay::TYPE;
            let deadline = Deadline::after(TELL_MS, time::now_ns);
            self.link.send_request(
                session,
                kind,
                Class::OneWay,
                0,
                parts,
                Sleep::Idle,
                deadline,
            )
        });
        if told.is_err() {
            pr_warn!("node {} is not told that we stay\n", self.link.peer());
        }
    }
}

/// Whose wish it is to part.
#[derive(Clone, Copy)]
enum Whose {
    /// With its number.
    Ours(u64),
    Theirs(Turn),
}

/// For how long a service may try to bring home what is at a node.
pub struct Limit<'a> {
    link: &'a Link,
    whose: Whose,
    until_ms: u64,
}

impl Limit<'_> {
    /// Whether to go on.
    ///
    /// # Errors
    ///
    /// `EHOSTDOWN`: the peer is gone, and with it what was there. `ECANCELED`: it stays after all.
    /// `ETIMEDOUT`. `EINTR`: killed.
    pub fn check(&self) -> Result {
        if !self.link.is_online() {
            return Err(errno::host_down());
        }
        let doors = self.link.doors().lock();
        let (goes_on, else_error) = match self.whose {
            // It can only have been ended by another life of the peer.
            Whose::Ours(number) => (doors.is_ours(number), errno::host_down()),
            Whose::Theirs(turn) => (doors.is_theirs(turn), errno::canceled()),
        };
        drop(doors);
        if !goes_on {
            return Err(else_error);
        }
        if current::fatal_signal_pending() {
            return Err(EINTR);
        }
        if self.left_ms() == 0 {
            return Err(errno::timed_out());
        }
        Ok(())
    }

    /// Looks at `condition` from time to time until it holds. May sleep; the condition may, too.
    ///
    /// # Errors
    ///
    /// As [`Limit::check`].
    pub fn wait(&self, mut condition: impl FnMut() -> bool) -> Result {
        while !condition() {
            self.check()?;
            // Nobody wakes this, and the time is over soon: an error says nothing new.
            let room = self.link.core().room();
            room.wait(Sleep::Killable, Some(LOOK_MS), || false).ok();
        }
        Ok(())
    }

    /// Milliseconds that are left.
    pub fn left_ms(&self) -> u32 {
        let left = self.until_ms.saturating_sub(time::now_ms());
        u32::try_from(left).unwrap_or(u32::MAX)
    }
}

impl Endpoint {
    /// Parts from `peer`: see the module. If the peer is not online, or ends meanwhile, nothing of
    /// anybody is there, and this succeeds. May sleep, for up to `timeout_ms` milliseconds; the caller holds
    /// nothing that a service needs to answer.
    ///
    /// # Errors
    ///
    /// All is as before: `ENODEV`: it is not sought. `EINVAL`: more than [`PARTING_MAX_MS`]. `EALREADY`:
    /// this is being done. `ETIMEDOUT`: something did not come home, here or there. `EINTR`: killed.
    /// `EHOSTDOWN`: the peer has begun another life meanwhile. `EBUSY`: it still follows an earlier request.
    pub fn part(&self, peer: NodeId, timeout_ms: u32) -> Result<Parting> {
        if timeout_ms > PARTING_MAX_MS {
            return Err(EINVAL);
        }
        let link = self.link(peer).ok_or(ENODEV)?;
        let number = link.doors().lock().shut().ok_or_else(errno::already)?;
        // From here on, returning opens the door.
        let parting = Parting { link, number };
        match self.bring_home(&parting, timeout_ms) {
            Err(error) if parting.link.is_online() => {
                pr_warn!("node {} is not left: {:?}\n", peer, error);
                Err(error)
            }
            _ => Ok(parting),
        }
    }

    fn bring_home(&self, parting: &Parting, timeout_ms: u32) -> Result {
        let Parting { link, number } = parting;
        let limit = Limit {
            link,
            whose: Whose::Ours(*number),
            until_ms: time::now_ms() + u64::from(timeout_ms),
        };
        limit.check()?;
        let message = proto::Part {
            number: *number,
            timeout_ms: limit.left_ms(),
            reserved: 0,
        };
        let options = CallOptions::killable(limit.left_ms());
        let Empty {} = self.call_typed(link.peer(), &message, &[], options)?;
        self.core().services().part(link.peer(), &limit)?;
        limit.check()
    }

    /// Parts from each peer that is online, as well as that can be done, one after the other, in the time for
    /// one; what is to be dropped when they were left. May sleep.
    pub(crate) fn part_from_all(&self, timeout_ms: u32) -> KVec<Parting> {
        let until = time::now_ms() + u64::from(timeout_ms);
        let mut partings = KVec::new();
        for peer in NodeId::all().filter(|&peer| self.is_online(peer)) {
            let left = until.saturating_sub(time::now_ms());
            let left = u32::try_from(left).unwrap_or(timeout_ms);
            // The log tells why not; then the peer sees this node leave as it is.
            if let Ok(parting) = self.part(peer, left) {
                // Without memory for it, it ends now: nobody sends a thread to a node that has no services.
                partings.push(parting, GFP_KERNEL).ok();
            }
        }
        partings
    }

    /// Leaves `parting`'s peer as [`Endpoint::detach`] does. May sleep.
    ///
    /// # Errors
    ///
    /// `ENODEV`: somebody else has done so, and maybe sought it anew.
    pub(crate) fn leave(&self, leaving: Leaving) -> Result {
        let Leaving {
            from,
            fellows,
            is_member,
        } = leaving;
        let peer = from.link.peer();
        let is_same = |link: Arc<Link>| Arc::ptr_eq(&link, &from.link);
        if !self.link(peer).is_some_and(is_same) {
            return Err(ENODEV);
        }
        if is_member {
            self.leave_members();
        }
        let left = self.detach(peer);
        // This machine has begun anew, and so do its links. Until then nobody is to go there.
        let until = time::now_ms() + ANEW_MS;
        let is_online = |parting: &Parting| parting.link.is_online();
        while fellows.iter().any(is_online) && time::now_ms() < until {
            time::sleep_ms(LOOK_MS);
        }
        left
    }

    /// [`Endpoint::part`] from `peer` and its [`fellows`](Endpoint::fellows): who leaves is the one to go. `timeout_ms` is
    /// for each. May sleep.
    ///
    /// # Errors
    ///
    /// As there.
    pub(crate) fn part_from_system(&self, peer: NodeId, timeout_ms: u32) -> Result<Leaving> {
        let from = self.part(peer, timeout_ms)?;
        let members = self.fellows(peer);
        let is_member = members.is_some();
        let mut fellows = KVec::new();
        for node in members.unwrap_or(NodeSet::EMPTY) {
            match self.part(node, timeout_ms) {
                Ok(parting) => fellows.push(parting, GFP_KERNEL)?,
                // There is no link to it.
                Err(error) if error == ENODEV => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Leaving {
            from,
            fellows,
            is_member,
        })
    }

    /// Whether threads may go to `node`, and be taken from it: it is online, and neither parts from the
    /// other. Whoever lets one go notes that first, and then looks: a parting looks for it then.
    pub fn takes_threads(&self, node: NodeId) -> bool {
        let takes =
            |link: Arc<Link>| link.is_online() && link.doors().lock().is_open(time::now_ms());
        self.link(node).is_some_and(takes)
    }
}

/// A peer wants to part. From a worker.
pub(crate) fn asked(request: Request) {
    let sent = match follow(&request) {
        Ok(()) => request.reply(0, &[]),
        Err(error) => request.reply_error(error),
    };
    // It fails only when the peer is gone.
    sent.ok();
}

fn follow(request: &Request) -> Result {
    let message = request.decode::<proto::Part>()?;
    let link = request.link();
    let number = message.number;
    let until_ms = time::now_ms() + u64::from(message.timeout_ms.min(PARTING_MAX_MS));
    let begun = link.doors().lock().asked(number, until_ms + LEAVING_MS);
    let turn = begun.map_err(|refusal| match refusal {
        Refusal::Busy => EBUSY,
        Refusal::CalledOff => errno::canceled(),
    })?;
    // Afterwards: if the peer begins another life after this look, that opens the door.
    if !request.is_of_present_life() {
        link.doors().lock().followed(turn, false);
        return Err(errno::stale());
    }
    let limit = Limit {
        link,
        whose: Whose::Theirs(turn),
        until_ms,
    };
    let result = link.core().services().part(link.peer(), &limit);
    let goes_on = link.doors().lock().followed(turn, result.is_ok());
    result?;
    if goes_on {
        Ok(())
    } else {
        Err(errno::canceled())
    }
}

/// A peer stays after all. From a worker.
pub(crate) fn stays(request: &Request) -> Result {
    let message = request.decode::<proto::Stay>()?;
    if request.is_of_present_life() {
        request.link().doors().lock().stays(message.number);
    }
    Ok(())
}

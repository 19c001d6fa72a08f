// SPDX-License-Identifier: GPL-2.0
//! Who is a member, and who may serve distributed processes, when machines come, go and lose sight
//! of each other.
//!
//! Machines vote, kernels do not: a machine is its primary with the secondaries that it started.
//! The list of members is of machines, named by their primaries; a secondary has a link to its
//! primary only, and need not be told.
//!
//! # The rule
//!
//! 1. **A machine serves while it and those that it is connected to, which are connected to each
//!    other, are more than half of the list**; or half of it, with the lowest node id of the list
//!    among them. Else it suspends: its distributed processes stand still until it serves again or
//!    is removed.
//! 2. **The list changes only by a decision of a majority of the list before**: a machine joins,
//!    one leaves in order, or those that were not heard for `dead` ticks are removed. Each change
//!    raises the epoch. Nobody else counts as dead: services hear of a death when it is decided.
//! 3. A machine that meets a list of a later epoch without itself is *removed*. It may join again,
//!    as a new incarnation: what it had is lost.
//!
//! So of two machines the one with the lower id goes on when they are cut apart, and the other
//! waits; of three any two go on, and when another is gone the lower id does. Who leaves in order
//! makes the list shorter first, and so is never missed. When too many are gone at once, those who
//! remain wait for them, or for an administrator, who gives his word that no other machine serves
//! ([`Membership::force`]).
//!
//! This is dynamic voting with a tie broken by an order of the sites (S. Jajodia and D. Mutchler,
//! Dynamic voting algorithms for maintaining the consistency of a replicated database, ACM TODS
//! 15(2), 1990). Its known danger is a change that some have made and others have not heard of,
//! when they are cut apart: each side may then believe in a list of its own. E. Yeger Lotem, I.
//! Keidar and D. Dolev (Dynamic voting for consistent primary components, PODC 1997) remember such
//! ambiguous attempts. Here each step of the list is a decision by Paxos among the members of the
//! list before ([`agreement`]), as in L. Lamport, D. Malkhi and L. Zhou, Vertical Paxos and
//! primary-backup replication, PODC 2009: what was decided is found again by any majority, and what
//! was not binds nobody.
//!
//! The other choice was a list from which only an administrator removes the dead. Joining and
//! leaving would need the same agreement, and a cluster of four that loses one machine each night
//! would stand still after the second, without need. Its gain, that a majority of the *first* list
//! can always go on, is what [`Membership::force`] gives on demand.
//!
//! # Leases: who is removed has suspended before
//!
//! A majority keeps two lists of one epoch from both being served, but not a machine that is cut
//! off from going on for a while with what it last heard. That is what time is for (C. Gray and D.
//! Cheriton, Leases, SOSP 1989).
//!
//! Each heartbeat has the sender's clock in it, and for its receiver the latest clock value that
//! came from it: the *grant*. Who gets a grant knows when it had sent what the granter has heard,
//! so delays only shorten it. With the grant goes a promise: not to accept the granted machine's
//! removal for `dead` ticks from when its heartbeat came. The grant counts for three quarters of
//! `dead` ticks from when that was *sent*. A machine serves only with the grants of a majority of
//! its list; and while one of these is known to have accepted a change, with those of a majority of
//! both lists, the one before and the one after. Whoever adopts a list counts the silence of all
//! members anew.
//!
//! **A list without a machine is decided only when that machine does not serve any more.** For
//! whoever decides, a majority, has given no grant to it for `dead` ticks in this epoch, or was told
//! by it that it serves no more; and if it serves, the machine has one from a majority of its own
//! list, all younger. If its list is the same, both have a node in common: impossible. If its list
//! is of an earlier epoch, then a majority of that one accepted the step from it before the silence
//! began, and so one of them has told the machine of that step since: so it needs the grants of a
//! majority of the next list, too; and so on up to this one. (What was granted to one who wants to
//! join counts under the list that takes it in only if the granter had no later one.) This holds
//! under any loss, delay and reordering, on links that work one way, and in any interruption.
//!
//! **After a cut, or after the latest change of the list, no two groups without a common member
//! serve for longer than three quarters of `dead` ticks.** Before that a machine can serve with a
//! grant from one that has gone over to another group; none of both counts the other as dead
//! meanwhile, nobody gets its pages or kills its threads.
//!
//! Assumed: clocks of two machines differ in speed by less than a quarter; who asks
//! [`Membership::standing`] does so with the time of now, also after a machine was stopped; `dead`
//! is at least 8; peers are honest (a transport lets in only those who are configured), and no
//! heartbeat of an earlier life of a peer is handed in after one of a later life.
//!
//! What a peer says is checked all the same, as far as that can be: nothing makes this panic, and what
//! only grows, ballots ([`agreement`]) and epochs ([`list`]), cannot be made to end. A heartbeat that
//! no honest machine can send is a fault, in its bytes ([`view`]) or for who hears it
//! ([`Membership::heard`]).
//!
//! # Who removes whom
//!
//! The lowest node of a group proposes ([`Membership::tick`]). When A hears B, B hears C, but C and
//! A do not hear each other, not all can stay: everybody leaves out whoever has the fewest
//! connections, of equal ones the highest id, until all that remain are connected. Who is left out
//! for long, by those who can do without it, gets no grants any more, suspends, and is removed
//! `dead` ticks later, unless it is connected again. Nobody begins to remove one whom enough others
//! hear and want to keep: whoever accepts a removal cannot go back on it.
//!
//! # Who is to be removed decides, too
//!
//! When one has accepted a removal, a majority with one that died may have: so nothing else can be
//! decided without that one, and the removal must be. Then those who are to go may have to make the
//! majority. They are members of the list that decides, so their promises and their votes count as all
//! others do. Two things are needed for them to give these:
//!
//! * A suspended machine that hears that its own removal is what was begun, and hears too few who have
//!   not accepted that to decide anything else, *resigns*, even if it cannot accept that yet: it serves
//!   no more in this life, whatever comes of it, and says so. As long as it hears too few it gives no
//!   grants to those who are to go with it. So each of several accepts that the others go, at once if it
//!   hears that they have resigned, else when they were silent for `dead` ticks; they do not wait for
//!   each other. (While it hears enough it goes on with them, resigned or not: else one that few hear,
//!   and that begins again and again, keeps them apart, and neither side can remove the other.)
//! * A machine that is out by a list that it has accepted, or found to be decided, itself may be the only one that
//!   knows of it. It is suspended, keeps its life, and says that list, until those who stay know it as they
//!   would have to if it left: a majority of them, or all that it is connected to. (Else two that decide that
//!   they are removed, and begin anew at once, leave behind one who never heard that they did, and
//!   who can wait for ever.) Who is out by another list heard of it from one who has it.
//!
//! Neither bends the agreement: whoever accepts, accepts what Paxos has it accept, and what it
//! stands to is kept for longer. Nor the leases: who has resigned or is out does not serve.
//!
//! # Use
//!
//! One object ([`machine`] has it, and says when a machine begins anew), under one spinlock;
//! nothing here sleeps or allocates, and the work of a call is bounded (about the square of the
//! number of members). `now` counts ticks of the caller's clock, of 100 ms, say. In each tick call
//! [`Membership::tick`], and send each peer its [`Membership::view`]; hand in what comes with
//! [`Membership::heard`]. What is sent in between, when something was decided on, makes agreement faster,
//! and may be left out. What a call returns is to be told to the services, in the order in which
//! it came.

mod adoption;
pub mod agreement;
mod grants;
mod group;
mod heartbeat;
pub mod list;
pub mod machine;
mod proposal;
mod standing;
pub mod view;

use self::agreement::Agreement;
use self::list::List;
use crate::directory::NodeSet;
use crate::ids::Incarnation;
use crate::ids::NodeId;
use crate::ids::NODE_MAX;

/// Of the ticks within which a death is to be known, those that are not for silence: one until the
/// members' next tick, in which one proposes and the last of them does not expect the dead one any more;
/// and one for the rounds of the agreement, over a network that takes little of it, with every
/// [`Stance`](machine::Stance) sent as soon as it is taken.
const DECIDING: u64 = 2;

/// After how many ticks of silence others count as dead (`dead` here), for that to be known to all
/// within as many as `within` ticks of their last sign. The number of ticks that a link may see nothing
/// is the same: it looks once a tick.
pub const fn silence(within: u64) -> u64 {
    within.saturating_sub(DECIDING)
}

/// Whether this machine may serve distributed processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Standing {
    /// It is no member yet.
    Joining,
    /// It may.
    Serving,
    /// It may not now.
    Suspended(Why),
    /// It has left in order; the others know.
    Left,
    /// It was removed, or has resigned and is the last of its list; it may join again as another life.
    Removed,
}

/// Why a member does not serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    /// Those that it is connected to are no majority of the list.
    Minority,
    /// They are no majority of a list that may have been decided.
    Undecided,
    /// It is leaving.
    Leaving,
}

/// Kernels that came and went. What went goes first: a node in both is there in another life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Changes {
    /// They left in order.
    pub left: NodeSet,
    /// They are dead: they do not serve any more.
    pub dead: NodeSet,
    /// They are members, or run on a machine that is one.
    pub joined: NodeSet,
}

/// [`Membership::force`] was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForceError {
    /// This machine serves, or is no member: there is nothing to force.
    NotSuspended,
    /// These members are missing, too, and were not named.
    NotNamed(NodeSet),
    /// These were named, but are connected.
    Connected(NodeSet),
}

/// What is known of another machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Peer {
    life: Incarnation,
    /// The clock in the latest of its views, and ours when that came.
    sent: u64,
    heard_at: u64,
    /// Its link is up.
    is_connected: bool,
    /// The clock of its that was granted last, and ours when that was first done.
    granted: Option<(u64, u64)>,
    /// Our clock up to which its grant to us counts; exclusive.
    leased_until: u64,
    /// It had our list when it was heard.
    has_our_list: bool,
    epoch: u64,
    hears: NodeSet,
    kernels: NodeSet,
    /// It leaves, or has resigned: it does not serve any more.
    is_leaving: bool,
    is_surely_dead: bool,
    /// Since when it is heard, but not connected to all of a group that can do without it.
    odd_since: Option<u64>,
}

impl Peer {
    fn new(life: Incarnation, now: u64) -> Self {
        Self {
            life,
            sent: 0,
            heard_at: now,
            is_connected: true,
            granted: None,
            leased_until: 0,
            has_our_list: false,
            epoch: 0,
            hears: NodeSet::EMPTY,
            kernels: NodeSet::EMPTY,
            is_leaving: false,
            is_surely_dead: false,
            odd_since: None,
        }
    }
}

/// Where is kept what is known of others: `N` places, by node id. That is some KiB: too much for
/// the stack of a kernel, which has them elsewhere.
pub trait Places<T> {
    /// All of them.
    fn all(&self) -> &[Option<T>];
    /// All of them.
    fn all_mut(&mut self) -> &mut [Option<T>];
}

impl<T, const N: usize> Places<T> for [Option<T>; N] {
    fn all(&self) -> &[Option<T>] {
        self
    }

    fn all_mut(&mut self) -> &mut [Option<T>] {
        self
    }
}

/// A machine's view of the members. See the module.
///
/// `N` is the number of node ids: [`NODE_MAX`], but fewer in a model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Membership<const N: usize = NODE_MAX, P = [Option<Peer>; N]> {
    me: NodeId,
    life: Incarnation,
    now: u64,
    dead: u64,
    /// What was promised for longer: for how many ticks, and until when that counts.
    longer: Option<(u64, u64)>,
    agreement: Agreement<N>,
    adopted_at: u64,
    /// When the highest ballot was first seen.
    attempted_at: u64,
    peers: P,
    /// Kernels of this machine.
    kernels: NodeSet,
    is_leaving: bool,
    /// Members that leave in order, as far as is known, and nodes that are no members and did so;
    /// whoever hears of a list hears of this with it.
    leaving: NodeSet,
    /// It was a member and is none any more.
    is_out: bool,
    /// It has accepted its own removal, or was to, as soon as it can: it does not serve any more, whatever
    /// comes of that.
    is_resigned: bool,
    /// It is out by a list that it has accepted, or found to be decided, itself: it is not yet removed for
    /// good, for it may be the only one who can tell those who stay.
    is_witness: bool,
    /// Kernels that were told of as joined.
    told: NodeSet,
}

impl<const N: usize> Membership<N> {
    /// A machine that begins a cluster of its own, or wants to join one (`cluster` is `None`: until
    /// a list with it comes). `me` is its primary, `life` was never used before, `cluster` is
    /// random. It counts others as dead that were silent for `dead` ticks.
    pub fn new(me: NodeId, life: Incarnation, cluster: Option<u64>, now: u64, dead: u64) -> Self {
        Self::in_places(me, life, cluster, now, dead, [None; N])
    }
}

impl<const N: usize, P: Places<Peer>> Membership<N, P> {
    /// [`Membership::new`], in `places` that are all `None`.
    pub fn in_places(
        me: NodeId,
        life: Incarnation,
        cluster: Option<u64>,
        now: u64,
        dead: u64,
        places: P,
    ) -> Self {
        let list = cluster.map_or(List::EMPTY, |cluster| List::founded(cluster, me, life));
        Self {
            me,
            life,
            now,
            dead,
            longer: None,
            agreement: Agreement::new(me, list),
            adopted_at: now,
            attempted_at: now,
            peers: places,
            kernels: NodeSet::only(me),
            is_leaving: false,
            leaving: NodeSet::EMPTY,
            is_out: false,
            is_resigned: false,
            is_witness: false,
            told: NodeSet::EMPTY,
        }
    }

    /// Forgets all, as a new one does: begins a cluster of its own, or wants to join one. `life` is
    /// another, but for a machine that was alone in its first list, or in none: nobody has relied
    /// on it.
    pub fn restart(&mut self, life: Incarnation, cluster: Option<u64>, now: u64) {
        let list = cluster.map_or(List::EMPTY, |cluster| List::founded(cluster, self.me, life));
        self.life = life;
        self.now = self.now.max(now);
        self.agreement.adopt(list);
        self.adopted_at = self.now;
        self.attempted_at = self.now;
        self.peers.all_mut().fill(None);
        self.is_leaving = false;
        self.leaving = NodeSet::EMPTY;
        self.is_out = false;
        self.is_resigned = false;
        self.is_witness = false;
        self.told = NodeSet::EMPTY;
    }

    /// The list of members.
    pub fn list(&self) -> &List<N> {
        self.agreement.list()
    }

    /// Says which kernels run on this machine; its primary always does.
    pub fn set_kernels(&mut self, kernels: NodeSet) {
        self.kernels = kernels.with(self.me);
    }

    /// Time passes: call it once a tick.
    pub fn tick(&mut self, now: u64) -> Changes {
        self.now = self.now.max(now);
        self.conclude(true)
    }

    /// This machine leaves in order: call it when it serves nothing any more. Go on with ticks and
    /// views until [`Standing::Left`]; if that does not come, the others count it as dead when it
    /// goes.
    pub fn leave(&mut self) {
        self.is_leaving = true;
        self.leaving = self.leaving.with(self.me);
        if self.list().members().without(self.me).is_empty() {
            self.is_out = true;
        }
    }

    /// An administrator gives his word that no other machine serves, also none of `absent`, which
    /// are not coming back in this life: those that are connected go on without them. One that is out,
    /// and waits for them to know it, is removed.
    ///
    /// # Errors
    ///
    /// See [`ForceError`]: he must know how things are.
    pub fn force(&mut self, now: u64, absent: NodeSet) -> Result<Changes, ForceError> {
        self.now = self.now.max(now);
        match self.standing(self.now) {
            Standing::Suspended(Why::Minority | Why::Undecided) => {}
            _ => return Err(ForceError::NotSuspended),
        }
        let group = self.group(self.now);
        let named = absent.bits();
        let missing = NodeSet::from_bits(self.list().members().bits() & !group.bits() & !named);
        if !missing.is_empty() {
            return Err(ForceError::NotNamed(missing));
        }
        let connected = NodeSet::from_bits(group.bits() & named);
        if !connected.is_empty() {
            return Err(ForceError::Connected(connected));
        }
        if self.is_out {
            // Nobody is left who has to be told.
            self.is_witness = false;
            return Ok(Changes::default());
        }
        let next = self.list().forced(group).ok_or(ForceError::NotSuspended)?;
        let changes = self.adopt(next, NodeSet::EMPTY);
        // The word outranks what was accepted before.
        self.is_resigned = false;
        Ok(changes.and(self.conclude(false)))
    }

    /// Whether `node` is no member any more, and has left in order.
    pub fn has_left(&self, node: NodeId) -> bool {
        self.list().life(node).is_none() && self.leaving.contains(node)
    }

    /// The peer, if it is this member of the list.
    fn member(&self, list: &List<N>, node: NodeId) -> Option<&Peer> {
        let peer = self.peers.all().get(node.index())?.as_ref()?;
        list.contains(node, peer.life).then_some(peer)
    }
}

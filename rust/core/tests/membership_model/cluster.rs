// SPDX-License-Identifier: GPL-2.0

//! Machines that run the real `Membership`, the network between them, and what must never be seen.

use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::membership::list::List;
use popcorn_core::membership::view::View;
use popcorn_core::membership::Membership;
use popcorn_core::membership::Standing;
use popcorn_core::membership::Why;

/// Ticks of silence after which a machine counts as dead.
pub(crate) const DEAD: u64 = 4;
/// How long a grant counts.
pub(crate) const LEASE: u64 = 3;
const CLUSTER: u64 = 0xc1;

pub(crate) fn node(n: usize) -> NodeId {
    NodeId::new(n as u64).expect("a small number")
}

fn nodes(set: u8) -> NodeSet {
    NodeSet::from_bits(u64::from(set))
}

/// What an adversary may do to the machines and the network, once a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Action {
    /// From here on the second does not hear the first.
    Cut(usize, usize),
    /// No more between these (a bitmask) and the others, both ways.
    Split(u8),
    /// These do not hear the others any more, who go on hearing them.
    Deafen(u8),
    /// All links are up again.
    Heal,
    /// What the first sends to the second in this tick is held back.
    Delay(usize, usize),
    /// What was held back arrives.
    Release,
    Kill(usize),
    /// The machine was restarted, or is a new one: it wants to join in a new life.
    Start(usize),
    Leave(usize),
    /// Against the rules: it forgets everything, but calls itself the same life.
    Amnesia(usize),
    /// Against the rules: the administrator says that no other machine serves, and does not know.
    Lie(usize),
}

/// A rule that is broken, to see that somebody notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutation {
    None,
    /// A grant counts from when it arrives instead of from when it was asked for.
    LeaseFromReceipt,
    /// The receiver believes that others wait for a dead machine twice as long as they do.
    LongLease,
    /// Who makes an attempt does not care about what others have accepted before.
    IgnoreAttempts,
}

/// A step that breaks what must hold.
pub(crate) type Wrong = &'static str;
/// All that is said here is honest.
const FAULT: Wrong = "what a machine says is called a fault";

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cluster<const N: usize> {
    pub(crate) now: u64,
    mutation: Mutation,
    machines: [Option<Membership<N>>; N],
    /// Latest life of each node; machines of node n have lives `n + 1 + 16 * k`.
    lives: [u64; N],
    /// By sender, a bit for each receiver that does not hear it.
    cuts: [u8; N],
    held: Option<(usize, usize, u64, View<N>)>,
    delaying: Option<(usize, usize)>,
    /// Every list that anybody ever had, the latest ones: for what has to be the same for all.
    latest: List<N>,
    changed_at: u64,
    serving: u8,
}

impl<const N: usize> Cluster<N> {
    /// `members` machines in one list, all connected; the rest has yet to be started.
    pub(crate) fn new(members: usize, mutation: Mutation) -> Self {
        let mut cluster = Self {
            now: 0,
            mutation,
            machines: std::array::from_fn(|_| None),
            lives: std::array::from_fn(|n| n as u64 + 1),
            cuts: [0; N],
            held: None,
            delaying: None,
            latest: List::EMPTY,
            changed_at: 0,
            serving: 0,
        };
        // The highest begins, so that joining is done in the harder order, too.
        for n in (0..members).rev() {
            let founds = (n + 1 == members).then_some(CLUSTER);
            cluster.machines[n] = Some(Membership::new(node(n), cluster.life(n), founds, 0, DEAD));
        }
        for _ in 0..40 {
            cluster.tick(None).expect("nothing bad has happened yet");
        }
        assert!(cluster.is_whole(), "{cluster:?}");
        cluster
    }

    fn life(&self, n: usize) -> Incarnation {
        Incarnation::new(self.lives[n]).expect("not zero")
    }

    pub(crate) fn standing(&self, n: usize) -> Option<Standing> {
        Some(self.machines[n].as_ref()?.standing(self.now))
    }

    fn alive(&self) -> u8 {
        (0..N)
            .filter(|n| self.machines[*n].is_some())
            .fold(0, |set, n| set | (1 << n))
    }

    /// Whether all that are alive serve together.
    pub(crate) fn is_whole(&self) -> bool {
        (0..N).all(|n| match &self.machines[n] {
            None => true,
            Some(machine) => {
                machine.standing(self.now) == Standing::Serving
                    && machine.list().members() == nodes(self.alive())
                    && machine.connected(self.now) == nodes(self.alive())
            }
        })
    }

    /// Whether those that are there can go on with the latest list that any of them knows, also one that is
    /// out by it and has to tell them; whatever was about to be decided.
    pub(crate) fn can_recover(&self) -> bool {
        let members = || {
            (0..N).filter_map(|n| {
                let machine = self.machines[n].as_ref()?;
                let is_member = machine.list().contains(node(n), self.life(n));
                is_member.then_some((n, machine))
            })
        };
        let lists = self.machines.iter().flatten();
        let lists = lists.map(|machine| *machine.list());
        let Some(known) = lists
            .filter(|list| list.epoch() != 0)
            .max_by_key(List::epoch)
        else {
            return false;
        };
        let survives = |list: &List<N>| {
            let there = members()
                .filter(|(n, _)| list.contains(node(*n), self.life(*n)))
                .filter(|(_, machine)| {
                    machine.standing(self.now) != Standing::Suspended(Why::Leaving)
                })
                .fold(NodeSet::EMPTY, |set, (n, _)| set.with(node(n)));
            list.is_majority(there)
        };
        survives(&known)
            && members().all(|(n, machine)| {
                let accepted = machine.view(node(n)).opinion.accepted;
                let next = accepted.and_then(|accepted| machine.list().after(accepted.change));
                next.is_none_or(|next| survives(&next))
            })
    }

    /// How things stand, for a person.
    pub(crate) fn describe(&self) -> String {
        let machines = self.machines.iter().enumerate().filter_map(|(n, machine)| {
            let machine = machine.as_ref()?;
            let view = machine.view(node(n));
            Some(format!(
                "  {n}: {:?}, epoch {}, members {:b}, hears {:b}, {:?}, with {:b}\n",
                machine.standing(self.now),
                machine.list().epoch(),
                machine.list().members().bits(),
                view.hears.bits(),
                view.opinion,
                machine.connected(self.now).bits(),
            ))
        });
        machines.collect()
    }

    pub(crate) fn heal(&mut self) {
        self.cuts = [0; N];
        self.held = None;
        self.delaying = None;
    }

    /// The link between these two is up again.
    pub(crate) fn heal_between(&mut self, one: usize, other: usize) {
        self.cuts[one] &= !(1 << other);
        self.cuts[other] &= !(1 << one);
    }

    /// Whether `action` can be done now and changes anything.
    pub(crate) fn can(&self, action: Action) -> bool {
        let alive = |n: usize| self.machines[n].is_some();
        match action {
            Action::Cut(from, to) => {
                alive(from) && alive(to) && from != to && self.cuts[from] & (1 << to) == 0
            }
            Action::Split(_) | Action::Deafen(_) => true,
            Action::Heal => self.cuts != [0; N],
            Action::Delay(from, to) => {
                alive(from) && alive(to) && from != to && self.held.is_none()
            }
            Action::Release => self.held.is_some(),
            Action::Kill(n) => alive(n),
            Action::Start(n) => !alive(n),
            Action::Leave(n) => self.standing(n) == Some(Standing::Serving),
            Action::Amnesia(n) => alive(n),
            Action::Lie(n) => matches!(self.standing(n), Some(Standing::Suspended(_))),
        }
    }

    /// Whether those that remain after `action` can be expected not to notice.
    pub(crate) fn is_of_a_minority(&self, action: Action) -> bool {
        match action {
            Action::Kill(n) | Action::Leave(n) => {
                let mut after = self.clone();
                if matches!(action, Action::Kill(_)) {
                    after.machines[n] = None;
                } else if let Some(machine) = &mut after.machines[n] {
                    machine.leave();
                }
                after.can_recover()
            }
            // Of two the lower one is needed, also if it came last.
            Action::Start(n) => self.latest.members().first() < Some(node(n)),
            _ => true,
        }
    }

    fn act(&mut self, action: Action) {
        let inside = |set: u8, n: usize| set & (1 << n) != 0;
        match action {
            Action::Cut(from, to) => self.cuts[from] |= 1 << to,
            Action::Split(set) => {
                for from in 0..N {
                    self.cuts[from] = if inside(set, from) { !set } else { set };
                }
            }
            Action::Deafen(set) => {
                for from in (0..N).filter(|from| !inside(set, *from)) {
                    self.cuts[from] |= set;
                }
            }
            Action::Heal => self.cuts = [0; N],
            Action::Delay(from, to) => self.delaying = Some((from, to)),
            Action::Release => {}
            Action::Kill(n) => self.machines[n] = None,
            Action::Start(n) => {
                self.lives[n] += 16;
                self.restart(n);
            }
            Action::Leave(n) => {
                if let Some(machine) = &mut self.machines[n] {
                    machine.leave();
                }
            }
            Action::Amnesia(n) => self.restart(n),
            Action::Lie(n) => {
                let now = self.now;
                if let Some(machine) = &mut self.machines[n] {
                    let list = *machine.list();
                    let with = machine.unreachable(now);
                    // Refused if it knows better.
                    machine.force(now, with).ok();
                    assert!(machine.list().epoch() >= list.epoch());
                }
            }
        }
    }

    fn restart(&mut self, n: usize) {
        self.machines[n] = Some(Membership::new(node(n), self.life(n), None, self.now, DEAD));
    }

    /// One tick: `action`, every machine's tick, and a heartbeat on each link.
    pub(crate) fn tick(&mut self, action: Option<Action>) -> Result<(), Wrong> {
        self.now += 1;
        let now = self.now;
        self.delaying = None;
        if let Some(action) = action {
            self.act(action);
        }
        for machine in self.machines.iter_mut().flatten() {
            machine.tick(now);
        }
        self.check()?;
        if action == Some(Action::Release) {
            if let Some((from, to, life, view)) = self.held.take() {
                self.deliver(from, to, life, view)?;
                self.check()?;
            }
        }
        for from in 0..N {
            for to in 0..N {
                let Some(sender) = self.machines[from].as_ref().filter(|_| from != to) else {
                    continue;
                };
                if self.machines[to].is_none() {
                    continue;
                }
                let view = sender.view(node(to));
                if self.delaying == Some((from, to)) {
                    self.held = Some((from, to, self.lives[from], view));
                } else if self.cuts[from] & (1 << to) == 0 {
                    self.deliver(from, to, self.lives[from], view)?;
                    self.check()?;
                }
            }
        }
        for n in 0..N {
            match self.standing(n) {
                Some(Standing::Left) => self.machines[n] = None,
                // It does as it should.
                Some(Standing::Removed) => self.act(Action::Start(n)),
                _ => {}
            }
        }
        Ok(())
    }

    fn deliver(
        &mut self,
        from: usize,
        to: usize,
        life: u64,
        mut view: View<N>,
    ) -> Result<(), Wrong> {
        // The transport hands in nothing of an earlier life.
        if life != self.lives[from] {
            return Ok(());
        }
        let maker = (view.opinion.promised.bits() & 0xff) as usize;
        match self.mutation {
            Mutation::None => {}
            Mutation::LeaseFromReceipt => view.granted = view.granted.map(|_| self.now),
            // The lease is of the lesser of both values, so lengthen it by a later beginning.
            Mutation::LongLease => {
                view.granted = view.granted.map(|at| (at + LEASE).min(self.now));
            }
            Mutation::IgnoreAttempts => {
                let accepted = view.opinion.accepted;
                let is_earlier = accepted.is_some_and(|a| a.ballot < view.opinion.promised);
                if maker == to && is_earlier {
                    view.opinion.accepted = None;
                }
            }
        }
        // What the bytes say is what was meant.
        let mut bytes = [0; popcorn_core::membership::view::VIEW_MAX];
        let length = view.encode(&mut bytes).expect("it fits");
        if View::decode(&bytes[..length]) != Ok(view) {
            return Err(FAULT);
        }
        let now = self.now;
        let life = Incarnation::new(life).expect("not zero");
        if let Some(machine) = &mut self.machines[to] {
            machine
                .heard(now, node(from), life, &view)
                .map_err(|_| FAULT)?;
        }
        Ok(())
    }

    /// What must hold after each step.
    fn check(&mut self) -> Result<(), Wrong> {
        let mut groups: [Option<NodeSet>; N] = [None; N];
        let before = self.latest;
        for (machine, group) in self.machines.iter().zip(&mut groups) {
            let Some(machine) = machine else { continue };
            let list = machine.list();
            if list.epoch() > self.latest.epoch() {
                self.latest = *list;
            } else if list.epoch() == self.latest.epoch() && *list != self.latest {
                return Err("two lists of one epoch");
            }
            if machine.standing(self.now) == Standing::Serving {
                *group = Some(machine.connected(self.now));
            }
        }
        if self.latest != before {
            self.changed_at = self.now;
        }
        for n in 0..N {
            let Some(group) = groups[n] else { continue };
            if !self.latest.contains(node(n), self.life(n)) {
                return Err("a machine serves that is not in the latest list");
            }
            for other in groups.iter().take(n).flatten() {
                let disjoint = group.bits() & other.bits() == 0;
                if disjoint && self.now > self.changed_at + LEASE {
                    return Err("two groups serve");
                }
            }
        }
        Ok(())
    }

    /// Whether a machine that served in the tick before does not serve now, though it does not
    /// leave.
    pub(crate) fn has_faltered(&mut self) -> bool {
        let mut serving = 0;
        let mut faltered = false;
        for n in 0..N {
            match self.standing(n) {
                Some(Standing::Serving) => serving |= 1 << n,
                Some(Standing::Suspended(Why::Leaving)) | None => {}
                Some(_) => faltered |= self.serving & (1 << n) != 0,
            }
        }
        self.serving = serving;
        faltered
    }
}

// SPDX-License-Identifier: GPL-2.0
//! A machine among others that say anything of themselves, of each other and of it.
//!
//! What they say is a view that can be decoded, mostly close to what the machine itself says. The caller is honest:
//! it tells of time, links and ends, as `popcorn_msg` does. Whatever comes: this life of the machine is in its own
//! list, unless it leaves, is in none, or was removed and waits for others to know; the list goes on within a system,
//! and never back; who is of another system changes nothing in one of several; it serves no longer than it was asked
//! about, and only as a member; what it says is what others can decode, grants what was said to it, and nothing in
//! another life; and when all links are gone it is alone, and serves.

use super::Target;
use crate::random::Random;
use crate::source::Source;

use popcorn_core::directory::NodeSet;
use popcorn_core::ids::Incarnation;
use popcorn_core::ids::NodeId;
use popcorn_core::ids::NODE_MAX;
use popcorn_core::membership::agreement::Accepted;
use popcorn_core::membership::agreement::Ballot;
use popcorn_core::membership::agreement::Opinion;
use popcorn_core::membership::list::Change;
use popcorn_core::membership::list::List;
use popcorn_core::membership::machine::Bond;
use popcorn_core::membership::machine::Event;
use popcorn_core::membership::machine::Machine;
use popcorn_core::membership::machine::Status;
use popcorn_core::membership::view::Said;
use popcorn_core::membership::view::View;
use popcorn_core::membership::view::SAID_MAX;
use popcorn_core::membership::Standing;
use popcorn_core::membership::Why;
use std::cell::RefCell;

pub(super) const TARGET: Target = Target {
    name: "membership",
    about: "a machine among others that say anything of who is a member",
    most: 192,
    seeds,
    run,
};

/// Few, so that they meet; the last one is at the other end.
const NODES: [u64; 5] = [0, 8, 16, 24, 63];
/// Those that it meets.
const PEERS: usize = NODES.len() - 1;
/// Ticks of silence until others are dead; the least there may be.
const DEAD: u64 = 8;
/// How far ahead is asked whether it serves.
const AHEAD: u64 = DEAD + 2;
/// Of a system that this machine was never in.
const ELSEWHERE: u64 = 0xe15e;

thread_local!(static NUMBERS: RefCell<Random> = RefCell::new(Random::new(1)));

fn random() -> u64 {
    NUMBERS.with_borrow_mut(Random::number)
}

fn seeds() -> Vec<Vec<u8>> {
    let link = |peer: &u8| [1, *peer, 1];
    // Those become one system, of which this machine is the lowest or not; then one leaves, is lost, lies.
    let ends = [
        &[][..],
        &[6, 0, 0],
        &[4, 0, 0],
        &[3, 0, 2, 255, 1, 1],
        &[7, 0, 1],
    ];
    let mut seeds = Vec::new();
    for me in 0..2 {
        for peers in [&[0][..], &[0, 1], &[0, 1, 2, 3]] {
            for end in ends {
                let mut seed = vec![me];
                seed.extend(peers.iter().flat_map(link));
                seed.extend([TOGETHER; 12].concat());
                seed.extend(end);
                seed.extend([TOGETHER; 10].concat());
                seeds.push(seed);
            }
        }
    }
    seeds
}

/// A tick, in which all hear each other.
const TOGETHER: [u8; 3] = [5, 0, 0];

/// Another machine, as far as it is known here.
struct Peer {
    node: NodeId,
    life: Incarnation,
    is_linked: bool,
    /// What it has said last, and all the clocks that it has named, also in earlier lives.
    said: Option<Said>,
    clocks: Vec<u64>,
    /// What this machine has said to it last.
    heard: Option<Said>,
}

/// The machine, and what must hold.
struct World {
    machine: Machine,
    me: NodeId,
    now: u64,
    peers: Vec<Peer>,
    last: (Incarnation, Status),
    is_leaving: bool,
}

fn life(raw: u64) -> Incarnation {
    Incarnation::new(raw.max(1)).unwrap()
}

fn new_world(source: &mut Source<'_>) -> World {
    NUMBERS.set(Random::new(1));
    let mut nodes: Vec<_> = NODES.iter().map(|id| NodeId::new(*id).unwrap()).collect();
    let me = nodes.remove(source.below(NODES.len()));
    let now = 1000;
    let machine = Machine::new(me, now, DEAD, random, [None; NODE_MAX], [None; NODE_MAX]);
    let last = (machine.life(), machine.status(now));
    let peer = |(n, node): (usize, NodeId)| Peer {
        node,
        life: life(500 + n as u64),
        is_linked: false,
        said: None,
        clocks: Vec::new(),
        heard: None,
    };
    World {
        machine,
        me,
        now,
        peers: nodes.into_iter().enumerate().map(peer).collect(),
        last,
        is_leaving: false,
    }
}

impl World {
    /// What follows from what was done, and what must hold then. `heard`: what was said, if that was it.
    fn conclude(&mut self, heard: Option<&Said>) {
        let (machine, now) = (&mut self.machine, self.now);
        let (last_life, last) = self.last;
        let news = machine.conclude(now);
        let status = machine.status(now);
        let own = machine.life();
        if let Some(news) = &news {
            assert_eq!((news.before, news.after), (last, status));
        } else {
            assert_eq!(status, last, "a change that nobody is told of");
        }
        self.is_leaving &= own == last_life;

        // In its own list, or on the way out.
        let is_member = status.members.contains(self.me);
        let was_out = last.epoch != 0 && !last.members.contains(self.me) && !self.is_leaving;
        match status.standing {
            Standing::Serving => assert!(is_member),
            Standing::Joining => assert!(status.members.is_empty() && status.epoch == 0),
            Standing::Suspended(why) => {
                // What removed it was a step of the same system, and it does not wait for the next.
                let is_witness = own == last_life
                    && (was_out && (status.epoch, status.members) == (last.epoch, last.members)
                        || !was_out && status.epoch > last.epoch && last.epoch != 0);
                assert!(is_member || self.is_leaving || is_witness);
                assert!(why != Why::Leaving || self.is_leaving);
            }
            Standing::Left => assert!(self.is_leaving),
            Standing::Removed => panic!("it goes on after it was removed"),
        }
        assert!(status.members.is_empty() == (status.epoch == 0));
        let others = machine.others();
        assert_eq!(others, status.members.without(self.me));
        let missing = machine.missing(now).bits();
        assert_eq!(missing & !others.bits(), 0);

        // The list goes on.
        let is_same = (own, status.cluster) == (last_life, last.cluster);
        if is_same && status.epoch != 0 {
            assert!(status.epoch >= last.epoch, "an earlier list");
        }
        // A stranger decides nothing for a system of several.
        let was_one_of_many = last.members.contains(self.me) && last.members.len() > 1;
        let is_foreign = heard.is_some_and(|said| {
            let list = &said.view.list;
            list.epoch() != 0 && list.cluster() != last.cluster
        });
        let event = news.and_then(|news| news.event);
        if event == Some(Event::Removed) {
            let was_in = last.members.contains(self.me);
            assert!(was_in || was_out, "from a list without it");
            assert!(!is_foreign || was_out, "by another system");
        }
        if was_one_of_many && is_foreign && event != Some(Event::Deserted) {
            assert_eq!((own, status.epoch), (last_life, last.epoch));
            assert_eq!(status.members, last.members);
        }

        // It serves as a member, and no longer than was asked about.
        match machine.serves(now, AHEAD) {
            None => assert!(others.is_empty()),
            Some(0) => assert_ne!(status.standing, Standing::Serving),
            Some(lease) => {
                assert!(lease <= AHEAD && status.standing == Standing::Serving);
                // With nobody heard it ends in time; but of two the lower one needs nobody.
                let is_enough =
                    status.members.len() == 2 && status.members.first() == Some(self.me);
                assert!(lease <= DEAD || is_enough, "{lease} ticks");
            }
        }
        self.last = (own, status);
    }

    /// What it says to one, which must be what others take.
    fn listen(&mut self, who: usize) {
        let (own, status) = self.last;
        let machine = &self.machine;
        if let Some(peer) = self.peers.get_mut(who) {
            assert_eq!(machine.says(peer.node, life(1)), None, "another life");
            assert_eq!(machine.bond(peer.node, None, life(1)), Bond::Over);
            let bond = machine.bond(peer.node, Some(peer.life), own);
            if let Bond::Member { .. } = bond {
                assert!(status.members.contains(peer.node) && status.members.contains(self.me));
            }
            machine.awaits(peer.node);
            let Some(said) = machine.says(peer.node, own) else {
                assert_eq!(status.epoch, 0);
                peer.heard = None;
                return;
            };
            let mut bytes = [0; SAID_MAX];
            let length = said.encode(&mut bytes).expect("it fits");
            assert_eq!(
                Said::decode(&bytes[..length]),
                Ok(said),
                "nobody takes that"
            );
            assert_eq!(said.life, own);
            assert_eq!(said.view.list.members(), status.members);
            assert!(said.view.granted.is_none_or(|at| peer.clocks.contains(&at)));
            assert!(said.view.hears.bits() & !status.members.bits() == 0);
            assert!(said.view.sent <= self.now && said.view.kernels.contains(self.me));
            peer.heard = Some(said);
        }
    }

    fn hear(&mut self, who: usize, said: &Said) {
        let peer = &mut self.peers[who];
        peer.clocks.push(said.view.sent);
        peer.said = Some(*said);
        self.machine.hear(self.now, peer.node, said).ok();
        self.conclude(Some(said));
    }

    /// What an honest one would say that takes over what it hears: a peer that wants to join, or is a member.
    fn echo(&mut self, who: usize) -> Said {
        self.listen(who);
        let peer = &self.peers[who];
        let candidate = View {
            list: List::EMPTY,
            opinion: Opinion::default(),
            sent: self.now,
            granted: peer.heard.map(|heard| heard.view.sent),
            dead: DEAD,
            hears: NodeSet::EMPTY,
            kernels: NodeSet::only(peer.node),
            is_leaving: false,
            leaving: NodeSet::EMPTY,
        };
        let view = match &peer.heard {
            Some(heard) if heard.view.list.contains(peer.node, peer.life) => View {
                list: heard.view.list,
                opinion: heard.view.opinion,
                hears: heard.view.list.members().without(peer.node),
                leaving: heard.view.leaving,
                ..candidate
            },
            _ => candidate,
        };
        Said {
            life: peer.life,
            view,
        }
    }

    /// Changes what is said in some places. `None`: then nobody could decode it.
    fn lie(&self, who: usize, mut said: Said, source: &mut Source<'_>) -> Option<Said> {
        let me = self.me;
        let ours = self.last.1;
        let number = |source: &mut Source<'_>, near: u64| match source.byte() % 8 {
            0..=3 => near.wrapping_add(source.byte() as i8 as u64),
            4 => near,
            5 => u64::MAX - u64::from(source.byte() % 4),
            _ => source.word(),
        };
        let set = |source: &mut Source<'_>, near: NodeSet| {
            let node = NodeId::new(NODES[source.below(NODES.len())])?;
            Some(match source.byte() % 8 {
                0 => near.with(me),
                1 => near.without(me),
                2 => NodeSet::EMPTY,
                3 => NodeSet::from_bits(u64::MAX),
                4 => NodeSet::from_bits(source.word()),
                5 => near.without(node),
                _ => near.with(node),
            })
        };
        for _ in 0..=source.byte() % 4 {
            let view = &mut said.view;
            let (mut cluster, mut epoch) = (view.list.cluster(), view.list.epoch());
            let mut lives = [None; NODE_MAX];
            for (place, node) in lives.iter_mut().zip(NodeId::all()) {
                *place = view.list.life(node);
            }
            match source.byte() % 13 {
                0 => {
                    cluster = match source.byte() % 4 {
                        0 => ELSEWHERE,
                        1 => 0,
                        2 => source.word(),
                        _ => ours.cluster,
                    }
                }
                1 => epoch = number(source, ours.epoch),
                2 | 3 => {
                    // Somebody is in its list, or not, in this or that life.
                    let place = &mut lives[NODES[source.below(NODES.len())] as usize];
                    *place = match source.byte() % 6 {
                        0 => None,
                        1 => Some(self.machine.life()),
                        2 => Incarnation::new(source.word()),
                        n => Some(self.peers[usize::from(n) - 3].life),
                    };
                }
                4 => {
                    let (life, theirs) = (self.machine.life(), self.peers[who].life);
                    lives[me.index()] = Some(life);
                    lives[self.peers[who].node.index()] = Some(theirs);
                }
                5 => view.opinion.promised = Ballot::from_bits(number(source, 0x100)),
                6 => {
                    let ballot = Ballot::from_bits(view.opinion.promised.bits().min(source.word()));
                    let change = match source.byte() % 4 {
                        0 => Change::Remove(NodeSet::only(me)),
                        1 => Change::Remove(set(source, view.list.members())?),
                        2 => {
                            Change::Join(self.peers[source.below(PEERS)].node, life(source.word()))
                        }
                        _ => {
                            let peer = &self.peers[source.below(PEERS)];
                            Change::Join(peer.node, peer.life)
                        }
                    };
                    view.opinion.accepted = Some(Accepted { ballot, change });
                }
                7 => view.sent = number(source, view.sent),
                8 => view.granted = source.flag().then(|| number(source, self.now)),
                9 => view.dead = number(source, DEAD),
                10 => view.hears = set(source, view.hears)?,
                11 => {
                    view.kernels = set(source, view.kernels)?;
                    view.is_leaving = source.flag();
                }
                _ => view.leaving = set(source, view.leaving)?,
            }
            view.list = List::from_parts(cluster, epoch, lives);
        }
        // Another life of itself, now and then.
        match source.byte() % 16 {
            0 => said.life = life(source.word()),
            1 => said.life = self.machine.life(),
            _ => {}
        }
        let mut bytes = [0; SAID_MAX];
        let length = said.encode(&mut bytes)?;
        Said::decode(&bytes[..length]).ok()
    }

    fn tick(&mut self, ticks: u64, dead: u64) {
        self.now += ticks;
        // Time passes, whether or not somebody looks.
        self.last.1 = self.machine.status(self.now);
        self.machine.conclude(self.now);
        self.last = (self.machine.life(), self.machine.status(self.now));
        self.machine.tick(self.now, dead);
        self.conclude(None);
    }
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let mut world = new_world(&mut source);
    while !source.is_empty() {
        let what = source.byte() % 8;
        let who = source.below(PEERS);
        let how = source.byte();
        match what {
            0 => world.tick(u64::from(how % 4), DEAD),
            1 => {
                let is_there = how % 8 != 0;
                let node = world.peers[who].node;
                world.peers[who].is_linked = is_there;
                world.machine.link(world.now, node, is_there);
                world.conclude(None);
            }
            2 => {
                let said = world.echo(who);
                world.hear(who, &said);
            }
            3 => {
                let said = match (how % 4, world.peers[who].said, world.peers[who].heard) {
                    (0, Some(said), _) => said,
                    (1, _, Some(heard)) => Said {
                        life: world.peers[who].life,
                        ..heard
                    },
                    _ => world.echo(who),
                };
                if let Some(said) = world.lie(who, said, &mut source) {
                    world.hear(who, &said);
                }
            }
            4 => {
                let (node, life) = (world.peers[who].node, world.peers[who].life);
                world.machine.disconnected(world.now, node);
                world.conclude(None);
                if how % 2 == 0 {
                    // It comes back as another life.
                    world.machine.surely_dead(world.now, node, life);
                    world.conclude(None);
                    world.peers[who].life = Incarnation::new(life.get() + PEERS as u64).unwrap();
                }
            }
            // All that are linked hear each other, for a tick.
            5 => {
                world.tick(1, DEAD);
                for who in (0..PEERS).filter(|who| how == 0 || *who != usize::from(how) % PEERS) {
                    if world.peers[who].is_linked {
                        let said = world.echo(who);
                        world.hear(who, &said);
                    }
                }
            }
            6 => {
                if how % 4 == 0 {
                    world.is_leaving = world.machine.leave() || world.is_leaving;
                }
                world.conclude(None);
                world.machine.is_gone(world.now);
            }
            _ => {
                let node = world.peers[who].node;
                world.machine.force(world.now, node).ok();
                world.conclude(None);
            }
        }
    }
    (0..PEERS).for_each(|who| world.listen(who));
    alone_at_last(&mut world);
}

/// All links go; what was said before binds nobody.
fn alone_at_last(world: &mut World) {
    for who in 0..PEERS {
        let node = world.peers[who].node;
        world.machine.disconnected(world.now, node);
        world.machine.link(world.now, node, false);
        world.is_leaving = false;
        world.conclude(None);
    }
    let status = world.machine.status(world.now);
    assert_eq!(status.standing, Standing::Serving);
    assert_eq!((status.epoch, status.members), (1, NodeSet::only(world.me)));
    assert_eq!(world.machine.serves(world.now, AHEAD), None);
}

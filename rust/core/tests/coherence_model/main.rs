// SPDX-License-Identifier: GPL-2.0

//! Every interleaving of the coherence protocol with three nodes and two pages.
//!
//! The real `popcorn_core::directory::Entry` runs inside a model of its driver, of the channels, page
//! tables and threads (`system.rs`), which is explored to the last state (`explorer.rs`). In each state:
//! a writer is alone; whatever is mapped is the newest version; the newest version exists somewhere
//! unless it died with a node; directory and page tables agree on idle pages; and the state in which
//! all threads are done can be reached. The tests at the end break a rule each and show that the
//! explorer notices.

mod driver;
mod explorer;
mod state;
mod steps;
mod system;

use explorer::explore;
use explorer::Violation;
use explorer::STUCK;
use state::Budget;
use state::Config;
use state::Mutation;
use system::Model;

/// Nothing happens that need not.
const QUIET: Budget = Budget {
    deaths: 0,
    freezes: 0,
    declines: 0,
    refusals: 0,
    needless: 0,
};

const BASE: Config = Config {
    accesses: [2, 2, 2],
    budget: QUIET,
    ack_among_responses: false,
    mutation: Mutation::None,
};

/// Explores all of `config` and prints how much that was.
fn holds(name: &str, config: Config) {
    match explore(&mut Model::new(config)) {
        Ok(explored) => {
            println!(
                "{name}: {} states, {} steps, {} final states",
                explored.states, explored.steps, explored.goals,
            );
            assert!(explored.goals > 0);
        }
        Err(Violation { what, trace }) => panic!("{name}: {what}\n  {}", trace.join("\n  ")),
    }
}

/// Explores `config`, in which a rule is broken, up to the violation that must be there.
fn breaks(config: Config, expected: &str) {
    match explore(&mut Model::new(config)) {
        Ok(explored) => panic!("nothing found in {explored:?} of {config:?}"),
        Err(Violation { what, trace }) => {
            println!(
                "{:?}: {what}, after\n  {}",
                config.mutation,
                trace.join("\n  ")
            );
            assert_eq!(what, expected);
            assert!(!trace.is_empty());
        }
    }
}

#[test]
fn accesses_alone() {
    holds("accesses", BASE);
}

#[test]
fn grant_ack_overtakes_requests() {
    holds(
        "accesses, GRANT_ACK among responses",
        Config {
            ack_among_responses: true,
            ..BASE
        },
    );
}

#[test]
fn a_remote_dies() {
    let budget = Budget { deaths: 1, ..QUIET };
    holds("a death", Config { budget, ..BASE });
}

#[test]
fn the_layout_changes() {
    let budget = Budget {
        freezes: 1,
        ..QUIET
    };
    for accesses in [[1, 2, 1], [1, 1, 2], [2, 1, 1]] {
        let config = Config {
            accesses,
            budget,
            ..BASE
        };
        holds(&format!("a freeze, accesses {accesses:?}"), config);
    }
}

#[test]
fn a_holder_declines() {
    let budget = Budget {
        declines: 1,
        ..QUIET
    };
    holds("a declined request", Config { budget, ..BASE });
}

#[test]
fn a_requester_refuses() {
    let budget = Budget {
        refusals: 1,
        ..QUIET
    };
    holds("a refused grant", Config { budget, ..BASE });
}

#[test]
fn a_remote_asks_for_what_it_has() {
    let budget = Budget {
        needless: 1,
        ..QUIET
    };
    holds("a needless request", Config { budget, ..BASE });
}

/// Each thing that may go wrong, all in one run, in every order.
#[test]
fn everything_at_once() {
    let budget = Budget {
        deaths: 1,
        freezes: 1,
        declines: 1,
        refusals: 1,
        needless: 0,
    };
    let config = Config {
        accesses: [1, 1, 1],
        budget,
        ..BASE
    };
    holds("everything", config);
}

/// The large ones, for `make soak`.
#[test]
#[ignore = "takes minutes; run with --ignored in a release build"]
fn soak() {
    let freeze = Budget {
        freezes: 1,
        ..QUIET
    };
    holds(
        "soak: a freeze",
        Config {
            budget: freeze,
            ..BASE
        },
    );
    let death_and_refusal = Budget {
        deaths: 1,
        refusals: 1,
        ..QUIET
    };
    holds(
        "soak: a death and a refused grant",
        Config {
            budget: death_and_refusal,
            ack_among_responses: true,
            ..BASE
        },
    );
    let everything = Budget {
        deaths: 1,
        freezes: 1,
        declines: 1,
        refusals: 1,
        needless: 1,
    };
    for accesses in [[1, 1, 1], [0, 2, 1], [1, 2, 0]] {
        let config = Config {
            accesses,
            budget: everything,
            ..BASE
        };
        holds(&format!("soak: everything, accesses {accesses:?}"), config);
    }
}

// The explorer can fail: a broken rule each.

#[test]
fn mutation_ending_at_grant_is_found() {
    let config = Config {
        mutation: Mutation::NoGrantAck,
        ..BASE
    };
    // The new owner, asked before it has mapped the page, has nothing to give, and loses it.
    breaks(config, "a page is lost though no node died");
}

#[test]
fn mutation_forgetting_a_sharer_is_found() {
    let config = Config {
        mutation: Mutation::SkipOneInvalidate,
        ..BASE
    };
    breaks(config, "a writer beside another copy");
}

#[test]
fn mutation_not_downgrading_is_found() {
    let config = Config {
        mutation: Mutation::NoDowngrade,
        ..BASE
    };
    breaks(config, "a writer beside another copy");
}

#[test]
fn mutation_dropping_what_comes_home_is_found() {
    let config = Config {
        budget: Budget {
            refusals: 1,
            ..QUIET
        },
        mutation: Mutation::DropHomecoming,
        ..BASE
    };
    breaks(config, "a page is lost though no node died");
}

#[test]
fn mutation_changing_the_layout_without_recall_is_found() {
    let config = Config {
        budget: Budget {
            freezes: 1,
            ..QUIET
        },
        mutation: Mutation::NoRecall,
        ..BASE
    };
    breaks(
        config,
        "a remote has a page of a range whose layout changes",
    );
}

#[test]
fn mutation_waiting_instead_of_retry_is_found() {
    let config = Config {
        mutation: Mutation::WaitInsteadOfRetry,
        ..BASE
    };
    breaks(config, STUCK);
}

// SPDX-License-Identifier: GPL-2.0
//! The engine itself: that it finds what is there to be found, makes it small, and does the same once more.

use popcorn_fuzz::engine;
use popcorn_fuzz::engine::Limit;
use popcorn_fuzz::engine::Outcome;
use popcorn_fuzz::hex;
use popcorn_fuzz::mutate::mutate;
use popcorn_fuzz::random::Random;
use popcorn_fuzz::targets::Target;

/// Bears all but what holds an odd byte above 0xf0, behind eight others.
const PICKY: Target = Target {
    name: "picky",
    about: "a test",
    most: 64,
    seeds: || vec![vec![2; 40]],
    run: |input| {
        let rest = input.get(8..).unwrap_or(&[]);
        assert!(
            !rest.iter().any(|byte| byte % 2 == 1 && *byte > 0xf0),
            "an odd one"
        );
    },
};

fn fuzz(target: &Target, seed: u64) -> Outcome {
    engine::fuzz(target, Limit::Inputs(100_000), seed, &mut |_| {})
}

#[test]
fn it_finds_and_makes_small() {
    let finding = fuzz(&PICKY, 7).finding.unwrap();
    assert!(finding.message.ends_with(": an odd one") && finding.message.contains("engine.rs:"));
    assert!(finding.length >= finding.input.len() && finding.number > 1);
    assert_eq!(finding.input, [0, 0, 0, 0, 0, 0, 0, 0, 0xf1]);
    assert!(engine::try_once(&PICKY, &finding.input).is_some());
    assert!(engine::try_once(&PICKY, &finding.input[1..]).is_none());
}

#[test]
fn the_same_seed_finds_the_same() {
    let numbers = |seed| {
        fuzz(&PICKY, seed)
            .finding
            .map(|finding| (finding.number, finding.length))
    };
    assert_eq!(numbers(3), numbers(3));
    assert_ne!(numbers(3), numbers(4));
}

#[test]
fn what_holds_is_tried_as_often_as_was_said() {
    const CALM: Target = Target {
        run: |input| assert!(input.len() <= 64),
        ..PICKY
    };
    let outcome = fuzz(&CALM, 1);
    assert!(outcome.finding.is_none());
    assert_eq!(outcome.progress.inputs, 100_000);
}

#[test]
fn a_panic_of_a_dependency_is_a_finding() {
    const INDEX: Target = Target {
        run: |input| {
            let _ = input.iter().fold([1u8; 4], |mut all, byte| {
                all[usize::from(byte / 63)] = *byte;
                all
            });
        },
        ..PICKY
    };
    let finding = fuzz(&INDEX, 1).finding.unwrap();
    assert!(finding.message.contains("index out of bounds"));
    assert_eq!(finding.input, [252]);
}

#[test]
fn inputs_stay_within_their_bounds() {
    let mut random = Random::new(1);
    let mut input = Vec::new();
    for _ in 0..20_000 {
        mutate(&mut input, b"other", 100, &mut random);
        assert!(input.len() <= 100);
        assert!(random.below(7) < 7 && random.below(0) == 0);
    }
}

#[test]
fn text_is_read_back() {
    let bytes: Vec<u8> = (0..100).collect();
    assert_eq!(
        hex::decode(&format!("# {bytes:?}\n{}", hex::encode(&bytes))),
        Some(bytes)
    );
    assert_eq!(hex::decode(""), Some(Vec::new()));
    assert_eq!(hex::decode("0"), None);
    assert_eq!(hex::decode("0x"), None);
}

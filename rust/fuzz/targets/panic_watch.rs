// SPDX-License-Identifier: GPL-2.0
//! Looking for a panic in a console's text: it is seen if and only if a line is that of one, in whatever pieces the
//! text comes.

use super::Target;
use crate::source::Source;

use popcorn_core::panic_watch::is_panic;
use popcorn_core::panic_watch::PanicWatch;

pub(super) const TARGET: Target = Target {
    name: "panic_watch",
    about: "the text of another kernel's console",
    most: 600,
    seeds,
    run,
};

const BANNER: &[u8] = b"Kernel panic - not syncing";
const END: &[u8] = b"---[ end ";
/// What of a line is looked at.
const LINE: usize = 96;

fn seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 6] = [
        b"[    1.234567][    T1] Kernel panic - not syncing: VFS: Unable to mount root fs\n",
        b"[    1.234567] ---[ end Kernel panic - not syncing: why ]---\n",
        b"Kernel panic - not syncing: bare\nmore\n",
        b"user: Kernel panic - not syncing\n[x] [y] Kernel panic - not syncing\n",
        b"[    1.2] all is well\n[    1.3] Kernel panic - not sync",
        b"[[[]]] Kernel panic - not syncing\n\n]\n[\n",
    ];
    let seed = |text: &&[u8]| [&[7, 60, 3][..], text].concat();
    texts.iter().map(seed).collect()
}

/// The rule, in another way.
fn tells(line: &[u8]) -> bool {
    let mut line = &line[..line.len().min(LINE)];
    for _ in 0..2 {
        if line.first() == Some(&b'[') {
            let end = line.iter().position(|&byte| byte == b']');
            line = end.map_or(&[][..], |end| &line[end + 1..]);
        }
    }
    if line.first() == Some(&b' ') {
        line = &line[1..];
    }
    if line.starts_with(END) {
        line = &line[END.len()..];
    }
    line.starts_with(BANNER)
}

fn run(input: &[u8]) {
    let mut source = Source::new(input);
    let steps = [source.byte(), source.byte(), source.byte()];
    let text = source.rest();
    let lines = text.split(|&byte| byte == b'\n');
    let count = lines.clone().count();
    // The last one is not complete.
    let expected = lines.take(count - 1).any(tells);
    let mut watch = PanicWatch::new();
    let mut seen = false;
    let mut rest = text;
    for step in steps.iter().cycle() {
        let (piece, behind) = rest.split_at(rest.len().min(1 + usize::from(*step)));
        let now = watch.feed(piece);
        assert!(now || !seen, "it was forgotten");
        seen = now;
        rest = behind;
        if rest.is_empty() {
            break;
        }
    }
    assert_eq!(seen, expected);
    // What is skipped over counts for nothing, up to the end of its line.
    let mut watch = PanicWatch::new();
    watch.skip();
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or(&[]);
    assert!(!watch.feed(first) && !watch.feed(b"\n"));
    let bare = first.strip_prefix(END).unwrap_or(first);
    assert_eq!(is_panic(first), bare.starts_with(BANNER));
}

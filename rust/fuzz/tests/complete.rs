// SPDX-License-Identifier: GPL-2.0
//! That nothing is without a target: each message type that is declared anywhere is tried by `messages`, and each
//! module of `rust/core` is used by some target, or is on a list that says why it need not be. And that
//! docs/testing.md has each target.

use popcorn_core::ids::Class;
use popcorn_core::proto;
use popcorn_fuzz::targets::message_types;
use popcorn_fuzz::targets::TARGETS;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// Modules that read nothing of others.
const NOTHING_OF_OTHERS: &[(&str, &str)] = &[
    (
        "adaptive_poll",
        "it is about how long this kernel has looked and waited",
    ),
    (
        "aml",
        "it writes; what it writes of is looked at by target acpi",
    ),
    (
        "circle",
        "all of it is behind ring, which its targets try by way of it",
    ),
    ("deadline", "it is about this kernel's own time"),
    ("fifo", "what lies in it is this kernel's"),
    (
        "identity_map",
        "it writes page tables, of ranges that partition has accepted",
    ),
    ("memory_plan", "it is about this kernel's own memory"),
    (
        "progress",
        "it counts; that its count cannot be put off, its own tests try",
    ),
    ("sort", "it is about this kernel's own things"),
    (
        "strangers",
        "it has hosts and no bytes of theirs; its own tests have it beside a list",
    ),
];

fn tree() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Rust sources below a folder, without tests and what is built.
fn sources(folder: &Path, into: &mut Vec<(PathBuf, String)>) {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    for entry in entries {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() && !["tests", "benches", "target"].contains(&name.as_str()) {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let is_code = |line: &&str| !line.trim_start().starts_with("//");
            let code: Vec<&str> = text.lines().filter(is_code).collect();
            into.push((path, code.join("\n")));
        }
    }
}

/// All sources of what runs in a kernel.
fn kernel_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(tree()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("popcorn_") && path.is_dir() {
            sources(&path, &mut found);
        }
    }
    assert!(found.len() > 50, "where are the modules?");
    sources(&tree().join("rust/core"), &mut found);
    sources(&tree().join("rust/kernel"), &mut found);
    found
}

/// What is in the braces that follow.
fn block(text: &str) -> &str {
    let mut depth = 0;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 1 => return &text[..at],
            b'}' => depth -= 1,
            _ => {}
        }
    }
    panic!("no end of a declaration");
}

/// The message types that a source declares: all of `NAME = 0x...` in calls of the macro.
fn declared(path: &Path, code: &str) -> Vec<(String, u16)> {
    let mut found = Vec::new();
    for (at, call) in code.match_indices("wire_message!") {
        let before = found.len();
        let block = block(&code[at + call.len()..]);
        for (at, sign) in block.match_indices("= 0x") {
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let name = block[..at].trim_end();
            let name = &name[name.trim_end_matches(is_name).len()..];
            let number = &block[at + sign.len()..];
            let digits = number.len() - number.trim_start_matches(is_name).len();
            let number = number[..digits].replace('_', "");
            found.push((name.to_owned(), u16::from_str_radix(&number, 16).unwrap()));
        }
        assert!(
            found.len() > before,
            "{path:?} declares messages in another way than this test knows"
        );
    }
    found
}

#[test]
fn each_message_type_is_tried() {
    let mut all = BTreeSet::new();
    for (path, code) in kernel_sources() {
        let is_macro = path.ends_with("rust/core/wire.rs");
        assert!(
            is_macro || !code.contains(" Wire for "),
            "{path:?} has a message that is not declared"
        );
        for (name, number) in declared(&path, if is_macro { "" } else { &code }) {
            assert!(
                path.starts_with(tree().join("rust/core")),
                "{path:?} declares {name}, which no target can reach: its place is rust/core"
            );
            assert!(
                all.iter().all(|(_, other)| *other != number),
                "{name}: the number of another one"
            );
            all.insert((name, number));
        }
    }
    assert!(all.len() > 20, "where are the messages?");
    let tried = message_types().into_iter();
    let tried: BTreeSet<_> = tried
        .map(|(name, number)| (name.to_owned(), number))
        .collect();
    let missing: Vec<_> = all.difference(&tried).collect();
    assert!(
        missing.is_empty(),
        "to be put into rust/fuzz/targets/messages.rs: {missing:x?}"
    );
    let unknown: Vec<_> = tried.difference(&all).collect();
    assert!(unknown.is_empty(), "nobody declares these: {unknown:x?}");
}

#[test]
fn each_target_is_documented() {
    let text = fs::read_to_string(tree().join("docs/testing.md")).unwrap();
    let (_, table) = text.split_once("| targets | what reads |").unwrap();
    let table = table.trim_start().lines();
    let words: BTreeSet<_> = table
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| line.split('|').nth(1))
        .flat_map(|names| names.split([',', ' ']))
        .collect();
    for target in TARGETS {
        assert!(
            words.contains(target.name),
            "{}: not in the table of docs/testing.md",
            target.name
        );
    }
}

/// The modules that a source declares, below `path` of its own.
fn modules(file: &Path, path: &str, into: &mut Vec<String>) {
    let text = fs::read_to_string(file).unwrap();
    for line in text.lines() {
        let Some(name) = line
            .strip_prefix("pub mod ")
            .and_then(|rest| rest.strip_suffix(';'))
        else {
            continue;
        };
        let (folder, stem) = (file.parent().unwrap(), file.file_stem().unwrap());
        let inside = folder.join(stem).join(format!("{name}.rs"));
        let beside = folder.join(format!("{name}.rs"));
        let full = if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}::{name}")
        };
        let file = if inside.exists() { inside } else { beside };
        into.push(full.clone());
        modules(&file, &full, into);
    }
}

#[test]
fn each_module_has_a_target() {
    let mut targets = Vec::new();
    sources(&tree().join("rust/fuzz/targets"), &mut targets);
    let targets: Vec<String> = targets.into_iter().map(|(_, code)| code).collect();
    let is_used = |module: &str| {
        let path = format!("popcorn_core::{module}");
        targets.iter().any(|code| {
            code.match_indices(&path)
                .any(|(at, _)| code[at + path.len()..].starts_with([':', ';']))
        })
    };
    let mut all = Vec::new();
    modules(&tree().join("rust/core/popcorn_core.rs"), "", &mut all);
    assert!(all.len() > 40, "where are the modules?");
    for module in &all {
        let reason = NOTHING_OF_OTHERS.iter().find(|(name, _)| name == module);
        match (is_used(module), reason) {
            (true, Some(_)) => {
                panic!("{module}: it has a target, and is on the list of those that need none")
            }
            (false, None) => panic!("{module}: no target uses it"),
            _ => {}
        }
    }
    for (name, _) in NOTHING_OF_OTHERS {
        assert!(
            all.iter().any(|module| module == name),
            "{name}: there is no such module"
        );
    }
}

/// What is declared and can be sent unasked is tried by the hostile node of the tests between machines, too.
#[test]
fn the_hostile_peer_knows_each_message() {
    let text = fs::read_to_string(tree().join("guest/hostile-peer")).unwrap();
    let (_, table) = text.split_once("\nSERVICES = {\n").expect("its table");
    let (table, _) = table.split_once("\n}\n").expect("the end of its table");
    let declared: Vec<String> = proto::SERVICES
        .iter()
        .flat_map(|service| service.iter())
        .map(|message| {
            let class = match message.class {
                Class::Request => "REQUEST",
                _ => "ONE_WAY",
            };
            let (kind, shortest, longest) = (message.kind, message.shortest(), message.longest());
            format!("    {kind:#06x}: ({class}, {shortest}, {longest}),")
        })
        .collect();
    assert_eq!(table.lines().collect::<Vec<_>>(), declared);
}

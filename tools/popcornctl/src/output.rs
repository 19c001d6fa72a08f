// SPDX-License-Identifier: GPL-2.0
//! How results and failures are printed: tables and sentences for people, JSON for programs.

use crate::failure::Failure;
use serde::Serialize;
use std::io::Write;

/// Where a command prints to.
#[derive(Debug)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether a program reads what is printed.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints a result: the value as JSON, or the text.
    pub(crate) fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let line = if self.json { to_json(value)? } else { text() };
        let mut stdout = std::io::stdout().lock();
        stdout
            .write_all(line.as_bytes())
            .and_then(|()| {
                if line.ends_with('\n') {
                    Ok(())
                } else {
                    stdout.write_all(b"\n")
                }
            })
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::new(format!("writing the result: {error}"), ""))
    }

    /// Prints a line of what goes on, for people.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        if self.json {
            return Ok(());
        }
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{text}")
            .and_then(|()| stdout.flush())
            .map_err(|error| Failure::new(format!("writing the result: {error}"), ""))
    }

    /// Tells people how far something is, on stderr.
    pub(crate) fn progress(&self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr().lock(), "popcornctl: {text}");
        }
    }

    /// Prints a failure to stderr. There is nobody to tell if that fails, too.
    pub(crate) fn failure(&self, failure: &Failure) {
        let text = if self.json {
            failure_json(failure)
        } else {
            failure_text(failure)
        };
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

fn to_json<T: Serialize>(value: &T) -> Result<String, Failure> {
    serde_json::to_string_pretty(value)
        .map_err(|error| Failure::new(format!("making JSON: {error}"), ""))
}

fn failure_text(failure: &Failure) -> String {
    let mut text = format!("popcornctl: {}", failure.what);
    if let Some(errno) = failure.errno {
        text += &format!(" ({errno:?})");
    }
    text.push('\n');
    if !failure.next.is_empty() {
        text += &format!("  next: {}\n", failure.next);
    }
    text
}

fn failure_json(failure: &Failure) -> String {
    let errno = failure.errno.map(|errno| format!("{errno:?}"));
    let value = serde_json::json!({ "error": failure.what, "errno": errno, "next": failure.next });
    format!("{value}\n")
}

/// A table with aligned columns. Columns whose name starts with `<` are left-aligned.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let left: Vec<bool> = header.iter().map(|name| name.starts_with('<')).collect();
    let names: Vec<String> = header
        .iter()
        .map(|name| name.trim_start_matches('<').to_owned())
        .collect();
    let width: Vec<usize> = (0..header.len())
        .map(|column| {
            std::iter::once(&names)
                .chain(rows)
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        })
        .collect();
    let mut text = String::new();
    for row in std::iter::once(&names).chain(rows) {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            if column > 0 {
                line += "  ";
            }
            line += &if left[column] {
                format!("{cell:<0$}", width[column])
            } else {
                format!("{cell:>0$}", width[column])
            };
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// A number of bytes for people.
pub(crate) fn bytes(count: u64) -> String {
    let mut value = count as f64;
    let mut unit = "B";
    for larger in ["KiB", "MiB", "GiB", "TiB"] {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = larger;
    }
    if unit == "B" {
        format!("{count} B")
    } else {
        format!("{value:.1} {unit}")
    }
}

/// A duration in nanoseconds for people; `-` for none.
pub(crate) fn duration(ns: u64) -> String {
    match ns {
        0 => "-".into(),
        1..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", ns as f64 / 1e9),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::errno::Errno;

    #[test]
    fn table_aligns_both_ways() {
        let rows = vec![
            vec!["1".into(), "a".into()],
            vec!["100".into(), "long name".into()],
        ];
        assert_eq!(
            table(&["ID", "<NAME"], &rows),
            " ID  NAME\n  1  a\n100  long name\n"
        );
    }

    #[test]
    fn units() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
        assert_eq!(duration(0), "-");
        assert_eq!(duration(999), "999 ns");
        assert_eq!(duration(1_500), "1.5 us");
        assert_eq!(duration(2_000_000), "2.0 ms");
        assert_eq!(duration(12_340_000_000), "12.34 s");
    }

    #[test]
    fn failures_are_one_json_object() {
        let failure = Failure::refused("moving \"x\"", Errno::EHOSTDOWN);
        let value: serde_json::Value = serde_json::from_str(&failure_json(&failure)).unwrap();
        assert_eq!(value["errno"], "EHOSTDOWN");
        assert_eq!(value["error"], "moving \"x\": the node is not online");
        assert!(value["next"].as_str().unwrap().contains("kernel start"));
        assert!(failure_text(&failure).contains("(EHOSTDOWN)\n  next: "));
    }
}

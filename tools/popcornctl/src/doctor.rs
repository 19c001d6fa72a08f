// SPDX-License-Identifier: GPL-2.0
//! `popcornctl doctor`: whether this machine can run further kernels, and if not, why not.
//!
//! It reads files that the kernel and the distribution provide, and changes nothing.
//!
//! | file | job |
//! |---|---|
//! | `machine` | those files, below a root that tests put elsewhere |
//! | `software` | rights, kernel, modules, configfs |
//! | `hardware` | processors, clock, interrupts, hypervisor, IOMMU |
//! | `memory` | free memory, and that below 640 KiB |

mod hardware;
mod machine;
mod memory;
mod software;

use crate::failure::Failure;
use crate::output::Output;
use machine::Machine;
use serde::Serialize;
use std::path::Path;

/// What was found out about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    /// As it should be.
    Ok,
    /// It will work, maybe not as well as it could, or nobody has tried.
    Warning,
    /// Further kernels cannot be run so.
    No,
}

/// A look at one thing.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    verdict: Verdict,
    finding: String,
    /// What to do; empty if there is nothing to be done.
    next: String,
}

impl Check {
    fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            finding: finding.into(),
            next: String::new(),
        }
    }

    fn warning(name: &'static str, finding: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Warning,
            next: next.into(),
            ..Self::ok(name, finding)
        }
    }

    fn no(name: &'static str, finding: impl Into<String>, next: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::No,
            ..Self::warning(name, finding, next)
        }
    }

    fn line(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::No => "no",
        };
        let mut line = format!("{verdict:<9}{:<12}{}", self.name, self.finding);
        if !self.next.is_empty() {
            line += &format!(" -> {}", self.next);
        }
        line + "\n"
    }
}

/// The result of `doctor`.
#[derive(Debug, Serialize)]
struct Report {
    /// Nothing stands in the way.
    able: bool,
    checks: Vec<Check>,
}

impl Report {
    fn new(machine: &Machine) -> Self {
        let checks = vec![
            software::rights(machine),
            hardware::architecture(machine),
            software::kernel(machine),
            software::modules(machine),
            software::configfs(machine),
            hardware::processors(machine),
            memory::free(machine),
            memory::low(machine),
            memory::numa(machine),
            hardware::clock(machine),
            hardware::interrupts(machine),
            hardware::hypervisor(machine),
            hardware::iommu(machine),
        ];
        Self {
            able: checks.iter().all(|check| check.verdict != Verdict::No),
            checks,
        }
    }

    fn text(&self) -> String {
        self.checks.iter().map(Check::line).collect()
    }
}

/// `doctor`
pub(crate) fn doctor(output: &Output) -> Result<(), Failure> {
    let report = Report::new(&Machine::at(Path::new("/")));
    output.result(&report, || report.text())?;
    if report.able {
        return Ok(());
    }
    let reasons: Vec<&str> = report
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::No)
        .map(|check| check.name)
        .collect();
    Err(Failure::new(
        format!(
            "this machine cannot run further kernels: {}",
            reasons.join(", ")
        ),
        "see the lines that begin with \"no\"",
    ))
}

#[cfg(test)]
mod tests {
    use super::machine::fake;
    use super::*;

    fn verdict_of(report: &Report, name: &str) -> Verdict {
        let check = report.checks.iter().find(|check| check.name == name);
        check.unwrap_or_else(|| panic!("no check {name}")).verdict
    }

    #[test]
    fn a_good_machine_is_able() {
        let folder = fake::good();
        let report = Report::new(&Machine::at(folder.path()));
        assert!(report.able, "{}", report.text());
        for check in &report.checks {
            assert_eq!(check.verdict, Verdict::Ok, "{}", check.line());
            assert!(check.next.is_empty(), "{}", check.line());
        }
        assert_eq!(report.text().lines().count(), report.checks.len());
    }

    #[test]
    fn nothing_to_read_is_no_machine() {
        let folder = crate::kernel::fake::Folder::new();
        let report = Report::new(&Machine::at(folder.path()));
        assert!(!report.able);
        for check in &report.checks {
            // That there is none of it is good news for these only.
            let good = check.verdict == Verdict::Ok;
            assert_eq!(
                good,
                matches!(check.name, "iommu" | "numa"),
                "{}",
                check.line()
            );
            assert!(good || !check.next.is_empty(), "{}", check.line());
        }
    }

    #[test]
    fn one_no_is_enough_and_a_warning_is_not() {
        let folder = fake::good();
        fake::write(&folder, "proc/sys/kernel/arch", "aarch64\n");
        let report = Report::new(&Machine::at(folder.path()));
        assert!(!report.able);
        assert_eq!(verdict_of(&report, "machine"), Verdict::No);

        let folder = fake::good();
        fake::write(
            &folder,
            "proc/interrupts",
            " 24: 5 IR-PCI-MSI-0000:00:01.0 virtio0\n",
        );
        let report = Report::new(&Machine::at(folder.path()));
        assert!(report.able);
        assert_eq!(verdict_of(&report, "iommu"), Verdict::Warning);
    }

    #[test]
    fn json_has_a_verdict_for_each_check() {
        let folder = fake::good();
        let report = Report::new(&Machine::at(folder.path()));
        let value = serde_json::to_value(&report).unwrap();
        assert_eq!(value["able"], true);
        assert_eq!(value["checks"][0]["name"], "rights");
        assert_eq!(value["checks"][0]["verdict"], "ok");
    }
}

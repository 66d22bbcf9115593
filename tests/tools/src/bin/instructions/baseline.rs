//! Baseline of instruction counts: a tenth more than the committed count fails, a tenth less asks
//! to be accepted. Processor families have separate counts, because compilers generate different
//! code.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use jackfield_tests::build;

/// Path of the file, for messages.
pub(crate) const FILE: &str = "tests/tools/instructions.json";

const ACCEPT: &str = "make instructions ACCEPT=1";

/// Tolerated difference from the baseline in per cent. Counts repeat within one or two; another
/// version of the compiler or of the C library changes them by a few.
const TOLERANCE: u64 = 10;

/// Instructions by scenario.
#[derive(Debug, Default)]
pub(crate) struct Baseline(BTreeMap<String, u64>);

/// The comparison of a scenario's count with its baseline.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Within {
        scenario: String,
        baseline: u64,
        measured: u64,
    },
    Worse {
        scenario: String,
        baseline: u64,
        measured: u64,
    },
    Better {
        scenario: String,
        baseline: u64,
        measured: u64,
    },
    /// A measured scenario that is not in the baseline.
    New {
        scenario: String,
        measured: u64,
    },
    /// A scenario of the baseline that was not measured.
    Gone {
        scenario: String,
    },
}

impl Baseline {
    /// Reads the committed baseline of this processor's family; empty if there is none.
    pub(crate) fn read() -> Result<Self, String> {
        Ok(Self(read()?.remove(std::env::consts::ARCH).unwrap_or_default()))
    }

    /// Writes the measured counts as the baseline of this processor's family.
    pub(crate) fn accept(measured: &[(&str, u64)]) -> Result<(), String> {
        let mut all = read()?;
        let counts = measured.iter().map(|&(name, count)| (name.to_owned(), count)).collect();
        all.insert(std::env::consts::ARCH.to_owned(), counts);
        let text = serde_json::to_string_pretty(&all).map_err(|error| error.to_string())? + "\n";
        std::fs::write(path(), text).map_err(|error| format!("failed to write {FILE}: {error}"))
    }

    /// Returns a verdict for every scenario of the measurement or the baseline.
    pub(crate) fn judge(&self, measured: &[(&str, u64)]) -> Vec<Verdict> {
        let gone = self.0.keys().filter(|name| measured.iter().all(|(it, _)| it != name));
        let gone = gone.map(|name| Verdict::Gone { scenario: name.clone() });
        measured.iter().map(|&(name, count)| self.compare(name, count)).chain(gone).collect()
    }

    fn compare(&self, scenario: &str, measured: u64) -> Verdict {
        let baseline = self.0.get(scenario).copied();
        let scenario = scenario.to_owned();
        match baseline {
            None => Verdict::New { scenario, measured },
            Some(baseline) if measured * 100 > baseline * (100 + TOLERANCE) => {
                Verdict::Worse { scenario, baseline, measured }
            }
            Some(baseline) if measured * 100 < baseline * (100 - TOLERANCE) => {
                Verdict::Better { scenario, baseline, measured }
            }
            Some(baseline) => Verdict::Within { scenario, baseline, measured },
        }
    }
}

impl Verdict {
    /// Returns whether the verdict fails the check.
    pub(crate) const fn fails(&self) -> bool {
        match self {
            Self::Worse { .. } | Self::New { .. } | Self::Gone { .. } => true,
            Self::Within { .. } | Self::Better { .. } => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Within { scenario, baseline, measured } => {
                let change = Change(*baseline, *measured);
                write!(f, "{scenario}: {change} than its baseline of {baseline}")
            }
            Self::Worse { scenario, baseline, measured } => {
                let change = Change(*baseline, *measured);
                write!(
                    f,
                    "{scenario}: {measured} instructions are {change} than its baseline of \
                     {baseline}, and {TOLERANCE} % are tolerated. Where the change is worth it, \
                     accept it with `{ACCEPT}`, and commit {FILE}"
                )
            }
            Self::Better { scenario, baseline, measured } => {
                let change = Change(*baseline, *measured);
                write!(
                    f,
                    "{scenario}: {measured} instructions are {change} than its baseline of \
                     {baseline}. Keep it so: accept it with `{ACCEPT}`, and commit {FILE}"
                )
            }
            Self::New { scenario, measured } => write!(
                f,
                "{scenario}: {measured} instructions, and no baseline for {}. Accept it with \
                 `{ACCEPT}`, and commit {FILE}",
                std::env::consts::ARCH
            ),
            Self::Gone { scenario } => write!(
                f,
                "{scenario}: it has a baseline, but is not measured. Take it out with `{ACCEPT}`, \
                 and commit {FILE}"
            ),
        }
    }
}

/// The change from the first count to the second, in per cent of the first.
struct Change(u64, u64);

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(from, to) = *self;
        let thousandths = from.abs_diff(to) * 1000 / from.max(1);
        let (whole, tenths) = (thousandths / 10, thousandths % 10);
        write!(f, "{whole}.{tenths} % {}", if to < from { "fewer" } else { "more" })
    }
}

fn path() -> PathBuf {
    build::root().join(FILE)
}

fn read() -> Result<BTreeMap<String, BTreeMap<String, u64>>, String> {
    let text = match std::fs::read_to_string(path()) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(format!("failed to read {FILE}: {error}")),
    };
    serde_json::from_str(&text).map_err(|error| format!("{FILE}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Checks whether `measured` fails against a baseline of 1000, and the text of the verdict.
    fn check(measured: u64, fails: bool, says: &str) {
        let baseline = Baseline([("a".to_owned(), 1000)].into());
        let verdicts = baseline.judge(&[("a", measured)]);
        assert_eq!(verdicts.len(), 1);
        assert_eq!(verdicts[0].fails(), fails, "{}", verdicts[0]);
        assert!(verdicts[0].to_string().contains(says), "{}", verdicts[0]);
    }

    #[test]
    fn fails_on_ten_percent_more_and_suggests_accepting_ten_percent_less() {
        check(1000, false, "a: 0.0 % more than its baseline of 1000");
        check(1100, false, "10.0 % more");
        check(1101, true, "a: 1101 instructions are 10.1 % more than its baseline of 1000");
        check(1500, true, "accept it with `make instructions ACCEPT=1`");
        check(900, false, "10.0 % fewer");
        check(899, false, "Keep it so: accept it with `make instructions ACCEPT=1`");
    }

    #[test]
    fn fails_on_a_missing_scenario_or_baseline() {
        let baseline = Baseline([("old".to_owned(), 7)].into());
        let verdicts = baseline.judge(&[("new", 5)]);
        let new = Verdict::New { scenario: "new".to_owned(), measured: 5 };
        assert_eq!(verdicts, [new, Verdict::Gone { scenario: "old".to_owned() }]);
        assert!(verdicts.iter().all(Verdict::fails));
    }
}

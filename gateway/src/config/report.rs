//! What came of reading a configuration, for people and for machines.

use std::fmt::{self, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::Config;
use super::finding::Finding;

/// Says why a configuration cannot be used: everything that is wrong with it, not only the first thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// The file.
    pub file: PathBuf,
    /// At least one, in the order of the file.
    pub faults: Vec<Finding>,
    /// What is doubtful besides, in the order of the file.
    pub warnings: Vec<Finding>,
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = Report {
            file: &self.file,
            faults: &self.faults,
            warnings: &self.warnings,
        };
        formatter.write_str(report.to_text().trim_end())
    }
}

impl std::error::Error for Faults {}

/// The answer of `handover config check`.
#[derive(Debug, Clone, Copy)]
pub struct Report<'r> {
    file: &'r Path,
    faults: &'r [Finding],
    warnings: &'r [Finding],
}

impl<'r> Report<'r> {
    /// Takes what [`Config::load`] returned for a file.
    pub fn of(file: &'r Path, outcome: &'r Result<(Config, Vec<Finding>), Faults>) -> Self {
        match outcome {
            Ok((_, warnings)) => Self {
                file,
                faults: &[],
                warnings,
            },
            Err(faults) => Self {
                file,
                faults: &faults.faults,
                warnings: &faults.warnings,
            },
        }
    }

    /// Reads whether the gateway would start.
    pub fn is_usable(&self) -> bool {
        self.faults.is_empty()
    }

    /// Writes it for people, in the manner of rustc.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for fault in self.faults {
            self.write_finding(&mut text, "error", fault);
        }
        for warning in self.warnings {
            self.write_finding(&mut text, "warning", warning);
        }
        let file = self.file.display();
        let (faults, warnings) = (
            counted(self.faults.len(), "fault"),
            counted(self.warnings.len(), "warning"),
        );
        match (self.faults, self.warnings) {
            ([], []) => text += &format!("{file}: ok\n"),
            ([], [_, ..]) => text += &format!("{file}: ok, with {warnings}\n"),
            ([_, ..], []) => text += &format!("{file}: {faults}\n"),
            ([_, ..], [_, ..]) => text += &format!("{file}: {faults}, {warnings}\n"),
        }
        text
    }

    /// Writes it for machines: one object with `file`, `ok`, `faults` and `warnings`.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Body<'b> {
            file: std::borrow::Cow<'b, str>,
            ok: bool,
            faults: &'b [Finding],
            warnings: &'b [Finding],
        }
        let body = Body {
            file: self.file.to_string_lossy(),
            ok: self.is_usable(),
            faults: self.faults,
            warnings: self.warnings,
        };
        serde_json::to_string_pretty(&body).expect("the keys are strings and no value can fail") + "\n"
    }

    fn write_finding(&self, text: &mut String, severity: &str, finding: &Finding) {
        let written = match &finding.place {
            None => self.write_placeless(text, severity, finding),
            Some(place) => {
                let number = place.line.to_string();
                let margin = " ".repeat(number.len());
                let before: String = place.excerpt.chars().take(place.column - 1).map(blank).collect();
                let arrows = "^".repeat(place.width);
                write!(
                    text,
                    "{severity}: {subject}{problem}\n{margin}--> {file}:{line}:{column}\n{margin} |\n\
                     {number} | {excerpt}\n{margin} | {before}{arrows}\n{margin} = help: {fix}\n\n",
                    subject = subject(finding),
                    problem = finding.problem,
                    file = self.file.display(),
                    line = place.line,
                    column = place.column,
                    excerpt = place.excerpt,
                    fix = finding.fix,
                )
            }
        };
        written.expect("a String takes everything");
    }

    fn write_placeless(&self, text: &mut String, severity: &str, finding: &Finding) -> fmt::Result {
        let (subject, problem, fix) = (subject(finding), &finding.problem, &finding.fix);
        if let Some(variable) = &finding.environment {
            write!(
                text,
                "{severity}: {subject}{problem}\n --> from the environment variable {variable}\n"
            )?;
            if let Some(value) = &finding.value {
                write!(text, "  |\n  | {value}\n")?;
            }
            return write!(text, "  = help: {fix}\n\n");
        }
        let file = self.file.display();
        write!(text, "{severity}: {subject}{problem}\n --> {file}\n  = help: {fix}\n\n")
    }
}

fn subject(finding: &Finding) -> String {
    match (finding.key.as_str(), &finding.name) {
        ("", _) => String::new(),
        (key, None) => format!("`{key}` "),
        (key, Some(name)) => format!("`{key}` of \"{name}\" "),
    }
}

/// Keeps tabs, so that arrows stand under what they mean.
fn blank(letter: char) -> char {
    if letter == '\t' { '\t' } else { ' ' }
}

fn counted(count: usize, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

//! The report as one HTML page that needs no other file.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::plot::{Mark, Series, bars, escape, in_ms, lines};
use super::{Quantiles, Report, in_words};

/// Writes the page; a dense run beside it follows under its own heading.
pub fn in_html(report: &Report) -> String {
    let mut body = String::new();
    section(&mut body, report);
    if let Some(dense) = &report.dense {
        body += "<h1>The dense run beside it</h1>";
        section(&mut body, dense);
    }
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{} {}</title><style>{STYLE}</style></head><body>{body}</body></html>\n",
        escape(report.scenario),
        verdict(report),
    )
}

fn section(page: &mut String, report: &Report) {
    let load = &report.load;
    let class = if report.ok { "ok" } else { "failed" };
    let _ = write!(
        page,
        r#"<header class="{class}"><h1>{}: {}</h1><p>{} sessions on {} boards{}, {} changes a second</p></header>"#,
        escape(report.scenario),
        verdict(report),
        load.sessions,
        load.boards,
        match load.idle_boards {
            0 => String::new(),
            idle => format!(" (and {idle} boards with nobody on them)"),
        },
        load.rate
    );
    figures(page, report);
    if !report.trace.is_empty() {
        *page += "<h2>Open boards per server</h2>";
        *page += &transfer(report);
    }
    let latency = &report.latency_ms;
    *page += "<h2>From when a change was due to its acknowledgement</h2>";
    *page += &bars("changes", &report.latency_distribution, &marks_of(latency));
    if report.blackout_ms.n > 0 {
        *page += "<h2>What a session felt of its board's move</h2>";
        *page += &bars(
            "sessions",
            &report.blackout_distribution,
            &marks_of(&report.blackout_ms),
        );
    }
    tables(page, report);
    let _ = write!(page, "<h2>In words</h2><pre>{}</pre>", escape(&in_words(report)));
}

fn verdict(report: &Report) -> &'static str {
    if report.ok { "nothing was lost" } else { "failed" }
}

fn figures(page: &mut String, report: &Report) {
    *page += "<section class=\"figures\">";
    let mut figure = |name: &str, value: String, is_bad: bool| {
        let class = if is_bad { " class=\"bad\"" } else { "" };
        let _ = write!(page, "<div{class}><b>{value}</b><span>{name}</span></div>");
    };
    figure("lost", report.lost.to_string(), report.lost > 0);
    figure("doubled", report.doubled.to_string(), report.doubled > 0);
    figure("reordered", report.reordered.to_string(), report.reordered > 0);
    if report.has_database {
        figure("not saved", report.not_saved.to_string(), report.not_saved > 0);
    }
    figure("acknowledged", report.totals.acked.to_string(), false);
    figure("p99 latency", ms(report.latency_ms.p99), false);
    if let Some(release) = &report.release {
        let moved = format!("{} of {}", release.boards_moved, release.boards_total);
        figure("boards moved", moved, report.not_moved > 0);
        figure("boards a second", format!("{:.0}", release.boards_per_second), false);
        figure("p99 blackout", ms(report.blackout_ms.p99), false);
    }
    if let Some(slow) = &report.slow {
        let full = format!("{} of {}", slow.waiting_connections, slow.stopped);
        figure("stopped readers felt", full, !slow.was_felt());
        figure("others' p99 before", ms(slow.latency_before_ms.p99), false);
        figure("others' p99 meanwhile", ms(slow.latency_ms.p99), false);
    }
    if let Some(crash) = &report.crash {
        let back = format!("{} of {}", crash.sessions_back, crash.sessions_hit);
        figure("sessions back", back, crash.sessions_back < crash.sessions_hit);
        figure("last one served after", ms(crash.served_ms.max), false);
    }
    *page += "</section>";
}

fn transfer(report: &Report) -> String {
    let names: BTreeSet<&String> = report.trace.iter().flat_map(|point| point.boards.keys()).collect();
    let series: Vec<Series> = names
        .into_iter()
        .map(|name| Series {
            name: name.clone(),
            points: report
                .trace
                .iter()
                .map(|point| (point.ms / 1e3, point.boards.get(name).copied().unwrap_or(0) as f64))
                .collect(),
        })
        .collect();
    let mut marks = Vec::new();
    if let Some((from, to)) = report.release_at_ms {
        marks.push(Mark {
            name: format!("drain, {:.1} s", (to - from) / 1e3),
            from: from / 1e3,
            to: to / 1e3,
        });
    }
    if let (Some(at), Some(crash)) = (report.strike_at_ms, &report.crash) {
        marks.push(Mark {
            name: format!("{} {}", crash.process, crash.how),
            from: at / 1e3,
            to: (at + crash.served_ms.max.unwrap_or(0.0)) / 1e3,
        });
    }
    lines("open boards", &series, &marks)
}

fn marks_of(quantiles: &Quantiles) -> [(&'static str, Option<f64>); 3] {
    [("p50", quantiles.p50), ("p99", quantiles.p99), ("max", quantiles.max)]
}

fn tables(page: &mut String, report: &Report) {
    if !report.rounds.is_empty() {
        let rows = report.rounds.iter().enumerate().map(|(place, round)| {
            let cells = [ms(round.all_back_ms), ms(round.back_ms.p50), ms(round.back_ms.p99)];
            (format!("round {}", place + 1), cells.to_vec())
        });
        table(
            page,
            "Everybody came at once",
            &["all were back after", "p50", "p99"],
            rows,
        );
    }
    if !report.admin_calls.is_empty() {
        let rows = report.admin_calls.iter().map(|call| {
            let cells = [
                call.ms.n.to_string(),
                call.failed.to_string(),
                ms(call.ms.p50),
                ms(call.ms.p99),
                ms(call.ms.max),
                call.bytes_max.to_string(),
            ];
            (call.path.clone(), cells.to_vec())
        });
        let heads = ["answers", "failed", "p50", "p99", "max", "bytes at most"];
        table(page, "Admin GETs during the drain", &heads, rows);
    }
    if !report.processes.is_empty() {
        let kib = |bytes: Option<f64>| bytes.map_or_else(nothing, |bytes| format!("{:.1} KiB", bytes / 1024.0));
        let mib = |bytes: u64| format!("{:.1} MiB", bytes as f64 / 1_048_576.0);
        let rows = report.processes.iter().map(|process| {
            (
                process.name.clone(),
                vec![
                    mib(process.rss_bytes_empty),
                    mib(process.rss_bytes_before),
                    mib(process.rss_bytes_max),
                    kib(process.rss_bytes_per_session),
                    format!("{:.1} s", process.cpu_seconds),
                    process
                        .cpu_us_per_message
                        .map_or_else(nothing, |time| format!("{time:.0} µs")),
                ],
            )
        });
        let heads = [
            "without users",
            "with them",
            "at most",
            "a session",
            "on processors",
            "a message",
        ];
        table(page, "Resident memory, and time on processors", &heads, rows);
    }
}

fn table(page: &mut String, title: &str, heads: &[&str], rows: impl Iterator<Item = (String, Vec<String>)>) {
    let _ = write!(page, "<h2>{title}</h2><table><tr><th></th>");
    for head in heads {
        let _ = write!(page, "<th>{head}</th>");
    }
    for (name, cells) in rows {
        let _ = write!(page, "</tr><tr><td>{}</td>", escape(&name));
        for cell in cells {
            let _ = write!(page, "<td class=\"n\">{}</td>", escape(&cell));
        }
    }
    *page += "</tr></table>";
}

fn ms(value: Option<f64>) -> String {
    value.map_or_else(nothing, in_ms)
}

fn nothing() -> String {
    "–".to_owned()
}

const STYLE: &str = include_str!("report.css");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::Verdict;
    use crate::report::{Distribution, LoadReport, TracePoint};

    #[test]
    fn the_page_needs_nothing_else_and_names_stay_text() {
        let load = LoadReport {
            sessions: 3,
            boards: 2,
            idle_boards: 0,
            rate: 1.0,
            sessions_reconnected: 0,
            refusals: 0,
        };
        let mut report = Report::new("release", &Verdict::default(), load);
        report.latency_distribution = Distribution::of([900, 2_000, 30_000]);
        report.latency_ms = Quantiles::of([900, 2_000, 30_000]);
        report.trace = (0_u32..3)
            .map(|look| TracePoint {
                ms: f64::from(look) * 200.0,
                boards: [("<b>1".to_owned(), u64::from(look))].into(),
            })
            .collect();
        let page = in_html(&report);
        for outside in ["src=", "href=", "url(", "@import", "<b>1"] {
            assert!(!page.contains(outside), "{outside}");
        }
        assert_eq!(page.matches("<polyline").count(), 1);
        assert_eq!(
            page.matches("class=\"bar\"").count(),
            report.latency_distribution.steps.len()
        );
    }
}

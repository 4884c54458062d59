//! The table: Markdown that reads as text too.

use std::fmt::Write;

use super::{OfPeer, Report, Shown};
use crate::peer::Peer;
use crate::statistics::Median;

/// Writes a run as a table.
pub fn table(report: &Report) -> String {
    let mut text = format!("Made by `{}`.\n\n", report.command);
    for (key, value) in &report.machine {
        let _ = writeln!(text, "- {key}: {value}");
    }
    text.push_str(
        "\n| figure | proxy | per unit | beside nginx | beside HAProxy | core of the proxy | core of the load | more |\n|---|---|---:|---:|---:|---:|---:|---|\n",
    );
    for shown in &report.figures {
        for (peer, of_peer) in &shown.peers {
            text.push_str(&row(shown, *peer, of_peer));
        }
    }
    text
}

fn row(shown: &Shown, peer: Peer, of_peer: &OfPeer) -> String {
    let beside = |other| {
        of_peer
            .ratios
            .get(&other)
            .map_or_else(String::new, |ratio| spread(ratio, 2))
    };
    let mut more = Vec::new();
    if let Some([p50, p99]) = &of_peer.added {
        more.push(format!("adds p50 {} µs, p99 {} µs", spread(p50, 0), spread(p99, 0)));
    }
    if let Some(left) = &of_peer.left {
        more.push(format!("{:.2} × its start once all have left", left.value));
    }
    let mut traced: Vec<_> = of_peer.traced.iter().filter(|(_, share)| **share >= 0.005).collect();
    traced.sort_by(|a, b| b.1.total_cmp(a.1));
    if traced.len() > 1 {
        let each: Vec<_> = traced
            .iter()
            .map(|(name, share)| format!("{name} {share:.2}"))
            .collect();
        more.push(each.join(", "));
    }
    let value = match peer {
        Peer::Direct => String::new(),
        Peer::Relay | Peer::Nginx | Peer::Haproxy | Peer::Handover => {
            format!("{} {}", spread(&of_peer.value, 2), shown.unit)
        }
    };
    let cores = of_peer.cores.map(|share| match share > 0.0 {
        true => format!("{:.0} %", share * 100.0),
        false => String::new(),
    });
    format!(
        "| {} | {} | {value} | {} | {} | {} | {} | {} |\n",
        shown.title,
        peer.name(),
        beside(Peer::Nginx),
        beside(Peer::Haproxy),
        cores[0],
        cores[1],
        more.join("; "),
    )
}

/// A median with its interval.
fn spread(median: &Median, digits: usize) -> String {
    let digits = if median.value.abs() >= 100.0 { 0 } else { digits };
    format!(
        "{:.digits$} ({:.digits$} to {:.digits$})",
        median.value, median.low, median.high
    )
}

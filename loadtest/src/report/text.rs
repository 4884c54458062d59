//! The report in words.

use std::fmt::{self, Write};

use super::quantiles::{Quantiles, SAMPLES_ENOUGH};
use super::{End, ReleaseReport, Report, SlowReport, WeighedBy};

/// Writes the report for people.
pub fn in_words(report: &Report) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write_report(&mut text, report);
    text
}

fn write_report(out: &mut String, report: &Report) -> fmt::Result {
    let load = &report.load;
    let idle = match load.idle_boards {
        0 => String::new(),
        idle => format!(" (and {idle} boards with nobody on them)"),
    };
    writeln!(
        out,
        "{} users on {} boards{idle}, {} changes a second",
        load.sessions, load.boards, load.rate
    )?;
    if let Some(release) = &report.release {
        write_release(out, report, release)?;
    }
    let totals = &report.totals;
    write!(out, "  sent {}   acknowledged {}", totals.sent, totals.acked)?;
    if report.has_database {
        write!(out, "   in the database {}", totals.saved)?;
    }
    writeln!(out, "   shown to others {}   sent again {}", totals.seen, totals.resent)?;
    writeln!(out)?;
    writeln!(out, "  lost       {:>6}", report.lost)?;
    writeln!(out, "  doubled    {:>6}", report.doubled)?;
    writeln!(out, "  reordered  {:>6}", report.reordered)?;
    if report.has_database {
        writeln!(out, "  not saved  {:>6}", report.not_saved)?;
    }
    if report.release.is_some() {
        writeln!(out, "  not moved  {:>6}", report.not_moved)?;
    }
    if !report.has_database && totals.sent > 0 && totals.acked == 0 {
        writeln!(
            out,
            "  nothing was acknowledged: does the server say what recognise.ack waits for?"
        )?;
    }
    for found in &report.findings {
        writeln!(out, "  {}: {}", found.kind.replace('_', " "), found.finding.count())?;
        for remark in found.finding.remarks() {
            writeln!(out, "      {remark}")?;
        }
    }
    writeln!(out)?;
    if report.release.is_some() {
        write_quantiles(out, "blackout felt", "sessions", &report.blackout_ms)?;
        if let Some(silence) = &report.silence_ms {
            write_quantiles(out, "ack to ack", "sessions", silence)?;
        }
        if let Some(hold) = &report.hold_ms {
            write_quantiles(out, "gateway's hold", "sessions", hold)?;
        }
    }
    write_quantiles(out, "acknowledged in", "changes", &report.latency_ms)?;
    write_sights(out, report)?;
    writeln!(out)?;
    let verdict = if report.ok {
        "Nothing was lost."
    } else {
        "FAILED: see above."
    };
    writeln!(out, "  {verdict}")?;
    if let Some(dense) = &report.dense {
        writeln!(out, "\nThe dense run beside it:")?;
        write_report(out, dense)?;
    }
    Ok(())
}

/// Writes what was struck, stormed and looked at.
fn write_sights(out: &mut String, report: &Report) -> fmt::Result {
    if let Some(crash) = &report.crash {
        writeln!(
            out,
            "\n  {} ({}): {} sessions were hit, {} came back",
            crash.process, crash.how, crash.sessions_hit, crash.sessions_back
        )?;
        write_quantiles(out, "cut after", "sessions", &crash.told_ms)?;
        write_quantiles(out, "served after", "sessions", &crash.served_ms)?;
        write_quantiles(out, "acked after", "sessions", &crash.acked_ms)?;
        write_quantiles(out, "waited longest", "sessions", &crash.waited_ms)?;
    }
    for (place, round) in report.rounds.iter().enumerate() {
        write_quantiles(out, &format!("back, round {}", place + 1), "sessions", &round.back_ms)?;
    }
    if !report.admin_calls.is_empty() {
        writeln!(out)?;
    }
    for call in &report.admin_calls {
        write_quantiles(out, &call.path, "GETs", &call.ms)?;
        if call.failed > 0 {
            writeln!(out, "    {} of them failed", call.failed)?;
        }
    }
    if let Some(slow) = &report.slow {
        write_slow(out, slow)?;
    }
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    for process in &report.processes {
        let (empty, before, most) = (
            mib(process.rss_bytes_empty),
            mib(process.rss_bytes_before),
            mib(process.rss_bytes_max),
        );
        write!(
            out,
            "  {:<16} {empty:.1} MiB without users, {before:.1} MiB with them, {most:.1} MiB at most; {:.1} s on processors",
            process.name, process.cpu_seconds
        )?;
        if let Some(bytes) = process.rss_bytes_per_session {
            write!(out, "\n  {:<16} {:.1} KiB a session", "", bytes / 1024.0)?;
        }
        if let Some(time) = process.cpu_us_per_message {
            write!(out, ", {time:.0} µs a message")?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn write_slow(out: &mut String, slow: &SlowReport) -> fmt::Result {
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let (stopped, full, waiting) = (slow.stopped, slow.waiting_connections, mib(slow.waiting_bytes));
    match slow.seen_at {
        End::Other => writeln!(
            out,
            "\n  {stopped} readers stopped; {full} connections at once were full, {waiting:.1} MiB waited for them in the kernel at the other end"
        )?,
        End::Own => {
            let unread = slow.unread_bytes.unwrap_or_default() as f64 / 1024.0;
            writeln!(
                out,
                "\n  {stopped} readers stopped; {full} connections were full, {waiting:.1} MiB that others were shown did not come to them"
            )?;
            writeln!(
                out,
                "  reckoned from this end, where {unread:.1} KiB lay unread: the other is on another machine or in another network namespace"
            )?;
        }
    }
    if let Some(stalls) = slow.stalls.filter(|stalls| *stalls > 0) {
        writeln!(out, "  {stalls} sessions were ended by the gateway (stall_timeout)")?;
    }
    if !slow.was_felt() {
        let way_out = "show more (--shown-pad, --rate) or for longer (--duration)";
        writeln!(out, "  none of them was felt, so nothing was shown; {way_out}")?;
    }
    for (end, count) in &slow.ends {
        writeln!(out, "    {count} were ended: {end}")?;
    }
    if let Some(memory) = &slow.gateway_memory {
        let (before, most) = (mib(memory.before_median_bytes), mib(memory.meanwhile_max_bytes));
        let (growth, growth_max) = (mib(memory.bytes()), mib(slow.gateway_growth_bytes_max));
        let by = match memory.weighed_by {
            WeighedBy::OperatingSystem => "",
            WeighedBy::Metrics => ", by its own metrics",
        };
        writeln!(
            out,
            "  the gateway's memory grew by {growth:.1} MiB, and may by {growth_max:.1}: {before:.1} MiB before (median), {most:.1} at most meanwhile{by}"
        )?;
    }
    write_quantiles(out, "others before", "changes", &slow.latency_before_ms)?;
    write_quantiles(out, "others meanwhile", "changes", &slow.latency_ms)
}

fn write_release(out: &mut String, report: &Report, release: &ReleaseReport) -> fmt::Result {
    writeln!(
        out,
        "release ({}) {} in {:.1} s: {} of {} boards moved ({:.0} a second), {} tries failed, {} users reconnected, {} fell back, {} unconfirmed",
        release.mode,
        release.state,
        report.release_seconds.unwrap_or_default(),
        release.boards_moved,
        release.boards_total,
        release.boards_per_second,
        release.boards_failed,
        report.load.sessions_reconnected,
        release.fallen_back_sessions,
        release.unconfirmed_sessions,
    )?;
    for (reason, count) in &release.failures {
        writeln!(out, "    failed {count} times: {reason}")?;
    }
    for server in &release.servers {
        writeln!(
            out,
            "    {:<12} {:<6} {:>5} boards before, {:>5} after",
            server.server, server.release, server.before, server.after
        )?;
    }
    Ok(())
}

fn write_quantiles(out: &mut String, what: &str, of: &str, quantiles: &Quantiles) -> fmt::Result {
    let n = quantiles.n;
    match (quantiles.p50, quantiles.p99, quantiles.max) {
        (Some(p50), Some(p99), Some(max)) => {
            let few = if n < SAMPLES_ENOUGH { ", too few for a p99" } else { "" };
            writeln!(
                out,
                "  {what:<16} p50 {p50:>7.1} ms   p99 {p99:>7.1} ms   max {max:>7.1} ms   ({n} {of}{few})"
            )
        }
        _ if n == 0 => writeln!(out, "  {what:<16} no samples"),
        _ => writeln!(out, "  {what:<16} {n} {of}, some beyond the last bucket"),
    }
}

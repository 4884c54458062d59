//! The picture: for each figure Handover beside nginx and HAProxy, with the interval; the line is a tie.

use std::fmt::Write;

use super::Report;
use crate::peer::Peer;

/// Draws a run as SVG.
pub fn picture(report: &Report) -> String {
    let rows: Vec<_> = report
        .figures
        .iter()
        .filter_map(|shown| Some((shown, shown.peers.get(&Peer::Handover)?)))
        .collect();
    let height = TOP + rows.len() as f64 * ROW + 24.0;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n\
         <text x=\"12\" y=\"24\" font-size=\"16\">Handover beside its peers: less is better, 1 is a tie</text>\n\
         <text x=\"12\" y=\"44\" fill=\"#1f6feb\">● beside nginx</text><text x=\"130\" y=\"44\" fill=\"#bf5b04\">● beside HAProxy</text>\n"
    );
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5] {
        let (x, colour) = (x_of(tick), if tick == 1.0 { "#333" } else { "#ddd" });
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{}\" stroke=\"{colour}\"/><text x=\"{x}\" y=\"{}\" text-anchor=\"middle\" fill=\"#555\">{tick}</text>",
            TOP - 8.0,
            height - 24.0,
            height - 8.0,
        );
    }
    for (at, (shown, handover)) in rows.iter().enumerate() {
        let y = TOP + at as f64 * ROW;
        let _ = writeln!(svg, "<text x=\"12\" y=\"{}\">{}</text>", y + 16.0, shown.title);
        for (peer, colour, down) in [(Peer::Nginx, "#1f6feb", 8.0), (Peer::Haproxy, "#bf5b04", 18.0)] {
            let Some(ratio) = handover.ratios.get(&peer) else {
                continue;
            };
            let (low, value, high) = (x_of(ratio.low), x_of(ratio.value), x_of(ratio.high));
            let _ = writeln!(
                svg,
                "<line x1=\"{low}\" y1=\"{y}\" x2=\"{high}\" y2=\"{y}\" stroke=\"{colour}\" stroke-width=\"2\"/><circle cx=\"{value}\" cy=\"{y}\" r=\"4\" fill=\"{colour}\"/><text x=\"{}\" y=\"{}\" fill=\"{colour}\" font-size=\"11\">{:.2}</text>",
                high + 8.0,
                y + down + 4.0,
                ratio.value,
                y = y + down,
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// Ratios beyond the scale stand at its end.
fn x_of(ratio: f64) -> f64 {
    LEFT + ratio.clamp(0.0, SCALE_MAX) / SCALE_MAX * (WIDTH - LEFT - 60.0)
}

const WIDTH: f64 = 900.0;
const LEFT: f64 = 330.0;
const TOP: f64 = 70.0;
const ROW: f64 = 34.0;
const SCALE_MAX: f64 = 1.6;

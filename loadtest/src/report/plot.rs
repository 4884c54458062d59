//! Plots as inline SVG: lines over time, and bars of a distribution. They need nothing but the page they stand on.

use std::fmt::Write;

use super::distribution::Distribution;

/// One line of a plot.
pub(super) struct Series {
    pub(super) name: String,
    /// Seconds and value, by time.
    pub(super) points: Vec<(f64, f64)>,
}

/// A moment or a span to be marked, in seconds.
pub(super) struct Mark {
    pub(super) name: String,
    pub(super) from: f64,
    pub(super) to: f64,
}

/// Draws lines over time.
pub(super) fn lines(y_title: &str, series: &[Series], marks: &[Mark]) -> String {
    let points = || series.iter().flat_map(|series| &series.points);
    let x_max = points().map(|point| point.0).fold(1.0, f64::max);
    let y_max = nice_above(points().map(|point| point.1).fold(1.0, f64::max));
    let x = |seconds: f64| LEFT + seconds / x_max * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| TOP + (1.0 - value / y_max) * (HEIGHT - TOP - BOTTOM);
    let mut svg = open(y_title);
    for mark in marks {
        let (from, to) = (x(mark.from), x(mark.to.min(x_max)));
        let width = (to - from).max(1.5);
        let _ = write!(
            svg,
            r#"<rect class="mark" x="{from:.1}" y="{TOP}" width="{width:.1}" height="{:.1}"/><text x="{:.1}" y="{:.1}">{}</text>"#,
            HEIGHT - TOP - BOTTOM,
            from + 4.0,
            TOP + 12.0,
            escape(&mark.name)
        );
    }
    y_axis(&mut svg, y_max, y_title);
    let step = round_step(x_max / 8.0);
    let mut seconds = 0.0;
    while seconds <= x_max {
        x_label(&mut svg, x(seconds), &format!("{seconds} s"));
        seconds += step;
    }
    for (place, series) in series.iter().enumerate() {
        let color = COLORS[place % COLORS.len()];
        let path: Vec<String> = series
            .points
            .iter()
            .map(|&(s, v)| format!("{:.1},{:.1}", x(s), y(v)))
            .collect();
        // Of lines that lie on each other the lower shows between the dashes of the upper.
        let dashes = if place % 2 == 1 {
            r#" stroke-dasharray="7 5""#
        } else {
            ""
        };
        let legend_y = TOP + 14.0 + 18.0 * place as f64;
        let _ = write!(
            svg,
            r#"<polyline class="line" stroke="{color}"{dashes} points="{}"/><rect x="{:.1}" y="{:.1}" width="12" height="4" fill="{color}"/><text x="{:.1}" y="{legend_y:.1}">{}</text>"#,
            path.join(" "),
            WIDTH - RIGHT + 12.0,
            legend_y - 7.0,
            WIDTH - RIGHT + 30.0,
            escape(&series.name)
        );
    }
    svg + "</svg>"
}

/// Draws how samples lie; times grow by decades from left to right.
pub(super) fn bars(y_title: &str, distribution: &Distribution, quantiles: &[(&str, Option<f64>)]) -> String {
    let steps = &distribution.steps;
    let Some((first, last)) = steps.first().zip(steps.last()) else {
        return "<p>No samples.</p>".to_owned();
    };
    let (low, high) = (first.up_to_ms.log10() - 0.1, last.up_to_ms.log10() + 0.1);
    let y_max = nice_above(steps.iter().map(|step| step.n).max().unwrap_or(1) as f64);
    let x = |ms: f64| LEFT + (ms.log10() - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| TOP + (1.0 - value / y_max) * (HEIGHT - TOP - BOTTOM);
    let mut svg = open(y_title);
    y_axis(&mut svg, y_max, y_title);
    for step in steps {
        let (from, to) = (x(10_f64.powf(step.up_to_ms.log10() - 0.1)), x(step.up_to_ms));
        let top = y(step.n as f64);
        let _ = write!(
            svg,
            r#"<rect class="bar" x="{:.1}" y="{top:.1}" width="{:.1}" height="{:.1}"><title>up to {:.2} ms: {}</title></rect>"#,
            from + 0.5,
            (to - from - 1.0).max(1.0),
            y(0.0) - top,
            step.up_to_ms,
            step.n
        );
    }
    for ms in round_times(10_f64.powf(low), 10_f64.powf(high)) {
        x_label(&mut svg, x(ms), &in_ms(ms));
    }
    for (place, (name, value)) in quantiles.iter().enumerate() {
        let Some(value) = value.filter(|value| *value > 0.0) else {
            continue;
        };
        let at = x(value).clamp(LEFT, WIDTH - RIGHT);
        let label_y = TOP + 12.0 + 16.0 * place as f64;
        let _ = write!(
            svg,
            r#"<line class="quantile" x1="{at:.1}" x2="{at:.1}" y1="{TOP}" y2="{:.1}"/><text x="{:.1}" y="{label_y:.1}">{name} {}</text>"#,
            y(0.0),
            at + 4.0,
            in_ms(value)
        );
    }
    svg + "</svg>"
}

/// Makes text safe between tags and in attributes.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}

fn open(title: &str) -> String {
    format!(
        r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{}">"#,
        escape(title)
    )
}

fn y_axis(svg: &mut String, y_max: f64, title: &str) {
    for step in 0..=4 {
        let value = y_max * f64::from(step) / 4.0;
        let y = TOP + (1.0 - f64::from(step) / 4.0) * (HEIGHT - TOP - BOTTOM);
        let _ = write!(
            svg,
            r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="y" x="{:.1}" y="{:.1}">{value:.0}</text>"#,
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
        );
    }
    let _ = write!(svg, r#"<text x="4" y="14">{}</text>"#, escape(title));
}

fn x_label(svg: &mut String, x: f64, label: &str) {
    let y = HEIGHT - BOTTOM + 18.0;
    let _ = write!(svg, r#"<text class="x" x="{x:.1}" y="{y:.1}">{label}</text>"#);
}

/// Writes a time as people say it.
pub(super) fn in_ms(ms: f64) -> String {
    match ms {
        ms if ms >= 10_000.0 => format!("{:.1} s", ms / 1e3),
        ms if ms >= 1_000.0 => format!("{:.2} s", ms / 1e3),
        ms if ms >= 100.0 => format!("{ms:.0} ms"),
        ms if ms >= 1.0 => format!("{ms:.1} ms"),
        ms => format!("{ms:.2} ms"),
    }
    .replace(".0 ", " ")
    .replace(".00 ", " ")
}

/// Returns 1, 2 and 5 of each decade that lie between two times.
fn round_times(from: f64, to: f64) -> Vec<f64> {
    let decades = from.log10().floor() as i32..=to.log10().ceil() as i32;
    let times = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(decade)));
    times.filter(|time| (from..=to).contains(time)).collect()
}

/// Returns 1, 2 or 5 of a decade, the first at or above a value, and at least 1.
fn round_step(value: f64) -> f64 {
    let decade = 10_f64.powf(value.max(1.0).log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|step| step * decade);
    steps.into_iter().find(|step| *step >= value).unwrap_or(decade * 10.0)
}

/// Returns a round number at or above a value, one that four steps divide well.
fn nice_above(value: f64) -> f64 {
    // What is counted has no quarters.
    if value <= 4.0 {
        return 4.0;
    }
    let decade = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 1.2, 1.6, 2.0, 2.4, 3.2, 4.0, 6.0, 8.0, 10.0];
    let nice = steps.iter().map(|step| step * decade).find(|nice| *nice >= value);
    nice.unwrap_or(decade * 10.0)
}

const WIDTH: f64 = 960.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 64.0;
const RIGHT: f64 = 150.0;
const TOP: f64 = 26.0;
const BOTTOM: f64 = 30.0;
const COLORS: [&str; 8] = [
    "#1f6feb", "#57a0ff", "#d1480f", "#f5a04c", "#2f8f5b", "#8e44ad", "#7a7a7a", "#b58900",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_ends_at_a_round_number_not_below_its_values() {
        for value in [1.0, 1.1, 9.9, 10.0, 19_999.0, 20_000.0, 20_001.0] {
            let nice = nice_above(value);
            assert!(nice >= value && nice <= (value * 2.0).max(4.0), "{value} became {nice}");
        }
    }

    #[test]
    fn times_are_round_and_said_as_people_say_them() {
        assert_eq!(round_times(79.0, 1_300.0), [100.0, 200.0, 500.0, 1_000.0]);
        assert_eq!([0.3, 3.1, 7.0, 24.3].map(round_step), [1.0, 5.0, 10.0, 50.0]);
        let said = [0.25, 1.0, 12.34, 500.0, 1_000.0, 5_894.1, 12_632.1].map(in_ms);
        assert_eq!(
            said,
            ["0.25 ms", "1 ms", "12.3 ms", "500 ms", "1 s", "5.89 s", "12.6 s"]
        );
    }

    #[test]
    fn names_cannot_leave_their_place() {
        let series = Series {
            name: "<script>".to_owned(),
            points: vec![(0.0, 1.0), (1.0, 0.0)],
        };
        let svg = lines("boards", &[series], &[]);
        assert!(svg.contains("&lt;script&gt;") && !svg.contains("<script>"));
    }
}

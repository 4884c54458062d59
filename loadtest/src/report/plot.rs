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
    for step in 0..=8 {
        let seconds = x_max * f64::from(step) / 8.0;
        x_label(&mut svg, x(seconds), &format!("{seconds:.1} s"));
    }
    for (place, series) in series.iter().enumerate() {
        let color = COLORS[place % COLORS.len()];
        let path: Vec<String> = series
            .points
            .iter()
            .map(|&(s, v)| format!("{:.1},{:.1}", x(s), y(v)))
            .collect();
        let legend_y = TOP + 14.0 + 18.0 * place as f64;
        let _ = write!(
            svg,
            r#"<polyline class="line" stroke="{color}" points="{}"/><rect x="{:.1}" y="{:.1}" width="12" height="4" fill="{color}"/><text x="{:.1}" y="{legend_y:.1}">{}</text>"#,
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
    // Few steps get a label each, many get one for each third of a decade.
    let every = if steps.len() > 16 { 4 } else { 1 };
    for step in steps.iter().step_by(every) {
        x_label(&mut svg, x(step.up_to_ms), &in_ms(step.up_to_ms));
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
            r#"<line class="grid" x1="{LEFT}" x2="{:.1}" y1="{y:.1}" y2="{y:.1}"/><text class="y" x="{:.1}" y="{:.1}">{}</text>"#,
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0,
            if y_max < 4.0 {
                format!("{value:.1}")
            } else {
                format!("{value:.0}")
            }
        );
    }
    let _ = write!(svg, r#"<text x="4" y="14">{}</text>"#, escape(title));
}

fn x_label(svg: &mut String, x: f64, label: &str) {
    let y = HEIGHT - BOTTOM + 18.0;
    let _ = write!(svg, r#"<text class="x" x="{x:.1}" y="{y:.1}">{label}</text>"#);
}

fn in_ms(ms: f64) -> String {
    match ms {
        ms if ms < 1.0 => format!("{ms:.2} ms"),
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.0} s", ms / 1e3),
    }
}

/// Returns a round number at or above a value, one that four steps divide well.
fn nice_above(value: f64) -> f64 {
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
            assert!(nice >= value && nice <= value * 2.0, "{value} became {nice}");
        }
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

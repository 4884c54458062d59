//! What virtual users draw: a curve per user that goes on from change to change, the same at every call, so that
//! whoever meets a change can tell whether it is what was sent.

use std::f64::consts::TAU;

/// One change: a few points of the user's curve.
#[derive(Debug, Clone, PartialEq)]
pub struct Stroke {
    /// CSS colour.
    pub color: &'static str,
    /// Whole coordinates on a canvas of [`Stroke::WIDTH`] by [`Stroke::HEIGHT`].
    pub points: Vec<[f64; 2]>,
}

impl Stroke {
    /// Width of the canvas.
    pub const WIDTH: f64 = 1600.0;
    /// Height of the canvas.
    pub const HEIGHT: f64 = 900.0;

    /// Returns the change `seq` of the user with this number.
    pub fn of(user: u64, seq: u64) -> Self {
        let curve = Curve::of(user);
        let begin = seq.wrapping_sub(1).wrapping_mul(STEPS);
        Self {
            color: COLORS[(mix(user) % COLORS.len() as u64) as usize],
            points: (begin..=begin.wrapping_add(STEPS)).map(|step| curve.at(step)).collect(),
        }
    }

    /// Reads whether some content is that of the change `seq` of the user with this number.
    pub fn is_of(user: u64, seq: u64, color: &str, points: &[[f64; 2]]) -> bool {
        let stroke = Self::of(user, seq);
        stroke.color == color && stroke.points == points
    }
}

/// A rosette: a circle that rolls in another, its centre moving slowly.
struct Curve {
    center: [f64; 2],
    radius: f64,
    arm: f64,
    petals: f64,
    phase: f64,
}

impl Curve {
    fn of(user: u64) -> Self {
        let mixed = mix(user);
        // Some bits of the mixture for each choice.
        let draw = |shift: u32| f64::from((mixed >> shift) as u8) / 256.0;
        let radius = 50.0 + 60.0 * draw(8);
        Self {
            center: [240.0 + 1120.0 * draw(16), 240.0 + 420.0 * draw(24)],
            radius,
            arm: radius * (0.35 + 0.5 * draw(32)),
            petals: [3.0, 5.0, 4.0, 7.0, 6.0][(mixed >> 40) as usize % 5],
            phase: TAU * draw(48),
        }
    }

    fn at(&self, step: u64) -> [f64; 2] {
        let turn = TAU * step as f64 / STEPS_PER_TURN;
        let drift = turn / 23.0;
        let inner = self.phase - self.petals * turn + drift;
        let outer = self.phase + turn;
        let around = |offset: f64, far: f64, near: f64| (offset + self.radius * far + self.arm * near).round();
        [
            around(self.center[0] + 30.0 * drift.sin(), outer.cos(), inner.cos()),
            around(self.center[1] + 30.0 * drift.cos(), outer.sin(), inner.sin()),
        ]
    }
}

/// Mixes a number's bits (splitmix64), for the users of one board are often a fixed step apart.
fn mix(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

const STEPS: u64 = 5;
const STEPS_PER_TURN: f64 = 120.0;
const COLORS: [&str; 8] = [
    "#e4572e", "#17bebb", "#f2a541", "#5b8e7d", "#8e44ad", "#2e86de", "#d6336c", "#52734d",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strokes_follow_each_other_on_the_canvas() {
        for user in 0..500 {
            for seq in 1..200 {
                let stroke = Stroke::of(user, seq);
                let next = Stroke::of(user, seq + 1);
                assert_eq!(stroke.points.last(), next.points.first());
                for [x, y] in stroke.points {
                    assert!((0.0..=Stroke::WIDTH).contains(&x), "user {user} change {seq} x {x}");
                    assert!((0.0..=Stroke::HEIGHT).contains(&y), "user {user} change {seq} y {y}");
                }
            }
        }
    }

    #[test]
    fn a_stroke_is_told_from_its_neighbours() {
        let stroke = Stroke::of(7, 3);
        assert!(Stroke::is_of(7, 3, stroke.color, &stroke.points));
        assert!(!Stroke::is_of(7, 4, stroke.color, &stroke.points));
        assert!(!Stroke::is_of(8, 3, stroke.color, &stroke.points));
        assert!(!Stroke::is_of(7, 3, stroke.color, &stroke.points[1..]));
    }
}

//! Durations and sizes as people write them.

use std::time::Duration;

/// Reads a duration such as `250ms`, `2s` or `1m30s`; a bare `0` has no unit to lack.
pub(super) fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// Writes a duration as it would stand in a file.
pub(in crate::config) fn duration_text(duration: Duration) -> String {
    humantime::format_duration(duration).to_string().replace(' ', "")
}

/// Reads a size such as `64KiB`, `2MB` or `512B`.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let digits_end = text.find(|letter: char| !letter.is_ascii_digit())?;
    let (digits, unit) = text.split_at(digits_end);
    let unit = unit.trim_start();
    let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    digits.parse::<u64>().ok()?.checked_mul(*factor)
}

/// Writes a size as it would stand in a file, in the largest unit that leaves it whole.
pub(in crate::config) fn bytes_text(bytes: u64) -> String {
    let binary = UNITS
        .iter()
        .rev()
        .filter(|(name, _)| name.ends_with("iB") || *name == "B");
    let whole = binary
        .into_iter()
        .find(|(_, factor)| bytes.is_multiple_of(*factor) && bytes >= *factor);
    match whole {
        Some((name, factor)) => format!("{}{name}", bytes / factor),
        None => format!("{bytes}B"),
    }
}

/// Units by ascending size.
const UNITS: [(&str, u64); 7] = [
    ("B", 1),
    ("KB", 1000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_with_their_units() {
        let check = |text: &str, expected_ms: Option<u64>| {
            assert_eq!(duration(text), expected_ms.map(Duration::from_millis), "{text}");
        };
        check("250ms", Some(250));
        check("2s", Some(2000));
        check("1m30s", Some(90_000));
        check("1m 30s", Some(90_000));
        check("1.5s", Some(1500));
        check("0s", Some(0));
        check("2", None);
        check("", None);
        check("-1s", None);
        check("2 parsecs", None);
    }

    #[test]
    fn sizes_are_read_with_their_units() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(bytes(text), expected, "{text}");
        check("512B", Some(512));
        check("64KiB", Some(65_536));
        check("64 kib", Some(65_536));
        check("2MB", Some(2_000_000));
        check("1GiB", Some(1 << 30));
        check("64", None);
        check("KiB", None);
        check("1.5MiB", None);
        check("64K", None);
        check("99999999999GiB", None);
    }

    #[test]
    fn what_is_written_reads_back() {
        for number in [1, 512, 1024, 65_536, 1_000_000, 3 << 20, u64::MAX] {
            assert_eq!(bytes(&bytes_text(number)), Some(number), "{}", bytes_text(number));
        }
        for millis in [1, 250, 2000, 90_000, 90_500] {
            let written = Duration::from_millis(millis);
            assert_eq!(duration(&duration_text(written)), Some(written));
        }
    }
}

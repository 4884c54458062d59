//! What the gateway says of itself in its metrics.

/// Reads in the gateway's metrics how many sessions it has ended because their client took nothing.
pub(super) fn stalls(metrics: &str) -> Option<u64> {
    number(metrics, STALLS)
}

/// Reads in the gateway's metrics how much memory of it is resident.
pub(super) fn resident_bytes(metrics: &str) -> Option<u64> {
    number(metrics, RESIDENT)
}

fn number(metrics: &str, series: &str) -> Option<u64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(series))?;
    let number: f64 = line.trim().parse().ok()?;
    Some(number as u64)
}

const STALLS: &str = r#"handover_limit_hits_total{limit="stall_timeout"} "#;
const RESIDENT: &str = "process_resident_memory_bytes ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gateways_own_numbers_are_read_where_it_gives_them() {
        let metrics = "# HELP process_resident_memory_bytes Resident memory size in bytes.\n\
            handover_limit_hits_total{limit=\"stall_timeout\"} 3\nprocess_resident_memory_bytes 12345678\n";
        assert_eq!((stalls(metrics), resident_bytes(metrics)), (Some(3), Some(12_345_678)));
        assert_eq!((stalls(""), resident_bytes("")), (None, None));
    }
}

//! What processes hold and use, as the operating system counts it: resident memory, and time on processors.

use std::time::Duration;

use rustix::param::clock_ticks_per_second;

use crate::report::ProcessReport;

/// The processes, weighed before any user came.
#[derive(Debug, Clone)]
pub struct Scales {
    processes: Vec<(String, i32)>,
    rss_empty: Vec<u64>,
}

/// One process from the beginning of the drawing on.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weight {
    rss_before: u64,
    rss_max: u64,
    cpu_before: Duration,
    cpu: Duration,
}

impl Scales {
    /// Weighs processes, by their names and ids, before anybody comes.
    pub fn new(processes: Vec<(String, i32)>) -> Self {
        let rss_empty = processes
            .iter()
            .map(|(_, pid)| resident_bytes(*pid).unwrap_or_default());
        Self {
            rss_empty: rss_empty.collect(),
            processes,
        }
    }

    /// Begins to weigh.
    pub(super) fn weigh(&self) -> Vec<Weight> {
        let weigh = |(_, pid): &(String, i32)| {
            let rss = resident_bytes(*pid).unwrap_or_default();
            let cpu = processor_time(*pid).unwrap_or_default();
            Weight {
                rss_before: rss,
                rss_max: rss,
                cpu_before: cpu,
                cpu,
            }
        };
        self.processes.iter().map(weigh).collect()
    }

    /// Looks once more; of a process that has ended the last look stays.
    pub(super) fn look(&self, weights: &mut [Weight]) {
        for ((_, pid), weight) in self.processes.iter().zip(weights) {
            weight.rss_max = weight.rss_max.max(resident_bytes(*pid).unwrap_or_default());
            weight.cpu = processor_time(*pid).unwrap_or_default().max(weight.cpu);
        }
    }

    /// Returns how much memory of the gateway is resident now.
    pub(super) fn gateway_bytes(&self) -> Option<u64> {
        let gateway = self.processes.iter().find(|(name, _)| name == GATEWAY);
        resident_bytes(gateway?.1)
    }

    /// Tells; what a session and a message cost is the gateway's to say, through which all of them go.
    pub(super) fn reports(&self, weights: &[Weight], sessions: u64, messages: u64) -> Vec<ProcessReport> {
        let all = self.processes.iter().zip(&self.rss_empty).zip(weights);
        let report = |(((name, _), rss_empty), weight): ((&(String, i32), &u64), &Weight)| {
            let cpu = weight.cpu.saturating_sub(weight.cpu_before);
            let is_gateway = name == GATEWAY;
            let per_session = weight.rss_before.saturating_sub(*rss_empty) as f64 / sessions.max(1) as f64;
            let per_message = cpu.as_secs_f64() * 1e6 / messages.max(1) as f64;
            ProcessReport {
                name: name.clone(),
                rss_bytes_empty: *rss_empty,
                rss_bytes_before: weight.rss_before,
                rss_bytes_max: weight.rss_max,
                cpu_seconds: cpu.as_secs_f64(),
                rss_bytes_per_session: is_gateway.then_some(per_session),
                cpu_us_per_message: (is_gateway && messages > 0).then_some(per_message),
            }
        };
        all.map(report).collect()
    }
}

/// Reads how much memory of a process is resident; absent where there is no such process, or no procfs.
fn resident_bytes(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Reads how long a process has run on processors, in its own code and in the kernel's.
fn processor_time(pid: i32) -> Option<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything; the fields behind it are counted from its bracket.
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split_whitespace().skip(USER_TIME_FIELD);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    let ticks = ticks()? + ticks()?;
    Some(Duration::from_secs_f64(ticks as f64 / clock_ticks_per_second() as f64))
}

/// The process that everything goes through.
const GATEWAY: &str = "gateway";

/// `utime` is the 14th field of proc(5), the state behind the name is the third; `stime` follows.
const USER_TIME_FIELD: usize = 11;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to() {
        let own = i32::try_from(std::process::id()).unwrap();
        let scales = Scales::new(vec![("gateway".to_owned(), own), ("other".to_owned(), own)]);
        let mut weights = scales.weigh();
        let ballast = vec![1_u8; 64 << 20];
        loop {
            assert!(ballast.iter().map(|byte| u64::from(*byte)).sum::<u64>() > 0);
            // The other tests of this process work too.
            if processor_time(own).unwrap() >= weights[0].cpu_before + Duration::from_millis(100) {
                break;
            }
        }
        scales.look(&mut weights);
        let reports = scales.reports(&weights, 10, 1_000);
        let gateway = &reports[0];
        assert!(gateway.cpu_seconds >= 0.1, "{gateway:?}");
        assert!(
            gateway.rss_bytes_max >= gateway.rss_bytes_before + (60 << 20),
            "{gateway:?}"
        );
        let per_message = gateway.cpu_us_per_message.unwrap();
        assert!((per_message - gateway.cpu_seconds * 1e3).abs() < 1e-6, "{gateway:?}");
        assert!(gateway.rss_bytes_per_session.is_some() && reports[1].rss_bytes_per_session.is_none());
    }
}

//! What processes use, as the operating system accounts for it, and on which core they run.

use std::fs;
use std::io;
use std::time::Duration;

/// Returns the CPU time that a process has used, its ended threads among it.
///
/// The kernel tells it in hundredths of a second (`/proc/<pid>/stat`, fields 14 and 15, proc(5)).
///
/// # Errors
/// When there is no such process.
pub fn cpu_of(process: u32) -> io::Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The name in parentheses may hold anything, spaces among it.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: u64 = fields
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(
        ticks * 1000 / rustix::param::clock_ticks_per_second(),
    ))
}

/// Returns the resident memory of a process, in bytes.
///
/// # Errors
/// When there is no such process.
pub fn memory_of(process: u32) -> io::Result<u64> {
    let statm = fs::read_to_string(format!("/proc/{process}/statm"))?;
    let pages = statm
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|field| field.parse().ok());
    let pages: u64 = pages.ok_or_else(|| io::Error::other("statm has no second field"))?;
    Ok(pages * rustix::param::page_size() as u64)
}

/// Binds this thread, and what it starts from now on, to one core.
///
/// # Errors
/// When there is no such core.
pub fn stay_on(core: usize) -> io::Result<()> {
    let mut cores = rustix::thread::CpuSet::new();
    cores.set(core);
    Ok(rustix::thread::sched_setaffinity(None, &cores)?)
}

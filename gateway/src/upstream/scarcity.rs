//! Connections that fail for want of something that this process or machine has no more of: no server's fault, and no
//! evidence of anything about one.

use std::io;

use rustix::io::Errno;

use crate::telemetry::label::Limit;

/// Returns the bound of our own by which a connection failed; none where the other side or the way to it is to blame.
pub(super) fn scarcity(error: &io::Error) -> Option<Limit> {
    match Errno::from_io_error(error)? {
        Errno::MFILE | Errno::NFILE => Some(Limit::OpenFiles),
        // connect(2): every port that could be used towards this address is taken.
        Errno::ADDRNOTAVAIL => Some(Limit::LocalPorts),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_machine_lacks_is_its_own_fault() {
        let check = |errno: Errno, expected: Option<Limit>| assert_eq!(scarcity(&errno.into()), expected, "{errno}");
        check(Errno::MFILE, Some(Limit::OpenFiles));
        check(Errno::NFILE, Some(Limit::OpenFiles));
        check(Errno::ADDRNOTAVAIL, Some(Limit::LocalPorts));
        check(Errno::CONNREFUSED, None);
        check(Errno::HOSTUNREACH, None);
        assert_eq!(scarcity(&io::ErrorKind::UnexpectedEof.into()), None);
    }
}

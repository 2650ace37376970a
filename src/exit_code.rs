//! With what code the `daemonlet` command ends. Scripts and the systemd unit rely on these numbers.
//!
//! 69, 75 and 78 are `EX_UNAVAILABLE`, `EX_TEMPFAIL` and `EX_CONFIG` of `sysexits.h`. The unit names 69 and 78 in
//! `RestartPreventExitStatus`: neither a kubelet goes nor a configuration mends itself, while all else is worth another try.

use std::process;

/// How the command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// It did what it was asked to.
    Ok = 0,
    /// It could not, or what it was asked to check is not good.
    Failed = 1,
    /// The command line can't be understood.
    Usage = 2,
    /// A kubelet has the node, and the configuration says to refuse then.
    Kubelet = 69,
    /// Another agent holds the state directory; it may be gone by the next try.
    Busy = 75,
    /// The agent's configuration is refused.
    Config = 78,
}

impl From<ExitCode> for process::ExitCode {
    fn from(code: ExitCode) -> Self {
        process::ExitCode::from(code as u8)
    }
}

//! Tells of processes that the kernel kills because the whole machine has run out of memory.

use std::sync::Arc;

use tracing::{debug, warn};

use crate::board::{Board, EventDraft, EventKind, reference_to};
use crate::clock::Clock;
use crate::eviction::oom::{KernelLog, Victim};

/// Listens to the kernel for as long as it can be heard.
pub(super) async fn run(board: Arc<Board>, clock: Clock) {
    let heard = async {
        let mut log = KernelLog::open()?;
        loop {
            tell(&board, clock, &log.next_victim().await?);
        }
    };
    let Err::<(), std::io::Error>(error) = heard.await else { return };
    debug!(%error, "the kernel's log can't be read: nothing is told of a machine that runs out of memory");
}

fn tell(board: &Board, clock: Clock, victim: &Victim) {
    let Victim { process, pid } = victim;
    warn!(process, pid, "the machine has run out of memory; the kernel has killed a process");
    let Some(node) = board.node() else { return };
    board.record(EventDraft {
        regarding: reference_to(&*node),
        kind: EventKind::Warning,
        reason: "SystemOOM".to_owned(),
        message: format!("System OOM encountered, victim process: {process}, pid: {pid}"),
        component: "kubelet",
        at: clock.wall(),
    });
}

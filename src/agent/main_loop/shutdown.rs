//! What the machine's shutdown asks for, passed on to those whom it concerns.

use std::time::Duration;

use tokio::time::timeout;

use super::Agent;
use crate::agent::node_shutdown::Order;
use crate::systemd::logind::Machine;

/// How long the first word of whether the machine goes down is waited for. Where there is a logind it takes milliseconds.
const FIRST_WORD: Duration = Duration::from_secs(1);

impl Agent {
    /// Hears whether the machine goes down before any pod is taken up or made: an agent may start in the middle of a shutdown. The order is
    /// to be followed once the pods are there.
    pub(super) async fn hear_of_shutdown(&mut self) -> Option<Order> {
        let order = timeout(FIRST_WORD, self.shutdown_orders.recv()).await.ok().flatten()?;
        if let Order::GoDown { .. } = order {
            self.machine_goes(Machine::GoingDown);
        }
        Some(order)
    }

    /// Does what the machine's shutdown asks for.
    pub(super) fn follow_shutdown(&mut self, order: Order) {
        match order {
            Order::Unknown => {}
            Order::Up => self.machine_goes(Machine::Up),
            Order::GoDown { living } => {
                self.machine_goes(Machine::GoingDown);
                // Whoever asked has heard meanwhile that the machine stays up.
                let _ = living.send(self.reconciler.living());
            }
            Order::End { pods, grace, ended } => self.reconciler.end_for_shutdown(pods, grace, ended),
        }
    }

    fn machine_goes(&mut self, machine: Machine) {
        self.health.machine_goes(machine);
        self.reconciler.machine_goes(machine);
    }
}

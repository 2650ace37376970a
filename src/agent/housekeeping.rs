//! The tasks beside the main loop that keep the node in order, each for as long as the agent runs.

use std::sync::Arc;

use tokio::sync::{Notify, mpsc, watch};

use super::base::Base;
use super::eviction::{self, Demand};
use super::image_gc::{self, ImageGc, Kept};
use super::node_shutdown::{NodeShutdown, Order};
use super::{log_rotation, oom_watch};
use crate::eviction::control::Control;
use crate::eviction::measure::Meter;
use crate::eviction::stall::Stalls;
use crate::node::Pressure;
use crate::pod::context::PodContext;
use crate::store::Snapshot;
use crate::systemd::logind;

/// What the tasks need beside what all need.
pub(super) struct Needs {
    pub(super) context: Arc<PodContext>,
    pub(super) meter: Meter,
    pub(super) snapshots: watch::Receiver<Arc<Snapshot>>,
    pub(super) pressure: watch::Sender<Pressure>,
}

/// What the tasks want of the main loop, and it of them.
pub(super) struct Wants {
    /// What a node that runs short wants of its pods.
    pub(super) demands: mpsc::UnboundedReceiver<Demand>,
    /// What the machine's shutdown asks for.
    pub(super) shutdown_orders: mpsc::UnboundedReceiver<Order>,
    /// Told of each pod that starts with a limit on what it writes to the disk.
    pub(super) limited: Arc<Notify>,
    /// Told which images must stay beside those that the store names.
    pub(super) kept_images: watch::Sender<Kept>,
}

/// Starts them.
pub(super) fn begin(base: &Base, needs: Needs) -> Wants {
    let Base { settings, clock, board, cri, .. } = base;
    base.spawn(log_rotation::keep_within(
        settings.container_logs,
        Arc::clone(board),
        cri.clone(),
        settings.pod_logs_dir.clone(),
    ));
    let (ask_images, images_asked) = mpsc::channel(1);
    let (kept_images, kept) = watch::channel(None);
    let images = ImageGc {
        thresholds: settings.image_gc,
        clock: *clock,
        cri: cri.clone(),
        board: Arc::clone(board),
        snapshots: needs.snapshots,
        kept,
        disk: Arc::new(image_gc::usage_of),
        asked: images_asked,
    };
    base.spawn(images.run());
    let (demands, demands_seen) = mpsc::unbounded_channel();
    let limited = Arc::new(Notify::new());
    let surroundings = eviction::Machine {
        meter: needs.meter,
        file_systems: eviction::FileSystems::default(),
        context: needs.context,
        stalls: Stalls::of_memory(),
        limited: Arc::clone(&limited),
        demands,
        images: ask_images,
        pressure: needs.pressure,
    };
    base.spawn(Control::new(settings.eviction.clone(), surroundings).run());
    base.spawn(oom_watch::run(Arc::clone(board), *clock));
    let (orders, shutdown_orders) = mpsc::unbounded_channel();
    let node_shutdown =
        NodeShutdown { schedule: settings.shutdown.clone(), bus: logind::Bus::default(), orders };
    base.spawn(node_shutdown.run());
    Wants { demands: demands_seen, shutdown_orders, limited, kept_images }
}

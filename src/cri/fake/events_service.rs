//! The fake runtime's stand-in for containerd's own event service, on the same socket as its CRI, as with containerd.

use containerd_client::services::v1::SubscribeRequest;
use containerd_client::types::Envelope;
use tonic::{Request, Response, Status, async_trait};

use super::event::Event;
use super::{CriStream, Served};

mod generated {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    include!(concat!(env!("OUT_DIR"), "/containerd.services.events.v1.Events.rs"));
}

pub(super) use generated::events_server::{Events, EventsServer};

#[async_trait]
impl Events for Served {
    type SubscribeStream = CriStream<Envelope>;

    async fn subscribe(
        &self,
        request: Request<SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        if !self.read(|state| state.sources.containerd) {
            return Err(Status::unimplemented("unknown service containerd.services.events.v1.Events"));
        }
        let filters = request.into_inner().filters;
        let answer = move |event: Event| {
            event.envelopes().into_iter().filter(|envelope| passes(&filters, envelope)).collect()
        };
        Ok(Response::new(self.events(answer).await))
    }
}

/// Whether any filter lets the envelope through; none at all lets everything through. Understands what daemonlet writes:
/// `field=="value"` clauses joined by commas.
fn passes(filters: &[String], envelope: &Envelope) -> bool {
    let holds = |clause: &str| match clause.split_once("==") {
        Some(("topic", value)) => value.trim_matches('"') == envelope.topic,
        Some(("namespace", value)) => value.trim_matches('"') == envelope.namespace,
        _ => false,
    };
    filters.is_empty() || filters.iter().any(|filter| filter.split(',').all(holds))
}

//! Listening to a runtime for as long as the agent runs: whichever stream it has, opened again whenever it breaks.
//!
//! Must never wait for an event to know that it is listening: a runtime's answer to a subscription comes with the first event
//! (grpc-go sends an answer's headers no earlier). So an ordinary call is sent after the subscription; once that is answered, the
//! runtime has the subscription too, as both went over the one connection in this order.

use std::pin::pin;
use std::time::Duration;

use containerd_client::services::v1::SubscribeRequest;
use containerd_client::services::v1::events_client::EventsClient;
use tokio::sync::mpsc::Sender;
use tokio::time::sleep;
use tonic::{Code, Request, Status, Streaming};
use tracing::{debug, warn};

use super::event::{EventSource, RuntimeEvent, TOPICS, from_cri, from_envelope};
use super::{NAMESPACE, in_namespace};
use crate::cri::{CriClient, CriError, Outage};

/// Between two tries, at first and at most: the kubelet's pace of dialling. A runtime that restarts is soon back.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// How often a runtime without any stream is asked whether it has one now: it may have been replaced.
const ASK_AGAIN: Duration = Duration::from_secs(600);

/// Tells `events` what the runtime tells, until nobody listens any more. Falls back from containerd's stream to the CRI's, and
/// says so when there is neither.
pub async fn watch(client: &CriClient, events: Sender<RuntimeEvent>) {
    let watcher = Watcher { client, events: &events };
    tokio::select! {
        () = events.closed() => {}
        () = watcher.run() => {}
    }
}

struct Watcher<'a> {
    client: &'a CriClient,
    events: &'a Sender<RuntimeEvent>,
}

/// Why a stream is over.
enum End {
    /// The runtime has no such stream.
    Unimplemented,
    /// It broke, or could not be opened.
    Broken {
        cause: Box<str>,
        /// Whether it had been open.
        was_ready: bool,
    },
}

/// What the runtime was last known to offer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Offer {
    Unknown,
    Nothing,
}

impl Watcher<'_> {
    async fn run(&self) {
        let mut pause = FIRST_PAUSE;
        let mut offer = Offer::Unknown;
        loop {
            match self.listen().await {
                End::Unimplemented => {
                    if offer != Offer::Nothing {
                        self.tell(RuntimeEvent::NoEventSource).await;
                        offer = Offer::Nothing;
                    }
                    pause = FIRST_PAUSE;
                    sleep(ASK_AGAIN).await;
                }
                End::Broken { cause, was_ready } => {
                    if was_ready {
                        self.tell(RuntimeEvent::StreamLost { cause }).await;
                        offer = Offer::Unknown;
                        pause = FIRST_PAUSE;
                    } else {
                        debug!(endpoint = %self.client.endpoint(), %cause, "cannot subscribe to the runtime's events");
                    }
                    sleep(pause).await;
                    pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Listens to the best stream that the runtime has.
    async fn listen(&self) -> End {
        match self.listen_to_containerd().await {
            End::Unimplemented => self.listen_to_cri().await,
            end @ End::Broken { .. } => end,
        }
    }

    async fn listen_to_containerd(&self) -> End {
        let filters =
            TOPICS.iter().map(|topic| format!("topic==\"{topic}\",namespace==\"{NAMESPACE}\"")).collect();
        let request = in_namespace(Request::new(SubscribeRequest { filters }));
        let mut client = EventsClient::new(self.client.channel());
        let open = async {
            client.subscribe(request).await.map_err(|s| refused(&s)).map(tonic::Response::into_inner)
        };
        self.follow(EventSource::Containerd, open, |envelope| {
            let topic = envelope.topic.clone();
            from_envelope(envelope).unwrap_or_else(|error| {
                // It may have told of anything: the slow relist makes up for it.
                warn!(topic, %error, "cannot read an event of containerd's");
                None
            })
        })
        .await
    }

    async fn listen_to_cri(&self) -> End {
        let open = async {
            self.client.container_events().await.map_err(|error| match error {
                CriError::Unimplemented { .. } => End::Unimplemented,
                error => End::Broken { cause: error.message().into(), was_ready: false },
            })
        };
        self.follow(EventSource::Cri, open, |event| Some(from_cri(event))).await
    }

    /// Opens a stream and passes on what it tells until it ends.
    async fn follow<T>(
        &self,
        source: EventSource,
        open: impl Future<Output = Result<Streaming<T>, End>>,
        read: impl Fn(T) -> Option<RuntimeEvent>,
    ) -> End {
        let mut open = pin!(open);
        let answered = tokio::select! {
            biased;
            opened = &mut open => Some(opened),
            answer = self.client.version() => match answer {
                Err(error) if error.is_unavailable() => {
                    return End::Broken { cause: error.message().into(), was_ready: false };
                }
                // Even a refusal is an answer, and it came after the subscription.
                _ => None,
            },
        };
        if let Some(Err(end)) = answered {
            return end;
        }
        self.tell(RuntimeEvent::StreamReady { source }).await;
        let opened = match answered {
            Some(opened) => opened,
            None => open.await,
        };
        let mut stream = match opened {
            Ok(stream) => stream,
            Err(End::Broken { cause, .. }) => return End::Broken { cause, was_ready: true },
            Err(end) => return end,
        };
        loop {
            match stream.message().await {
                Ok(Some(message)) => {
                    if let Some(event) = read(message) {
                        self.tell(event).await;
                    }
                }
                Ok(None) => {
                    return End::Broken { cause: "the runtime ended the stream".into(), was_ready: true };
                }
                Err(status) => {
                    return End::Broken { cause: Outage::of(&status).to_string().into(), was_ready: true };
                }
            }
        }
    }

    async fn tell(&self, event: RuntimeEvent) {
        // With nobody left to tell, `watch` is about to end.
        let _: Result<(), _> = self.events.send(event).await;
    }
}

fn refused(status: &Status) -> End {
    match status.code() {
        Code::Unimplemented => End::Unimplemented,
        _ => End::Broken { cause: Outage::of(status).to_string().into(), was_ready: false },
    }
}

#[cfg(test)]
mod tests;

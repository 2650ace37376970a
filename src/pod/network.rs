//! Whether the runtime has a network to give to pods, asked for all of them in one place.
//!
//! A pod asks once, before its sandbox is made. While the answer is no, one task asks for every pod that waits, and wakes them when it is yes;
//! with nobody waiting nobody asks. No runtime tells of it by itself: containerd notices a CNI configuration that was written, and only `Status`
//! shows that it has. Rule: the kubelet's `NetworkNotReady`, whose runtime state is asked for every 5 s, waiting pods or not.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, info};

use crate::cri::proto::StatusResponse;
use crate::cri::{CriClient, CriError, Detail};

/// Between two questions, at first and at last.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(10);

/// The network for pods of this node. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Network {
    cri: CriClient,
    /// Why it is not ready, while somebody asks whether it has become so.
    unready: Arc<watch::Sender<Option<String>>>,
}

impl Network {
    /// The network that this runtime gives.
    pub fn new(cri: CriClient) -> Self {
        Self { cri, unready: Arc::new(watch::channel(None).0) }
    }

    /// Why the network is not ready, if it isn't. Asks the runtime unless that is being done for another pod.
    ///
    /// # Errors
    /// When the runtime doesn't say.
    pub async fn unready(&self) -> Result<Option<String>, CriError> {
        let known = self.unready.borrow().clone();
        if known.is_some() {
            return Ok(known);
        }
        let answer = ask(&self.cri).await?;
        if let Some(why) = &answer {
            let is_first = self.unready.send_if_modified(|unready| unready.replace(why.clone()).is_none());
            if is_first {
                tokio::spawn(self.clone().ask_until_ready());
            }
        }
        Ok(answer)
    }

    /// Waits until it is worth asking again.
    pub async fn changed(&self) {
        let mut seen = self.unready.subscribe();
        // The sender is held by this very value.
        let _ = seen.wait_for(Option::is_none).await;
    }

    async fn ask_until_ready(self) {
        let mut pause = FIRST;
        loop {
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
            if self.unready.receiver_count() == 0 {
                break;
            }
            match ask(&self.cri).await {
                Ok(None) => {
                    info!("the network for pods is ready");
                    break;
                }
                Ok(Some(why)) => drop(self.unready.send_replace(Some(why))),
                Err(error) => debug!(%error, "cannot ask the runtime whether its network is ready"),
            }
        }
        self.unready.send_replace(None);
    }
}

async fn ask(cri: &CriClient) -> Result<Option<String>, CriError> {
    let status = cri.status(Detail::Brief).await?;
    Ok(status.condition(StatusResponse::NETWORK_READY).filter(|condition| !condition.status).map(|it| {
        // A kubelet's words, to the last: `RuntimeCondition.String` in what its runtime state keeps.
        let (kind, reason, message) = (&it.r#type, &it.reason, &it.message);
        format!("container runtime network not ready: {kind}=false reason:{reason} message:{message}")
    }))
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, timeout};

    use super::*;
    use crate::cri::Method;
    use crate::cri::fake::FakeRuntime;

    const WHY: &str = "container runtime network not ready: NetworkReady=false \
        reason:NetworkPluginNotReady message:Network plugin returns error: cni plugin not initialized";

    #[tokio::test(start_paused = true)]
    async fn one_asks_for_all_that_wait_and_wakes_them_when_there_is_a_network() {
        let runtime = FakeRuntime::start();
        runtime.set_network_ready(false);
        let network = Network::new(runtime.client());
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..20 {
            assert_eq!(network.unready().await.unwrap().as_deref(), Some(WHY));
            let network = network.clone();
            waiting.spawn(async move { network.changed().await });
        }
        assert_eq!(runtime.count(Method::Status), 1);
        sleep(Duration::from_secs(305)).await;
        let asked = runtime.count(Method::Status);
        assert!((30..=35).contains(&asked), "{asked}");
        runtime.set_network_ready(true);
        let begun = Instant::now();
        waiting.join_all().await;
        assert!(begun.elapsed() <= LONGEST + Duration::from_secs(1), "{:?}", begun.elapsed());
        assert_eq!(network.unready().await.unwrap(), None);
        let asked = runtime.count(Method::Status);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(runtime.count(Method::Status), asked, "nobody waits, nobody asks");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_asks_for_pods_that_have_gone() {
        let runtime = FakeRuntime::start();
        runtime.set_network_ready(false);
        let network = Network::new(runtime.client());
        assert!(network.unready().await.unwrap().is_some());
        assert!(timeout(Duration::from_secs(2), network.changed()).await.is_err());
        sleep(Duration::from_secs(15)).await;
        let asked = runtime.count(Method::Status);
        sleep(Duration::from_secs(600)).await;
        assert_eq!(runtime.count(Method::Status), asked);
        assert!(network.unready().await.unwrap().is_some(), "and who comes later asks anew");
    }
}

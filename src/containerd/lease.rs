//! Leases: what is written under one stays until the lease ends, so that containerd's garbage collection takes nothing that is about to be
//! named by an image. A lease ends by itself after a day, for whoever was killed with one in his hand.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use containerd_client::services::v1::leases_client::LeasesClient;
use containerd_client::services::v1::{AddResourceRequest, CreateRequest, DeleteRequest, Resource};
use jiff::Timestamp;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::in_namespace;
use crate::archive::Digest;

const LASTS: Duration = Duration::from_secs(24 * 3600);
const EXPIRES: &str = "containerd.io/gc.expire";
const HEADER: &str = "containerd-lease";

/// A lease of ours.
#[derive(Debug, Clone)]
pub(super) struct Lease {
    id: String,
    client: LeasesClient<Channel>,
}

impl Lease {
    /// Takes a new one.
    pub(super) async fn take(channel: &Channel) -> Result<Self, Status> {
        static TAKEN: AtomicU32 = AtomicU32::new(0);
        let now = Timestamp::now();
        // Another process may have our number after a reboot, and another thread may take one now.
        let number = TAKEN.fetch_add(1, Ordering::Relaxed);
        let id = format!("daemonlet-{}-{}-{number}", std::process::id(), now.as_nanosecond());
        let expires = now.checked_add(LASTS).unwrap_or(now).to_string();
        let labels = [(EXPIRES.to_owned(), expires)].into();
        let mut client = LeasesClient::new(channel.clone());
        client.create(in_namespace(Request::new(CreateRequest { id: id.clone(), labels }))).await?;
        Ok(Self { id, client })
    }

    /// A request under this lease.
    pub(super) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = in_namespace(Request::new(message));
        // Our ids are letters, digits and hyphens.
        if let Ok(id) = MetadataValue::try_from(&self.id) {
            request.metadata_mut().insert(HEADER, id);
        }
        request
    }

    /// Holds content that is there already.
    pub(super) async fn hold(&mut self, digest: Digest) -> Result<(), Status> {
        let resource = Some(Resource { id: digest.to_string(), r#type: "content".to_owned() });
        let request = AddResourceRequest { id: self.id.clone(), resource };
        self.client.add_resource(in_namespace(Request::new(request))).await.map(drop)
    }

    /// Gives it back. What nobody names by now goes at containerd's next collection.
    pub(super) async fn end(mut self) {
        let request = DeleteRequest { id: self.id, sync: false };
        // It ends by itself, too.
        let _ = self.client.delete(in_namespace(Request::new(request))).await;
    }
}

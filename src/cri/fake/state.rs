//! What the fake runtime holds, and what each request does to it.
//!
//! Refusals are worded as containerd words them, so that what reads those words is tested too.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tonic::Status;

use super::clock::Clock;
use super::event::{Event, What};
use super::object::{FakeContainer, FakeSandbox, on_node_network};
use super::record::{RecordedCall, Request};
use super::script::Script;
use super::{FakeOptions, Sources};
use crate::cri::proto::{ContainerState, CreateContainerRequest, Image, RunPodSandboxRequest};

/// The fake runtime's whole world, for a test to look into.
#[derive(Debug)]
pub struct State {
    /// Every sandbox that is not removed, oldest first.
    pub sandboxes: Vec<FakeSandbox>,
    /// Every container that is not removed, oldest first.
    pub containers: Vec<FakeContainer>,
    /// The images that are present.
    pub images: Vec<Image>,
    /// Every call, in the order of arrival.
    pub calls: Vec<RecordedCall>,
    /// Whether Status says that the network is ready.
    pub network_ready: bool,
    pub(super) script: Script,
    pub(super) sources: Sources,
    clock: Clock,
    log_files: bool,
    subscribers: Vec<UnboundedSender<Event>>,
    serial: u32,
}

impl State {
    pub(super) fn new(options: &FakeOptions) -> Self {
        Self {
            sandboxes: Vec::new(),
            containers: Vec::new(),
            images: Vec::new(),
            calls: Vec::new(),
            network_ready: true,
            script: Script::new(),
            sources: options.events,
            clock: Clock::start(),
            log_files: options.log_files,
            subscribers: Vec::new(),
            serial: 0,
        }
    }

    /// The newest container of this name.
    pub fn container(&self, name: &str) -> Option<&FakeContainer> {
        self.containers.iter().rev().find(|container| container.name() == name)
    }

    /// Whether the newest container of this name runs.
    pub fn is_running(&self, name: &str) -> bool {
        self.container(name).is_some_and(FakeContainer::is_running)
    }

    /// How many event streams are open.
    pub fn subscribers(&self) -> usize {
        self.subscribers.iter().filter(|subscriber| !subscriber.is_closed()).count()
    }

    pub(super) fn record(&mut self, request: Request) {
        let known = request.container_id().and_then(|id| self.containers.iter().find(|c| c.id == id));
        let (container, attempt) = match known {
            Some(container) => (Some(container.name().to_owned()), Some(container.attempt())),
            None => request.identity(),
        };
        self.calls.push(RecordedCall { at: Instant::now(), container, attempt, request });
    }

    pub(super) fn subscribe(&mut self, subscriber: UnboundedSender<Event>) {
        self.subscribers.push(subscriber);
    }

    pub(super) fn end_streams(&mut self) {
        self.subscribers.clear();
    }

    pub(super) fn now(&mut self) -> i64 {
        self.clock.now()
    }

    /// The wall's time when the runtime started, as time since the Unix epoch, and that instant by tokio's clock. Whoever compares
    /// the runtime's times with its own in paused time starts from here: a second look at the wall would find that real time has passed.
    pub fn started(&self) -> (Duration, Instant) {
        self.clock.origin()
    }

    /// A new id, of the length and letters of containerd's, that still tells which came first.
    fn next_id(&mut self) -> String {
        self.serial += 1;
        format!("{:08x}{:056x}", self.serial, 0)
    }

    fn tell(&mut self, id: &str, what: What) -> i64 {
        let event = Event { id: id.to_owned(), at: self.clock.now(), what };
        self.subscribers.retain(|subscriber| subscriber.send(event.clone()).is_ok());
        event.at
    }

    pub(super) fn run_sandbox(&mut self, request: RunPodSandboxRequest) -> Result<String, Status> {
        let config = request.config.ok_or_else(|| Status::invalid_argument("sandbox config is not set"))?;
        if let Some(taken) = self.sandboxes.iter().find(|s| s.config.metadata == config.metadata) {
            let m = config.metadata.unwrap_or_default();
            let name = format!("{}_{}_{}_{}", m.name, m.namespace, m.uid, m.attempt);
            return Err(reserved("sandbox", &name, &taken.id));
        }
        let id = self.next_id();
        let ip =
            if on_node_network(&config) { String::new() } else { format!("10.88.0.{}", self.serial % 256) };
        let created_at = self.tell(&id, What::Started { pid: self.serial });
        let handler = request.runtime_handler;
        self.sandboxes.push(FakeSandbox { id: id.clone(), config, handler, ready: true, created_at, ip });
        Ok(id)
    }

    /// Kills what runs in a sandbox and makes it not ready.
    pub(super) fn stop_sandbox(&mut self, id: &str) {
        for container in self.containers_of(id) {
            self.exit(&container, 137);
        }
        self.kill_pause(id);
    }

    pub(super) fn kill_pause(&mut self, id: &str) {
        if let Some(sandbox) = self.sandboxes.iter_mut().find(|s| s.id == id && s.ready) {
            sandbox.ready = false;
            self.tell(id, What::Exited { pid: 1, code: 137 });
        }
    }

    pub(super) fn remove_sandbox(&mut self, id: &str) {
        self.stop_sandbox(id);
        for container in self.containers_of(id) {
            self.remove(&container);
        }
        if self.sandboxes.iter().any(|s| s.id == id) {
            self.sandboxes.retain(|s| s.id != id);
            self.tell(id, What::Deleted);
        }
    }

    fn containers_of(&self, sandbox: &str) -> Vec<String> {
        self.containers.iter().filter(|c| c.sandbox == sandbox).map(|c| c.id.clone()).collect()
    }

    pub(super) fn create(&mut self, request: CreateContainerRequest) -> Result<String, Status> {
        let config = request.config.ok_or_else(|| Status::invalid_argument("container config is not set"))?;
        let sandbox = self.sandboxes.iter().find(|s| s.id == request.pod_sandbox_id).ok_or_else(|| {
            Status::not_found(format!("failed to find sandbox id {:?}: not found", request.pod_sandbox_id))
        })?;
        let image = config.image.as_ref().map(|i| i.image.as_str()).unwrap_or_default();
        let image_id = self
            .image(image)
            .map(|image| image.id.clone())
            .ok_or_else(|| Status::not_found(format!("failed to resolve image {image:?}: not found")))?;
        let taken = self
            .containers
            .iter()
            .find(|c| c.sandbox == request.pod_sandbox_id && c.config.metadata == config.metadata);
        if let Some(taken) = taken {
            let pod = format!("{}_{}_{}", sandbox.name(), sandbox.namespace(), sandbox.uid());
            let name = format!("{}_{pod}_{}", taken.name(), taken.attempt());
            return Err(reserved("container", &name, &taken.id));
        }
        let log_path = match (sandbox.config.log_directory.as_str(), config.log_path.as_str()) {
            ("", _) | (_, "") => String::new(),
            (directory, file) => format!("{directory}/{file}"),
        };
        let id = self.next_id();
        let created_at = self.tell(&id, What::Created);
        self.containers.push(FakeContainer {
            id: id.clone(),
            sandbox: request.pod_sandbox_id,
            config,
            state: ContainerState::ContainerCreated,
            created_at,
            started_at: 0,
            finished_at: 0,
            exit_code: 0,
            pid: 1000 + self.serial,
            log_reopened: 0,
            oom_killed: false,
            image_id,
            log_path,
        });
        Ok(id)
    }

    /// Starts a container; tells when it will end by itself, if it was ordered to.
    pub(super) fn start(&mut self, id: &str) -> Result<Option<(Duration, i32)>, Status> {
        let container = self.get(id)?;
        if container.state != ContainerState::ContainerCreated {
            return Err(Status::unknown(format!(
                "container {id:?} is in {} state",
                container.state.as_str_name()
            )));
        }
        if !self.sandboxes.iter().any(|s| s.id == container.sandbox && s.ready) {
            return Err(Status::unknown(format!("sandbox container {:?} is not running", container.sandbox)));
        }
        let (pid, name, log_path) = (container.pid, container.name().to_owned(), container.log_path.clone());
        self.touch_log(&log_path)?;
        let at = self.tell(id, What::Started { pid });
        if let Some(container) = self.containers.iter_mut().find(|c| c.id == id) {
            container.state = ContainerState::ContainerRunning;
            container.started_at = at;
        }
        Ok(self.script.ending(&name))
    }

    /// Makes sure that a log file is there.
    pub(super) fn touch_log(&self, path: &str) -> Result<(), Status> {
        if self.log_files {
            append(path, b"").map_err(|e| Status::unknown(format!("failed to open log {path}: {e}")))?;
        }
        Ok(())
    }

    /// Ends a container if it runs.
    pub(super) fn exit(&mut self, id: &str, code: i32) {
        let Some(container) = self.containers.iter().find(|c| c.id == id && c.is_running()) else { return };
        let pid = container.pid;
        let at = self.tell(id, What::Exited { pid, code });
        if let Some(container) = self.containers.iter_mut().find(|c| c.id == id) {
            container.state = ContainerState::ContainerExited;
            container.exit_code = code;
            container.finished_at = at;
        }
    }

    /// Ends a container as the kernel does when its memory is used up.
    pub(super) fn oom(&mut self, id: &str) {
        if let Some(container) = self.containers.iter_mut().find(|c| c.id == id && c.is_running()) {
            container.oom_killed = true;
            self.tell(id, What::Oom);
            self.exit(id, 137);
        }
    }

    pub(super) fn exec_ended(&mut self, id: &str, code: i32) {
        let exec = self.next_id();
        self.tell(id, What::ExecExited { exec, code });
    }

    pub(super) fn remove(&mut self, id: &str) {
        self.exit(id, 137);
        if self.containers.iter().any(|c| c.id == id) {
            self.containers.retain(|c| c.id != id);
            self.tell(id, What::Deleted);
        }
    }

    pub(super) fn get(&self, id: &str) -> Result<&FakeContainer, Status> {
        self.containers.iter().find(|c| c.id == id).ok_or_else(|| {
            Status::not_found(format!("an error occurred when try to find container {id:?}: not found"))
        })
    }

    pub(super) fn get_mut(&mut self, id: &str) -> Result<&mut FakeContainer, Status> {
        self.containers.iter_mut().find(|c| c.id == id).ok_or_else(|| {
            Status::not_found(format!("an error occurred when try to find container {id:?}: not found"))
        })
    }

    /// The image of this name, digest or id.
    pub fn image(&self, name: &str) -> Option<&Image> {
        self.images.iter().find(|image| {
            image.id == name || image.repo_tags.iter().chain(&image.repo_digests).any(|known| known == name)
        })
    }
}

fn reserved(kind: &str, name: &str, by: &str) -> Status {
    Status::unknown(format!("failed to reserve {kind} name {name:?}: name {name:?} is reserved for {by:?}"))
}

/// Appends to a log file, making it and its directory.
pub(super) fn append(path: &str, bytes: &[u8]) -> std::io::Result<()> {
    if path.is_empty() {
        return Ok(());
    }
    if let Some(directory) = Path::new(path).parent() {
        std::fs::create_dir_all(directory)?;
    }
    std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(bytes)
}

//! What a test can order the fake runtime to do.

use std::io;
use std::time::Duration;

use tonic::Status;

use super::script::{Step, UnknownStep};
use super::{FakeRuntime, State, image_service, state};
use crate::cri::proto::Image;
use crate::cri::{ExecOutput, Method};

impl FakeRuntime {
    /// Ends the running container of this name; whether there was one.
    pub fn exit(&self, name: &str, code: i32) -> bool {
        self.on_running(name, |state, id| state.exit(id, code))
    }

    /// Ends the running container of this name for want of memory; whether there was one.
    pub fn oom(&self, name: &str) -> bool {
        self.on_running(name, State::oom)
    }

    fn on_running(&self, name: &str, act: impl FnOnce(&mut State, &str)) -> bool {
        self.change(|state| {
            let id = state
                .containers
                .iter()
                .rev()
                .find(|c| c.name() == name && c.is_running())
                .map(|c| c.id.clone());
            id.map(|id| act(state, &id)).is_some()
        })
    }

    /// From now on each start of a container of this name ends after a while with the next code; the last code repeats.
    pub fn autoexit(&self, name: &str, after: Duration, codes: &[i32]) {
        self.change(|state| state.script.autoexit(name, after, codes));
    }

    /// What every `ExecSync` answers from now on.
    pub fn exec_answers(&self, output: ExecOutput) {
        self.change(|state| state.script.exec = output);
    }

    /// The method takes this long from now on. `ExecSync` answers as containerd does when that exceeds its timeout.
    pub fn delay(&self, method: Method, time: Duration) {
        self.change(|state| state.script.delays.insert(method, time));
    }

    /// The method fails the next few times, with the code `Unknown` that containerd gives to most failures.
    pub fn fail(&self, method: Method, times: u32, message: &str) {
        self.fail_with(method, times, Status::unknown(message));
    }

    /// The method fails the next few times, in this way.
    pub fn fail_with(&self, method: Method, times: u32, status: Status) {
        self.change(|state| state.script.fail(method, times, status));
    }

    /// Containers of this name ignore the stop signal: stopping them takes their whole grace.
    pub fn stubborn(&self, name: &str) {
        self.change(|state| state.script.stubborn.insert(name.to_owned()));
    }

    /// Every sandbox dies, with all that runs in it.
    pub fn stop_sandboxes(&self) {
        self.change(|state| {
            for id in state.sandboxes.iter().map(|s| s.id.clone()).collect::<Vec<_>>() {
                state.stop_sandbox(&id);
            }
        });
    }

    /// Ends the process of every sandbox itself; the containers in it go on, as containerd's do.
    pub fn kill_pauses(&self) {
        self.change(|state| {
            for id in state.sandboxes.iter().map(|s| s.id.clone()).collect::<Vec<_>>() {
                state.kill_pause(&id);
            }
        });
    }

    /// Does one step of a recorded life cycle (`autoexit NAME S C[,C…]`, `exit NAME C`, `execcode C`, `delay METHOD S`,
    /// `fail METHOD N TEXT`, `sbstop`).
    pub fn step(&self, text: &str) -> Result<(), UnknownStep> {
        match text.parse()? {
            Step::Autoexit { name, after, codes } => self.autoexit(&name, after, &codes),
            Step::Exit { name, code } => {
                self.exit(&name, code);
            }
            Step::ExecCode(code) => self.change(|state| state.script.exec.exit_code = code),
            Step::Delay(method, time) => self.delay(method, time),
            Step::Fail { method, times, message } => self.fail(method, times, &message),
            Step::StopSandboxes => self.stop_sandboxes(),
        }
        Ok(())
    }

    /// Makes an image present, as if it had been pulled.
    pub fn preload(&self, image: &str) {
        self.add_image(image_service::pulled(image));
    }

    /// Makes an image present.
    pub fn add_image(&self, image: Image) {
        self.change(|state| state.images.push(image));
    }

    /// Whether Status says that the network is ready; it does unless told otherwise.
    pub fn set_network_ready(&self, ready: bool) {
        self.change(|state| state.network_ready = ready);
    }

    /// Appends a line to the log of the newest container of this name, as the runtime would: `stream` is `stdout` or `stderr`.
    pub fn write_log(&self, name: &str, stream: &str, text: &str) -> io::Result<()> {
        let path = self.read(|state| state.container(name).map(|c| c.log_path.clone())).unwrap_or_default();
        state::append(&path, format!("{} {stream} F {text}\n", jiff::Timestamp::now()).as_bytes())
    }

    /// The runtime dies: every connection and stream breaks, and none can be made. Its containers run on.
    pub fn outage(&self) {
        self.change(State::end_streams);
        self.wire.cut();
    }

    /// The runtime is back, at the sockets that it had.
    pub fn recover(&self) -> io::Result<()> {
        self.wire.restore()
    }
}

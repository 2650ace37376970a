//! The exec probe: a command in the container, by the runtime.
//!
//! Rules: `pkg/probe/exec/exec.go`, and `RunInContainer` of the kubelet for how output is put together.

use std::future::Future;
use std::time::Duration;

use super::ProbeError;
use super::attempt::Answer;
use crate::cri::{ContainerId, CriClient, CriError, ExecOutput};
use crate::go_duration::GoDuration;

/// As much of a command's output as an Event tells.
const LONGEST_OUTPUT: usize = 10 << 10;

/// What probes and hooks need of a runtime. [`CriClient`] is one.
pub trait ExecSync: Clone + Send + Sync + 'static {
    /// Runs a command in a container to its end; see [`CriClient::exec_sync`].
    ///
    /// # Errors
    /// When the runtime can't run it, or ran out of time.
    fn exec_sync(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<ExecOutput, CriError>> + Send;
}

impl ExecSync for CriClient {
    fn exec_sync(
        &self,
        id: &ContainerId,
        command: &[String],
        timeout: Option<Duration>,
    ) -> impl Future<Output = Result<ExecOutput, CriError>> + Send {
        Self::exec_sync(self, id, command, timeout)
    }
}

pub(super) async fn probe<E: ExecSync>(
    runtime: &E,
    id: &ContainerId,
    command: &[String],
    timeout: Duration,
) -> Result<Answer, ProbeError> {
    match runtime.exec_sync(id, command, Some(timeout)).await {
        Ok(output) if output.exit_code == 0 => Ok(Answer::Success),
        Ok(output) => Ok(Answer::Failure(text(&output))),
        // Whether the runtime's own clock says so or only ours: a runtime that never answers may hang over this very container.
        Err(CriError::DeadlineExceeded { .. }) => Ok(Answer::Failure(format!(
            "command timed out: {:?} timed out after {}",
            command.join(" "),
            GoDuration(timeout)
        ))),
        Err(error) => Err(ProbeError::Exec(error)),
    }
}

/// Standard output, then standard error, up to 10 KiB.
pub(crate) fn text(output: &ExecOutput) -> String {
    let both: Vec<u8> = output.stdout.iter().chain(&output.stderr).copied().take(LONGEST_OUTPUT).collect();
    String::from_utf8_lossy(&both).into_owned()
}

#[cfg(test)]
pub(crate) mod fake {
    //! A runtime that runs nothing and answers from a script.

    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::cri::{Call, Method};

    type Script = dyn Fn(&[String]) -> Result<ExecOutput, CriError> + Send + Sync;

    /// When a command ran, in which container, and within which limit.
    pub(crate) type Ran = (tokio::time::Instant, String, Option<Duration>);

    #[derive(Clone)]
    pub(crate) struct FakeExec {
        script: Arc<Script>,
        takes: Duration,
        pub(crate) calls: Arc<Mutex<Vec<Ran>>>,
    }

    impl FakeExec {
        pub(crate) fn new(
            script: impl Fn(&[String]) -> Result<ExecOutput, CriError> + Send + Sync + 'static,
        ) -> Self {
            Self { script: Arc::new(script), takes: Duration::ZERO, calls: Arc::default() }
        }

        pub(crate) fn taking(mut self, takes: Duration) -> Self {
            self.takes = takes;
            self
        }
    }

    impl ExecSync for FakeExec {
        async fn exec_sync(
            &self,
            id: &ContainerId,
            command: &[String],
            timeout: Option<Duration>,
        ) -> Result<ExecOutput, CriError> {
            let now = tokio::time::Instant::now();
            self.calls.lock().unwrap().push((now, id.to_string(), timeout));
            tokio::time::sleep(self.takes).await;
            (self.script)(command)
        }
    }

    pub(crate) fn exits(exit_code: i32, stdout: &str, stderr: &str) -> ExecOutput {
        ExecOutput { exit_code, stdout: stdout.into(), stderr: stderr.into() }
    }

    pub(crate) fn call() -> Call {
        Call { method: Method::ExecSync, object: "c1".into() }
    }
}

#[cfg(test)]
mod tests {
    use super::fake::{FakeExec, call, exits};
    use super::*;

    async fn answer(
        script: impl Fn(&[String]) -> Result<ExecOutput, CriError> + Send + Sync + 'static,
    ) -> Result<Answer, ProbeError> {
        let command = ["test".to_owned(), "-e".to_owned(), "/ok".to_owned()];
        probe(&FakeExec::new(script), &"c1".into(), &command, Duration::from_secs(90)).await
    }

    #[tokio::test]
    async fn the_exit_code_decides_and_the_output_explains() {
        assert_eq!(answer(|_| Ok(exits(0, "fine", ""))).await.unwrap(), Answer::Success);
        assert_eq!(answer(|_| Ok(exits(7, "out", "err"))).await.unwrap(), Answer::Failure("outerr".into()));
    }

    #[tokio::test]
    async fn output_is_told_up_to_10_kib() {
        let Answer::Failure(text) = answer(|_| Ok(exits(1, &"x".repeat(20_000), ""))).await.unwrap() else {
            panic!("must fail")
        };
        assert_eq!(text.len(), 10 << 10);
    }

    #[tokio::test]
    async fn a_command_that_took_too_long_has_failed_whoever_says_so() {
        for (after, message) in
            [(None, "timeout exceeded"), (Some(Duration::from_secs(210)), "context deadline exceeded")]
        {
            let timed_out = answer(move |_| {
                Err(CriError::DeadlineExceeded { call: call(), after, message: message.into() })
            });
            let expected = r#"command timed out: "test -e /ok" timed out after 1m30s"#;
            assert_eq!(timed_out.await.unwrap(), Answer::Failure(expected.into()), "{message}");
        }
    }

    #[tokio::test]
    async fn a_runtime_that_refuses_says_nothing_about_the_container() {
        let refuses =
            answer(|_| Err(CriError::NotFound { call: call(), message: "container not found".into() }));
        let told = "rpc error: code = NotFound desc = container not found";
        assert_eq!(refuses.await.unwrap_err().to_string(), told);
    }
}

//! Lifecycle hooks: `postStart` and `preStop`, run once each.
//!
//! A shell without rules of time: the pod's worker decides whether a hook runs, waits for `preStop` no longer than the grace lasts
//! (dropping the future gives the hook up), and tells the Events. What comes back are the kubelet's own words.
//! Rule: the kubelet's `lifecycle/handlers.go`.

use std::net::IpAddr;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, ExecAction, HTTPGetAction, LifecycleHandler};

use crate::cri::{ContainerId, CriError, ExecOutput};
use crate::probe::{
    ExecSync, Get, GetError, HandlerError, HttpError, HttpGet, KUBERNETES_RELEASE, Scheme, TlsError, Url,
    get, output_text,
};

/// The container that a hook is for.
#[derive(Debug, Clone, Copy)]
pub struct HookTarget<'a> {
    /// The pod as messages name it: `name_namespace(uid)`.
    pub pod: &'a str,
    /// The container's spec, for its name and ports.
    pub container: &'a Container,
    /// The running instance.
    pub id: &'a ContainerId,
    /// Where an `httpGet` without a host goes.
    pub pod_ip: Option<IpAddr>,
}

/// How a hook ended well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookDone {
    /// As asked.
    AsAsked,
    /// Over plain HTTP, because the server did not speak TLS: a Warning Event `LifecycleHTTPFallback`.
    OverPlainHttp {
        /// The host that was asked, with its port.
        host: String,
    },
}

impl HookDone {
    /// The Event's message, if there is something to tell.
    pub fn event_message(&self) -> Option<String> {
        match self {
            Self::AsAsked => None,
            Self::OverPlainHttp { host } => Some(format!(
                "request to HTTPS lifecycle hook {host} got HTTP response, retry with HTTP succeeded"
            )),
        }
    }
}

/// A hook that failed. Displayed, it is the kubelet's message, cause included: what a container's status shows.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The command failed or could not be run.
    #[error(
        "Exec lifecycle hook ([{}]) for Container {container:?} in Pod {pod:?} failed - error: {}, message: {output:?}",
        .command.join(" "), .cause.told()
    )]
    Exec {
        /// What was run.
        command: Vec<String>,
        /// Where.
        container: String,
        /// Of which pod.
        pod: String,
        /// Why it counts as failed.
        cause: ExecFailure,
        /// Its output.
        output: String,
    },
    /// There was no answer.
    #[error("HTTP lifecycle hook ({path}) for Container {container:?} in Pod {pod:?} failed - error: {}", .cause.told())]
    HttpGet {
        /// The path, as written.
        path: String,
        /// Of which container.
        container: String,
        /// Of which pod.
        pod: String,
        /// Why.
        cause: HttpFailure,
    },
    /// A hook that Kubernetes accepts and can't run: `tcpSocket`, or nothing at all.
    #[error("Cannot run handler: invalid handler: neither exec, httpGet nor sleep")]
    Invalid,
}

/// Why a command counts as failed.
#[derive(Debug)]
pub enum ExecFailure {
    /// It ended with another code than 0.
    Exit {
        /// The command.
        command: String,
        /// The code.
        code: i32,
        /// What it wrote to its standard error.
        stderr: String,
    },
    /// The runtime did not run it.
    Runtime(CriError),
}

impl ExecFailure {
    fn told(&self) -> String {
        match self {
            Self::Exit { command, code, stderr } => {
                format!("command '{command}' exited with {code}: {stderr}")
            }
            Self::Runtime(error) => error.rpc_text(),
        }
    }
}

/// Why a URL could not be fetched.
#[derive(Debug)]
pub enum HttpFailure {
    /// The port is none.
    Port(HandlerError),
    /// No host is given and the pod has no address.
    NoPodIp,
    /// No answer.
    Get(GetError),
}

impl HttpFailure {
    fn told(&self) -> String {
        match self {
            Self::Port(error) => error.to_string(),
            Self::NoPodIp => "failed to find networking container: the pod has no IP address".to_owned(),
            Self::Get(error) => error.told(),
        }
    }
}

/// Runs a hook to its end. Nothing bounds it but the caller.
///
/// # Errors
/// When it failed, in the kubelet's words. Hooks are not tried again.
pub async fn run<E: ExecSync>(
    handler: &LifecycleHandler,
    target: &HookTarget<'_>,
    runtime: &E,
) -> Result<HookDone, HookError> {
    if let Some(action) = &handler.exec {
        exec(action, target, runtime).await
    } else if let Some(action) = &handler.http_get {
        http_get(action, target).await.map_err(|cause| HookError::HttpGet {
            path: action.path.clone().unwrap_or_default(),
            container: target.container.name.clone(),
            pod: target.pod.to_owned(),
            cause,
        })
    } else if let Some(sleep) = &handler.sleep {
        tokio::time::sleep(Duration::from_secs(u64::try_from(sleep.seconds).unwrap_or(0))).await;
        Ok(HookDone::AsAsked)
    } else {
        Err(HookError::Invalid)
    }
}

async fn exec<E: ExecSync>(
    action: &ExecAction,
    target: &HookTarget<'_>,
    runtime: &E,
) -> Result<HookDone, HookError> {
    let command = action.command.clone().unwrap_or_default();
    let (cause, output) = match runtime.exec_sync(target.id, &command, None).await {
        Ok(ExecOutput { exit_code: 0, .. }) => return Ok(HookDone::AsAsked),
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            let exit = ExecFailure::Exit { command: command.join(" "), code: output.exit_code, stderr };
            (exit, output_text(&output))
        }
        Err(error) => (ExecFailure::Runtime(error), String::new()),
    };
    Err(HookError::Exec {
        command,
        container: target.container.name.clone(),
        pod: target.pod.to_owned(),
        cause,
        output,
    })
}

/// Any answer is a success, whatever its status.
async fn http_get(action: &HTTPGetAction, target: &HookTarget<'_>) -> Result<HookDone, HttpFailure> {
    let action = HttpGet::resolve(action, target.container).map_err(HttpFailure::Port)?;
    let host = match (&action.host, target.pod_ip) {
        (Some(host), _) => host.clone(),
        (None, Some(ip)) => ip.to_string(),
        (None, None) => return Err(HttpFailure::NoPodIp),
    };
    let agent = format!("kube-lifecycle/{KUBERNETES_RELEASE}");
    let url = Url::new(action.scheme, &host, action.port, &action.path);
    let ask = |url: Url, headers| get(Get { url, headers, agent: &agent, limit: None });
    let authority = url.authority();
    match Box::pin(ask(url.clone(), &action.headers)).await {
        Ok(_) | Err(GetError { error: HttpError::Body(_), .. }) => Ok(HookDone::AsAsked),
        Err(GetError { error: HttpError::Tls(TlsError::NotTls), .. }) if action.scheme == Scheme::Https => {
            // What is meant for an encrypted connection only must not go over this one.
            let headers: Vec<_> = action
                .headers
                .iter()
                .filter(|(name, _)| !name.eq_ignore_ascii_case("Authorization"))
                .cloned()
                .collect();
            match Box::pin(ask(url.over_http(), &headers)).await {
                Ok(_) => Ok(HookDone::OverPlainHttp { host: authority }),
                Err(error) => Err(HttpFailure::Get(error)),
            }
        }
        Err(error) => Err(HttpFailure::Get(error)),
    }
}

#[cfg(test)]
mod tests;

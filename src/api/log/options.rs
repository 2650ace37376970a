//! What part of a log is asked for. Rule: `PodLogOptions` and its validation in Kubernetes' `pkg/apis/core`.

use k8s_openapi::jiff::{SignedDuration, Timestamp};

use crate::api::failure::Failure;
use crate::api::options::{Query, flag, number};

/// A request for a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LogOptions {
    pub(super) container: Option<String>,
    pub(super) follow: bool,
    pub(super) previous: bool,
    pub(super) extract: Extract,
}

/// Which lines, and in what form.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Extract {
    /// Only so many lines of the file's end.
    pub(super) tail_lines: Option<u64>,
    /// Only lines from this time on.
    pub(super) since: Option<Timestamp>,
    /// Each line after its time.
    pub(super) timestamps: bool,
    /// No more than so many bytes.
    pub(super) limit_bytes: Option<u64>,
}

impl LogOptions {
    pub(super) fn parse(query: &Query, now: Timestamp) -> Result<Self, Failure> {
        let seconds = number(query, "sinceSeconds")?;
        let since_time = match query.get("sinceTime").map(String::as_str) {
            None | Some("") => None,
            Some(text) => Some(text.parse::<Timestamp>().map_err(|_| {
                Failure::bad_request(format!(
                    "invalid value {text:?} for sinceTime: expected an RFC 3339 time"
                ))
            })?),
        };
        let since = match (seconds, since_time) {
            (Some(_), Some(_)) => {
                return Err(Failure::bad_request(
                    "at most one of `sinceTime` or `sinceSeconds` may be specified",
                ));
            }
            (Some(0), None) => {
                return Err(Failure::bad_request("sinceSeconds: Invalid value: 0: must be greater than 0"));
            }
            (Some(seconds), None) => {
                let ago = SignedDuration::from_secs(i64::try_from(seconds).unwrap_or(i64::MAX));
                // What is further back than time itself is everything.
                Some(now.checked_sub(ago).unwrap_or(Timestamp::MIN))
            }
            (None, since_time) => since_time,
        };
        let limit_bytes = number(query, "limitBytes")?;
        if limit_bytes == Some(0) {
            return Err(Failure::bad_request("limitBytes: Invalid value: 0: must be greater than 0"));
        }
        Ok(Self {
            container: query.get("container").filter(|name| !name.is_empty()).cloned(),
            follow: flag(query, "follow"),
            previous: flag(query, "previous"),
            extract: Extract {
                tail_lines: number(query, "tailLines")?,
                since,
                timestamps: flag(query, "timestamps"),
                limit_bytes,
            },
        })
    }
}

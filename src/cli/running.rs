//! `hapax status`, `pause`, `resume`, `retry` and `skip`: asked of the process that runs with the same settings, beside this one. They
//! serve where nothing but hapax is at hand, as in its container image: `kubectl exec`, and hooks of a pod.

use std::error::Error;
use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Client, Method, StatusCode, redirect};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::error::Problem;
use crate::sidecar::listen::ListenSettings;
use crate::sidecar::push::bearer;
use crate::sidecar::{Secret, Settings, TokenSource};

/// How long an answer may take. The process is on the same machine, and takes 2 s at most to ask its consumer.
const ANSWER: Duration = Duration::from_secs(5);
/// How often it is asked whether handlers still run.
const ASK_EVERY: Duration = Duration::from_millis(100);

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The process is there and does not do it: its answer says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Refused(String);

#[derive(Debug, Args)]
pub(super) struct PauseOptions {
    /// Why: it stands in the log, on the status page and in the status.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Waits until no handler runs, for so long at most; ends with 1 where some still do.
    #[arg(long, value_name = "SECONDS")]
    wait: Option<u64>,
}

#[derive(Debug, Args)]
pub(super) struct StatusOptions {
    /// Prints all that `GET /v1/status` answers.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
pub(super) struct RetryOptions {
    /// Tries only this partition.
    #[arg(long, value_name = "TOPIC/PARTITION")]
    partition: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct SkipOptions {
    /// The record: where its partition stands stopped, or one that waits for its next attempt.
    #[arg(long, value_name = "TOPIC/PARTITION/OFFSET")]
    record: String,
    /// Why it is not handled: it stands in the log.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Skips. Without it, the command only shows what the record is and what a skip would do.
    #[arg(long)]
    execute: bool,
}

/// Tells in a sentence how it is, and in a line what each partition is doing.
pub(super) async fn status(settings: &Settings, options: &StatusOptions) -> Result<()> {
    let told = Running::new(&settings.listen)?.status().await?;
    let mut out = io::stdout().lock();
    match options.json {
        true => writeln!(out, "{told:#}")?,
        false => write!(out, "{}", summary(&told))?,
    }
    Ok(())
}

/// The lines for people.
fn summary(status: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut lines = format!("{}: {}\n", text(&status["severity"]), text(&status["says"]));
    for client in ["consumer", "producer"] {
        let health = &status["kafka"][client];
        if !health.is_object() {
            continue;
        }
        let group = health["group"].as_str().map(|group| format!(", group: {group}")).unwrap_or_default();
        let problem = health["problem"].as_str().map(|problem| format!("; {problem}")).unwrap_or_default();
        lines += &format!("kafka {client}: {}{group}{problem}\n", text(&health["state"]));
    }
    for finding in status["store"]["findings"].as_array().into_iter().flatten() {
        lines += &format!(
            "{}: store: {}; {}\n",
            text(&finding["severity"]),
            text(&finding["says"]),
            text(&finding["remedy"])
        );
    }
    for partition in status["partitions"].as_array().into_iter().flatten() {
        let number = |name: &str| partition[name].as_i64().map_or_else(|| "-".to_owned(), |number| number.to_string());
        lines += &format!(
            "{}-{}: {}, {} in flight, {} with handlers, {} settled, committed to {}",
            text(&partition["topic"]),
            number("partition"),
            text(&partition["phase"]),
            number("in_flight"),
            number("running"),
            number("settled"),
            number("committed"),
        );
        match (&partition["stopped"], &partition["waiting"]) {
            (Value::Object(stopped), _) => {
                lines += &format!("; offset {}: {}", stopped["offset"], text(&stopped["reason"]));
                if let Some(answered) = stopped["answered"].as_str() {
                    lines += &format!("; its last attempt: {answered}");
                }
                if let Some(follows) = stopped["follows"].as_str() {
                    lines += &format!(". {follows}");
                }
            }
            (_, Value::Object(waiting)) => {
                lines += &format!("; offset {} waits for {}", waiting["offset"], text(&waiting["says"]));
            }
            _ => {}
        }
        lines.push('\n');
    }
    lines
}

/// Lets nothing new start; returns whether all that ran has ended, as far as that was waited for.
pub(super) async fn pause(settings: &Settings, options: &PauseOptions) -> Result<bool> {
    let running = Running::new(&settings.listen)?;
    let told = running.change("/v1/pause", json!({ "reason": options.reason })).await?;
    writeln!(io::stdout(), "paused: {}; `hapax resume` lets it go on", told["paused"].as_str().unwrap_or_default())?;
    let Some(limit) = options.wait else { return Ok(true) };
    let until = Instant::now() + Duration::from_secs(limit);
    loop {
        let left = in_handlers(&running.status().await?);
        if left == Some(0) {
            writeln!(io::stdout(), "no handler runs")?;
            return Ok(true);
        }
        if Instant::now() >= until {
            let left = left.map_or_else(|| "an unknown number of".to_owned(), |left| left.to_string());
            writeln!(io::stdout(), "{left} records are still with their handlers")?;
            return Ok(false);
        }
        sleep(ASK_EVERY).await;
    }
}

/// Lets a paused process go on.
pub(super) async fn resume(settings: &Settings) -> Result<()> {
    Running::new(&settings.listen)?.change("/v1/resume", json!({})).await?;
    writeln!(io::stdout(), "not paused")?;
    Ok(())
}

/// Has the records tried again at which partitions stand stopped.
pub(super) async fn retry(settings: &Settings, options: &RetryOptions) -> Result<()> {
    let body = match options.partition.as_deref() {
        None => json!({}),
        Some(partition) => match partition.rsplit_once('/').map(|(topic, number)| (topic, number.parse::<i32>())) {
            Some((topic, Ok(number))) if !topic.is_empty() => json!({ "topic": topic, "partition": number }),
            _ => return Err(Problem::new("--partition", "is not a partition: write it as orders/3").into()),
        },
    };
    let told = Running::new(&settings.listen)?.change("/v1/retry", body).await?;
    write!(io::stdout(), "{}", retried(&told))?;
    Ok(())
}

/// The lines for people.
fn retried(told: &Value) -> String {
    let mut lines = String::new();
    if told["reopened"] == true {
        lines += "messages are delivered again to the application, which had asked for an end of delivery\n";
    }
    for part in told["retried"].as_array().into_iter().flatten() {
        lines += &format!(
            "{}-{}: its record at offset {} is tried again; `hapax status` shows what comes of it\n",
            part["topic"].as_str().unwrap_or_default(),
            part["partition"],
            part["offset"]
        );
    }
    if lines.is_empty() {
        return "no partition of this process stands stopped at a record; nothing was tried\n".to_owned();
    }
    if let Some(reason) = told["paused"].as_str() {
        lines += &format!("the process is paused: {reason}; the tries wait for `hapax resume`\n");
    }
    lines
}

/// Settles a record that cannot be handled; shows it first.
pub(super) async fn skip(settings: &Settings, options: &SkipOptions) -> Result<()> {
    let body = json!({ "record": options.record, "reason": options.reason, "confirm": options.execute });
    let told = Running::new(&settings.listen)?.change("/v1/skip", body).await?;
    write!(io::stdout(), "{}", skipped(&told))?;
    Ok(())
}

/// The lines for people.
fn skipped(told: &Value) -> String {
    let record = &told["record"];
    let text = |value: &Value| match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let mut lines = format!("{}/{}/{}\n", text(&record["topic"]), record["partition"], record["offset"]);
    for (name, value) in [
        ("timestamp", &record["timestamp"]),
        ("key", &record["key_bytes"]),
        ("payload", &record["payload_bytes"]),
        ("headers", &record["headers"]),
        ("fingerprint", &record["fingerprint"]),
        ("attempts", &record["attempts"]),
        ("stopped", &record["stopped"]["reason"]),
        ("last answer", &record["stopped"]["answered"]),
    ] {
        let unit = if matches!(name, "key" | "payload") && !value.is_null() { " bytes" } else { "" };
        lines += &format!("  {name:12} {}{unit}\n", text(value));
    }
    match (told["skipped"].as_bool(), told["outcome"].as_str()) {
        (Some(true), Some("duplicate")) => lines += "it was handled elsewhere meanwhile, and settled as a duplicate\n",
        (Some(true), _) => lines += "skipped: it is settled and not handled\n",
        _ => lines += &format!("{}\nnothing was skipped; run it again with --execute\n", text(&told["says"])),
    }
    lines
}

/// How many records are with handlers, where the consumer said so.
fn in_handlers(status: &Value) -> Option<u64> {
    status["partitions"].as_array()?.iter().map(|partition| partition["running"].as_u64()).sum()
}

/// The process that runs beside this one.
struct Running {
    client: Client,
    address: SocketAddr,
    authorization: Option<HeaderValue>,
}

impl Running {
    fn new(settings: &ListenSettings) -> Result<Self> {
        if settings.tls.is_some() {
            let problem = "is set, and this command speaks no TLS; call https://…/v1/status, /v1/pause, /v1/resume, /v1/retry or /v1/skip";
            return Err(Problem::new("HAPAX_TLS_CERTIFICATE_FILE", problem).into());
        }
        let authorization = settings.token.as_ref().map(authorization).transpose()?;
        // Without roots: it is only called in plain text.
        let tls = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let client = Client::builder().tls_backend_preconfigured(tls).no_proxy().redirect(redirect::Policy::none());
        let client = client.timeout(ANSWER).build()?;
        Ok(Self { client, address: reachable(settings.address), authorization })
    }

    async fn status(&self) -> Result<Value> {
        self.ask(Method::GET, "/v1/status", None).await
    }

    async fn change(&self, path: &str, body: Value) -> Result<Value> {
        self.ask(Method::POST, path, Some(body)).await
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        let mut request = self.client.request(method, format!("http://{}{path}", self.address));
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = request.send().await?;
        let status = answer.status();
        // The body of a refusal says what is wrong, and the way out.
        let told: Value = serde_json::from_slice(&answer.bytes().await?).unwrap_or_default();
        match status {
            StatusCode::OK => Ok(told),
            status => {
                let detail = told["detail"].as_str().unwrap_or("its answer does not say why");
                Err(Refused(format!("http://{}{path} answered {status}: {detail}", self.address)).into())
            }
        }
    }
}

/// Where a listener on every address can be reached.
fn reachable(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// The token, as callers present it.
fn authorization(source: &TokenSource) -> Result<HeaderValue> {
    let value = match source {
        TokenSource::Given(token) => bearer(token).map_err(|problem| Problem::new("HAPAX_TOKEN", problem)),
        TokenSource::File(path) => {
            let problem = |problem: String| Problem::new("HAPAX_TOKEN_FILE", problem);
            let read = std::fs::read_to_string(path);
            let text = read.map_err(|error| problem(format!("the file cannot be read: {}", error.kind())))?;
            bearer(&Secret::new(text)).map_err(|wrong| problem(wrong.to_owned()))
        }
    };
    Ok(value?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_on_every_address_is_called_on_loopback() {
        for (address, called) in [
            ("0.0.0.0:7171", "127.0.0.1:7171"),
            ("[::]:7171", "[::1]:7171"),
            ("10.0.0.7:80", "10.0.0.7:80"),
            ("127.0.0.1:1", "127.0.0.1:1"),
        ] {
            assert_eq!(reachable(address.parse().unwrap()).to_string(), called);
        }
    }

    #[test]
    fn a_summary_names_what_is_wrong_and_each_partition() {
        let status = json!({
            "severity": "error", "says": "orders-1 stands still.",
            "store": { "findings": [{ "severity": "warning", "says": "it evicts", "remedy": "let it not" }] },
            "partitions": [
                { "topic": "orders", "partition": 0, "phase": "active", "in_flight": 2, "running": 1, "settled": 7,
                  "committed": 6, "stopped": null, "waiting": { "offset": 6, "says": "its turn" } },
                { "topic": "orders", "partition": 1, "phase": "stopped", "in_flight": 1, "running": 0, "settled": 0,
                  "committed": null, "stopped": { "offset": 3, "reason": "no ID", "answered": "it answers 500", "follows": "It waits." }, "waiting": null },
            ],
        });
        let says = "error: orders-1 stands still.\n\
                    warning: store: it evicts; let it not\n\
                    orders-0: active, 2 in flight, 1 with handlers, 7 settled, committed to 6; offset 6 waits for its turn\n\
                    orders-1: stopped, 1 in flight, 0 with handlers, 0 settled, committed to -; offset 3: no ID; \
                    its last attempt: it answers 500. It waits.\n";
        assert_eq!(summary(&status), says);
    }

    #[test]
    fn handlers_are_counted_only_where_the_consumer_answered() {
        let status = |partitions| json!({ "partitions": partitions });
        assert_eq!(in_handlers(&status(json!([{ "running": 2 }, { "running": 1 }]))), Some(3));
        assert_eq!(in_handlers(&status(json!([]))), Some(0));
        assert_eq!(in_handlers(&status(Value::Null)), None);
    }
}

//! The processes of a run beside brokers and Redis: this program again, in a role.

mod app;
mod behaviour;
mod counts;
mod library;
mod observer;
mod pull;

pub use behaviour::{NUMBER, Payload};
pub use counts::read as read_counts;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::mode::Mode;

/// The variable that names the role of a process.
pub const ROLE: &str = "CHAOS_ROLE";
/// The variable that holds the [`Job`].
pub const JOB: &str = "CHAOS_JOB";
/// What the application prints when it listens, with its port behind.
pub const LISTENS: &str = "the application listens at";

/// What a process is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    pub worker: String,
    pub incarnation: u32,
    pub out: PathBuf,
    pub brokers: String,
    pub redis: String,
    pub topic: String,
    pub dead: String,
    pub retries: Vec<String>,
    pub group: String,
    pub mode: Mode,
    /// Where the sidecar's pull API is.
    pub pull: String,
}

/// Runs a role to its end.
pub fn main(role: &str) {
    let job: Job = serde_json::from_str(&std::env::var(JOB).expect("a job")).expect("a readable job");
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    runtime.block_on(async {
        match role {
            "library" => library::run(&job).await,
            "app" => app::run(&job).await,
            "pull" => pull::run(&job).await,
            other => panic!("{other} is no role"),
        }
    });
}

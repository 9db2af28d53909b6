//! What a stretch of work cost: time, Redis' processor, ours, and how many commands.

use std::future::Future;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::time::Instant;

use crate::service::RedisServer;

/// A connection that asks Redis about itself.
pub struct Meter {
    redis: MultiplexedConnection,
}

/// What some IDs cost.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub ids: u64,
    pub elapsed: Duration,
    /// Redis' main thread.
    pub redis_cpu: Duration,
    /// All threads of this process; zero where the system does not tell.
    pub our_cpu: Duration,
    pub commands: u64,
}

impl Sample {
    /// IDs per second.
    pub fn rate(&self) -> f64 {
        per(self.ids as f64, self.elapsed.as_secs_f64())
    }

    /// Microseconds of Redis' processor per ID.
    pub fn redis_cpu_per_id(&self) -> f64 {
        per(self.redis_cpu.as_secs_f64() * 1e6, self.ids as f64)
    }

    /// Microseconds of our processor per ID.
    pub fn our_cpu_per_id(&self) -> f64 {
        per(self.our_cpu.as_secs_f64() * 1e6, self.ids as f64)
    }

    pub fn commands_per_id(&self) -> f64 {
        per(self.commands as f64, self.ids as f64)
    }
}

pub fn per(what: f64, of: f64) -> f64 {
    if of > 0.0 { what / of } else { 0.0 }
}

/// The middle of some figures.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        len if len % 2 == 1 => figures[len / 2],
        len => f64::midpoint(figures[len / 2 - 1], figures[len / 2]),
    }
}

impl Meter {
    pub async fn new(server: &RedisServer) -> Self {
        Self { redis: connect(&server.url()).await }
    }

    /// Does some work for so many IDs, and tells what it cost.
    pub async fn measure(&mut self, ids: u64, work: impl Future<Output = ()>) -> Sample {
        let before = self.reading().await;
        let (started, ours) = (Instant::now(), our_cpu());
        work.await;
        let (elapsed, our_cpu) = (started.elapsed(), our_cpu().saturating_sub(ours));
        let after = self.reading().await;
        let redis_cpu = Duration::from_secs_f64((after.0 - before.0).max(0.0));
        Sample { ids, elapsed, redis_cpu, our_cpu, commands: after.1 - before.1 }
    }

    /// Forgets everything.
    pub async fn flush(&mut self) {
        redis::cmd("FLUSHALL").arg("SYNC").exec_async(&mut self.redis).await.expect("FLUSHALL");
    }

    /// Bytes that Redis uses, its own of a start subtracted by nobody.
    pub async fn used_memory(&mut self) -> u64 {
        let info = self.info("memory").await;
        field(&info, "used_memory:").parse().expect("a number")
    }

    /// How the largest of a thousand sets taken at random is kept, and its members; `-` where there are no sets.
    pub async fn worst_encoding(&mut self) -> String {
        let mut largest = (0_u64, "-".to_owned());
        for _ in 0..1000 {
            let key: Option<String> = redis::cmd("RANDOMKEY").query_async(&mut self.redis).await.expect("a key");
            let Some(key) = key.filter(|key| key.contains("}:s:")) else { continue };
            let members: u64 = redis::cmd("SCARD").arg(&key).query_async(&mut self.redis).await.expect("a set");
            if members > largest.0 {
                let encoding: String =
                    redis::cmd("OBJECT").arg("ENCODING").arg(&key).query_async(&mut self.redis).await.expect("a set");
                largest = (members, format!("{encoding}, {members} members"));
            }
        }
        largest.1
    }

    /// Seconds of Redis' main thread, and how many commands it executed.
    pub async fn reading(&mut self) -> (f64, u64) {
        let cpu = self.info("cpu").await;
        let seconds = |name: &str| field(&cpu, name).parse::<f64>().expect("seconds");
        let seconds = seconds("used_cpu_user_main_thread:") + seconds("used_cpu_sys_main_thread:");
        let stats = self.info("stats").await;
        (seconds, field(&stats, "total_commands_processed:").parse().expect("a number"))
    }

    async fn info(&mut self, section: &str) -> String {
        redis::cmd("INFO").arg(section).query_async(&mut self.redis).await.expect("INFO")
    }
}

pub async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("a URL of Redis");
    // As the store sets it: without it the last packet of a pipeline may wait for an acknowledgement.
    let info = client.get_connection_info().clone();
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    let client = redis::Client::open(info.set_tcp_settings(tcp)).expect("the same URL");
    let patient = redis::AsyncConnectionConfig::new().set_response_timeout(Some(Duration::from_secs(60)));
    client.get_multiplexed_async_connection_with_config(&patient).await.expect("a connection to Redis")
}

fn field<'a>(info: &'a str, name: &str) -> &'a str {
    info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("INFO tells no {name}")).trim()
}

/// Time of the processor that this process took. From `/proc`, in ticks of a hundredth of a second.
pub fn our_cpu() -> Duration {
    let ticks = || {
        let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
        let mut fields = stat.rsplit(')').next()?.split_whitespace().skip(11);
        Some(fields.next()?.parse::<u64>().ok()? + fields.next()?.parse::<u64>().ok()?)
    };
    Duration::from_millis(ticks().unwrap_or(0) * 10)
}

//! A Kafka broker (KRaft, one process) on free loopback ports.

use std::ops::Deref;
use std::process::Command;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::super::guard::{Guarded, Signal};
use super::super::proxy::Proxy;
use super::super::{port, tools};
use super::Client;

/// A broker that recovers its log on two busy cores takes long.
const START_DEADLINE: Duration = Duration::from_secs(300);

/// What the broker says when it is up, and nothing else at that level.
const STARTED: &str = "Kafka Server started";

/// Small and quick to start; a broker for tests has no time to lose and little to keep.
const JVM: &[&str] = &[
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
];

/// A Kafka broker. It ends when this is dropped, the shared one with the test process.
#[derive(Debug)]
pub struct Kafka {
    process: Guarded,
    client: Client,
    ports: Ports,
}

/// Ports of one broker.
#[derive(Debug)]
pub(super) struct Ports {
    pub(super) broker: u16,
    pub(super) controller: u16,
    /// The listener whose advertised address is a proxy's.
    pub(super) proxied: u16,
    /// The listener that asks for a login (SASL, PLAIN).
    pub(super) login: u16,
}

impl Kafka {
    /// The broker that all tests of this process share, started by the first that asks; when this returns it answers.
    ///
    /// It creates no topics by itself and lets groups rebalance without delay. A worker process asks its test for the
    /// address instead.
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<Result<Kafka, String>> = OnceCell::const_new();
        assert!(super::super::role().is_none(), "a worker gets the broker's address from the test that started it");
        tools::kafka_lib();
        // Kept as an error, so that the other tests need not wait for the same failure again.
        match SHARED.get_or_init(|| Self::start(None)).await {
            Ok(kafka) => kafka,
            Err(problem) => panic!("{problem}"),
        }
    }

    /// A broker of one's own: to kill, freeze, restart.
    pub async fn own() -> Self {
        Self::start(None).await.unwrap_or_else(|problem| panic!("{problem}"))
    }

    /// A broker of one's own and a proxy before it. Who starts from [`Proxy::address`] reaches the broker through the
    /// proxy only, since that is the address the broker advertises there; [`Client::bootstrap`] goes straight to it.
    pub async fn own_behind_proxy() -> (Self, Proxy) {
        let proxy = Proxy::to(port::loopback(0));
        let kafka = Self::start(Some(&proxy)).await.unwrap_or_else(|problem| panic!("{problem}"));
        (kafka, proxy)
    }

    async fn start(proxy: Option<&Proxy>) -> Result<Self, String> {
        for _ in 0..port::TRIES {
            let ports = [Ports::draw()];
            let settings = Ports::settings(&ports, 1, proxy.map_or(ports[0].proxied, Proxy::port));
            let process = spawn(settings).await?;
            let [ports] = ports;
            match wait_started(&process).await {
                Ok(()) => {
                    if let Some(proxy) = proxy {
                        proxy.retarget(port::loopback(ports.proxied));
                    }
                    let client = Client::new(port::loopback(ports.broker).to_string());
                    client.wait_ready().await;
                    return Ok(Self { process, client, ports });
                }
                Err(output) if output.contains("Address already in use") => {}
                Err(output) => return Err(format!("the Kafka broker ended at its start:\n{output}")),
            }
        }
        Err("the Kafka broker found none of its ports free".to_owned())
    }

    /// The address of the listener that asks for a login: user `billing`, password `right`.
    pub fn login(&self) -> Client {
        Client::new(port::loopback(self.ports.login).to_string())
    }

    /// Has the broker ask for another password from its next start on.
    pub fn change_password(&self, from: &str, to: &str) {
        let path = self.process.directory().join("server.properties");
        let settings = std::fs::read_to_string(&path).expect("the broker's settings");
        let changed = settings.replace(&password(from), &password(to));
        assert_ne!(settings, changed, "the password was not {from}");
        std::fs::write(path, changed).expect("a writable directory");
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends it a signal; when this returns it was sent.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Kills it with SIGKILL; when this returns it is gone.
    pub fn kill(&self) {
        self.process.kill();
    }

    /// Kills it if it runs and starts it again, on the same ports and with its data; when this returns it answers.
    pub async fn restart(&self) {
        self.kill();
        self.process.again();
        if let Err(output) = wait_started(&self.process).await {
            panic!("the Kafka broker ended at its restart:\n{output}");
        }
        self.client.wait_ready().await;
    }
}

impl Deref for Kafka {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Ports {
    pub(super) fn draw() -> Self {
        let mut free = port::candidates();
        let mut next = || free.next().expect("endless");
        Self { broker: next(), controller: next(), proxied: next(), login: next() }
    }

    /// The settings of the broker with this number, from 1, among these; `proxy` is the port that it advertises.
    pub(super) fn settings(all: &[Self], node: usize, proxy: u16) -> String {
        let Self { broker, controller, proxied, login } = &all[node - 1];
        let password = password("right");
        let voter = |(at, ports): (usize, &Self)| format!("{}@127.0.0.1:{}", at + 1, ports.controller);
        let voters = all.iter().enumerate().map(voter).collect::<Vec<_>>().join(",");
        // As many copies as there are brokers; one of them may be away.
        let (copies, in_sync, advertised) = (all.len(), all.len().div_ceil(2), proxy);
        format!(
            "\
process.roles=broker,controller
node.id={node}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{broker},PROXIED://127.0.0.1:{proxied},LOGIN://127.0.0.1:{login},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{broker},PROXIED://127.0.0.1:{advertised},LOGIN://127.0.0.1:{login}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,LOGIN:SASL_PLAINTEXT
listener.name.login.sasl.enabled.mechanisms=PLAIN
listener.name.login.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required {password};
inter.broker.listener.name=PLAINTEXT
log.dirs=log
auto.create.topics.enable=false
message.max.bytes=16777216
log.cleaner.backoff.ms=200
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=500
"
        )
    }
}

/// The part of the login that is changed.
fn password(password: &str) -> String {
    format!("user_billing=\"{password}\"")
}

/// Starts a broker with these settings in a directory of its own.
pub(super) async fn spawn(settings: String) -> Result<Guarded, String> {
    let directory = tempfile::Builder::new().prefix("hapax-kafka-").tempdir().expect("a temporary directory");
    std::fs::write(directory.path().join("server.properties"), settings).expect("a writable directory");
    let format = ["kafka.tools.StorageTool", "format", "-t", "aGFwYXgtdGVzdHMtaG9zdA", "-c"];
    let mut format_command = java(&format);
    format_command.arg("server.properties").current_dir(directory.path());
    let formatted = tokio::task::spawn_blocking(move || tools::output_of(&mut format_command)).await;
    formatted.map_err(|error| format!("Kafka could not prepare its directory: {error}"))?;
    Ok(Guarded::start("the Kafka broker", directory, &java(&["kafka.Kafka", "server.properties"])))
}

fn java(arguments: &[&str]) -> Command {
    let mut command = Command::new(tools::java());
    command.args(JVM).arg("-cp").arg(tools::kafka_lib().join("*")).args(arguments);
    command
}

/// Its own word for it is awaited: on a port that another process had taken, somebody else would answer.
pub(super) async fn wait_started(process: &Guarded) -> Result<(), String> {
    let look = process.wait("has started", START_DEADLINE, |state| match state.line(STARTED) {
        Some(_) => Some(Ok(())),
        None => state.exit.map(|_| Err(state.output())),
    });
    look.await
}

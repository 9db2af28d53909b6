//! How a store is doing: what an operator would want to know before it costs something.

use serde::Serialize;

/// The state of a store, as it was last seen. Asking for it costs nothing: nothing is sent.
///
/// It changes within about a second where the connection does, and within about a minute, while the store is in use,
/// where the server's own figures do.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StoreHealth {
    /// What kind of store it is: `memory`, `redis`.
    pub store: &'static str,
    /// Whether it is reached, which is the worst of its nodes' states.
    pub breaker: Breaker,
    /// The servers it consists of, as far as they were asked anything.
    pub nodes: Vec<NodeHealth>,
    /// What somebody should look at, worst first. Empty where all is well.
    pub findings: Vec<Finding>,
}

/// Whether questions go out to a server.
///
/// ```text
/// closed ──connection lost──▶ half-open ──failed──▶ open ──pause over──▶ half-open ──connected──▶ closed
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Breaker {
    /// Questions go out: there is a connection, or nobody has needed one yet.
    #[default]
    Closed,
    /// An attempt to connect is under way, and decides.
    HalfOpen,
    /// Not available: questions are answered so at once, and the next attempt comes after a pause of at most half a second.
    Open,
}

/// One server of a store.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NodeHealth {
    /// Where it is, without credentials.
    pub address: String,
    /// Whether it is reached.
    pub breaker: Breaker,
    /// Why it is not reached, where it is not.
    pub problem: Option<String>,
    /// What it told of itself when it was asked last; nothing before that.
    pub server: Option<Server>,
    /// What it refuses, where it refuses a command that the store needs. Then nothing is claimed there.
    pub refuses: Option<Refusal>,
}

/// Commands that a server refuses although the store needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// Why, and so what to do.
    pub kind: RefusalKind,
    /// The commands.
    pub commands: Vec<String>,
    /// What the server answers to the first of them.
    pub because: String,
}

/// Why a server refuses commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RefusalKind {
    /// The user lacks a right to a command or to keys.
    Rights,
    /// The server does not know a command by its name.
    Unknown,
    /// The server takes no writes for now: its snapshots fail, or it has too few replicas.
    Writes,
}

impl Refusal {
    /// What is the case, and what follows from it.
    pub(in crate::store) fn says(&self) -> String {
        let commands = self.commands.join(", ");
        let needs = match self.kind {
            RefusalKind::Writes => "it takes no writes now",
            _ => "the store needs them",
        };
        format!("it refuses {commands} ({}); {needs}, so nothing is claimed and no handler starts", self.because)
    }

    /// What to do about it.
    pub(in crate::store) fn remedy(&self) -> &'static str {
        match self.kind {
            #[cfg(feature = "redis")]
            RefusalKind::Rights => super::redis::ALLOW_THEM,
            #[cfg(not(feature = "redis"))]
            RefusalKind::Rights => "let an administrator allow the user these commands",
            RefusalKind::Unknown => {
                "let the server take these commands by their own names: remove rename-command from its configuration"
            }
            RefusalKind::Writes => {
                "see the error: mend the disk for its snapshots, or bring back the replicas that min-replicas-to-write \
                 asks for"
            }
        }
    }
}

/// What a server tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Server {
    /// Its version.
    pub version: String,
    /// `master` or another word of its own.
    pub role: String,
    /// How many replicas follow it.
    pub replicas: u64,
    /// What it does when its memory is full.
    pub eviction_policy: String,
    /// How many keys it has evicted since it started.
    pub evicted_keys: u64,
    /// How many of them between the last two times it was asked.
    pub evicted_lately: u64,
    /// Bytes in use.
    pub used_memory: u64,
    /// The most bytes it may use; `None` without a limit.
    pub max_memory: Option<u64>,
    /// Whether what it remembers survives a restart.
    pub persistence: Persistence,
}

/// How a server keeps what it remembers over a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Persistence {
    /// Whether every write goes to a log on disk.
    pub log: bool,
    /// Whether it is told to take snapshots from time to time; `None` where that cannot be found out.
    pub snapshots: Option<bool>,
    /// Whether the last write of log and snapshot succeeded.
    pub succeeds: bool,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Severity {
    /// It may cost repeated effects some day.
    Warning,
    /// It costs them now, or nothing is handled.
    Error,
}

/// Something that somebody should look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// A short name that stays the same: for metrics and alarms.
    pub name: &'static str,
    /// Which server, where it is one of several.
    pub address: String,
    /// What is the case, and what it costs.
    pub says: String,
    /// What to do about it.
    pub remedy: &'static str,
}

/// What to do where a restart forgets.
pub(crate) const KEEP_A_LOG: &str =
    "turn on appendonly yes (with appendfsync everysec about the last second is at risk)";

/// The names of all findings.
pub const FINDINGS: [&str; 10] = [
    "unreachable",
    "commands_refused",
    "writes_refused",
    "records_lost",
    "failed_over",
    "eviction_policy",
    "evicting",
    "evicted",
    "no_persistence",
    "persistence_fails",
];

impl StoreHealth {
    /// A store that has nothing to tell.
    pub fn of(store: &'static str) -> Self {
        Self { store, ..Self::default() }
    }

    /// Puts the state of a store together from that of its servers.
    pub fn of_nodes(store: &'static str, nodes: Vec<NodeHealth>) -> Self {
        let breaker = nodes.iter().map(|node| node.breaker).max().unwrap_or_default();
        let mut findings: Vec<Finding> = nodes.iter().flat_map(NodeHealth::findings).collect();
        findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
        Self { store, breaker, nodes, findings }
    }

    /// Whether a server refuses commands that the store needs, so that nothing is claimed there.
    pub fn refuses(&self) -> bool {
        self.nodes.iter().any(|node| node.refuses.is_some())
    }

    /// Whether there is no finding of this severity or a worse one.
    pub fn is_free_of(&self, severity: Severity) -> bool {
        self.findings.iter().all(|finding| finding.severity < severity)
    }
}

impl NodeHealth {
    pub(in crate::store) fn findings(&self) -> Vec<Finding> {
        use Severity::{Error, Warning};
        let mut findings = Vec::new();
        let mut find = |severity, name, says: String, remedy| {
            findings.push(Finding { severity, name, address: self.address.clone(), says, remedy });
        };
        if let (Breaker::Open, Some(problem)) = (self.breaker, &self.problem) {
            find(
                Error,
                "unreachable",
                format!("it is not reached, so nothing is claimed: {problem}"),
                "see the problem; it is tried again at least every second",
            );
        }
        if let Some(refusal) = &self.refuses {
            let name = match refusal.kind {
                RefusalKind::Writes => "writes_refused",
                RefusalKind::Rights | RefusalKind::Unknown => "commands_refused",
            };
            find(Error, name, refusal.says(), refusal.remedy());
        }
        let Some(server) = &self.server else { return findings };
        if server.eviction_policy != "noeviction" {
            find(
                Warning,
                "eviction_policy",
                format!(
                    "its maxmemory-policy is {}: when its memory is full it forgets what was handled, and those effects \
                     are repeated",
                    server.eviction_policy
                ),
                "set maxmemory-policy to noeviction",
            );
        }
        if server.evicted_lately > 0 {
            find(
                Error,
                "evicting",
                format!(
                    "it evicted {} keys since it was asked before: what they remembered is handled again",
                    server.evicted_lately
                ),
                "set maxmemory-policy to noeviction, and give it more memory or a shorter window",
            );
        } else if server.evicted_keys > 0 {
            find(
                Warning,
                "evicted",
                format!("it evicted {} keys since it was started; some may have been ours", server.evicted_keys),
                "set maxmemory-policy to noeviction; the count begins anew with CONFIG RESETSTAT or a restart",
            );
        }
        let Persistence { log, snapshots, succeeds } = &server.persistence;
        if !log && *snapshots == Some(false) {
            find(
                Warning,
                "no_persistence",
                "it keeps nothing on disk: a restart forgets what was handled, and those effects are repeated when their \
                 records come again"
                    .to_owned(),
                KEEP_A_LOG,
            );
        }
        if !succeeds {
            find(
                Error,
                "persistence_fails",
                "its last write to disk failed: after a restart it will have forgotten what was handled since"
                    .to_owned(),
                "look into its log; mostly the disk is full or may not be written to",
            );
        }
        findings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(change: impl FnOnce(&mut NodeHealth, &mut Server)) -> Vec<&'static str> {
        let mut server = Server {
            eviction_policy: "noeviction".to_owned(),
            persistence: Persistence { log: true, snapshots: None, succeeds: true },
            ..Server::default()
        };
        let mut node = NodeHealth { address: "somewhere:1".to_owned(), ..NodeHealth::default() };
        change(&mut node, &mut server);
        node.server = Some(server);
        let health = StoreHealth::of_nodes("redis", vec![NodeHealth::default(), node]);
        assert!(health.findings.iter().all(|finding| FINDINGS.contains(&finding.name)));
        health.findings.iter().map(|finding| finding.name).collect()
    }

    #[test]
    fn what_costs_something_is_found_worst_first() {
        assert_eq!(names(|_, _| {}), [""; 0]);
        assert_eq!(names(|_, server| server.eviction_policy = "allkeys-lru".to_owned()), ["eviction_policy"]);
        assert_eq!(names(|_, server| server.evicted_keys = 3), ["evicted"]);
        let evicting = names(|_, server| {
            (server.evicted_keys, server.evicted_lately) = (3, 1);
            server.eviction_policy = "volatile-ttl".to_owned();
        });
        assert_eq!(evicting, ["evicting", "eviction_policy"]);
        assert_eq!(names(|_, server| server.persistence.log = false), [""; 0], "snapshots may be taken");
        let none = Persistence { log: false, snapshots: Some(false), succeeds: true };
        assert_eq!(names(|_, server| server.persistence = none), ["no_persistence"]);
        assert_eq!(names(|_, server| server.persistence.succeeds = false), ["persistence_fails"]);
        let refusal = |kind| Some(Refusal { kind, commands: vec!["SADD".to_owned()], because: "NOPERM".to_owned() });
        assert_eq!(names(|node, _| node.refuses = refusal(RefusalKind::Rights)), ["commands_refused"]);
        assert_eq!(names(|node, _| node.refuses = refusal(RefusalKind::Writes)), ["writes_refused"]);
        let away = names(|node, _| (node.breaker, node.problem) = (Breaker::Open, Some("away".to_owned())));
        assert_eq!(away, ["unreachable"]);
    }

    #[test]
    fn the_worst_breaker_is_the_stores() {
        let node = |breaker| NodeHealth { breaker, ..NodeHealth::default() };
        let health = StoreHealth::of_nodes("redis", vec![node(Breaker::HalfOpen), node(Breaker::Closed)]);
        assert_eq!(health.breaker, Breaker::HalfOpen);
        assert_eq!(serde_json::to_value(&health).unwrap()["breaker"], "half_open");
    }
}

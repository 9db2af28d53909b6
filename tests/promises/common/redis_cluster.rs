//! A Redis cluster of one's own.

use std::time::Duration;

use super::port;
use super::redis::RedisServer;

/// How long a node may be silent before the others give it up. A replica takes over soon after.
pub const NODE_TIMEOUT: Duration = Duration::from_millis(1500);

/// Masters, all slots spread evenly over them, each with a replica or none. It ends when this is dropped.
#[derive(Debug)]
pub struct RedisCluster {
    masters: usize,
    /// Masters at the start, then their replicas in the same order.
    nodes: Vec<RedisServer>,
    ids: Vec<String>,
}

impl RedisCluster {
    /// Starts one of three masters with a replica each.
    pub fn start() -> Self {
        Self::start_with(3, true)
    }

    /// Starts one; when this returns all of its nodes agree on who has what.
    pub fn start_with(masters: usize, replicas: bool) -> Self {
        let timeout = NODE_TIMEOUT.as_millis().to_string();
        let arguments = ["--cluster-enabled", "yes", "--cluster-node-timeout", &timeout];
        let more = ["--cluster-replica-validity-factor", "0", "--repl-diskless-sync-delay", "0"];
        let arguments = [&arguments[..], &more[..]].concat();
        let start = || {
            // Nodes talk to each other on the port 10,000 above.
            let both = port::candidates().filter(|port| *port < 22_000 && port::is_free(port + 10_000));
            RedisServer::start_on(both, &arguments)
        };
        let nodes: Vec<RedisServer> = std::thread::scope(|scope| {
            let starting: Vec<_> =
                (0..if replicas { 2 * masters } else { masters }).map(|_| scope.spawn(start)).collect();
            starting.into_iter().map(|node| node.join().expect("a node")).collect()
        });
        let ids = nodes.iter().map(|node| node.cli(&["CLUSTER", "MYID"])).collect();
        let cluster = Self { masters, nodes, ids };
        cluster.join();
        cluster
    }

    fn join(&self) {
        let masters = self.masters;
        let first = self.nodes[0].port().to_string();
        for (i, node) in self.nodes.iter().enumerate() {
            node.cli(&["CLUSTER", "SET-CONFIG-EPOCH", &(i + 1).to_string()]);
            if i < masters {
                let [from, to] = [i, i + 1].map(|i| 16384 * i / masters);
                node.cli(&["CLUSTER", "ADDSLOTSRANGE", &from.to_string(), &(to - 1).to_string()]);
            }
            if i > 0 {
                node.cli(&["CLUSTER", "MEET", "127.0.0.1", &first]);
            }
        }
        let all = self.nodes.len();
        self.wait("all know each other", |nodes| {
            nodes.lines().filter(|node| node.contains(" connected") && !node.contains("handshake")).count() == all
        });
        for (replica, master) in self.nodes[masters..].iter().zip(&self.ids) {
            replica.cli(&["CLUSTER", "REPLICATE", master]);
        }
        self.wait("all know the replicas", |nodes| {
            nodes.lines().filter(|node| node.contains("slave")).count() == all - masters
        });
        for node in &self.nodes[..all - masters] {
            until("its replica is up to date", || node.cli(&["INFO", "replication"]).contains("state=online"));
        }
        for node in &self.nodes {
            until("the cluster is ready", || node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok"));
        }
    }

    fn wait(&self, what: &str, holds: impl Fn(&str) -> bool) {
        for node in &self.nodes {
            until(what, || holds(&node.cli(&["CLUSTER", "NODES"])));
        }
    }

    /// Its address, as `redis+cluster://127.0.0.1:port,127.0.0.1:port`, of two of its nodes.
    pub fn url(&self) -> String {
        let last = &self.nodes[self.nodes.len() - 1];
        format!("redis+cluster://127.0.0.1:{},127.0.0.1:{}", self.nodes[0].port(), last.port())
    }

    /// Masters at the start, then their replicas in the same order.
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// By which name a node knows itself.
    pub fn id(&self, node: usize) -> &str {
        &self.ids[node]
    }

    /// How often the nodes have answered with this error.
    pub fn errors(&self, code: &str) -> u64 {
        let prefix = format!("errorstat_{code}:count=");
        let count = |node: &RedisServer| {
            let stats = node.cli(&["INFO", "errorstats"]);
            stats.lines().find_map(|line| line.strip_prefix(&prefix)?.trim().parse::<u64>().ok()).unwrap_or_default()
        };
        self.nodes.iter().map(count).sum()
    }
}

/// Waits for what gives no signal.
pub(super) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    const PAUSE: Duration = Duration::from_millis(30);
    for _ in 0..Duration::from_secs(60).as_millis() / PAUSE.as_millis() {
        if holds() {
            return;
        }
        std::thread::sleep(PAUSE);
    }
    panic!("not in time: {what}");
}

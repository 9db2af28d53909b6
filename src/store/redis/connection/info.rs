//! What `INFO` says: whether a server can be used, and how it is doing.

use crate::store::health::{Persistence, Server};
use crate::store::{Cause, StoreError};

/// The oldest Redis that knows what the scripts need (`flags=allow-oom`).
const OLDEST_MAJOR: u32 = 7;

/// The answer to `INFO`.
pub(super) struct Info(String);

/// What a server has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    /// A node of a cluster; otherwise one that is not.
    pub(super) cluster: bool,
    /// One that forgets nothing by itself.
    pub(super) strict: bool,
}

impl Info {
    pub(super) fn new(text: String) -> Self {
        Self(text)
    }

    fn field(&self, name: &str) -> &str {
        let value = self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.map(str::trim).unwrap_or_default()
    }

    fn number(&self, name: &str) -> u64 {
        self.field(name).parse().unwrap_or_default()
    }

    /// Tells one start of a server from the next.
    pub(super) fn run(&self) -> &str {
        self.field("run_id")
    }

    /// Whether this run goes on with the data of another one: it was the replica of a master, or it loaded a snapshot.
    pub(super) fn follows_another(&self) -> bool {
        self.field("master_replid2").bytes().any(|digit| digit != b'0')
    }

    /// Whether the server can be used.
    pub(super) fn check(&self, address: &str, needs: Needs) -> Result<(), StoreError> {
        let refuse = |why: String| Err(StoreError::Refused(Cause::new(format!("Redis at {address} {why}"))));
        let wait = |why: &str| Err(StoreError::Unavailable(Cause::new(format!("Redis at {address} {why}"))));
        let version = self.field("redis_version");
        match version.split('.').next().and_then(|major| major.parse::<u32>().ok()) {
            Some(major) if major >= OLDEST_MAJOR => {}
            Some(_) => return refuse(format!("is version {version}; use {OLDEST_MAJOR}.0 or later")),
            None => return refuse("does not tell its version; allow the command INFO".to_owned()),
        }
        match (self.field("redis_mode"), needs.cluster) {
            ("sentinel", _) => {
                return refuse("is a sentinel; write redis+sentinel://host:port/<master name>".to_owned());
            }
            ("cluster", false) => return refuse("is a node of a cluster; write redis+cluster://host:port".to_owned()),
            ("cluster", true) => {}
            (_, true) => return refuse("is not a node of a cluster; write redis://host:port".to_owned()),
            (_, false) => {}
        }
        if self.field("loading") == "1" {
            return wait("is loading its data");
        }
        if self.field("role") != "master" {
            return wait("is not a master; it may become one, or the address has to lead to the master");
        }
        match (needs.strict, self.field("maxmemory_policy")) {
            (false, _) | (true, "noeviction") => Ok(()),
            (true, policy) => refuse(format!(
                "has the maxmemory-policy {policy}: when its memory is full it forgets what was handled. Set it to \
                 noeviction, or do without `strict`"
            )),
        }
    }

    /// How the server is doing. What `INFO` does not tell is `snapshots`, and what came `before` it.
    pub(super) fn server(&self, snapshots: Option<bool>, before: Option<&Server>) -> Server {
        let evicted_keys = self.number("evicted_keys");
        let fine = |name| matches!(self.field(name), "ok" | "");
        Server {
            version: self.field("redis_version").to_owned(),
            role: self.field("role").to_owned(),
            replicas: self.number("connected_slaves"),
            eviction_policy: self.field("maxmemory_policy").to_owned(),
            evicted_keys,
            evicted_lately: before.map_or(0, |before| evicted_keys.saturating_sub(before.evicted_keys)),
            used_memory: self.number("used_memory"),
            max_memory: Some(self.number("maxmemory")).filter(|limit| *limit > 0),
            persistence: Persistence {
                log: self.field("aof_enabled") == "1",
                // Who has taken some is told to; who has not may be, and it is just not yet time.
                snapshots: snapshots.or((self.number("rdb_saves") > 0).then_some(true)),
                succeeds: fine("rdb_last_bgsave_status")
                    && fine("aof_last_write_status")
                    && fine("aof_last_bgrewrite_status"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\nloading:0\r\nrole:master\r\n\
                        maxmemory_policy:noeviction\r\nevicted_keys:5\r\nmaxmemory:0\r\naof_enabled:0\r\n";

    fn kind(info: &str, cluster: bool, strict: bool) -> &'static str {
        let info = Info::new(info.to_owned());
        info.check("somewhere:1", Needs { cluster, strict }).map_or_else(|error| error.kind(), |()| "usable")
    }

    #[test]
    fn only_a_loaded_master_of_7_0_or_later_is_usable() {
        let usable = |info: &str| kind(info, false, true);
        assert_eq!(usable(GOOD), "usable");
        assert_eq!(usable(&GOOD.replace("7.0.15", "10.2.0")), "usable");
        assert_eq!(usable(&GOOD.replace("7.0.15", "6.2.14")), "refused");
        assert_eq!(usable(&GOOD.replace("redis_version", "version")), "refused");
        assert_eq!(usable(&GOOD.replace("standalone", "cluster")), "refused");
        assert_eq!(usable(&GOOD.replace("standalone", "sentinel")), "refused");
        assert_eq!(usable(&GOOD.replace("loading:0", "loading:1")), "unavailable");
        assert_eq!(usable(&GOOD.replace("master", "slave")), "unavailable");
        assert_eq!(usable(&GOOD.replace("noeviction", "allkeys-lru")), "refused");
        assert_eq!(kind(&GOOD.replace("noeviction", "allkeys-lru"), false, false), "usable");
        assert_eq!(kind(GOOD, true, false), "refused", "not of a cluster");
        assert_eq!(kind(&GOOD.replace("standalone", "cluster"), true, false), "usable");
    }

    #[test]
    fn what_was_evicted_since_is_told() {
        let before = Info::new(GOOD.to_owned()).server(None, None);
        assert_eq!((before.evicted_keys, before.evicted_lately, before.max_memory), (5, 0, None));
        let after = Info::new(GOOD.replace(":5", ":12")).server(Some(false), Some(&before));
        assert_eq!((after.evicted_keys, after.evicted_lately), (12, 7));
        assert_eq!(after.persistence.snapshots, Some(false));
        let saved = Info::new(format!("{GOOD}rdb_saves:1\r\nrdb_last_bgsave_status:err\r\n")).server(None, None);
        assert_eq!((saved.persistence.snapshots, saved.persistence.succeeds), (Some(true), false));
    }

    #[test]
    fn info_second_history_names_a_promoted_replica() {
        let follows = |second: &str| Info::new(format!("{GOOD}master_replid2:{second}\r\n")).follows_another();
        assert!(follows("06447a6ed0f1e6a3b1e5d9c5cb61fb62b0ab7e07"));
        assert!(!follows(&"0".repeat(40)) && !Info::new(GOOD.to_owned()).follows_another());
    }
}

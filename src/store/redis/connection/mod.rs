//! The way to Redis: one server, a master that sentinels watch, or a cluster.
//!
//! | question | where |
//! |---|---|
//! | what a URL means | `url` |
//! | how a connection is made: TCP, TLS, logging in | `dial`, `tls` |
//! | how requests and replies travel over it | `pipe`, `resp` |
//! | when it is made, checked and given up | `node`, `connect`; `info` judges the server |
//! | who is the master | `sentinel` |
//! | which node has a group; what becomes of a command whose slot moves | `slots`, `map`; `cluster`, `redirect` |
//! | how the servers are doing | `upkeep` |

mod cluster;
mod connect;
mod dial;
mod info;
mod map;
mod node;
mod pipe;
mod place;
mod redirect;
mod resp;
mod sentinel;
mod slots;
#[cfg(test)]
mod tests;
mod tls;
mod upkeep;
mod url;

use std::sync::Arc;

use self::cluster::Cluster;
use self::node::{Find, Node, Target};
use self::sentinel::Sentinels;
use super::batch::{Batch, Reply};
use super::layout::{Group, Layout};
use super::runs::Run;
use crate::store::StoreError;
use crate::store::health::{NodeHealth, StoreHealth};

pub(super) use self::dial::Dial;
pub(super) use self::redirect::Redirect;
pub(super) use self::tls::TlsSettings;
pub(super) use self::url::{Servers, Url};

/// The way to Redis.
pub(super) struct Link(Way);

enum Way {
    /// Everything goes to one server, whichever that is now.
    One(Node),
    /// Each group goes to its node.
    Cluster(Cluster),
}

impl Link {
    /// A way to these servers. `sentinel_login` is for the sentinels, whose users are their own.
    pub(super) fn new(
        servers: Servers,
        dial: Dial,
        sentinel_login: redis::RedisConnectionInfo,
        layout: &Layout,
    ) -> Self {
        let dial = Arc::new(dial);
        let one = |find| Way::One(Node::new(Target { find, dial: dial.clone(), cluster: false }));
        Self(match servers {
            Servers::One(place) => one(Find::At(place)),
            Servers::Sentinels(places, master) => one(Find::By(Sentinels::new(places, master, sentinel_login))),
            Servers::Cluster(seeds) => Way::Cluster(Cluster::new(seeds, dial.clone(), slots::GroupSlots::new(layout))),
        })
    }

    /// Where it leads, without credentials.
    pub(super) fn address(&self) -> &Arc<str> {
        match &self.0 {
            Way::One(node) => node.name(),
            Way::Cluster(cluster) => cluster.name(),
        }
    }

    /// Whether all groups lie on one server, so that one command may name keys of many.
    pub(super) fn is_one(&self) -> bool {
        matches!(self.0, Way::One(_))
    }

    /// Which live connection a batch for this group would use now: a new number for every new connection of the process,
    /// and another one when the group moves to another node. `None` where there is no connection.
    pub(super) fn serial(&self, group: Group) -> Option<u64> {
        match &self.0 {
            Way::One(node) => node.serial(),
            Way::Cluster(cluster) => cluster.serial(group),
        }
    }

    /// Which run of its server a group is on, as it was seen last.
    pub(super) fn run(&self, group: Group) -> Option<Run> {
        match &self.0 {
            Way::One(node) => node.run(),
            Way::Cluster(cluster) => cluster.run(group),
        }
    }

    /// Connects to every server that is known, and fails where one refuses something that the store needs. A node of a
    /// cluster that is away is no reason: the others go on without it.
    pub(super) async fn check(&self) -> Result<(), StoreError> {
        let refusal = match &self.0 {
            Way::One(node) => node.check().await?,
            Way::Cluster(cluster) => cluster.check().await?,
        };
        refusal.map_or(Ok(()), Err)
    }

    /// What the server of each of these groups refuses, where it refuses anything; empty where none does.
    pub(super) async fn refusals(&self, groups: &[Group]) -> Vec<Option<StoreError>> {
        match &self.0 {
            Way::One(node) if node.is_whole() => Vec::new(),
            Way::One(node) => match node.refusal().await {
                None => Vec::new(),
                refusal => vec![refusal; groups.len()],
            },
            Way::Cluster(cluster) => cluster.refusals(groups).await,
        }
    }

    /// Sends the commands, those for one server in one go, and returns a reply for each.
    pub(super) async fn ask(&self, batch: Batch) -> Vec<Reply> {
        if batch.len() == 0 {
            return Vec::new();
        }
        match &self.0 {
            Way::One(node) => node.ask(batch.into_request()).await,
            Way::Cluster(cluster) => cluster.ask(batch).await,
        }
    }

    /// Sends commands whose replies nobody reads. They are queued behind what was sent before, and before what the
    /// caller sends next, when this returns; whether they arrive is unknown. Not sent at all, and not waited for, where
    /// there is no connection.
    pub(super) async fn tell(&self, batch: Batch) {
        match &self.0 {
            Way::One(node) => node.tell(batch.into_request()).await,
            Way::Cluster(cluster) => cluster.tell(batch).await,
        }
    }

    /// How the servers are doing, as it was last seen.
    pub(super) fn health(&self) -> StoreHealth {
        let nodes: Vec<NodeHealth> = match &self.0 {
            Way::One(node) => vec![node.health()],
            Way::Cluster(cluster) => cluster.health(),
        };
        StoreHealth::of_nodes("redis", nodes)
    }
}

//! Which node has which group of the namespace, and the task that keeps that up to date.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use rand::seq::SliceRandom;
use redis::Value;
use tokio::sync::{Notify, watch};

use super::dial::{self, Dial};
use super::node::{Find, Node, Target};
use super::place::Place;
use super::slots::{self, GroupSlots, Range};
use crate::store::health::Breaker;
use crate::store::redis::batch::Request;
use crate::store::redis::faults;
use crate::store::redis::layout::Group;
use crate::store::{Cause, StoreError};

/// How soon the map is read again, however many ask for it.
const SOONEST: Duration = Duration::from_millis(50);

/// The pause between two readings while a master is away and no other stands in its place, which grows up to this.
const LONGEST: Duration = Duration::from_secs(1);

/// What a cluster looked like at one time. Only the groups of the namespace matter.
pub(super) struct Map {
    /// The masters, each with its connection.
    pub(super) nodes: Vec<Arc<Node>>,
    /// The node of each group, in the order of [`Group::all`].
    of: Vec<Option<Arc<Node>>>,
    /// Who else can be asked for the map.
    replicas: Vec<Place>,
}

impl Map {
    pub(super) fn of(&self, group: Group) -> Option<&Arc<Node>> {
        self.of.get(group.index())?.as_ref()
    }

    fn node(&self, place: &Place) -> Option<&Arc<Node>> {
        self.nodes.iter().find(|node| node.place() == Some(place))
    }
}

#[derive(Clone)]
pub(super) enum State {
    /// Nobody has told it yet; why the last attempt to learn it failed.
    Unknown(Option<StoreError>),
    Known(Arc<Map>),
}

pub(super) struct Keeper {
    pub(super) name: Arc<str>,
    seeds: Vec<Place>,
    dial: Arc<Dial>,
    slots: GroupSlots,
    pub(super) state: watch::Sender<State>,
    wanted: Arc<Notify>,
    runs: AtomicBool,
}

impl Keeper {
    pub(super) fn new(seeds: Vec<Place>, dial: Arc<Dial>, slots: GroupSlots) -> Self {
        let names: Vec<String> = seeds.iter().map(Place::to_string).collect();
        Self {
            name: names.join(",").into(),
            seeds,
            dial,
            slots,
            state: watch::Sender::new(State::Unknown(None)),
            wanted: Arc::default(),
            runs: AtomicBool::new(false),
        }
    }

    /// The map, or why there is none. Who asks first waits for it, which the limit for connecting bounds; after a failed
    /// attempt everybody is told at once, while the task goes on trying.
    pub(super) async fn map(self: &Arc<Self>) -> Result<Arc<Map>, StoreError> {
        let mut states = self.state.subscribe();
        loop {
            match &*states.borrow_and_update() {
                State::Known(map) => return Ok(map.clone()),
                State::Unknown(Some(why)) => return Err(why.clone()),
                State::Unknown(None) => {}
            }
            self.refresh();
            if states.changed().await.is_err() {
                return Err(StoreError::Unavailable(Cause::new("the store was closed")));
            }
        }
    }

    pub(super) fn known(&self) -> Option<Arc<Map>> {
        match &*self.state.borrow() {
            State::Known(map) => Some(map.clone()),
            State::Unknown(_) => None,
        }
    }

    /// Lets the map be read again, in the background.
    pub(super) fn refresh(self: &Arc<Self>) {
        self.wanted.notify_one();
        if !self.runs.swap(true, Ordering::AcqRel) {
            tokio::spawn(keep(Task { keeper: Arc::downgrade(self), wanted: self.wanted.clone() }));
        }
    }

    /// The node at a place, whether it has any group or not.
    pub(super) fn node(&self, place: &Place) -> Arc<Node> {
        if let Some(node) = self.known().and_then(|map| map.node(place).cloned()) {
            return node;
        }
        let node = Arc::new(self.new_node(place.clone()));
        self.change(|map| match map.node(place) {
            Some(_) => {}
            None => map.nodes.push(node.clone()),
        });
        self.known().and_then(|map| map.node(place).cloned()).unwrap_or(node)
    }

    /// What a node said of one slot, until the whole map has been read again.
    pub(super) fn moved(&self, slot: u16, node: &Arc<Node>) {
        self.change(|map| {
            for (of, _) in map.of.iter_mut().zip(self.slots.iter()).filter(|(_, group_slot)| *group_slot == slot) {
                *of = Some(node.clone());
            }
        });
    }

    fn change(&self, change: impl FnOnce(&mut Map)) {
        self.state.send_modify(|state| {
            if let State::Known(map) = state {
                let mut changed = Map { nodes: map.nodes.clone(), of: map.of.clone(), replicas: map.replicas.clone() };
                change(&mut changed);
                *map = Arc::new(changed);
            }
        });
    }

    fn new_node(&self, place: Place) -> Node {
        Node::new(Target { find: Find::At(place), dial: self.dial.clone(), cluster: true })
    }

    /// Nodes that are still masters keep their connections; those of the others end with their last question.
    fn take_over(&self, ranges: Vec<Range>) {
        let before = self.known();
        let mut nodes: Vec<Arc<Node>> = Vec::new();
        let mut owner = |place: &Place| {
            if let Some(node) = nodes.iter().find(|node| node.place() == Some(place)) {
                return node.clone();
            }
            let kept = before.as_ref().and_then(|map| map.node(place).cloned());
            let node = kept.unwrap_or_else(|| Arc::new(self.new_node(place.clone())));
            nodes.push(node.clone());
            node
        };
        let of = self.slots.iter().map(|slot| {
            let range = ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
            range.map(|range| owner(&range.master))
        });
        let of: Vec<Option<Arc<Node>>> = of.collect();
        for node in &nodes {
            let lies_there =
                |(_, of): &(Group, &Option<Arc<Node>>)| of.as_ref().is_some_and(|of| Arc::ptr_eq(of, node));
            let groups: Vec<Group> = Group::all().zip(&of).filter(lies_there).map(|(group, _)| group).collect();
            node.has(&groups);
        }
        let mut replicas: Vec<Place> = ranges.into_iter().flat_map(|range| range.replicas).collect();
        replicas.sort_unstable();
        replicas.dedup();
        self.state.send_replace(State::Known(Arc::new(Map { nodes, of, replicas })));
    }

    /// Asks one node after the other, those that are connected first.
    async fn read(&self) -> Result<Vec<Range>, StoreError> {
        let known = self.known();
        let (nodes, replicas) = known.as_ref().map_or((&[][..], &[][..]), |map| (&map.nodes, &map.replicas));
        let mut up: Vec<&Arc<Node>> = nodes.iter().filter(|node| node.serial().is_some()).collect();
        // Whoever is cut off from its fellows answers what used to be: next time another one is asked.
        up.shuffle(&mut rand::rng());
        for node in &up {
            let request = Request::of(&question());
            let answer = node.ask(request).await.pop();
            if let (Some(Ok(answer)), Some(place)) = (answer, node.place())
                && let Some(ranges) = slots::read(&answer, place)
            {
                return Ok(ranges);
            }
        }
        let mut places: Vec<&Place> = nodes.iter().filter_map(|node| node.place()).collect();
        places.retain(|place| !up.iter().any(|node| node.place() == Some(place)));
        places.extend(
            replicas
                .iter()
                .chain(&self.seeds)
                .filter(|place| known.as_ref().is_none_or(|map| map.node(place).is_none())),
        );
        places.shuffle(&mut rand::rng());
        let mut failed = None;
        for place in places {
            match self.read_from(place).await {
                Ok(ranges) => return Ok(ranges),
                // What somebody has to change is worth more than who else is away.
                Err(error) => failed = failed.filter(|known| matches!(known, StoreError::Refused(_))).or(Some(error)),
            }
        }
        Err(failed.unwrap_or_else(|| StoreError::Unavailable(Cause::new("no node of the cluster is known"))))
    }

    async fn read_from(&self, place: &Place) -> Result<Vec<Range>, StoreError> {
        let address: Arc<str> = place.to_string().into();
        let reading = async {
            let mut connection = self.dial.connect(place).await?;
            let answer = question().query_async::<Value>(&mut connection).await.map_err(|error| {
                match error.detail().is_some_and(|text| text.contains("cluster support disabled")) {
                    true => StoreError::Refused(Cause::new(format!(
                        "Redis at {place} is not a node of a cluster; write redis://host:port"
                    ))),
                    false => dial::failed(&address, error),
                }
            })?;
            slots::read(&answer, place).ok_or_else(|| faults::of_misfit("CLUSTER SLOTS"))
        };
        let limit = self.dial.connect_limit;
        tokio::time::timeout(limit, reading).await.unwrap_or_else(|_| {
            Err(StoreError::Unavailable(Cause::new(format!("Redis at {place}: no connection within {limit:?}"))))
        })
    }

    /// Whether every group has a node that is not known to be away.
    fn is_settled(&self) -> bool {
        self.known().is_some_and(|map| {
            map.of.iter().flatten().count() == map.of.len()
                && map.nodes.iter().all(|node| node.breaker() != Breaker::Open)
        })
    }
}

fn question() -> redis::Cmd {
    redis::cmd("CLUSTER").arg("SLOTS").take()
}

/// The task that reads the map. Where it ends early (its runtime was shut down), the next question begins anew.
struct Task {
    keeper: Weak<Keeper>,
    wanted: Arc<Notify>,
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(keeper) = self.keeper.upgrade() {
            keeper.runs.store(false, Ordering::Release);
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The task looks whether there is anything left to keep.
        self.wanted.notify_one();
    }
}

async fn keep(task: Task) {
    let mut pause = SOONEST;
    loop {
        let Some(keeper) = task.keeper.upgrade() else { return };
        let settled = match keeper.read().await {
            Ok(ranges) => {
                keeper.take_over(ranges);
                keeper.is_settled()
            }
            Err(why) => {
                tracing::debug!(cluster = %keeper.name, reason = %super::node::cause(&why), "no map of the cluster");
                keeper.state.send_if_modified(|state| match state {
                    State::Unknown(failed) => failed.replace(why).is_none(),
                    State::Known(_) => false,
                });
                false
            }
        };
        drop(keeper);
        if settled {
            pause = SOONEST;
            task.wanted.notified().await;
        }
        tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..=1.0))).await;
        if !settled {
            pause = (pause * 2).min(LONGEST);
        }
    }
}

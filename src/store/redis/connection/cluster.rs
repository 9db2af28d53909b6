//! A cluster: each command goes to the node that has its group, one pipeline per node, all nodes at once.
//!
//! The client library's own cluster client is not used: it repeats a request up to 16 times by itself, after a lost
//! connection too, so a command may be executed twice unseen. "Already done" at the first sending would then be one's
//! own copy, and be told as a repeated effect. It also sends one pipeline per slot, this one per node.
//!
//! # When a slot moves
//!
//! `MOVED` and `ASK` say that a command was certainly not executed, so it is sent on, a few times at most. But the
//! commands behind it in the same pipeline may have been executed, and a claim's look-ups count only if its lease was
//! taken before them. So per group: first the writes that were redirected are sent on, in their order, until each is
//! answered; then every look-up that stands behind one of them is asked again, whatever it was answered before. Look-ups
//! may be repeated freely. A write that was executed is never repeated.
//!
//! One case stays: a write is redirected and a later one of its group executed all the same, because the node became the
//! slot's owner in between. Sending the first on would turn the two around, so it is not: it is answered as not
//! available, which is true, and whoever asked does so again.
//!
//! A command on several keys is answered `TRYAGAIN` while its slot moves and only some of its keys are on either side;
//! that is *not available*, too.

use std::sync::Arc;

use futures_util::future::join_all;

use super::dial::Dial;
use super::map::Keeper;
use super::node::{Node, cause};
use super::place::Place;
use super::slots::GroupSlots;
use crate::store::health::{Breaker, NodeHealth};
use crate::store::redis::batch::{Batch, Encoded, Fault, Reply, Request};
use crate::store::redis::layout::Group;
use crate::store::redis::runs::Run;
use crate::store::{Cause, StoreError};

/// How often a command is sent on before it is given up.
pub(super) const ROUNDS: usize = 5;

pub(super) struct Cluster {
    keeper: Arc<Keeper>,
}

/// What goes to one node in one go.
struct Part {
    node: Arc<Node>,
    request: Request,
    /// The place of each command in the batch.
    places: Vec<usize>,
}

/// One command of a group whose slot moves.
struct Step<'a> {
    place: usize,
    command: Encoded<'a>,
    reply: Reply,
}

impl Cluster {
    pub(super) fn new(seeds: Vec<Place>, dial: Arc<Dial>, slots: GroupSlots) -> Self {
        Self { keeper: Arc::new(Keeper::new(seeds, dial, slots)) }
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.keeper.name
    }

    pub(super) fn serial(&self, group: Group) -> Option<u64> {
        self.keeper.known()?.of(group)?.serial()
    }

    pub(super) fn run(&self, group: Group) -> Option<Run> {
        self.keeper.known()?.of(group)?.run()
    }

    pub(super) fn health(&self) -> Vec<NodeHealth> {
        match self.keeper.known() {
            Some(map) => map.nodes.iter().map(|node| node.health()).collect(),
            None => vec![self.keeper.health()],
        }
    }

    /// Connects to all nodes, and returns what one refuses that can be reached.
    pub(super) async fn check(&self) -> Result<Option<StoreError>, StoreError> {
        let map = self.keeper.map().await?;
        let refusals = join_all(map.nodes.iter().map(|node| node.check())).await;
        Ok(refusals.into_iter().find_map(|refusal| refusal.ok().flatten()))
    }

    /// What the node of each of these groups refuses; empty where none does.
    pub(super) async fn refusals(&self, groups: &[Group]) -> Vec<Option<StoreError>> {
        let Some(map) = self.keeper.known().filter(|map| !map.nodes.iter().all(|node| node.is_whole())) else {
            return Vec::new();
        };
        let refusals = join_all(map.nodes.iter().map(|node| node.refusal())).await;
        let of = |group: &Group| {
            let node = map.of(*group)?;
            let at = map.nodes.iter().position(|known| Arc::ptr_eq(known, node))?;
            refusals[at].clone()
        };
        groups.iter().map(of).collect()
    }

    /// Sends each command to its node and returns a reply for each; one node's failure is that of its commands only.
    pub(super) async fn ask(&self, batch: Batch) -> Vec<Reply> {
        let map = match self.keeper.map().await {
            Ok(map) => map,
            Err(error) => return vec![Err(error.into()); batch.len()],
        };
        let mut replies = vec![Err(no_node()); batch.len()];
        let mut parts: Vec<Part> = Vec::with_capacity(map.nodes.len());
        for (place, command) in batch.commands().enumerate() {
            match map.of(command.group) {
                Some(node) => part_of(&mut parts, node).push(place, command.bytes),
                None => self.keeper.refresh(),
            }
        }
        for (node, places, answers) in ask_all(parts).await {
            self.notice(&node, &answers);
            places.into_iter().zip(answers).for_each(|(place, answer)| replies[place] = answer);
        }
        if replies.iter().any(is_redirected) {
            self.keeper.refresh();
            self.send_on(&batch, &mut replies).await;
        }
        replies
    }

    /// Sends commands whose replies nobody reads; those whose slot is on the move are lost.
    pub(super) async fn tell(&self, batch: Batch) {
        let Some(map) = self.keeper.known() else { return };
        let mut parts = Vec::new();
        for (place, command) in batch.commands().enumerate() {
            if let Some(node) = map.of(command.group) {
                part_of(&mut parts, node).push(place, command.bytes);
            }
        }
        join_all(parts.into_iter().map(|part| async move { part.node.tell(part.request).await })).await;
    }

    /// Where something is amiss the map may have changed.
    fn notice(&self, node: &Node, answers: &[Reply]) {
        let away =
            |answer: &Reply| matches!(answer, Err(Fault { error: StoreError::Unavailable(_), redirect: None, .. }));
        if node.breaker() != Breaker::Closed || answers.iter().any(away) {
            self.keeper.refresh();
        }
    }

    /// Brings the groups whose slots moved to an end, each by itself.
    async fn send_on(&self, batch: &Batch, replies: &mut [Reply]) {
        let redirected = batch.commands().zip(&*replies).filter(|(_, reply)| is_redirected(reply));
        let mut moving: Vec<Group> = redirected.map(|(command, _)| command.group).collect();
        moving.sort_unstable();
        moving.dedup();
        let mut steps: Vec<(Group, Vec<Step<'_>>)> = moving.into_iter().map(|group| (group, Vec::new())).collect();
        for (place, command) in batch.commands().enumerate() {
            if let Ok(at) = steps.binary_search_by_key(&command.group, |(group, _)| *group) {
                let reply = std::mem::replace(&mut replies[place], Err(no_node()));
                steps[at].1.push(Step { place, command, reply });
            }
        }
        join_all(steps.iter_mut().map(|(group, steps)| self.finish(*group, steps))).await;
        for Step { place, reply, .. } in steps.into_iter().flat_map(|(_, steps)| steps) {
            replies[place] = reply;
        }
    }

    /// Sends on what of one group was redirected, writes first; see above.
    async fn finish(&self, group: Group, steps: &mut [Step<'_>]) {
        let first_write = steps.iter().position(|step| is_redirected(&step.reply) && !step.command.is_look_up);
        for _ in 0..ROUNDS {
            let open: Vec<usize> =
                (0..steps.len()).filter(|i| is_redirected(&steps[*i].reply) && !steps[*i].command.is_look_up).collect();
            if open.is_empty() || is_turned_around(steps) {
                break;
            }
            self.round(group, steps, open).await;
        }
        let behind = |i: usize| first_write.is_some_and(|first| i > first);
        let mut open: Vec<usize> = (0..steps.len())
            .filter(|i| steps[*i].command.is_look_up && (is_redirected(&steps[*i].reply) || behind(*i)))
            .collect();
        for _ in 0..ROUNDS {
            if open.is_empty() {
                break;
            }
            self.round(group, steps, open).await;
            open =
                (0..steps.len()).filter(|i| steps[*i].command.is_look_up && is_redirected(&steps[*i].reply)).collect();
        }
        for step in steps {
            if let Err(fault) = &mut step.reply
                && fault.redirect.take().is_some()
            {
                fault.error = StoreError::Unavailable(cause(&fault.error));
            }
        }
    }

    /// Sends these once more: where they were told to go, or else to the node that has the group now.
    async fn round(&self, group: Group, steps: &mut [Step<'_>], open: Vec<usize>) {
        let mut parts: Vec<Part> = Vec::new();
        let mut asking = Vec::with_capacity(open.len());
        for i in open {
            let redirect = match &steps[i].reply {
                Err(fault) => fault.redirect.as_ref(),
                Ok(_) => None,
            };
            let (node, asks) = match redirect.and_then(|redirect| Some((redirect, redirect.place()?))) {
                Some((redirect, place)) => {
                    let node = self.keeper.node(&place);
                    if !redirect.asking {
                        self.keeper.moved(redirect.slot, &node);
                    }
                    (Some(node), redirect.asking)
                }
                None => (self.keeper.known().and_then(|map| map.of(group).cloned()), false),
            };
            let Some(node) = node else {
                steps[i].reply = Err(no_node());
                continue;
            };
            let part = part_of(&mut parts, &node);
            if asks {
                part.request.push(&redis::cmd("ASKING").get_packed_command());
            }
            part.push(i, steps[i].command.bytes);
            asking.push((i, asks));
        }
        for (node, places, answers) in ask_all(parts).await {
            self.notice(&node, &answers);
            let mut answers = answers.into_iter();
            for i in places {
                if asking.contains(&(i, true)) {
                    // Only what follows it has a reply of its own.
                    answers.next();
                }
                steps[i].reply = answers.next().unwrap_or_else(|| Err(no_node()));
            }
        }
    }
}

impl Part {
    fn push(&mut self, place: usize, command: &[u8]) {
        self.request.push(command);
        self.places.push(place);
    }
}

/// Asks all nodes at once.
async fn ask_all(parts: Vec<Part>) -> Vec<(Arc<Node>, Vec<usize>, Vec<Reply>)> {
    let ask = |Part { node, request, places }| async move {
        let replies = node.ask(request).await;
        (node, places, replies)
    };
    join_all(parts.into_iter().map(ask)).await
}

fn part_of<'a>(parts: &'a mut Vec<Part>, node: &Arc<Node>) -> &'a mut Part {
    let at = parts.iter().position(|part| Arc::ptr_eq(&part.node, node)).unwrap_or_else(|| {
        parts.push(Part { node: node.clone(), request: Request::default(), places: Vec::new() });
        parts.len() - 1
    });
    &mut parts[at]
}

fn is_redirected(reply: &Reply) -> bool {
    matches!(reply, Err(fault) if fault.redirect.is_some())
}

/// Whether a later write was executed, or may have been, although an earlier one was sent away by `MOVED`. (`ASK` is
/// decided by key, so a write that follows on the same key was sent away, too.)
fn is_turned_around(steps: &[Step<'_>]) -> bool {
    let moved = |step: &Step<'_>| matches!(&step.reply, Err(Fault { redirect: Some(to), .. }) if !to.asking);
    let executed = |step: &Step<'_>| match &step.reply {
        Ok(_) => true,
        Err(fault) => fault.redirect.is_none() && fault.error.may_have_executed(),
    };
    let writes = || steps.iter().filter(|step| !step.command.is_look_up);
    writes().position(moved).is_some_and(|first| writes().skip(first).any(executed))
}

fn no_node() -> Fault {
    StoreError::Unavailable(Cause::new("no node of the cluster has this slot now")).into()
}

/// A map that was not read yet.
impl Keeper {
    fn health(&self) -> NodeHealth {
        let address = self.name.to_string();
        match &*self.state.borrow() {
            super::map::State::Unknown(Some(why)) => NodeHealth {
                address,
                breaker: Breaker::Open,
                problem: Some(cause(why).to_string()),
                ..NodeHealth::default()
            },
            _ => NodeHealth { address, ..NodeHealth::default() },
        }
    }
}

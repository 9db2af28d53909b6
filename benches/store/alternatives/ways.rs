//! The ways that are compared, as the commands that they send.

use std::collections::BTreeMap;

use hapax::id::Fingerprint;

use crate::ids::{id, mix};
use crate::recording::Batch;

/// Done IDs per set, within Redis' intset encoding.
const PER_SHARD: u64 = 256;
const LEASE_MS: &[u8] = b"660000";

/// One way to claim and complete.
pub struct Way {
    pub name: &'static str,
    build: fn(&Ids, &mut Batch),
}

/// The fresh IDs of one batch, and how their keys are named.
struct Ids {
    ids: Vec<Fingerprint>,
    shards: u64,
}

pub const ALL: &[Way] = &[
    Way { name: "(a) plain: SET NX PX, SISMEMBER x 2, SADD, DEL", build: |ids, to| plain(ids, to, Plain::default()) },
    Way {
        name: "(b) one look-up: a local filter of the slice before",
        build: |ids, to| plain(ids, to, Plain { look_ups: 1, ..Plain::default() }),
    },
    Way {
        name: "(c) no lease: SISMEMBER x 2, SADD",
        build: |ids, to| plain(ids, to, Plain { leases: false, ..Plain::default() }),
    },
    Way { name: "(d) leases as hash fields, scripts per group", build: |ids, to| scripts(ids, to, true) },
    Way { name: "(e) in-flight marks in variadic SADD/SREM per group", build: marks },
    Way { name: "(f) two scripts per group for everything", build: |ids, to| scripts(ids, to, false) },
    Way {
        name: "(g1) as (a), keys of raw bytes",
        build: |ids, to| plain(ids, to, Plain { raw: true, ..Plain::default() }),
    },
    Way {
        name: "(g2) as (a), no origin in the lease",
        build: |ids, to| plain(ids, to, Plain { origin: false, ..Plain::default() }),
    },
    Way {
        name: "(g3) as (a), both",
        build: |ids, to| plain(ids, to, Plain { raw: true, origin: false, ..Plain::default() }),
    },
];

/// The batches of one turn.
pub fn batches(way: &Way, turn: u64, ids: u64, size: usize) -> Vec<Batch> {
    let all: Vec<Fingerprint> = (0..ids).map(|n| id(turn, n)).collect();
    let shards = (ids / PER_SHARD).max(1).next_power_of_two();
    let batch = |ids: &[Fingerprint]| {
        let mut batch = Batch::default();
        (way.build)(&Ids { ids: ids.to_vec(), shards }, &mut batch);
        batch
    };
    all.chunks(size).map(batch).collect()
}

struct Plain {
    look_ups: u8,
    leases: bool,
    raw: bool,
    origin: bool,
}

impl Default for Plain {
    fn default() -> Self {
        Self { look_ups: 2, leases: true, raw: false, origin: true }
    }
}

fn plain(ids: &Ids, to: &mut Batch, plain: Plain) {
    let mut deleted: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
    for id in &ids.ids {
        let (lease, [now, before], member) = (lease(id, plain.raw), ids.shards_of(id), member(id));
        if plain.leases {
            to.claim.push([&b"SET"[..], &lease, &value(id, plain.origin), b"NX", b"PX", LEASE_MS]);
        }
        to.claim.push([&b"SISMEMBER"[..], &now, &member]);
        if plain.look_ups == 2 {
            to.claim.push([&b"SISMEMBER"[..], &before, &member]);
        }
        to.complete.push([&b"SADD"[..], &now, &member]);
        deleted.entry(group(id)).or_default().push(lease);
    }
    for leases in deleted.into_values().filter(|_| plain.leases) {
        to.tell.push(std::iter::once(&b"DEL"[..]).chain(leases.iter().map(Vec::as_slice)));
    }
}

fn marks(ids: &Ids, to: &mut Batch) {
    let mut groups: BTreeMap<u8, Vec<Vec<u8>>> = BTreeMap::new();
    for id in &ids.ids {
        groups.entry(group(id)).or_default().push(member(id));
    }
    let key = |group: u8| format!("hapax:1:{{orders.{group:02x}}}:f").into_bytes();
    for (group, members) in &groups {
        to.claim.push([&b"SADD"[..], &key(*group)].into_iter().chain(members.iter().map(Vec::as_slice)));
    }
    for id in &ids.ids {
        let ([now, before], member) = (ids.shards_of(id), member(id));
        to.claim.push([&b"SISMEMBER"[..], &now, &member]);
        to.claim.push([&b"SISMEMBER"[..], &before, &member]);
        to.complete.push([&b"SADD"[..], &now, &member]);
    }
    for (group, members) in &groups {
        to.tell.push([&b"SREM"[..], &key(*group)].into_iter().chain(members.iter().map(Vec::as_slice)));
    }
}

/// `KEYS` per ID lease, shard now, shard before · `ARGV` time to live, per ID member, value.
const CLAIM: &str = "local answers = {}
for i = 1, #KEYS / 3 do
  local lease, member = KEYS[3 * i - 2], ARGV[2 * i]
  if redis.call('SET', lease, ARGV[2 * i + 1], 'NX', 'PX', ARGV[1]) then
    answers[i] = redis.call('SISMEMBER', KEYS[3 * i - 1], member) + redis.call('SISMEMBER', KEYS[3 * i], member)
  else answers[i] = -1 end
end
return answers";

/// `KEYS` per ID lease, shard · `ARGV` per ID member, value.
const COMPLETE: &str = "local answers = {}
for i = 1, #KEYS / 2 do
  answers[i] = redis.call('SADD', KEYS[2 * i], ARGV[2 * i - 1])
  if redis.call('GET', KEYS[2 * i - 1]) == ARGV[2 * i] then redis.call('DEL', KEYS[2 * i - 1]) end
end
return answers";

/// `KEYS` leases of the group, per ID shard now, shard before · `ARGV` now in ms, per ID member, value.
const CLAIM_HASH: &str = "local answers = {}
for i = 1, (#KEYS - 1) / 2 do
  local member = ARGV[2 * i]
  if redis.call('HSETNX', KEYS[1], member, ARGV[2 * i + 1]) == 1 then
    answers[i] = redis.call('SISMEMBER', KEYS[2 * i], member) + redis.call('SISMEMBER', KEYS[2 * i + 1], member)
  else answers[i] = -1 end
end
return answers";

/// `KEYS` leases of the group, per ID shard · `ARGV` per ID member, value.
const COMPLETE_HASH: &str = "local answers = {}
for i = 1, #KEYS - 1 do
  answers[i] = redis.call('SADD', KEYS[i + 1], ARGV[2 * i - 1])
  if redis.call('HGET', KEYS[1], ARGV[2 * i - 1]) == ARGV[2 * i] then redis.call('HDEL', KEYS[1], ARGV[2 * i - 1]) end
end
return answers";

/// All scripts, to be made known before they are called by their hash.
pub const SCRIPTS: [&str; 4] = [CLAIM, COMPLETE, CLAIM_HASH, COMPLETE_HASH];

fn scripts(ids: &Ids, to: &mut Batch, hash: bool) {
    let mut groups: BTreeMap<u8, Vec<&Fingerprint>> = BTreeMap::new();
    ids.ids.iter().for_each(|id| groups.entry(group(id)).or_default().push(id));
    for (group, ids_of_group) in groups {
        let (mut claim_keys, mut claim_args) = (Vec::new(), vec![LEASE_MS.to_vec()]);
        let (mut complete_keys, mut complete_args) = (Vec::new(), Vec::new());
        if hash {
            let key = format!("hapax:1:{{orders.{group:02x}}}:l").into_bytes();
            claim_keys.push(key.clone());
            complete_keys.push(key);
        }
        for id in ids_of_group {
            let (lease, [now, before]) = (lease(id, false), ids.shards_of(id));
            if !hash {
                claim_keys.push(lease.clone());
                complete_keys.push(lease);
            }
            claim_keys.extend([now.clone(), before]);
            complete_keys.push(now);
            claim_args.extend([member(id), value(id, true)]);
            complete_args.extend([member(id), value(id, true)]);
        }
        let (claim, complete) = if hash { (CLAIM_HASH, COMPLETE_HASH) } else { (CLAIM, COMPLETE) };
        push_script(&mut to.claim, claim, &claim_keys, &claim_args);
        push_script(&mut to.complete, complete, &complete_keys, &complete_args);
    }
}

fn push_script(to: &mut crate::recording::Commands, script: &str, keys: &[Vec<u8>], args: &[Vec<u8>]) {
    let (hash, count) = (redis::Script::new(script).get_hash().to_owned(), keys.len().to_string());
    let words = [&b"EVALSHA"[..], hash.as_bytes(), count.as_bytes()];
    to.push(words.into_iter().chain(keys.iter().chain(args).map(Vec::as_slice)));
}

impl Ids {
    /// Where an ID is remembered: in this slice, and in the one before.
    fn shards_of(&self, id: &Fingerprint) -> [Vec<u8>; 2] {
        let shard = mix(u64::from_be_bytes(*id.as_bytes().last_chunk().expect("16 bytes"))) % self.shards;
        // Slices have numbers of seconds.
        [20_712_u64, 20_711]
            .map(|slice| format!("hapax:1:{{orders.{:02x}}}:d:{slice}:{shard:x}", group(id)).into_bytes())
    }
}

fn group(id: &Fingerprint) -> u8 {
    id.as_bytes()[0] >> 2
}

fn lease(id: &Fingerprint, raw: bool) -> Vec<u8> {
    match raw {
        true => [format!("hapax:1:{{orders.{:02x}}}:l:", group(id)).as_bytes(), id.as_bytes()].concat(),
        false => format!("hapax:1:{{orders.{:02x}}}:l:{id}", group(id)).into_bytes(),
    }
}

/// 64 bits, as Redis wants integers: in decimal digits.
fn member(id: &Fingerprint) -> Vec<u8> {
    i64::from_be_bytes(*id.as_bytes().first_chunk().expect("16 bytes")).to_string().into_bytes()
}

/// Version, state, token, attempts and grace, then the origin: partition, offset, topic.
fn value(id: &Fingerprint, origin: bool) -> Vec<u8> {
    let mut value = b"1f".to_vec();
    value.extend_from_slice(id.as_bytes());
    value.extend_from_slice(&[0; 12]);
    if origin {
        value.extend_from_slice(&[0; 12]);
        value.extend_from_slice(b"orders");
    }
    value
}

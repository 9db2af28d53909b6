//! The scripts of the rare paths. Each is one atomic step, and doing it twice with the same token changes nothing more.
//!
//! They are sent by their hash and, where Redis does not know it (after a restart, a failover, `SCRIPT FLUSH`), once
//! more as text. All keys of one call belong to one ID, so they lie in one slot of a cluster.
//!
//! `allow-oom`: without it a full Redis refuses to execute the script at all (measured, 7.0.15). What ends or keeps
//! existing work carries it; claims never do, for they would start new work on a store that cannot remember it.

use std::sync::LazyLock;

use super::batch::{Batch, Reply};
use super::connection::Link;
use super::layout::Group;

/// A script and its hash.
pub(super) struct Script {
    source: &'static str,
    hash: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, hash: redis::Script::new(source).get_hash().to_owned() }
    }

    /// Adds a call of the script by its hash, which Redis may not know.
    pub(super) fn push_hash(&self, batch: &mut Batch, call: &Call) {
        call.push("EVALSHA", &self.hash, batch);
    }

    /// Adds a call of the script with its text, for calls without a second try.
    pub(super) fn push_text(&self, batch: &mut Batch, call: &Call) {
        call.push("EVAL", self.source, batch);
    }
}

/// One execution of a script.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) group: Group,
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) args: Vec<Vec<u8>>,
}

impl Call {
    fn push(&self, name: &str, script: &str, batch: &mut Batch) {
        batch.write(self.group, 3 + self.keys.len() + self.args.len(), |words| {
            words.add(name.as_bytes());
            words.add(script.as_bytes());
            words.number(self.keys.len());
            self.keys.iter().chain(&self.args).for_each(|part| words.add(part));
        });
    }
}

/// Runs a script once per call; one reply per call, in order.
pub(super) async fn run(link: &Link, script: &Script, calls: &[Call]) -> Vec<Reply> {
    let mut batch = Batch::default();
    calls.iter().for_each(|call| script.push_hash(&mut batch, call));
    let mut replies = link.ask(batch).await;
    let unknown: Vec<usize> =
        (0..replies.len()).filter(|i| matches!(&replies[*i], Err(fault) if fault.unknown_script)).collect();
    if !unknown.is_empty() {
        // Each brings the text: which of them share a node, and so a store of scripts, is not known here.
        let mut batch = Batch::default();
        unknown.iter().for_each(|i| script.push_text(&mut batch, &calls[*i]));
        for (i, reply) in unknown.into_iter().zip(link.ask(batch).await) {
            replies[i] = reply;
        }
    }
    replies
}

/// What both scripts of a claim do with an ID that is not done. `KEYS` lease, … · `ARGV` token, value of a fresh lease,
/// lease + grace in ms, `1` where the claim takes over.
macro_rules! claim_not_done {
    () => {
        "local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return {1, 0, 0}
end
local left = redis.call('PTTL', KEYS[1])
local state = string.sub(held, 2, 2)
if string.sub(held, 1, 1) ~= '1' or #held < 30 or not string.find('fsighu', state, 1, true) then
  return {4, left}
end
local attempts, grace = struct.unpack('>I4I8', held, 19)
if state == 'g' or state == 'h' or state == 'u' then
  -- Given up: no handler starts, so whoever comes may take it once the lease ran out, and nothing is counted.
  local holds = string.format('%.0f', ARGV[3] - struct.unpack('>I8', ARGV[2], 23) + grace)
  if state ~= 'u' and string.sub(held, 3, 18) == ARGV[1] then
    redis.call('PEXPIRE', KEYS[1], holds)
    return {5, attempts, string.sub(held, 31)}
  end
  if left < 0 then
    redis.call('PEXPIRE', KEYS[1], holds)
    left = tonumber(holds)
  end
  if state ~= 'u' and left > grace then return {2, left - grace} end
  redis.call('SET', KEYS[1], '1h' .. ARGV[1] .. string.sub(held, 19), 'PX', holds)
  return {5, attempts, string.sub(held, 31)}
end
local function take(state, attempts)
  local value = '1' .. state .. ARGV[1] .. struct.pack('>I4', attempts) .. string.sub(ARGV[2], 23)
  redis.call('SET', KEYS[1], value, 'PX', ARGV[3])
end
if state == 'i' then
  take('f', attempts)
  return {1, attempts, 0}
end
if string.sub(held, 3, 18) == ARGV[1] then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  return {1, attempts, state == 's' and 1 or 0}
end
if left < 0 then
  -- Somebody removed the time to live: give it one, or the ID would be in flight for ever.
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
  left = tonumber(ARGV[3])
end
if left > grace then return {2, left - grace} end
if ARGV[4] ~= '1' then return {3, attempts} end
attempts = math.min(attempts + 1, 4294967295)
take('s', attempts)
return {1, attempts, 1}"
    };
}

/// `KEYS` lease, done · `ARGV` token, value of a fresh lease, lease + grace in ms, `1` where the claim takes over.
///
/// Looks the done ID up itself: between the claim's own look-up and this script the owner may have completed and
/// deleted its lease, and a script that looked at the lease alone would take it and repeat the effect.
///
/// Not `allow-oom` and without a shebang: then a full Redis still answers what needs no write (done, in flight), and
/// refuses only the taking.
///
/// Answers a number and what belongs to it: 0 done, its value · 1 claimed, attempts, 1 where suspect · 2 in flight, ms left ·
/// 3 run out, attempts · 4 unreadable, ms left · 5 claimed and given up, attempts, where the copy goes.
pub(super) static CLAIM_EXACT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        "local done = redis.call('GET', KEYS[2])
if done then
  if string.sub(done, 1, 1) == '1' then return {0, done} end
  return {4, redis.call('PTTL', KEYS[2])}
end
",
        claim_not_done!()
    ))
});

/// As [`CLAIM_EXACT`], with `KEYS` lease, sets in which the ID could lie · `ARGV` …, its member of them.
pub(super) static CLAIM_COMPACT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        "for i = 2, #KEYS do
  if redis.call('SISMEMBER', KEYS[i], ARGV[5]) == 1 then return {0} end
end
",
        claim_not_done!()
    ))
});

/// `KEYS` done · `ARGV` value, window in ms. The completion of finished work on a full Redis.
pub(super) static REMEMBER_EXACT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=allow-oom
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])",
    )
});

/// How a script on a lease begins: it returns 0 unless the token, its first argument, holds the lease.
macro_rules! held {
    () => {
        "#!lua flags=allow-oom
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, 1) ~= '1' or string.sub(held, 3, 18) ~= ARGV[1] then return 0 end
local state = string.sub(held, 2, 2)
if not string.find('fsgh', state, 1, true) then return 0 end
local found, grace = struct.unpack('>I4I8', held, 19)
if state == 's' then found = math.max(found - 1, 0) end
"
    };
}

/// `KEYS` lease · `ARGV` token, lease in ms. Answers 1 where the token holds the lease.
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        held!(),
        "redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[2] + grace))
return 1"
    ))
});

/// `KEYS` lease · `ARGV` token, lease in ms, attempts, where the copy goes, how long the note is kept in ms. Answers 1
/// where the token holds the lease.
///
/// A note that is there stays as it is: it is this very one, or the claim found it.
pub(super) static GIVE_UP: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        held!(),
        "if state == 'g' or state == 'h' then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ARGV[2] + grace))
  return 1
end
local count = math.max(found, tonumber(ARGV[3]))
local head = '1g' .. ARGV[1] .. struct.pack('>I4I8', count, tonumber(ARGV[5]))
redis.call('SET', KEYS[1], head .. ARGV[4] .. string.sub(held, 31), 'PX', string.format('%.0f', ARGV[2] + ARGV[5]))
return 1"
    ))
});

/// What a release does with a lease that it may release.
macro_rules! release_held {
    () => {
        "local what, nobody = ARGV[2], string.rep('\\0', 16)
if state == 's' and what == 'unstarted' then
  local ran_out = '1s' .. nobody .. struct.pack('>I4I8', found, tonumber(ARGV[4]))
  redis.call('SET', KEYS[1], ran_out .. string.sub(held, 31), 'PX', ARGV[4])
  return 1
end
local attempts = math.max(tonumber(ARGV[3]), found)
if state == 'g' or state == 'h' then
  local kept = what ~= 'failed' or state == 'h'
  if what == 'retried' then
    kept = string.sub(held, 33, 33) ~= 'r' or struct.unpack('>I4', held, 34) > tonumber(ARGV[5])
  end
  if kept then
    local given_up = '1u' .. nobody .. struct.pack('>I4', attempts) .. string.sub(held, 23)
    redis.call('SET', KEYS[1], given_up, 'PX', string.format('%.0f', grace))
    return 1
  end
  held = string.sub(held, 1, 30) .. string.sub(held, 33 + struct.unpack('>I2', held, 31))
end
if attempts == 0 then
  redis.call('DEL', KEYS[1])
else
  local idle = '1i' .. nobody .. struct.pack('>I4I8', attempts, tonumber(ARGV[4])) .. string.sub(held, 31)
  redis.call('SET', KEYS[1], idle, 'PX', ARGV[4])
end
return 1"
    };
}

/// `KEYS` lease · `ARGV` token, `unstarted`, `failed`, `given up` or `retried`, attempts, grace in ms, number of the retry
/// topic. Answers 1 where the token held the lease.
///
/// Unstarted, the lease itself tells what its claim found. After a takeover that was a lease that had run out: it is
/// written again under a token that nobody has, with no more time to live than the grace beside it. A count is never
/// lowered: an old release may find a lease that a late copy of its claim took anew, from an owner that counted further.
/// For the same reason it takes away only the note that it means: one that its own token made, or one about a retry topic
/// that has the copy.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(concat!(held!(), release_held!())));

/// A planted bug: [`RELEASE`] without its comparison of tokens.
pub(super) static RELEASE_ANY: LazyLock<Script> = LazyLock::new(|| {
    Script::new(concat!(
        "#!lua flags=allow-oom
local held = redis.call('GET', KEYS[1])
if not held then return 0 end
local state = string.sub(held, 2, 2)
if not string.find('fsgh', state, 1, true) then return 0 end
local found, grace = struct.unpack('>I4I8', held, 19)
if state == 's' then found = math.max(found - 1, 0) end
",
        release_held!()
    ))
});

/// `KEYS` leases · `ARGV` their tokens, in the same order. Deletes those that the tokens hold, and answers nothing:
/// what a claim took before it found the ID done.
pub(super) static GIVE_BACK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=allow-oom
for i = 1, #KEYS do
  local held = redis.pcall('GET', KEYS[i])
  if type(held) == 'string' and string.sub(held, 1, 1) == '1' and string.sub(held, 3, 18) == ARGV[i] then
    redis.call('DEL', KEYS[i])
  end
end",
    )
});

/// `KEYS` plan · `ARGV` oldest slice to keep, window in ms, ms that sets outlive their slices, then for each wish its
/// kind, slice, shards and time. Answers the plan.
///
/// A generation that is known to somebody is put back as it was; the first of a slice is made only where the slice has
/// none; growth only where none is under way, and from a time on that is counted here, by Redis' clock.
pub(super) static PLAN: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=allow-oom
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local oldest, newest, most, growing = tonumber(ARGV[1]), 0, {}, {}
local function note(slice, shards, from)
  newest = math.max(newest, slice)
  most[slice] = math.max(most[slice] or 0, shards)
  growing[slice] = growing[slice] or from > now
end
local plan = redis.call('HGETALL', KEYS[1])
for i = 1, #plan, 2 do
  local slice, shards = string.match(plan[i], '^(%d+):(%d+)$')
  slice, shards = tonumber(slice), tonumber(shards)
  if slice < oldest then
    redis.call('HDEL', KEYS[1], plan[i])
  else
    note(slice, shards, tonumber(plan[i + 1]))
  end
end
for i = 4, #ARGV, 4 do
  local kind, slice, shards, from = ARGV[i], tonumber(ARGV[i + 1]), tonumber(ARGV[i + 2]), tonumber(ARGV[i + 3])
  local wanted = kind == 'known' or kind == 'first' and not most[slice]
  if kind == 'growth' and not growing[slice] and shards > (most[slice] or 0) then
    wanted, from = true, now + from
  end
  if wanted then
    redis.call('HSETNX', KEYS[1], ARGV[i + 1] .. ':' .. ARGV[i + 2], string.format('%.0f', from))
    note(slice, shards, from)
  end
end
redis.call('PEXPIREAT', KEYS[1], string.format('%.0f', (newest + 2) * ARGV[2] + ARGV[3]))
return redis.call('HGETALL', KEYS[1])",
    )
});

/// `KEYS` set · `ARGV` member, when the set expires, in ms. Answers as `SADD`.
///
/// For the first ID of a set, which so never exists without an expiry, and for finished work on a full Redis.
pub(super) static REMEMBER_COMPACT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=allow-oom
local added = redis.call('SADD', KEYS[1], ARGV[1])
redis.call('PEXPIREAT', KEYS[1], ARGV[2])
return added",
    )
});

/// `KEYS` lease, done. Answers each one's value and its time to live in ms, all of one moment.
pub(super) static INSPECT_EXACT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=no-writes
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[2]), redis.call('PTTL', KEYS[2])}",
    )
});

/// `KEYS` lease, sets in which the ID could lie · `ARGV` its member of them. Answers the lease, its time to live in ms,
/// and 1 or 0 for each set.
pub(super) static INSPECT_COMPACT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=no-writes
local answer = {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1])}
for i = 2, #KEYS do answer[i + 1] = redis.call('SISMEMBER', KEYS[i], ARGV[1]) end
return answer",
    )
});

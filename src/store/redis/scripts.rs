//! The scripts of the rare paths. Each is one atomic step, and doing it twice with the same token changes nothing more.
//!
//! They are sent by their hash and, where Redis does not know it (after a restart, a failover, `SCRIPT FLUSH`), once
//! more as text. All keys of one call belong to one ID, so they lie in one slot of a cluster.
//!
//! `allow-oom`: without it a full Redis refuses to execute the script at all (measured, 7.0.15). What ends or keeps
//! existing work carries it; claims never do, for they would start new work on a store that cannot remember it.

use std::sync::LazyLock;

use redis::{Cmd, Value};

use super::connection::Link;
use crate::store::StoreError;

/// A script and its hash.
pub(super) struct Script {
    source: &'static str,
    hash: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, hash: redis::Script::new(source).get_hash().to_owned() }
    }

    /// The script with its text: for calls whose answer nobody reads.
    pub(super) fn as_text(&self, call: &Call) -> Cmd {
        call.command("EVAL", self.source)
    }
}

/// One execution of a script.
#[derive(Debug, Default)]
pub(super) struct Call {
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) args: Vec<Vec<u8>>,
}

impl Call {
    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(self.keys.len());
        self.keys.iter().chain(&self.args).for_each(|part| {
            command.arg(part.as_slice());
        });
        command
    }
}

/// Runs a script once per call; one reply per call, in order.
pub(super) async fn run(link: &Link, script: &Script, calls: &[Call]) -> Result<Vec<Value>, StoreError> {
    let mut pipeline = redis::Pipeline::with_capacity(calls.len());
    calls.iter().for_each(|call| {
        pipeline.add_command(call.command("EVALSHA", &script.hash));
    });
    let mut replies = link.ask(&pipeline).await?;
    let unknown: Vec<usize> = (0..replies.len()).filter(|i| is_no_script(&replies[*i])).collect();
    if !unknown.is_empty() {
        // The first call brings the text, and those behind it in the pipeline find it there.
        let mut pipeline = redis::Pipeline::with_capacity(unknown.len());
        for (nth, i) in unknown.iter().enumerate() {
            pipeline.add_command(match nth {
                0 => script.as_text(&calls[*i]),
                _ => calls[*i].command("EVALSHA", &script.hash),
            });
        }
        for (i, reply) in unknown.into_iter().zip(link.ask(&pipeline).await?) {
            replies[i] = reply;
        }
    }
    Ok(replies)
}

fn is_no_script(reply: &Value) -> bool {
    matches!(reply, Value::ServerError(error) if error.kind() == Some(redis::ServerErrorKind::NoScript))
}

/// `KEYS` lease, done · `ARGV` token, value of a fresh lease, lease + grace in ms, `1` where the claim takes over.
///
/// Looks the done ID up itself: between the claim's own look-up and this script the owner may have completed and
/// deleted its lease, and a script that looked at the lease alone would take it and repeat the effect.
///
/// Not `allow-oom` and without a shebang: then a full Redis still answers what needs no write (done, in flight), and
/// refuses only the taking.
///
/// Answers a number and what belongs to it: 0 done · 1 claimed, attempts, 1 where suspect · 2 in flight, ms left ·
/// 3 run out, attempts · 4 unreadable, ms left.
pub(super) static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local done = redis.call('GET', KEYS[2])
if done then
  if string.sub(done, 1, 1) == '1' then return {0} end
  return {4, redis.call('PTTL', KEYS[2])}
end
local held = redis.call('GET', KEYS[1])
if not held then
  redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
  return {1, 0, 0}
end
local left = redis.call('PTTL', KEYS[1])
local state = string.sub(held, 2, 2)
if string.sub(held, 1, 1) ~= '1' or #held < 30 or not (state == 'f' or state == 's' or state == 'i') then
  return {4, left}
end
local attempts, grace = struct.unpack('>I4I8', held, 19)
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
return {1, attempts, 1}",
    )
});

/// `KEYS` done · `ARGV` value, window in ms. The completion of finished work on a full Redis.
pub(super) static COMPLETE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=allow-oom
return redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2])",
    )
});

/// `KEYS` lease · `ARGV` token, lease + grace in ms. Answers 1 where the token holds the lease.
pub(super) static RENEW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=allow-oom
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, 1) ~= '1' or string.sub(held, 2, 2) == 'i'
  or string.sub(held, 3, 18) ~= ARGV[1] then return 0 end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1",
    )
});

/// `KEYS` lease · `ARGV` token, attempts or `unstarted`, grace in ms. Answers 1 where the token held the lease.
///
/// Unstarted, the lease itself tells what its claim found. After a takeover that was a lease that had run out: it is
/// written again under a token that nobody has, with no more time to live than the grace beside it.
pub(super) static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=allow-oom
local held = redis.call('GET', KEYS[1])
if not held or string.sub(held, 1, 1) ~= '1' or string.sub(held, 2, 2) == 'i'
  or string.sub(held, 3, 18) ~= ARGV[1] then return 0 end
local attempts = tonumber(ARGV[2])
if not attempts then
  attempts = struct.unpack('>I4', held, 19)
  if string.sub(held, 2, 2) == 's' then
    local ran_out = '1s' .. string.rep('\\0', 16) .. struct.pack('>I4I8', math.max(attempts - 1, 0), tonumber(ARGV[3]))
    redis.call('SET', KEYS[1], ran_out .. string.sub(held, 31), 'PX', ARGV[3])
    return 1
  end
end
if attempts == 0 then
  redis.call('DEL', KEYS[1])
else
  local idle = '1i' .. string.rep('\\0', 16) .. struct.pack('>I4', attempts) .. string.sub(held, 23)
  redis.call('SET', KEYS[1], idle, 'PX', ARGV[3])
end
return 1",
    )
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

/// `KEYS` lease, done. Answers each one's value and its time to live in ms, all of one moment.
pub(super) static INSPECT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "#!lua flags=no-writes
return {redis.call('GET', KEYS[1]), redis.call('PTTL', KEYS[1]), redis.call('GET', KEYS[2]), redis.call('PTTL', KEYS[2])}",
    )
});

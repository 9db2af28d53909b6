//! Whether a server does what the store will ask of it.
//!
//! Every connection is asked before anything is claimed over it, by executing an example of each command
//! ([`Questions`]). `ACL DRYRUN` is not used: it needs rights of its own, and does not know
//! that writes are refused for another reason. A reply that is an error means:
//!
//! | reply | means |
//! |---|---|
//! | `NOPERM`, `ERR`, any other that faults call refused | the command is refused |
//! | `MISCONF`, `NOREPLICAS` | writes are refused until the server is repaired |
//! | `NOSCRIPT`, `WRONGTYPE`, `MOVED`, `ASK` | it is allowed: Redis checks rights before it looks at keys |
//! | `OOM` | it is allowed; a full Redis still takes completions, by script |
//! | any other | nothing: it passes, and is met again where it matters |

use redis::aio::ConnectionLike;
use redis::{RedisError, ServerError, Value};

use super::commands::{self, Has, Questions};
use crate::store::health::{Refusal, RefusalKind};
use crate::store::{Cause, StoreError};

/// Executes an example of every command, and returns what is refused.
pub(super) async fn ask(
    connection: &mut impl ConnectionLike,
    questions: &Questions,
    has: Has,
) -> Result<Option<Refusal>, RedisError> {
    let (names, pipeline) = questions.of(has);
    if pipeline.is_empty() {
        return Ok(None);
    }
    let replies = connection.req_packed_commands(&pipeline, 0, pipeline.len()).await?;
    Ok(judge(&names, &replies))
}

/// What these replies refuse.
fn judge(names: &[&'static str], replies: &[Value]) -> Option<Refusal> {
    let mut refusal: Option<Refusal> = None;
    for (name, reply) in names.iter().zip(replies) {
        let Value::ServerError(error) = reply else { continue };
        let Some(kind) = kind(error) else { continue };
        // A right that is missing is missing whatever else is the matter, so it is reported first.
        if refusal.as_ref().is_none_or(|worse| worse.kind == RefusalKind::Writes && kind != RefusalKind::Writes) {
            refusal = Some(Refusal { kind, commands: Vec::new(), because: text(error) });
        }
        if let Some(refusal) =
            refusal.as_mut().filter(|refusal| (refusal.kind == RefusalKind::Writes) == (kind == RefusalKind::Writes))
        {
            let name = name.to_uppercase();
            if !refusal.commands.contains(&name) {
                refusal.commands.push(name);
            }
        }
    }
    refusal
}

/// How an error refuses a command, where it does.
fn kind(error: &ServerError) -> Option<RefusalKind> {
    match error.code() {
        "MISCONF" | "NOREPLICAS" => Some(RefusalKind::Writes),
        "OOM" | "BUSY" | "UNKILLABLE" | "READONLY" | "MASTERDOWN" | "LOADING" | "TRYAGAIN" | "CLUSTERDOWN" => None,
        "NOSCRIPT" | "WRONGTYPE" | "CROSSSLOT" | "MOVED" | "ASK" => None,
        _ if error.details().is_some_and(|details| details.starts_with("unknown command")) => {
            Some(RefusalKind::Unknown)
        }
        _ => Some(RefusalKind::Rights),
    }
}

/// The error in Redis' own words, without the arguments that it repeats.
fn text(error: &ServerError) -> String {
    let details = error.details().unwrap_or_default();
    let details = details.split(", with args beginning with").next().unwrap_or_default();
    format!("{} {details}", error.code()).trim_end().to_owned()
}

/// Whether the reply to a command is reason to ask again what the server refuses.
pub(super) fn is_doubtful(command: &[u8], error: &ServerError) -> bool {
    kind(error).is_some() && commands::is_needed(command)
}

/// What a claim is answered while a server refuses something.
pub(super) fn error(address: &str, refusal: &Refusal) -> StoreError {
    let cause = Cause::new(format!("Redis at {address}: {}; {}", refusal.says(), refusal.remedy()));
    match refusal.kind {
        RefusalKind::Writes => StoreError::Unavailable(cause),
        RefusalKind::Rights | RefusalKind::Unknown => StoreError::Refused(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(line: &str) -> Value {
        redis::parse_redis_value(format!("{line}\r\n").as_bytes()).unwrap()
    }

    fn found(replies: &[(&'static str, &str)]) -> Option<Refusal> {
        let (names, replies): (Vec<_>, Vec<_>) = replies.iter().map(|(name, line)| (*name, reply(line))).unzip();
        judge(&names, &replies)
    }

    #[test]
    fn replies_that_prove_a_right_are_no_refusal() {
        for line in ["+OK", ":0", "-NOSCRIPT No matching script.", "-WRONGTYPE Operation", "-MOVED 1 a:1", "-OOM full"]
        {
            assert_eq!(found(&[("sadd", line)]), None, "{line}");
        }
    }

    #[test]
    fn refused_commands_are_named_once() {
        let noperm = "-NOPERM this user has no permissions to run the 'sadd' command";
        let refusal = found(&[("sadd", noperm), ("get", "+OK"), ("sadd", noperm), ("hdel", "-NOPERM x")]).unwrap();
        assert_eq!((refusal.kind, refusal.commands), (RefusalKind::Rights, vec!["SADD".to_owned(), "HDEL".to_owned()]));
        assert_eq!(refusal.because, "NOPERM this user has no permissions to run the 'sadd' command");
    }

    #[test]
    fn a_renamed_command_is_told_without_its_arguments() {
        let line = "-ERR unknown command 'EVALSHA', with args beginning with: 'a' 'b' ";
        let refusal = found(&[("evalsha", line)]).unwrap();
        assert_eq!((refusal.kind, &*refusal.because), (RefusalKind::Unknown, "ERR unknown command 'EVALSHA'"));
        assert!(refusal.remedy().contains("rename-command"));
    }

    #[test]
    fn missing_rights_go_before_refused_writes() {
        let misconf = "-MISCONF Redis is configured to save RDB snapshots";
        let refusal = found(&[("set", misconf)]).unwrap();
        assert_eq!(refusal.kind, RefusalKind::Writes);
        assert_eq!(error("a:1", &refusal).kind(), "unavailable");
        let refusal = found(&[("set", misconf), ("evalsha", "-NOPERM no"), ("del", misconf)]).unwrap();
        assert_eq!((refusal.kind, refusal.commands), (RefusalKind::Rights, vec!["EVALSHA".to_owned()]));
        let refusal =
            Refusal { kind: RefusalKind::Rights, commands: vec!["EVALSHA".to_owned()], because: String::new() };
        assert_eq!(error("a:1", &refusal).kind(), "refused");
    }
}

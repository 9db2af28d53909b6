//! The commands that the store sends: the one list from which the line for an administrator, the check of every
//! connection and its error are made.
//!
//! Each command has an example that may be executed at any time. The examples use keys of their own, which no ID of any
//! message has: those of the fingerprint zero, and a set of slice zero. They run in this order:
//!
//! 1. `SET` makes a string that ends by itself after a second.
//! 2. Commands that would make a set or a hash meet that string. Their answer `WRONGTYPE` proves that they are allowed.
//! 3. All others find nothing, and change nothing.
//! 4. `DEL` removes the string.
//!
//! Several processes may do so at once: each deletes after its last write.

use redis::{Cmd, Pipeline};

use super::DoneMode;
use super::layout::{Group, Layout};

/// Which stores send a command, or use a kind of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Every,
    Compact,
    Exact,
}

/// One argument of an example.
#[derive(Clone, Copy, Debug)]
enum Arg {
    Lease,
    Done,
    Set,
    Plan,
    Word(&'static str),
}

/// An example of a command.
#[derive(Clone, Copy, Debug)]
struct Example {
    /// As an ACL names it.
    name: &'static str,
    by: By,
    arguments: &'static [Arg],
}

macro_rules! commands {
    ($($name:literal: $($by:ident $arguments:expr),+;)+) => {
        /// What a user has to be allowed, as `ACL SETUSER` takes it.
        pub(super) const PERMISSIONS: &str = concat!("~hapax:*", $(" +", $name),+);

        /// What to do where a user may not send one of them.
        pub(in crate::store) const ALLOW_THEM: &str = concat!(
            "let an administrator allow the user what the store needs: ACL SETUSER <user> ~hapax:*", $(" +", $name),+,
            ", with +select where the URL names a database, with +cluster|slots +asking in a cluster; and to a user of \
             sentinels +sentinel|get-master-addr-by-name"
        );

        const EXAMPLES: &[Example] = &[$($(Example { name: $name, by: By::$by, arguments: &$arguments }),+),+];
    };
}

use Arg::{Done, Lease, Plan, Set, Word};

commands! {
    "info": Every [Word("server")];
    "time": Every [];
    "eval": Every [Word("#!lua flags=allow-oom\nreturn 1"), Word("1"), Lease];
    "evalsha": Every [Word("0000000000000000000000000000000000000000"), Word("1"), Lease];
    "set":
        Every [Lease, Word("probe"), Word("NX"), Word("PX"), Word("1000")],
        Exact [Done, Word("probe"), Word("NX"), Word("PX"), Word("1000")];
    "get": Every [Lease], Exact [Done];
    "pttl": Every [Lease];
    "pexpire": Every [Lease, Word("1000")];
    "pexpireat": Compact [Set, Word("1")];
    "sadd": Compact [Lease, Word("1")];
    "sismember": Compact [Set, Word("1")];
    "srem": Compact [Set, Word("1")];
    "scard": Compact [Set];
    "hgetall": Compact [Plan];
    "hsetnx": Compact [Lease, Word("probe"), Word("1")];
    "hdel": Compact [Plan, Word("probe")];
    "del": Every [Lease], Exact [Done];
}

/// What is asked of a server before it is relied on.
pub(super) struct Questions {
    layout: Option<Layout>,
    mode: DoneMode,
    cluster: bool,
}

/// Which keys a server is asked about: one that has others would only say where they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Has {
    /// A group that lies there.
    pub(super) group: Group,
    /// Whether the plan lies there.
    pub(super) plan: bool,
}

impl Questions {
    /// Everything that a store of this mode sends.
    pub(super) fn new(layout: Layout, mode: DoneMode, cluster: bool) -> Self {
        Self { layout: Some(layout), mode, cluster }
    }

    /// Nothing, for servers that are only played.
    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { layout: None, mode: DoneMode::Compact, cluster: false }
    }

    /// The names of the commands, and an example of each.
    pub(super) fn of(&self, has: Has) -> (Vec<&'static str>, Pipeline) {
        let (mut names, mut pipeline) = (Vec::new(), Pipeline::new());
        let Some(layout) = &self.layout else { return (names, pipeline) };
        let mut push = |name, command: Cmd| {
            names.push(name);
            pipeline.add_command(command);
        };
        if self.cluster {
            // It concerns the next command only.
            push("asking", redis::cmd("ASKING"));
        }
        for Example { name, arguments, .. } in EXAMPLES.iter().filter(|example| self.sends(example.by)) {
            let mut command = redis::cmd(&name.to_uppercase());
            for argument in *arguments {
                match argument {
                    Arg::Lease => command.arg(layout.unused(has.group, b'l')),
                    Arg::Done => command.arg(layout.unused(has.group, b'd')),
                    Arg::Plan if has.plan => command.arg(layout.plan()),
                    Arg::Set | Arg::Plan => command.arg(layout.unused(has.group, b's')),
                    Arg::Word(word) => command.arg(word),
                };
            }
            push(name, command);
        }
        (names, pipeline)
    }

    fn sends(&self, by: By) -> bool {
        match by {
            By::Every => true,
            By::Compact => self.mode == DoneMode::Compact,
            By::Exact => self.mode == DoneMode::Exact,
        }
    }
}

/// Whether the store cannot do without this command. Others are asked where they are allowed, such as `CONFIG GET`.
pub(super) fn is_needed(name: &[u8]) -> bool {
    EXAMPLES.iter().any(|example| name.eq_ignore_ascii_case(example.name.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::Namespace;

    fn names(mode: DoneMode, cluster: bool) -> Vec<&'static str> {
        let layout = Layout::new(Namespace::new("n").unwrap());
        Questions::new(layout, mode, cluster).of(Has { group: Group::nth(0), plan: true }).0
    }

    #[test]
    fn every_listed_command_is_asked_in_some_mode() {
        let asked = [names(DoneMode::Compact, false), names(DoneMode::Exact, false)];
        let listed: Vec<&str> = PERMISSIONS.split(" +").skip(1).collect();
        assert!(listed.iter().all(|name| asked.iter().any(|names| names.contains(name))), "{listed:?}");
        assert!(!asked[1].contains(&"sadd"), "an exact store has no sets");
        assert!(names(DoneMode::Exact, true).contains(&"asking"));
    }

    #[test]
    fn what_is_made_is_deleted_last() {
        for mode in [DoneMode::Compact, DoneMode::Exact] {
            let names = names(mode, false);
            let first = |name: &str| names.iter().position(|asked| *asked == name);
            let last = |name: &str| names.iter().rposition(|asked| *asked == name);
            assert!(first("set") < first("sadd").or(Some(usize::MAX)), "nothing is made without a time to live");
            assert!(first("set") < first("hsetnx").or(Some(usize::MAX)));
            assert!(first("del") > last("hsetnx") && first("del") > last("set"));
        }
    }

    #[test]
    fn only_what_is_needed_raises_a_doubt() {
        assert!(is_needed(b"sadd") && is_needed(b"EVALSHA"));
        assert!(!is_needed(b"CONFIG") && !is_needed(b"RANDOMKEY"));
    }
}

//! Commands that travel together, encoded as they are sent, and the reply to each.

use bytes::{Buf, Bytes};
use redis::{Cmd, Value};

use super::connection::Redirect;
use super::layout::Group;
use crate::store::StoreError;

/// Commands in the order in which they are sent. Those of one group arrive in that order; in a cluster, groups may
/// travel to different nodes.
///
/// Commands are encoded when they are added. Most batches go to one server as they are, so that a command of the hot
/// path costs no allocation of its own.
#[derive(Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    commands: Vec<Command>,
}

/// One command of a batch.
#[derive(Clone, Copy, Debug)]
struct Command {
    group: Group,
    /// Whether it changes nothing, so that it may be sent again.
    is_look_up: bool,
    /// Where its bytes end. They begin at the end of the command before.
    end: usize,
}

/// One command of a batch, as it was encoded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoded<'a> {
    pub(super) group: Group,
    /// Whether it changes nothing, so that it may be sent again. An unknown command counts as a write.
    pub(super) is_look_up: bool,
    pub(super) bytes: &'a [u8],
}

/// Commands for one connection, as they are sent.
#[derive(Default)]
pub(super) struct Request {
    bytes: Vec<u8>,
    commands: usize,
}

/// The names of the commands of a request, read from its bytes.
pub(super) struct Names {
    bytes: Bytes,
    /// How many commands were passed.
    passed: usize,
}

/// The reply to one command: a value that is no error, or the fault of this command alone.
pub(super) type Reply = Result<Value, Fault>;

/// Why a command has no value.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) error: StoreError,
    /// Redis does not know the script of that hash: it has to be sent as text.
    pub(super) unknown_script: bool,
    /// The command has to go to another node of the cluster.
    pub(super) redirect: Option<Box<Redirect>>,
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        Self { error, unknown_script: false, redirect: None }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}

impl FromIterator<(Group, Cmd)> for Batch {
    fn from_iter<I: IntoIterator<Item = (Group, Cmd)>>(commands: I) -> Self {
        let mut batch = Self::default();
        commands.into_iter().for_each(|(group, command)| batch.push(group, &command));
        batch
    }
}

impl Batch {
    /// An empty batch with room for so many commands, of so many bytes in all.
    pub(super) fn with_capacity(commands: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), commands: Vec::with_capacity(commands) }
    }

    /// Adds a command, all of whose keys are of one group.
    pub(super) fn push(&mut self, group: Group, command: &Cmd) {
        command.write_packed_command(&mut self.bytes);
        let is_look_up = is_look_up(command);
        self.commands.push(Command { group, is_look_up, end: self.bytes.len() });
    }

    /// Adds a command that changes something. `words` is the number of its words, which `write` adds.
    pub(super) fn write(&mut self, group: Group, words: usize, write: impl FnOnce(&mut Words<'_>)) {
        self.encode(group, false, words, write);
    }

    /// Adds a command that changes nothing. `words` is the number of its words, which `write` adds.
    pub(super) fn look_up(&mut self, group: Group, words: usize, write: impl FnOnce(&mut Words<'_>)) {
        self.encode(group, true, words, write);
    }

    fn encode(&mut self, group: Group, is_look_up: bool, words: usize, write: impl FnOnce(&mut Words<'_>)) {
        let mut encoded = Words { bytes: &mut self.bytes };
        encoded.head(b'*', words);
        write(&mut encoded);
        self.commands.push(Command { group, is_look_up, end: self.bytes.len() });
    }

    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    /// The commands, each with its bytes.
    pub(super) fn commands(&self) -> impl Iterator<Item = Encoded<'_>> {
        let mut start = 0;
        self.commands.iter().map(move |Command { group, is_look_up, end }| {
            let bytes = &self.bytes[std::mem::replace(&mut start, *end)..*end];
            Encoded { group: *group, is_look_up: *is_look_up, bytes }
        })
    }

    /// Returns all commands as one request, for a Redis that holds all groups.
    pub(super) fn into_request(self) -> Request {
        Request { commands: self.commands.len(), bytes: self.bytes }
    }
}

impl Request {
    /// A request of one command.
    pub(super) fn of(command: &Cmd) -> Self {
        let mut request = Self::default();
        request.push(&command.get_packed_command());
        request
    }

    /// Adds a command as it was encoded.
    pub(super) fn push(&mut self, command: &[u8]) {
        self.bytes.extend_from_slice(command);
        self.commands += 1;
    }

    /// Returns how many commands, and so how many replies, these are.
    pub(super) fn commands(&self) -> usize {
        self.commands
    }

    /// Returns the bytes to send.
    pub(super) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }
}

impl Names {
    /// The names in a request whose bytes these are.
    pub(super) fn of(bytes: Bytes) -> Self {
        Self { bytes, passed: 0 }
    }

    /// Returns the name of the command at this place. Places must ascend: what is passed is not read again.
    pub(super) fn at(&mut self, place: usize) -> Option<Bytes> {
        while self.passed < place {
            self.next()?;
        }
        self.next()
    }

    /// Reads one command and returns its name.
    fn next(&mut self) -> Option<Bytes> {
        let words = self.head(b'*')?;
        let mut name = None;
        for _ in 0..words {
            let length = self.head(b'$')?;
            if self.bytes.len() < length + 2 {
                return None;
            }
            let word = self.bytes.split_to(length);
            self.bytes.advance(2);
            name.get_or_insert(word);
        }
        self.passed += 1;
        name
    }

    /// Reads a line such as `*3`.
    fn head(&mut self, kind: u8) -> Option<usize> {
        let end = self.bytes.iter().position(|byte| *byte == b'\r')?;
        let line = self.bytes.split_to(end);
        if self.bytes.len() < 2 {
            return None;
        }
        self.bytes.advance(2);
        std::str::from_utf8(line.strip_prefix(&[kind])?).ok()?.parse().ok()
    }
}

/// The words of one command: its name and arguments.
pub(super) struct Words<'a> {
    bytes: &'a mut Vec<u8>,
}

impl Words<'_> {
    /// Adds a word.
    pub(super) fn add(&mut self, word: &[u8]) {
        self.add_by(word.len(), |bytes| bytes.extend_from_slice(word));
    }

    /// Adds a number in decimal digits.
    pub(super) fn number(&mut self, number: impl itoa::Integer) {
        self.add(itoa::Buffer::new().format(number).as_bytes());
    }

    /// Adds a word of so many bytes, which `write` appends.
    pub(super) fn add_by(&mut self, length: usize, write: impl FnOnce(&mut Vec<u8>)) {
        self.head(b'$', length);
        let start = self.bytes.len();
        write(self.bytes);
        debug_assert_eq!(self.bytes.len() - start, length, "a word has the length that stands before it");
        self.bytes.extend_from_slice(b"\r\n");
    }

    fn head(&mut self, kind: u8, count: usize) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(itoa::Buffer::new().format(count).as_bytes());
        self.bytes.extend_from_slice(b"\r\n");
    }
}

/// Whether a command changes nothing, so that it may be sent again. An unknown command counts as a write.
fn is_look_up(command: &Cmd) -> bool {
    const LOOK_UPS: [&[u8]; 12] = [
        b"GET",
        b"MGET",
        b"EXISTS",
        b"SISMEMBER",
        b"SMISMEMBER",
        b"SCARD",
        b"HGET",
        b"HMGET",
        b"HGETALL",
        b"PTTL",
        b"STRLEN",
        b"EVALSHA_RO",
    ];
    match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) => LOOK_UPS.iter().any(|known| name.eq_ignore_ascii_case(known)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_encoded_words_equal_those_of_the_client() {
        let mut ours = Batch::default();
        ours.write(Group::NAMESPACE, 4, |words| {
            words.add(b"SADD");
            words.add_by(3, |bytes| bytes.extend_from_slice(b"key"));
            words.number(-7_i64);
            words.add(b"");
        });
        let mut theirs = Batch::default();
        theirs.push(Group::NAMESPACE, redis::cmd("SADD").arg("key").arg(-7).arg(""));
        assert_eq!(ours.bytes, theirs.bytes);
        assert!(!ours.commands().next().unwrap().is_look_up);
    }

    #[test]
    fn batch_commands_have_their_own_bytes() {
        let mut batch = Batch::default();
        batch.push(Group::nth(1), &redis::cmd("TIME"));
        batch.look_up(Group::nth(2), 2, |words| {
            words.add(b"GET");
            words.add(b"a");
        });
        let all: Vec<_> = batch.commands().map(|it| (it.group, it.is_look_up, it.bytes.to_vec())).collect();
        assert_eq!(all[0], (Group::nth(1), false, b"*1\r\n$4\r\nTIME\r\n".to_vec()));
        assert_eq!(all[1], (Group::nth(2), true, b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n".to_vec()));
        let request = batch.into_request();
        assert_eq!((request.commands, request.bytes.len()), (2, all[0].2.len() + all[1].2.len()));
    }

    #[test]
    fn request_names_are_found_by_place() {
        let mut request = Request::of(redis::cmd("SET").arg("a\r\n*1\r\n").arg(""));
        for name in ["GET", "EVALSHA", "DEL"] {
            request.push(&redis::cmd(name).arg("x").get_packed_command());
        }
        assert_eq!(request.commands(), 4);
        let bytes = request.into_bytes();
        for places in [&[0, 1, 2, 3][..], &[0, 3], &[2], &[3]] {
            let mut names = Names::of(bytes.clone());
            for place in places {
                let name = [&b"SET"[..], b"GET", b"EVALSHA", b"DEL"][*place];
                assert_eq!(names.at(*place).as_deref(), Some(name), "{places:?}");
            }
        }
        assert_eq!(Names::of(bytes).at(4), None);
    }
}

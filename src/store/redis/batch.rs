//! Commands that travel together, and what comes back for each.

use redis::{Cmd, Pipeline, Value};

use super::connection::Redirect;
use super::layout::Group;
use crate::store::StoreError;

/// Commands in the order in which they are sent. Those of one group arrive in that order; in a cluster, groups may
/// travel to different nodes.
#[derive(Default)]
pub(super) struct Batch {
    commands: Vec<(Group, Cmd)>,
}

/// A command of the hot path, with room for its arguments of so many bytes in all: grown piece by piece, it would be
/// allocated three times over.
pub(super) fn roomy(name: &str, arguments: usize, bytes: usize) -> Cmd {
    let mut command = Cmd::with_capacity(1 + arguments, name.len() + bytes);
    command.arg(name);
    command
}

/// A command about one member of a set.
pub(super) fn of_set(name: &str, key: Vec<u8>, member: i64) -> Cmd {
    // The longest number has 20 characters.
    roomy(name, 2, key.len() + 20).arg(key).arg(member).take()
}

/// What one command was answered: a value that is no error, or what went wrong with this command alone.
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
        Self { commands: commands.into_iter().collect() }
    }
}

impl Batch {
    pub(super) fn with_capacity(commands: usize) -> Self {
        Self { commands: Vec::with_capacity(commands) }
    }

    /// Adds a command, all of whose keys are of one group.
    pub(super) fn push(&mut self, group: Group, command: Cmd) {
        self.commands.push((group, command));
    }

    pub(super) fn len(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn into_commands(self) -> impl Iterator<Item = (Group, Cmd)> {
        self.commands.into_iter()
    }

    /// All commands in one pipeline, for a Redis that holds all groups.
    pub(super) fn into_pipeline(self) -> Pipeline {
        let mut pipeline = Pipeline::with_capacity(self.commands.len());
        self.commands.into_iter().for_each(|(_, command)| {
            pipeline.add_command(command);
        });
        pipeline
    }
}

//! Flags of the same names as the variables: `--group` for `HAPAX_GROUP`.

use std::ffi::OsString;

use clap::{Arg, ArgMatches, Args, Command, Error, FromArgMatches};

use crate::sidecar::environment::{Environment, variables};

/// What was given on the command line: the variable, and its value.
#[derive(Clone, Debug, Default)]
pub(super) struct Flags(Vec<(String, OsString)>);

impl Flags {
    /// The environment of this process, with these flags before it.
    pub(super) fn environment(&self) -> Environment {
        let environment = Environment::new(std::env::vars_os());
        self.0.iter().fold(environment, |environment, (variable, value)| environment.flag(variable, value))
    }
}

impl Args for Flags {
    fn augment_args(mut command: Command) -> Command {
        for group in variables() {
            for variable in group.variables {
                let (name, flag) = variable.flag();
                let help = match variable.default {
                    "" => variable.help.to_owned(),
                    default => format!("{} [default: {default}]", variable.help),
                };
                let arg = Arg::new(name.clone()).long(flag).value_name(variable.kind.word());
                let arg = arg.value_parser(clap::value_parser!(OsString)).help(format!("{help} [{name}]"));
                command = command.arg(arg.help_heading(group.title));
            }
        }
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Flags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
        let names = variables().into_iter().flat_map(|group| group.variables).map(|variable| variable.flag().0);
        let given = names.filter_map(|name| Some((name.clone(), matches.get_one::<OsString>(&name)?.clone())));
        self.0 = given.collect();
        Ok(())
    }
}

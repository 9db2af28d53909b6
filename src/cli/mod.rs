//! The command line.
//!
//! Exit codes: 0 all went well; 1 the demo's promise did not hold, the doctor warns, or handlers still run after
//! `pause --wait`; 2 the doctor finds errors; 64 bad arguments or settings; 69 a service cannot be reached; 70 an error
//! of hapax itself. What was asked for goes to stdout, everything else to stderr.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod config;
mod demo;
mod doctor;
mod flags;
mod ids;
mod paint;
mod replay;
mod run;
mod running;

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use self::flags::Flags;
use crate::error::causes;
use crate::kafka::SourceError;
use crate::sidecar::Settings;
use crate::sidecar::environment::Read;
use crate::store::StoreError;

/// Bad arguments or settings (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;
/// A service cannot be reached (`EX_UNAVAILABLE`).
const EXIT_UNAVAILABLE: u8 = 69;
/// An error of hapax itself (`EX_SOFTWARE`).
const EXIT_SOFTWARE: u8 = 70;

/// Handles each Kafka message once, although the broker delivers at least once and producers resend.
#[derive(Debug, Parser)]
#[command(
    name = "hapax",
    version,
    about,
    max_term_width = 100,
    after_help = "Settings are variables of the environment, or flags of the same names: HAPAX_GROUP is --group. Try \
                  `hapax config --markdown`, then `hapax doctor`, then `hapax run`.\n\nExit codes: 64 bad arguments or \
                  settings, 69 a service cannot be reached, 70 an error of hapax itself."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Runs the sidecar, until SIGTERM or SIGINT.
    ///
    /// The first signal ends in order: nothing new starts, what runs may end, and is recorded and committed. A second one
    /// ends at once; what was running may run again elsewhere.
    Run(Flags),
    /// Shows duplicates being dropped and nothing being lost, with nothing to install.
    ///
    /// Starts a Kafka cluster inside this process (librdkafka's own), produces records of which a known share are
    /// duplicates, consumes them with several workers, kills one of them on the way without drain, commit or release,
    /// and counts the effects. Ends with 0 if no message was lost and every repeated effect is explained by the kill.
    Demo(demo::Options),
    /// Prints the settings in force and where each came from, or everything that is wrong with them.
    Config {
        #[command(flatten)]
        options: config::Options,
        #[command(flatten)]
        flags: Flags,
    },
    /// Looks at everything that the settings name, and says what could lose or repeat a message. Changes nothing.
    ///
    /// Ends with 0 where nothing is worse than a note, 1 after warnings, 2 after errors, 69 where a service cannot be
    /// reached.
    Doctor {
        #[command(flatten)]
        options: doctor::Options,
        #[command(flatten)]
        flags: Flags,
    },
    /// Tells what is known of message IDs, and what would become of their messages.
    Inspect {
        #[command(flatten)]
        options: ids::Options,
        #[command(flatten)]
        flags: Flags,
    },
    /// Forgets message IDs, so that their messages are handled when they come again. Shows them first.
    Forget {
        #[command(flatten)]
        options: ids::ForgetOptions,
        #[command(flatten)]
        flags: Flags,
    },
    /// Sends dead letters back to the topics that they came from. Tells what it would send first.
    Replay {
        #[command(flatten)]
        options: replay::Options,
        #[command(flatten)]
        flags: Flags,
    },
    /// Tells what a hapax that runs with these settings is doing.
    Status {
        #[command(flatten)]
        options: running::StatusOptions,
        #[command(flatten)]
        flags: Flags,
    },
    /// Lets nothing new start in the hapax that runs with these settings, until `hapax resume`.
    ///
    /// What runs may end, and is recorded and committed. Messages stay in Kafka, and so does this member in its group.
    Pause {
        #[command(flatten)]
        options: running::PauseOptions,
        #[command(flatten)]
        flags: Flags,
    },
    /// Lets a paused hapax go on.
    Resume(Flags),
    /// Has a hapax that runs with these settings try the records again at which its partitions stand stopped.
    ///
    /// A stopped partition tries its record by itself, too, ever more slowly, if time may mend the reason. After an answer
    /// of 410 this also delivers messages again.
    Retry {
        #[command(flatten)]
        options: running::RetryOptions,
        #[command(flatten)]
        flags: Flags,
    },
    /// Settles one record that cannot be handled, in the hapax that runs with these settings. Shows it first.
    ///
    /// Only the record can be skipped at which a partition stands stopped, or one that waits for its next attempt. It is
    /// never handled, and its ID is recorded as done, so that its duplicates are dropped, too.
    Skip {
        #[command(flatten)]
        options: running::SkipOptions,
        #[command(flatten)]
        flags: Flags,
    },
    /// Prints completions for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
}

/// Parses the arguments, runs the command, prints its error.
pub fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            let shown = error.print();
            return match (error.use_stderr(), shown) {
                (false, Ok(())) => ExitCode::SUCCESS,
                _ => ExitCode::from(EXIT_USAGE),
            };
        }
    };
    match perform(arguments.command) {
        Ok(code) => code,
        Err(error) => failed(&*error),
    }
}

fn perform(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Run(flags) => {
            let read = settings(&flags)?;
            warn(&read)?;
            in_runtime(run::sidecar(read.settings, read.ignored))??;
        }
        Command::Demo(options) => {
            log_to_stderr("error");
            let report = demo::run(&options)?;
            writeln!(io::stdout(), "{report}")?;
            return Ok(ExitCode::from(u8::from(!report.holds())));
        }
        Command::Config { options, .. } if options.markdown => config::markdown()?,
        Command::Config { options, flags } => config::print(&settings(&flags)?, &options)?,
        Command::Doctor { options, flags } => {
            let read = settings(&flags)?;
            log_to_stderr("off");
            return Ok(in_runtime(doctor::run(&read.settings, &options))??);
        }
        Command::Inspect { options, flags } => {
            let read = settings(&flags)?;
            log_to_stderr("off");
            in_runtime(ids::inspect(&read.settings, &options))??;
        }
        Command::Forget { options, flags } => {
            let read = settings(&flags)?;
            log_to_stderr("off");
            in_runtime(ids::forget(&read.settings, &options))??;
        }
        Command::Replay { options, flags } => {
            let read = settings(&flags)?;
            log_to_stderr("error");
            in_runtime(replay::run(&read.settings, &options))??;
        }
        Command::Status { options, flags } => {
            in_runtime(running::status(&settings(&flags)?.settings, &options))??;
        }
        Command::Pause { options, flags } => {
            let ended = in_runtime(running::pause(&settings(&flags)?.settings, &options))??;
            return Ok(ExitCode::from(u8::from(!ended)));
        }
        Command::Resume(flags) => in_runtime(running::resume(&settings(&flags)?.settings))??,
        Command::Retry { options, flags } => in_runtime(running::retry(&settings(&flags)?.settings, &options))??,
        Command::Skip { options, flags } => in_runtime(running::skip(&settings(&flags)?.settings, &options))??,
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Arguments::command(), "hapax", &mut io::stdout());
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn settings(flags: &Flags) -> Result<Read, Box<dyn Error>> {
    Ok(Settings::from_environment(&flags.environment())?)
}

fn warn(read: &Read) -> io::Result<()> {
    let mut err = io::stderr().lock();
    read.warnings.iter().try_for_each(|warning| writeln!(err, "{}: {warning}", paint::warning()))
}

fn in_runtime<T>(work: impl Future<Output = T>) -> io::Result<T> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work))
}

/// For commands that answer on stdout: what the library logs, where somebody asks for it.
fn log_to_stderr(otherwise: &str) {
    let filter = tracing_subscriber::EnvFilter::try_from_env("HAPAX_LOG");
    let filter = filter.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new(otherwise));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).init();
}

fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    // As with `hapax config | head`: nobody wants the rest.
    let broken = |error: &(dyn Error + 'static)| {
        error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    };
    if broken(error) {
        return ExitCode::SUCCESS;
    }
    let mut text = format!("{}: {error}\n", paint::error());
    causes(error).for_each(|cause| text.push_str(&format!("  because: {cause}\n")));
    // Where nobody reads it, the code still tells.
    io::stderr().write_all(text.as_bytes()).ok();
    ExitCode::from(exit_code(error))
}

/// By what the error is, or what lies behind it.
fn exit_code(error: &(dyn Error + 'static)) -> u8 {
    use crate::error::Problem;
    use crate::sidecar::SidecarError;
    use crate::sidecar::environment::Problems;
    use crate::sidecar::naming::NamingError;

    for error in std::iter::once(error).chain(causes(error)) {
        if let Some(error) = error.downcast_ref::<SidecarError>() {
            return run::exit_code(error);
        }
        if error.is::<reqwest::Error>() {
            return EXIT_UNAVAILABLE;
        }
        if let Some(error) = error.downcast_ref::<SourceError>() {
            return if error.is_configuration() { EXIT_USAGE } else { EXIT_UNAVAILABLE };
        }
        if let Some(error) = error.downcast_ref::<StoreError>() {
            return if error.is_retryable() { EXIT_UNAVAILABLE } else { EXIT_USAGE };
        }
        if error.is::<Problem>()
            || error.is::<Problems>()
            || error.is::<NamingError>()
            || error.is::<running::Refused>()
        {
            return EXIT_USAGE;
        }
    }
    EXIT_SOFTWARE
}

//! The command line: `hapax demo`.
//!
//! Exit codes: 0 all went well, 1 the promise did not hold, 64 bad arguments, 69 a service cannot be reached, 70 an
//! error of hapax itself.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line prints")]

mod demo;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Bad arguments (`EX_USAGE` of sysexits.h).
const EXIT_USAGE: u8 = 64;
/// An error of hapax itself (`EX_SOFTWARE`).
const EXIT_SOFTWARE: u8 = 70;

/// Handles each Kafka message once, although the broker delivers at least once and producers resend.
#[derive(Debug, Parser)]
#[command(
    name = "hapax",
    version,
    about,
    max_term_width = 100,
    after_help = "Logs go to stderr. HAPAX_LOG sets what is logged, as in HAPAX_LOG=info or HAPAX_LOG=hapax=debug."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Shows duplicates being dropped and nothing being lost, with nothing to install.
    ///
    /// Starts a Kafka cluster inside this process (librdkafka's own), produces records of which a known share are
    /// duplicates, consumes them with several workers, kills one of them on the way without drain, commit or release,
    /// and counts the effects. Ends with 0 if no message was lost and every repeated effect is explained by the kill.
    Demo(demo::Options),
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
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("HAPAX_LOG")
                .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("error")),
        )
        .with_writer(std::io::stderr)
        .init();
    match arguments.command {
        Command::Demo(options) => match demo::run(&options) {
            Ok(report) => {
                println!("{report}");
                ExitCode::from(u8::from(!report.holds()))
            }
            Err(error) => failed(&*error),
        },
    }
}

fn failed(error: &(dyn Error + 'static)) -> ExitCode {
    eprintln!("error: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::from(EXIT_SOFTWARE)
}

//! The examples, as programs.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use super::{Program, tools};

/// Starts an example with these variables: as cargo built it beside this test, or built now, which may take minutes.
pub fn example(name: &str, envs: &[(&str, &str)]) -> Program {
    let program = built(name).unwrap_or_else(|| {
        build(name);
        directory().join(name).with_extension(env::consts::EXE_EXTENSION)
    });
    let mut command = Command::new(program);
    command.envs(envs.iter().copied());
    Program::start(&format!("the example {name}"), &command)
}

/// Where cargo leaves the examples of the profile and the target directory of this program.
fn directory() -> PathBuf {
    let this = env::current_exe().expect("this program");
    let profile = this.parent().and_then(Path::parent).expect("it lies in target/<profile>/deps");
    profile.join("examples")
}

/// The program that `cargo test` or `cargo build --examples` left beside this one, unless something that it was made of
/// is newer: `cargo test --test …` builds no examples.
fn built(name: &str) -> Option<PathBuf> {
    let examples = directory();
    let program = examples.join(name).with_extension(env::consts::EXE_EXTENSION);
    let made = fs::metadata(&program).ok()?.modified().ok()?;
    // `program: file file …`, as make reads it. A name with a space in it is taken for two that are not there.
    let made_of = fs::read_to_string(examples.join(name).with_extension("d")).ok()?;
    let is_older =
        |file: &str| fs::metadata(Path::new(file)).and_then(|file| file.modified()).is_ok_and(|it| it <= made);
    made_of.split_once(':')?.1.split_whitespace().all(is_older).then_some(program)
}

fn build(name: &str) {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["build", "--quiet", "--locked"]);
    cargo.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
    // The profile of this test, whose dependencies are built.
    cargo.args(if cfg!(debug_assertions) { [].as_slice() } else { &["--release"] });
    // The features of this test too: with others, all dependencies would be compiled once more.
    for (feature, is_on) in [("sidecar", cfg!(feature = "sidecar")), ("failpoints", cfg!(feature = "failpoints"))] {
        if is_on {
            cargo.args(["--features", feature]);
        }
    }
    cargo.args(["--example", name]);
    let target = directory().parent().and_then(Path::parent).map(Path::to_owned).expect("the target directory");
    tools::output_of(cargo.env("CARGO_TARGET_DIR", target));
}

//! Where the services' programs are: named in the environment by `tests/run`, or found where it put them.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The program redis-server. Panics, saying what to do, where it is missing.
pub fn redis_server() -> PathBuf {
    program("TEST_REDIS_SERVER", "redis-server", "redis-server 7.0 or newer")
}

/// The program redis-cli, which comes with the server.
pub fn redis_cli() -> PathBuf {
    let beside = redis_server().with_file_name("redis-cli");
    if beside.is_file() { beside } else { on_path("redis-cli").unwrap_or_else(|| missing("redis-cli")) }
}

/// The directory of PostgreSQL's programs, `postgres`, `initdb` and `psql` among them.
pub fn postgres_bin() -> PathBuf {
    let named = env::var_os("TEST_POSTGRES_BIN").map(PathBuf::from);
    let found = named.or_else(installed_postgres).or_else(|| on_path("initdb")?.parent().map(Path::to_owned));
    found.filter(|bin| is_postgres_bin(bin)).unwrap_or_else(|| missing("PostgreSQL's server"))
}

fn is_postgres_bin(bin: &Path) -> bool {
    ["initdb", "postgres", "psql"].iter().all(|program| bin.join(program).is_file())
}

/// Debian keeps them off the path, each version in a directory of its own.
fn installed_postgres() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?.flatten().map(|entry| entry.path().join("bin"));
    versions.filter(|bin| is_postgres_bin(bin)).max()
}

/// The program java. Panics, saying what to do, where it is missing.
pub fn java() -> PathBuf {
    program("TEST_JAVA", "java", "java 17 or newer")
}

/// The directory of Kafka's jars. Panics, saying what to do, where it is missing.
pub fn kafka_lib() -> PathBuf {
    let lib = env::var_os("TEST_KAFKA_LIB").map(PathBuf::from).or_else(fetched_kafka);
    lib.filter(|lib| lib.is_dir()).unwrap_or_else(|| missing("Kafka"))
}

/// The jars that an earlier `tests/run` fetched into the target directory, in which this program lies too.
fn fetched_kafka() -> Option<PathBuf> {
    let pom = include_str!("../../services/kafka/pom.xml");
    let version = pom.split_once("<kafka.version>")?.1.split_once('<')?.0;
    let lib = Path::new("services").join(format!("kafka-{version}")).join("lib");
    let this = env::current_exe().ok()?;
    this.ancestors().map(|directory| directory.join(&lib)).find(|lib| lib.is_dir())
}

/// The library libfaketime, which turns the clock of the program that it is loaded into.
pub fn faketime() -> PathBuf {
    let named = env::var_os("TEST_FAKETIME").map(PathBuf::from);
    named.or_else(installed_faketime).filter(|path| path.is_file()).unwrap_or_else(|| missing("libfaketime"))
}

/// Debian keeps it in a directory of the architecture, others do not.
fn installed_faketime() -> Option<PathBuf> {
    let of_architectures = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path());
    let directories = of_architectures.chain(["/usr/lib".into(), "/usr/lib64".into(), "/usr/local/lib".into()]);
    directories.map(|directory| directory.join("faketime/libfaketime.so.1")).find(|path| path.is_file())
}

fn program(variable: &str, name: &str, what: &str) -> PathBuf {
    let found = match env::var_os(variable) {
        Some(named) => Some(PathBuf::from(named)).filter(|path| path.is_file()),
        None => on_path(name),
    };
    found.unwrap_or_else(|| missing(what))
}

fn on_path(name: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|directory| directory.join(name)).find(|path| path.is_file())
}

fn missing(what: &str) -> ! {
    panic!("{what} is missing: run tests/run, which installs it")
}

/// Runs a program to its end and answers what it printed; panics with that when it failed.
pub fn output_of(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} did not start: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).trim_end().to_owned();
    let complaint = String::from_utf8_lossy(&output.stderr).trim_end().to_owned();
    assert!(output.status.success(), "{command:?} failed: {printed} {complaint}");
    printed
}

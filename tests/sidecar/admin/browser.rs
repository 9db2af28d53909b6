//! A browser without a screen: what a page looks like after its scripts have run.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::common::Program;

const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// Chromium, where `tests/run` has put it or on the path. Panics, saying what to do, where it is missing.
fn chromium() -> PathBuf {
    let named = env::var_os("TEST_CHROMIUM").map(PathBuf::from);
    let path = env::var_os("PATH").unwrap_or_default();
    let mut on_path = NAMES.iter().flat_map(|name| env::split_paths(&path).map(move |directory| directory.join(name)));
    let found = named.or_else(|| on_path.find(|program| program.is_file()));
    found.filter(|program| program.is_file()).expect("chromium is missing: run tests/run, which installs it")
}

/// The elements of a page, as they are some seconds of its own time after it was opened. `name` tells its pictures
/// apart, which are taken where `TEST_PICTURES` names a directory for them.
pub async fn open(url: &str, name: &str) -> String {
    if let Some(directory) = env::var_os("TEST_PICTURES") {
        for (scheme, size) in [("light", "1180,1180"), ("dark", "1180,1180"), ("narrow", "420,1500")] {
            let picture = PathBuf::from(&directory).join(format!("{name}-{scheme}.png"));
            let dark = (scheme == "dark").then(|| "--blink-settings=preferredColorScheme=0".to_owned());
            let picture = [format!("--screenshot={}", picture.display()), format!("--window-size={size}")];
            run(url, picture.into_iter().chain(dark)).await;
        }
    }
    run(url, ["--dump-dom".to_owned()]).await
}

async fn run(url: &str, wanted: impl IntoIterator<Item = String>) -> String {
    let profile = tempfile::Builder::new().prefix("hapax-browser-").tempdir().expect("a temporary directory");
    let mut command = Command::new(chromium());
    // Its own sandbox needs rights that a container seldom has; what it opens is our own page.
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]);
    command.args(["--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"]);
    command.arg(format!("--user-data-dir={}", profile.path().display())).arg("--virtual-time-budget=7000");
    command.args(wanted).arg(url).env("HOME", profile.path());
    let browser = Program::start("chromium", &command);
    let status = browser.exit().await;
    assert_eq!(status, 0, "{}", browser.output());
    browser.output()
}

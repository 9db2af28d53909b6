//! Files that variables name.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

/// No secret, certificate or key is larger.
const LARGEST: u64 = 1 << 20;

/// The content of a file.
///
/// # Errors
///
/// What is wrong with it, in words that follow the name of the variable.
pub(in crate::sidecar) fn content(path: &Path) -> Result<Vec<u8>, &'static str> {
    // A pipe that nobody writes to would hold up the start for ever.
    match std::fs::metadata(path) {
        Ok(found) if !found.is_file() => return Err("names something that is not a file"),
        Err(error) if error.kind() == ErrorKind::NotFound => return Err("names a file that is not there"),
        _ => {}
    }
    let mut content = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut content));
    match read {
        Ok(length) if length as u64 > LARGEST => Err("names a file of more than 1 MiB"),
        Ok(0) => Err("names an empty file"),
        Ok(_) => Ok(content),
        Err(error) if error.kind() == ErrorKind::PermissionDenied => {
            Err("names a file that this process is not allowed to read")
        }
        Err(_) => Err("names a file that cannot be read"),
    }
}

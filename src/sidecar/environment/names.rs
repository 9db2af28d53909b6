//! The nearest name.

/// The name that somebody probably meant.
pub(super) fn nearest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let near = |name: &&str| {
        let distance = strsim::damerau_levenshtein(wrong, name);
        // A third of a short name is another name.
        (distance <= 2 || distance * 6 <= name.len()) || strsim::jaro_winkler(wrong, name) > 0.96
    };
    names.filter(near).min_by_key(|name| strsim::damerau_levenshtein(wrong, name))
}

/// A name as it can be printed: whoever set it chose it freely.
pub(super) fn printable(name: &str) -> String {
    const LONGEST: usize = 80;
    let shown: String = name.chars().take(LONGEST).flat_map(char::escape_debug).collect();
    match name.chars().count() > LONGEST {
        true => format!("{shown}…"),
        false => shown,
    }
}

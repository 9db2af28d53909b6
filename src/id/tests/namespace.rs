//! Names that may stand in a key of the store.

use crate::id::{InvalidNamespace, Namespace};

#[test]
fn only_plain_names() {
    let longest = "n".repeat(64);
    for good in ["a", "0", "Billing-2.eu_west", "..", &longest] {
        assert_eq!(Namespace::new(good).unwrap().as_str(), good);
    }
    let too_long = "n".repeat(65);
    for bad in ["", " ", "a b", "a:b", "{a}", "a/b", "a\n", "a\0", "*", "é", "ａ", &too_long] {
        assert_eq!(Namespace::new(bad), Err(InvalidNamespace), "{bad:?}");
    }
}

//! Slots of a cluster, and names of groups that spread evenly over them.

/// How many slots a cluster has.
const SLOTS: u16 = 16384;

/// The slot of a hash tag: CRC-16/XMODEM, modulo the number of slots.
pub(super) const fn slot(tag: &[u8]) -> u16 {
    let mut crc = 0_u16;
    let mut i = 0;
    while i < tag.len() {
        crc ^= (tag[i] as u16) << 8;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
            bit += 1;
        }
        i += 1;
    }
    crc % SLOTS
}

/// The names of the 64 groups: for each 64th part of the slots, the first number of two hexadecimal digits whose own slot
/// lies there.
///
/// The checksum is linear: the slot of `<namespace>.<name>` is that of `<name>`, exclusive-or something that depends on the
/// namespace alone. So for every namespace each 64th part of the slots has exactly one group, and nodes with equally many
/// slots have equally many groups, but for one or two. (The numbers from 00 to 3f would give a node up to 17 % more than its
/// share with three nodes, 31 % with six, 55 % with nine; these names 3 %, 13 % and 13 %, which is one group.)
pub(super) const NAMES: [[u8; 2]; 64] = names();

const fn names() -> [[u8; 2]; 64] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut names = [[0; 2]; 64];
    let mut number = 256;
    while number > 0 {
        number -= 1;
        let name = [DIGITS[number >> 4], DIGITS[number & 15]];
        names[(slot(&name) >> 8) as usize] = name;
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot(b"123456789"), 0x31C3);
        assert_eq!(slot(b"foo"), 12182);
        assert_eq!(slot(b""), 0);
    }

    /// They stand in keys, so they never change.
    #[test]
    fn the_names_are_these() {
        let names: Vec<&str> = NAMES.iter().map(|name| std::str::from_utf8(name).unwrap()).collect();
        let expected = "10 18 cc 03 29 21 32 f1 69 0b 1a b1 3c 58 a0 2d 11 19 cb 02 28 20 33 f0 68 0c 1d b0 3b 59 a1 2a \
                        12 bb 09 01 ac 23 30 38 c0 0d 1c 78 3a fb 49 2b 13 bc 08 00 ab 22 31 39 c1 0a 1b 79 3d fc 48 2c";
        assert_eq!(names.join(" "), expected);
    }

    #[test]
    fn groups_are_spread_evenly_over_any_number_of_nodes() {
        for namespace in
            ["n", "orders", "orders.eu", "A-very_long.namespace-with-64-characters.0123456789abcdefghijklmn"]
        {
            for nodes in [1, 3, 6, 12, 64] {
                let mut groups = vec![0; nodes];
                for name in NAMES {
                    let tag = [namespace.as_bytes(), b".", &name[..]].concat();
                    groups[usize::from(slot(&tag)) * nodes / usize::from(SLOTS)] += 1;
                }
                let (fewest, most) = (64 / nodes, 64_usize.div_ceil(nodes));
                // A border between two nodes may lie within a 64th part, whose group is on either side of it.
                assert!(groups.iter().all(|count| (fewest - 1..=most + 1).contains(count)), "{namespace}: {groups:?}");
            }
        }
    }
}

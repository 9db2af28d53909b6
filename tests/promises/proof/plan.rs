//! What is produced: messages, of which a tenth are sent twice.

use super::super::common::Message;

pub const SOURCE: &str = "/shop";

/// Which message each record holds, by partition and in order.
pub struct Plan {
    /// How many different messages there are; they are numbered from 0.
    pub messages: usize,
    partitions: Vec<Vec<usize>>,
    sendings: Vec<(i32, usize)>,
}

impl Plan {
    /// `records` in all. Every tenth is a message that was sent before, half of these to another partition; some come
    /// right behind the first sending, some long after it.
    pub fn new(records: usize, partitions: i32) -> Self {
        let mut sendings: Vec<(i32, usize)> = Vec::with_capacity(records);
        let mut messages = 0;
        for position in 0..records {
            let spread = i32::try_from(position).unwrap().wrapping_mul(7919).rem_euclid(partitions);
            if position % 10 != 9 {
                sendings.push((spread, messages));
                messages += 1;
                continue;
            }
            // 1 to 8 records back, or anywhere before.
            let back = if position % 20 == 9 { 1 + position / 20 % 8 } else { 1 + position * 31 % position };
            let (partition, message) = sendings[position - back];
            let elsewhere = if position % 40 < 20 { partition } else { (partition + 1) % partitions };
            sendings.push((elsewhere, message));
        }
        let mut by_partition = vec![Vec::new(); usize::try_from(partitions).unwrap()];
        for (partition, message) in &sendings {
            by_partition[usize::try_from(*partition).unwrap()].push(*message);
        }
        Self { messages, partitions: by_partition, sendings }
    }

    /// The records, in the order in which they are produced.
    pub fn messages(&self) -> impl Iterator<Item = Message> {
        self.sendings.iter().map(|(partition, message)| {
            Message::new()
                .partition(*partition)
                .header("ce_id", message.to_string())
                .header("ce_source", SOURCE)
                .payload(message.to_string())
        })
    }

    /// The messages of one partition, by offset.
    pub fn of_partition(&self, partition: i32) -> &[usize] {
        &self.partitions[usize::try_from(partition).unwrap()]
    }
}

//! The records: about 200 bytes each, some of which say again what an earlier one said.

use crate::service::{Client, Message, unique};

/// The header that holds the ID, and the one that says within what it is unique.
pub const ID: &str = "ce_id";
const SOURCE: &str = "ce_source";

/// How many records are made at once.
const CHUNK: u64 = 50_000;

/// A topic with records in it.
#[derive(Debug)]
pub struct Load {
    pub brokers: String,
    pub topic: String,
    pub records: u64,
    /// Different IDs among them.
    pub distinct: u64,
}

/// How records are made.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub keys: u64,
    pub repeats: Repeats,
    pub payload: usize,
}

/// Which records repeat the ID of an earlier record.
#[derive(Clone, Copy, Debug)]
pub enum Repeats {
    None,
    /// The last one of so many.
    OneIn(u64),
    /// All but the first of so many.
    AllButOneIn(u64),
}

/// What the rates are measured with: with key, headers and Kafka's own about 200 bytes.
pub const SMALL: Shape = Shape { keys: 10_000, repeats: Repeats::OneIn(10), payload: 110 };

impl Shape {
    /// The message of the `n`-th record.
    fn message_of(self, n: u64) -> u64 {
        let (of, repeats) = match self.repeats {
            Repeats::None => return n,
            Repeats::OneIn(of) => (of, n % of == of - 1),
            Repeats::AllButOneIn(of) => (of, !n.is_multiple_of(of)),
        };
        // Never another repetition, so that the share of duplicates is exact.
        if repeats { mix(n) % (n / of + 1) * of } else { n }
    }

    fn record(self, n: u64) -> Message {
        let message = self.message_of(n);
        let mut payload = format!("{{\"order\":{message},\"fills\":\"");
        while payload.len() + 2 < self.payload {
            payload.push_str(&format!("{:016x}", mix(message ^ payload.len() as u64)));
        }
        payload.truncate(self.payload.saturating_sub(2));
        payload.push_str("\"}");
        Message::new()
            .key(format!("customer-{}", mix(message) % self.keys))
            .header(SOURCE, "/orders")
            .header(ID, format!("{:016x}-{message:016x}", mix(!message)))
            .payload(payload)
    }

    /// Produces records of these numbers, in order.
    pub async fn produce(self, kafka: &Client, topic: &str, numbers: std::ops::Range<u64>) {
        let mut from = numbers.start;
        while from < numbers.end {
            let to = numbers.end.min(from + CHUNK);
            kafka.produce(topic, (from..to).map(|n| self.record(n))).await;
            from = to;
        }
    }
}

impl Load {
    /// A topic of so many partitions, with so many records.
    pub async fn produce(kafka: &Client, partitions: i32, records: u64, shape: Shape) -> Self {
        Self::produce_into(kafka, partitions, records, shape, &[]).await
    }

    /// A topic with settings of its own.
    pub async fn produce_into(
        kafka: &Client,
        partitions: i32,
        records: u64,
        shape: Shape,
        settings: &[(&str, &str)],
    ) -> Self {
        let topic = unique("orders");
        kafka.create_topic_with(&topic, partitions, settings).await;
        shape.produce(kafka, &topic, 0..records).await;
        let distinct = (0..records).filter(|n| shape.message_of(*n) == *n).count() as u64;
        Self { brokers: kafka.bootstrap(), topic, records, distinct }
    }
}

/// The finalizer of SplitMix64: a bijection that looks like chance, the same in every run.
pub const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

//! Settings of what runs side by side, and of how much is taken at once.

use std::time::Duration;

use super::builder::ConsumerBuilder;
use crate::engine::Order;

impl ConsumerBuilder {
    /// Which records are handled one after the other; default [`Order::Partition`], for a loop that is wrapped must not
    /// get a weaker order than it had. It costs concurrency: one record that waits holds up all behind it. With another
    /// order set [`concurrency`](Self::concurrency); what a repeated effect does to the order, see
    /// [guarantees](crate::docs::guarantees).
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use hapax::consumer::{ConsumerBuilder, Shutdown};
    /// use hapax::engine::Order;
    /// use hapax::record::Record;
    ///
    /// async fn index(_: Record) -> Result<(), std::io::Error> {
    ///     Ok(())
    /// }
    ///
    /// # async fn example(consumer: ConsumerBuilder) -> Result<(), Box<dyn std::error::Error>> {
    /// // All changes of one document come after each other, those of 32 documents at once.
    /// consumer.order(Order::Key).concurrency(32).build()?.run_until(index, Shutdown::new()).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn order(mut self, order: Order) -> Self {
        self.engine.order = order;
        self
    }

    /// How many calls of the handler run at once, where the order is by key or none; default 64. In the order of
    /// partitions there is one for each. Choose it by what the handler's other end takes. What runs is exposed, so
    /// [`max_exposed`](Self::max_exposed) bounds it too: with batches, `concurrency` × [`batch`](Self::batch) records.
    pub fn concurrency(mut self, calls: usize) -> Self {
        self.engine.concurrency = calls;
        self
    }

    /// The same bound for each partition; default: none of its own, the partitions take turns. Set it where one
    /// partition must not have all calls while the others are idle.
    pub fn partition_concurrency(mut self, calls: usize) -> Self {
        self.engine.partition_concurrency = Some(calls);
        self
    }

    /// How many records one call takes at most in [`Consumer::run_batches`](super::Consumer::run_batches); default 100.
    /// [`Consumer::run`](super::Consumer::run) always takes one. A call waits for no more than is ready, so a great
    /// number costs no time. At most [`max_exposed`](Self::max_exposed), since a crash can repeat all of a call.
    pub fn batch(mut self, records: usize) -> Self {
        self.batch = Some(records);
        self
    }

    /// How many records of a partition may have been delivered since the first that is not settled, before the
    /// partition is held back; default 10,000. So many are read again, and recognised, after a crash. More lets other
    /// keys run further ahead of one that is stuck, and costs 16 bytes each.
    pub fn max_span(mut self, records: usize) -> Self {
        self.engine.max_span = records;
        self
    }

    /// After which time without progress a partition is reported, with what it waits for; default 60 s. It changes
    /// nothing else. Choose it longer than the [time limit of handlers](Self::handler_time_limit).
    pub fn stall_after(mut self, time: Duration) -> Self {
        self.engine.stall_after = time;
        self
    }

    /// Handlers running and completions under way at once, in the whole process: what one crash can repeat. Default
    /// 256. 1 is strict, handles one record at a time, and costs a round trip for each.
    pub fn max_exposed(mut self, records: usize) -> Self {
        self.engine.max_exposed = records;
        self
    }

    /// Records and bytes in flight at once, in the whole process; default 10,000 and 64 MiB: this is the bound on
    /// memory for what was delivered. Half of it is reserved for the partitions in equal shares. Up to a batch of the
    /// source more may be held. What librdkafka has fetched ahead comes on top (`queued.max.messages.kbytes`, 16 MiB).
    pub fn max_in_flight(mut self, records: usize, bytes: usize) -> Self {
        (self.engine.max_in_flight, self.engine.max_in_flight_bytes) = (records, bytes);
        self
    }

    /// How often offsets are committed, or after how many settled records of a partition; default 1 s and 10,000. What
    /// was not committed is read again after a crash, and recognised: more commits cost the brokers work and save
    /// reading.
    pub fn commit_every(mut self, interval: Duration, records: usize) -> Self {
        (self.engine.commit_interval, self.engine.commit_records) = (interval, records);
        self
    }
}

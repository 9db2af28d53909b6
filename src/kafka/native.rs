//! The one place that calls librdkafka's C functions itself, for what the safe interface cannot do:
//!
//! * rust-rdkafka panics on a header whose name is not UTF-8. Anybody who may write to the topic could stop every
//!   consumer with one record, so headers are read here, as bytes.
//! * A commit by [`Consumer::commit`] has no answer: librdkafka reports it to a callback of its own that rust-rdkafka
//!   never sets, and `ConsumerContext::commit_callback` is never called for it. Here the answer is asked for on the
//!   consumer's queue, from where it does reach `commit_callback`.
//! * Leader epochs: the safe interface knows none. Those that come with committed offsets stay in the list by themselves.
//! * What librdkafka knows of a partition's end, without a question to a broker.
//! * A question to any broker about the topics that are known already: the safe interface asks for one topic, or for all of
//!   the cluster.
#![allow(unsafe_code, reason = "the safe interface panics on some headers and swallows the answers to commits")]

use std::ffi::{CStr, CString};
use std::marker::PhantomData;
use std::ptr;

use rdkafka::bindings::{
    rd_kafka_commit_queue, rd_kafka_get_watermark_offsets, rd_kafka_header_cnt, rd_kafka_header_get_all,
    rd_kafka_headers_t, rd_kafka_message_headers, rd_kafka_message_leader_epoch, rd_kafka_metadata,
    rd_kafka_metadata_destroy, rd_kafka_queue_destroy, rd_kafka_queue_get_consumer, rd_kafka_resp_err_t,
    rd_kafka_topic_partition_set_leader_epoch,
};
use rdkafka::client::Client;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{ClientContext, TopicPartitionList};

use crate::record::{Offset, TopicPartition};

/// Sends a commit without waiting; its answer comes to [`ConsumerContext::commit_callback`] in a later poll.
pub(super) fn commit<C: ConsumerContext>(
    consumer: &BaseConsumer<C>,
    offsets: &TopicPartitionList,
) -> Result<(), RDKafkaErrorCode> {
    let client = consumer.client().native_ptr();
    // SAFETY: the consumer is alive, so its handle is. librdkafka copies the list before it returns, holds a reference
    // of its own to the queue until the answer is in it, and accepts that there is no callback.
    let sent = unsafe {
        let queue = rd_kafka_queue_get_consumer(client);
        if queue.is_null() {
            return Err(RDKafkaErrorCode::UnknownGroup);
        }
        let sent = rd_kafka_commit_queue(client, offsets.ptr(), queue, None, ptr::null_mut());
        rd_kafka_queue_destroy(queue);
        sent
    };
    match sent {
        rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        error => Err(error.into()),
    }
}

/// The epoch of the leader that wrote a message, where the broker told it.
pub(super) fn leader_epoch(message: &BorrowedMessage<'_>) -> Option<i32> {
    // SAFETY: the message is alive.
    let epoch = unsafe { rd_kafka_message_leader_epoch(message.ptr()) };
    (epoch >= 0).then_some(epoch)
}

/// Adds a partition with the offset to commit and the epoch of the leader that wrote the record before it.
pub(super) fn add_commit(
    list: &mut TopicPartitionList,
    partition: &TopicPartition,
    offset: Offset,
    leader_epoch: Option<i32>,
) -> Result<(), KafkaError> {
    let position = rdkafka::Offset::Offset(offset);
    list.add_partition_offset(partition.topic(), partition.partition(), position)?;
    if let Some(epoch) = leader_epoch {
        // SAFETY: the list is alive and nobody else uses it; it has at least the element that was just added, its last.
        unsafe {
            let native = &*list.ptr();
            let last = usize::try_from(native.cnt).unwrap_or(0).saturating_sub(1);
            rd_kafka_topic_partition_set_leader_epoch(native.elems.add(last), epoch);
        }
    }
    Ok(())
}

/// The offset behind a partition's last record, as the last fetch told it; asks no broker.
pub(super) fn known_end<C: ConsumerContext>(consumer: &BaseConsumer<C>, partition: &TopicPartition) -> Option<Offset> {
    let topic = CString::new(partition.topic()).ok()?;
    let (mut first, mut end) = (-1, -1);
    let client = consumer.client().native_ptr();
    // SAFETY: the consumer is alive, so its handle is; librdkafka copies the name and writes two numbers.
    let found =
        unsafe { rd_kafka_get_watermark_offsets(client, topic.as_ptr(), partition.partition(), &mut first, &mut end) };
    (found == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && end >= 0).then_some(end)
}

/// Asks any broker for metadata, and opens a connection where there is none; waits for nothing. librdkafka drops the answer,
/// and its statistics tell that there was one.
pub(super) fn ask_brokers<C: ClientContext>(client: &Client<C>) {
    let mut metadata = ptr::null();
    // SAFETY: the client is alive, so its handle is. A question about the topics that are known anyway has no topic; without
    // an answer nothing is written, and what was written is destroyed at once.
    unsafe {
        let asked = rd_kafka_metadata(client.native_ptr(), 0, ptr::null_mut(), &mut metadata, 0);
        if asked == rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && !metadata.is_null() {
            rd_kafka_metadata_destroy(metadata);
        }
    }
}

/// The headers of one message, in the order in which the producer wrote them.
#[derive(Clone)]
pub(super) struct RawHeaders<'m> {
    headers: *const rd_kafka_headers_t,
    next: usize,
    count: usize,
    /// The headers live as long as the message.
    message: PhantomData<&'m ()>,
}

impl<'m> RawHeaders<'m> {
    pub(super) fn of(message: &'m BorrowedMessage<'_>) -> Self {
        let mut headers: *mut rd_kafka_headers_t = ptr::null_mut();
        // SAFETY: the message is alive for 'm, and librdkafka writes a pointer that it keeps with the message. Without
        // headers it answers with an error and writes nothing.
        let found = unsafe { rd_kafka_message_headers(message.ptr(), &mut headers) };
        if found != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR || headers.is_null() {
            return Self { headers: ptr::null(), next: 0, count: 0, message: PhantomData };
        }
        // SAFETY: the pointer was just given by librdkafka.
        let count = unsafe { rd_kafka_header_cnt(headers) };
        Self { headers, next: 0, count, message: PhantomData }
    }
}

impl<'m> Iterator for RawHeaders<'m> {
    /// The name's bytes, and the value where it is not null.
    type Item = (&'m [u8], Option<&'m [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.count {
            return None;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the headers live as long as the message, so for 'm; librdkafka checks the index.
        let found = unsafe { rd_kafka_header_get_all(self.headers, self.next, &mut name, &mut value, &mut size) };
        if found != rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        self.next += 1;
        // SAFETY: librdkafka ends names with a zero byte, and a value that is not null has `size` bytes.
        unsafe {
            let name = CStr::from_ptr(name).to_bytes();
            let value = (!value.is_null()).then(|| std::slice::from_raw_parts(value.cast::<u8>(), size));
            Some((name, value))
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count - self.next, Some(self.count - self.next))
    }
}

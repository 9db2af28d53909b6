//! What is published is there once it is acknowledged, also where the broker was away.

use std::sync::Arc;

use bytes::Bytes;
use hapax::kafka::{KafkaSettings, Outgoing, Publisher, SourceError};
use rdkafka::Message as _;

use crate::common::{Kafka, unique};

fn numbered(topic: &Arc<str>, number: u32) -> Outgoing {
    Outgoing {
        topic: Arc::clone(topic),
        partition: Some(0),
        key: None,
        payload: Some(Bytes::from(number.to_string())),
        headers: Vec::new(),
        timestamp: None,
    }
}

#[tokio::test]
async fn records_are_written_once_and_in_order_also_while_the_broker_restarts() {
    let kafka = Kafka::own().await;
    let topic: Arc<str> = unique("letters").into();
    kafka.create_topic(&topic, 1).await;
    let mut settings = KafkaSettings::new(kafka.bootstrap(), unique("group"), [&*topic]);
    // A broker that recovers its log on a busy machine takes longer than the usual half a minute.
    settings.properties.insert("delivery.timeout.ms".to_owned(), "120000".to_owned());
    let missing = unique("missing");
    let error = Publisher::start(&settings, &[missing.as_str().into()]).await.expect_err("the topic is missing");
    assert_eq!(error, SourceError::UnknownTopic { topic: missing });

    let publisher = Publisher::start(&settings, &[Arc::clone(&topic)]).await.expect("the publisher starts");
    for number in 0..100 {
        publisher.publish(numbered(&topic, number)).await.expect("it is acknowledged");
    }
    kafka.kill();
    let waiting = tokio::spawn({
        let (publisher, topic) = (publisher.clone(), Arc::clone(&topic));
        async move {
            for number in 100..200 {
                publisher.publish(numbered(&topic, number)).await.expect("it is acknowledged in the end");
            }
        }
    });
    kafka.restart().await;
    waiting.await.expect("everything was acknowledged");
    let written: Vec<_> = kafka.records(&topic).await.into_iter().map(|r| r.payload().map(<[u8]>::to_vec)).collect();
    let expected: Vec<_> = (0..200).map(|number: u32| Some(number.to_string().into_bytes())).collect();
    assert_eq!(written, expected);
}

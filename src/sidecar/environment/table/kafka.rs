//! What is read, and how messages are told apart.

use super::super::{Kind, Variable};

super::group! { KAFKA, "Kafka":
    BROKERS = Variable::new("HAPAX_BROKERS", Kind::Like("kafka-1:9092,kafka-2:9092"),
        "The brokers to ask first.").push().required().library("brokers");
    GROUP = Variable::new("HAPAX_GROUP", Kind::Text,
        "The consumer group: members share the partitions.").push().required().library("group");
    TOPICS = Variable::new("HAPAX_TOPICS", Kind::Like("orders,payments"),
        "The topics to read, by their full names. They must exist.").push().required().library("topics");
    STATIC_MEMBER = Variable::new("HAPAX_STATIC_MEMBER", Kind::Text,
        "The ID of a static member, of its own for each process: it gets its partitions back without a rebalance when it restarts soon.")
        .push().library("static_member");
    GROUP_PROTOCOL = Variable::new("HAPAX_GROUP_PROTOCOL", Kind::Choice(&["classic", "consumer"]),
        "How members share partitions. `consumer` needs Kafka 4.0.").default("classic").push().library("group_protocol");
    START_AT = Variable::new("HAPAX_START_AT", Kind::Choice(&["earliest", "latest"]),
        "Where a partition starts for which the group never committed an offset. `latest` leaves records out.")
        .default("earliest").push().library("start_at");
    OFFSET_LOST = Variable::new("HAPAX_OFFSET_LOST", Kind::Choice(&["stop", "earliest", "latest"]),
        "What happens where the offset to read next is not in the partition. `latest` leaves records out, `earliest` may repeat what is older than the window.")
        .default("stop").push().library("offset_lost");
    START_LIMIT = Variable::new("HAPAX_START_LIMIT", Kind::Duration,
        "How long the brokers may take to answer one attempt to start.").default("10s").push().library("start_limit");
}

super::group! { IDS, "Message IDs":
    ID = Variable::new("HAPAX_ID", Kind::Like("cloudevents, header:<name>, key, json:<pointer>, content or coordinates"),
        "Where IDs come from. Of several, separated by commas, the first counts that finds one: the next is asked where the place is missing, is null, or has no payload to look in. `cloudevents` is the `id` of an event within its `source`, in binary and structured mode; `json:/order/id` a place in the payload; `key` the record key, where it names the message and not what the message is about; `content` a hash of key and payload; `coordinates` catches redelivery only.")
        .default("cloudevents").push();
    ID_SCOPE = Variable::new("HAPAX_ID_SCOPE", Kind::Like("topic, header:<name> or name:<text>"),
        "What IDs are unique in: the topic, the value of a header, or one name for all. Not for `cloudevents` and `coordinates`, which have their own.")
        .default("topic").push();
    ID_KEY = Variable::new("HAPAX_ID_KEY", Kind::Text,
        "A secret of 16 random bytes or more that keys the fingerprints, so that no producer can choose IDs that collide. All processes of a namespace have the same.")
        .secret();
    ID_POLICY = Variable::new("HAPAX_ID_POLICY", Kind::Choice(&["stop", "dead-letter", "process", "coordinates"]),
        "What happens to a message without a usable ID. Where it is not set: `dead-letter` where there is a dead-letter topic, otherwise `stop`.")
        .push().library("id_policy");
    CONFLICT_POLICY = Variable::new("HAPAX_CONFLICT_POLICY", Kind::Choice(&["stop", "duplicate", "dead-letter"]),
        "What happens to a message whose ID was handled before with another payload, which `HAPAX_DONE_MODE=exact` can tell.")
        .default("stop").push().library("conflict_policy");
}

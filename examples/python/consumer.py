"""A Kafka consumer in Python that handles each message once, with hapax beside it (HAPAX_DELIVERY=pull).

Guarantee: a message is never lost, for its offset is committed only after its ID was recorded as done. Its effect is
repeated only if this process dies between the effect and `complete`, if the effect outlasts the lease (60 s, unless it is
renewed), if Redis loses its data, or after the window (24 h).

    HAPAX_DELIVERY=pull HAPAX_NAMESPACE=billing HAPAX_REDIS_URL=redis://localhost:6379 hapax run &
    pip install -r requirements.txt
    KAFKA=localhost:9092 TOPIC=orders GROUP=billing HAPAX=http://127.0.0.1:7171 python3 consumer.py
"""

import json
import os
import signal
import time
import urllib.error
import urllib.request

from confluent_kafka import Consumer, KafkaException, TopicPartition

HAPAX = os.environ.get("HAPAX", "http://127.0.0.1:7171")
TOPIC = os.environ.get("TOPIC", "orders")
BATCH = 100
MAX_ATTEMPTS = 5


def handle(message):
    """The effect. When it returns, it has happened; when it raises, it has not."""
    print("handled", message_id(message), flush=True)


def message_id(message):
    """What tells two messages apart: here the header `id`, which the producer sets once and repeats when it resends."""
    for name, value in message.headers() or []:
        if name == "id":
            return value.decode()
    raise ValueError(f"{message.topic()}/{message.partition()}/{message.offset()} has no header `id`")


def call(path, body):
    """Asks hapax, for as long as it takes: without its answer nothing may be handled, and nothing committed."""
    request = urllib.request.Request(HAPAX + path, json.dumps(body).encode(), {"content-type": "application/json"})
    while True:
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.load(answer)["results"]
        except urllib.error.HTTPError as error:
            if error.code == 409:  # Some token is stale; each result says whether it is its own.
                return json.load(error)["results"]
            if error.code < 500:
                raise RuntimeError(f"{path}: {error.read().decode()}") from error
        except OSError:
            pass
        print("hapax does not answer; trying again", flush=True)
        time.sleep(1)


def handle_once(messages):
    """Returns when every message needs nothing more."""
    waiting = {}
    for message in messages:  # Of one ID, the first; the others are its duplicates.
        waiting.setdefault(message_id(message), message)
    while waiting:
        # In flight elsewhere is not a duplicate: whoever has it may fail. So ask until it is done, or ours.
        answers = call("/v1/claim", {"ids": [{"id": key} for key in waiting], "wait_ms": 1000})
        done, failed = [], []
        for answer in answers:
            key = answer["id"]
            if answer["status"] == "duplicate":
                del waiting[key]
            elif answer["status"] == "claimed":
                item = {"id": key, "token": answer["token"]}
                try:
                    handle(waiting[key])
                    done.append(item)
                except Exception as error:  # noqa: BLE001 - whatever it is, the message is tried again
                    print("failed", key, error, flush=True)
                    if answer["attempt"] >= MAX_ATTEMPTS:
                        raise RuntimeError(f"gave up on {key}: send it to a dead-letter topic here") from error
                    failed.append({**item, "outcome": "failed", "attempt": answer["attempt"]})
        if done:
            for answer in call("/v1/complete", {"items": done}):
                if answer["status"] == "stale":  # It took longer than its lease: the effect may have happened twice.
                    print("overran its lease", answer["id"], flush=True)
                waiting.pop(answer["id"], None)
        if failed:
            call("/v1/release", {"items": failed})
            time.sleep(0.2)


def main():
    running = True

    def stop(*_):
        nonlocal running
        running = False

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    consumer = Consumer(
        {
            "bootstrap.servers": os.environ.get("KAFKA", "localhost:9092"),
            "group.id": os.environ.get("GROUP", "billing"),
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": 10000,  # So long the partitions of one that died wait for another.
        }
    )
    consumer.subscribe([TOPIC])
    while running:
        messages = consumer.consume(BATCH, timeout=1.0)
        for message in messages:
            if message.error():
                raise KafkaException(message.error())
        if not messages:
            continue
        handle_once(messages)
        try:
            consumer.commit(offsets=next_offsets(messages), asynchronous=False)
        except KafkaException as error:  # The partition has another owner now, who finds the messages done.
            print("not committed:", error, flush=True)
    consumer.close()


def next_offsets(messages):
    ends = {}
    for message in messages:
        ends[message.topic(), message.partition()] = message.offset() + 1
    return [TopicPartition(topic, partition, offset) for (topic, partition), offset in ends.items()]


if __name__ == "__main__":
    main()

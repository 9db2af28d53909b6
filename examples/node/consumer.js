// A Kafka consumer in Node.js that handles each message once, with hapax beside it (HAPAX_DELIVERY=pull).
//
// Guarantee: a message is never lost, for its offset is committed only after its ID was recorded as done. Its effect is
// repeated only if this process dies between the effect and `complete`, if the effect outlasts the lease (60 s, unless it
// is renewed), if Redis loses its data, or after the window (24 h).
//
//     HAPAX_DELIVERY=pull HAPAX_NAMESPACE=billing HAPAX_REDIS_URL=redis://localhost:6379 hapax run &
//     npm install
//     KAFKA=localhost:9092 TOPIC=orders GROUP=billing HAPAX=http://127.0.0.1:7171 node consumer.js

const { Kafka, logLevel } = require('kafkajs');

const hapax = process.env.HAPAX ?? 'http://127.0.0.1:7171';
const maxAttempts = 5;

// The effect. When it returns, it has happened; when it throws, it has not.
async function handle(message) {
  console.log('handled', messageId(message));
}

// What tells two messages apart: here the header `id`, which the producer sets once and repeats when it resends.
function messageId(message) {
  const id = message.headers?.id;
  if (id === undefined || Array.isArray(id)) throw new Error(`the message at offset ${message.offset} has no header \`id\``);
  return id.toString();
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Asks hapax, for as long as it takes: without its answer nothing may be handled, and nothing committed.
async function call(path, body) {
  for (;;) {
    let answer;
    try {
      answer = await fetch(hapax + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(60_000),
      });
      // With 409 some token is stale; each result says whether it is its own.
      if (answer.ok || answer.status === 409) return (await answer.json()).results;
    } catch {
      answer = undefined;
    }
    if (answer !== undefined && answer.status < 500) throw new Error(`${path}: ${await answer.text()}`);
    console.log('hapax does not answer; trying again');
    await pause(1000);
  }
}

// Resolves when every message needs nothing more.
async function handleOnce(messages, heartbeat) {
  const waiting = new Map();
  for (const message of messages) {
    const id = messageId(message);
    if (!waiting.has(id)) waiting.set(id, message); // Of one ID, the first; the others are its duplicates.
  }
  while (waiting.size > 0) {
    // In flight elsewhere is not a duplicate: whoever has it may fail. So ask until it is done, or ours.
    const ids = [...waiting.keys()].slice(0, 1000).map((id) => ({ id }));
    const done = [];
    const failed = [];
    for (const answer of await call('/v1/claim', { ids, wait_ms: 1000 })) {
      if (answer.status === 'duplicate') waiting.delete(answer.id);
      if (answer.status !== 'claimed') continue;
      const item = { id: answer.id, token: answer.token };
      try {
        await handle(waiting.get(answer.id));
        done.push(item);
      } catch (error) {
        console.log('failed', answer.id, error.message);
        if (answer.attempt >= maxAttempts) throw new Error(`gave up on ${answer.id}: send it to a dead-letter topic here`);
        failed.push({ ...item, outcome: 'failed', attempt: answer.attempt });
      }
      await heartbeat();
    }
    if (done.length > 0) {
      for (const answer of await call('/v1/complete', { items: done })) {
        // It took longer than its lease: the effect may have happened twice.
        if (answer.status === 'stale') console.log('overran its lease', answer.id);
        waiting.delete(answer.id);
      }
    }
    if (failed.length > 0) {
      await call('/v1/release', { items: failed });
      await pause(200);
    }
    await heartbeat();
  }
}

async function main() {
  const kafka = new Kafka({ brokers: [process.env.KAFKA ?? 'localhost:9092'], logLevel: logLevel.ERROR });
  // So long the partitions of one that died wait for another.
  const consumer = kafka.consumer({ groupId: process.env.GROUP ?? 'billing', sessionTimeout: 10_000 });
  for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => consumer.disconnect());
  await consumer.connect();
  await consumer.subscribe({ topic: process.env.TOPIC ?? 'orders', fromBeginning: true });
  await consumer.run({
    autoCommit: false,
    eachBatchAutoResolve: false,
    eachBatch: async ({ batch, heartbeat, resolveOffset, isRunning, isStale }) => {
      for (let from = 0; from < batch.messages.length && isRunning() && !isStale(); from += 100) {
        const messages = batch.messages.slice(from, from + 100);
        await handleOnce(messages, heartbeat);
        resolveOffset(messages.at(-1).offset);
        const offset = (BigInt(messages.at(-1).offset) + 1n).toString();
        await consumer.commitOffsets([{ topic: batch.topic, partition: batch.partition, offset }]);
      }
    },
  });
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});

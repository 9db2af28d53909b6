//! Routing, against nodes that answer what a test tells them to.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::place::Place;
use super::*;
use crate::id::{Fingerprint, Namespace};
use crate::store::redis::commands::Questions;

/// Decides what becomes of one command; nothing closes the connection.
type Answer = Box<dyn FnMut(&[String]) -> Option<String> + Send>;

/// A node of a cluster that consists of those that `slots` names.
struct Fake {
    place: Place,
    answer: Arc<Mutex<Answer>>,
    /// The commands that were answered here, but for those that every connection begins with.
    seen: Arc<Mutex<Vec<String>>>,
}

/// First and last slot, and the port of their master.
type Slots = Arc<Mutex<Vec<(u16, u16, u16)>>>;

impl Fake {
    async fn start(slots: &Slots) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let place = Place::tcp("127.0.0.1", listener.local_addr().unwrap().port());
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(|_| Some("+OK\r\n".to_owned()))));
        let seen = Arc::default();
        let this = Self { place, answer: Arc::clone(&answer), seen: Arc::clone(&seen) };
        let slots = Arc::clone(slots);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&answer), Arc::clone(&seen), Arc::clone(&slots)));
            }
        });
        this
    }

    fn port(&self) -> u16 {
        match &self.place {
            Place::Tcp { port, .. } => *port,
            Place::Unix(_) => 0,
        }
    }

    fn answers(&self, answer: impl FnMut(&[String]) -> Option<String> + Send + 'static) {
        *self.answer.lock() = Box::new(answer);
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock())
    }
}

async fn serve(
    stream: TcpStream,
    answer: Arc<Mutex<Answer>>,
    seen: Arc<Mutex<Vec<String>>>,
    slots: Slots,
) -> Option<()> {
    const INFO: &str = "redis_version:7.0.15\r\nredis_mode:cluster\r\nrole:master\r\nmaxmemory_policy:noeviction\r\n";
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut words = Vec::new();
        for _ in 0..number(&mut read).await? {
            let mut word = vec![0; number(&mut read).await? + 2];
            read.read_exact(&mut word).await.ok()?;
            words.push(String::from_utf8_lossy(&word[..word.len() - 2]).into_owned());
        }
        let reply = match words[0].as_str() {
            "CLIENT" | "CONFIG" => "+OK\r\n".to_owned(),
            "INFO" => format!("${}\r\n{INFO}\r\n", INFO.len()),
            "CLUSTER" => {
                let slots = slots.lock();
                let range = |(first, last, port): &(u16, u16, u16)| {
                    format!("*3\r\n:{first}\r\n:{last}\r\n*3\r\n$9\r\n127.0.0.1\r\n:{port}\r\n$2\r\nid\r\n")
                };
                format!("*{}\r\n{}", slots.len(), slots.iter().map(range).collect::<String>())
            }
            _ => {
                seen.lock().push(words.join(" "));
                (answer.lock())(&words)?
            }
        };
        write.write_all(reply.as_bytes()).await.ok()?;
    }
}

async fn number(read: &mut BufReader<tokio::net::tcp::OwnedReadHalf>) -> Option<usize> {
    let mut line = String::new();
    read.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim().parse().ok()
}

const SECOND: Duration = Duration::from_secs(1);

fn link(seed: &Fake) -> (Link, Layout) {
    let dial = Dial {
        login: redis::RedisConnectionInfo::default(),
        tls: None,
        connect_limit: 10 * SECOND,
        response_limit: 10 * SECOND,
        timeouts: 3,
        strict: false,
        health_interval: 60 * SECOND,
        questions: Questions::none(),
    };
    let layout = Layout::new(Namespace::new("n").unwrap());
    let seeds = Servers::Cluster(vec![seed.place.clone()]);
    (Link::new(seeds, dial, redis::RedisConnectionInfo::default(), &layout), layout)
}

fn group(number: u8) -> Group {
    Group::of(&Fingerprint::from_bytes([number << 2; 16]))
}

fn batch(commands: &[(u8, &str)]) -> Batch {
    let command = |text: &str| {
        let mut words = text.split(' ');
        words.next().map(|name| redis::cmd(name).arg(words.collect::<Vec<_>>()).take()).unwrap()
    };
    commands.iter().map(|(number, text)| (group(*number), command(text))).collect()
}

fn kinds(replies: &[Reply]) -> Vec<&'static str> {
    replies.iter().map(|reply| reply.as_ref().map_or_else(|fault| fault.error.kind(), |_| "answered")).collect()
}

fn slot_of(layout: &Layout, number: u8) -> u16 {
    crate::store::redis::groups::slot(layout.tag(group(number)).as_bytes())
}

#[tokio::test]
async fn a_batch_is_split_by_node_and_its_replies_are_in_order() {
    let slots = Slots::default();
    let (a, b) = (Fake::start(&slots).await, Fake::start(&slots).await);
    *slots.lock() = vec![(0, 8191, a.port()), (8192, 16383, b.port())];
    for node in [&a, &b] {
        node.answers(|words| Some(format!("+{}\r\n", words[1])));
    }
    let (link, layout) = link(&a);
    let texts: Vec<String> = (0..128).map(|n| format!("GET key-{n}")).collect();
    let commands: Vec<(u8, &str)> = texts.iter().enumerate().map(|(n, text)| (n as u8 % 64, text.as_str())).collect();
    for (n, reply) in link.ask(batch(&commands)).await.into_iter().enumerate() {
        assert_eq!(reply.unwrap(), Value::SimpleString(format!("key-{n}")));
    }
    let (at_a, at_b) = (a.seen(), b.seen());
    assert_eq!((at_a.len(), at_b.len()), (64, 64), "half of the slots, half of the groups");
    let first_half: Vec<&String> = texts
        .iter()
        .enumerate()
        .filter(|(n, _)| slot_of(&layout, (n % 64) as u8) < 8192)
        .map(|(_, text)| text)
        .collect();
    assert_eq!(at_a.iter().collect::<Vec<_>>(), first_half, "each to its own node, in order");
}

#[tokio::test]
async fn what_moved_is_sent_on_in_order_and_then_goes_there_directly() {
    let slots = Slots::default();
    let (a, b) = (Fake::start(&slots).await, Fake::start(&slots).await);
    *slots.lock() = vec![(0, 16383, a.port())];
    let (link, layout) = link(&a);
    link.ask(batch(&[(1, "GET warm")])).await;
    let before = link.serial(group(1)).unwrap();
    a.seen();
    *slots.lock() = vec![(0, 16383, b.port())];
    let moved = format!("-MOVED {} 127.0.0.1:{}\r\n", slot_of(&layout, 1), b.port());
    a.answers(move |_| Some(moved.clone()));
    let commands = [(1, "SET k1 x"), (1, "GET d1"), (1, "SET k2 x"), (1, "GET d2")];
    assert_eq!(kinds(&link.ask(batch(&commands)).await), ["answered"; 4]);
    assert_eq!(b.seen(), ["SET k1 x", "SET k2 x", "GET d1", "GET d2"], "writes first, then what looks behind them");
    assert_eq!(a.seen().len(), 4);
    assert_eq!(kinds(&link.ask(batch(&[(1, "GET d1")])).await), ["answered"]);
    assert_eq!(a.seen(), [""; 0], "the new owner is known");
    assert_ne!(link.serial(group(1)).unwrap(), before, "another node is another connection");
}

/// The node became the slot's owner in the middle of the pipeline.
#[tokio::test]
async fn nothing_is_turned_around() {
    let slots = Slots::default();
    let (a, b) = (Fake::start(&slots).await, Fake::start(&slots).await);
    *slots.lock() = vec![(0, 16383, a.port())];
    let (link, layout) = link(&a);
    let moved = format!("-MOVED {} 127.0.0.1:{}\r\n", slot_of(&layout, 1), b.port());
    a.answers(move |words| Some(if words[1] == "k1" { moved.clone() } else { "+OK\r\n".to_owned() }));
    let replies = link.ask(batch(&[(1, "SET k1 x"), (1, "GET d1"), (1, "SADD k2 x"), (2, "SET k3 x")])).await;
    assert_eq!(kinds(&replies), ["unavailable", "answered", "answered", "answered"]);
    assert_eq!(b.seen(), [""; 0], "sending it on would put it behind what followed it");
    let seen = a.seen();
    assert_eq!(seen.iter().filter(|command| *command == "SADD k2 x").count(), 1, "never repeated: {seen:?}");
    assert_eq!(seen.iter().filter(|command| *command == "GET d1").count(), 2, "looked up again: {seen:?}");
}

#[tokio::test]
async fn only_what_was_sent_away_is_asked_elsewhere() {
    let slots = Slots::default();
    let (a, b) = (Fake::start(&slots).await, Fake::start(&slots).await);
    *slots.lock() = vec![(0, 16383, a.port())];
    let (link, layout) = link(&a);
    let ask = format!("-ASK {} 127.0.0.1:{}\r\n", slot_of(&layout, 1), b.port());
    a.answers(move |words| Some(if words[1] == "k1" { ask.clone() } else { "+OK\r\n".to_owned() }));
    let replies = link.ask(batch(&[(1, "GET d0"), (1, "SET k1 x"), (1, "SADD k2 x"), (1, "GET d1")])).await;
    assert_eq!(kinds(&replies), ["answered"; 4]);
    assert_eq!(b.seen(), ["ASKING", "SET k1 x"]);
    assert_eq!(a.seen(), ["GET d0", "SET k1 x", "SADD k2 x", "GET d1", "GET d1"], "the last look-up counts");
    link.ask(batch(&[(1, "GET d0")])).await;
    assert_eq!(b.seen(), [""; 0], "the slot has not moved yet");
}

#[tokio::test]
async fn two_nodes_that_send_each_other_everything_are_given_up() {
    let slots = Slots::default();
    let (a, b) = (Fake::start(&slots).await, Fake::start(&slots).await);
    *slots.lock() = vec![(0, 16383, a.port())];
    let (link, layout) = link(&a);
    for (node, other) in [(&a, b.port()), (&b, a.port())] {
        let moved = format!("-MOVED {} 127.0.0.1:{other}\r\n", slot_of(&layout, 1));
        node.answers(move |_| Some(moved.clone()));
    }
    assert_eq!(kinds(&link.ask(batch(&[(1, "SET k1 x"), (1, "GET d1")])).await), ["unavailable"; 2]);
    assert!(a.seen().len() + b.seen().len() <= 2 * (1 + cluster::ROUNDS));
}

#[tokio::test]
async fn one_node_fails_for_its_own_commands_only() {
    let slots = Slots::default();
    let (a, b) = (Fake::start(&slots).await, Fake::start(&slots).await);
    *slots.lock() = vec![(0, 8191, a.port()), (8192, 16383, b.port())];
    let (link, layout) = link(&a);
    let half: HashMap<bool, u8> = (0..64).map(|number| (slot_of(&layout, number) < 8192, number)).collect();
    let commands = [(half[&true], "SET k1 x"), (half[&false], "SET k2 x")];
    assert_eq!(kinds(&link.ask(batch(&commands)).await), ["answered"; 2]);
    let serials = commands.map(|(number, _)| link.serial(group(number)).unwrap());
    b.answers(|_| None);
    assert_eq!(kinds(&link.ask(batch(&commands)).await), ["answered", "unknown"], "it may have been executed");
    b.answers(|_| Some("+OK\r\n".to_owned()));
    while kinds(&link.ask(batch(&commands)).await) != ["answered"; 2] {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let after = commands.map(|(number, _)| link.serial(group(number)).unwrap());
    assert_eq!(after[0], serials[0]);
    assert_ne!(after[1], serials[1], "a new connection has a new number");
}

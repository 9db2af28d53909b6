//! Kafka brokers that form a cluster, each to be killed and cut off by itself.

use std::ops::Deref;

use super::super::guard::{Guarded, Signal};
use super::super::port;
use super::super::proxy::Proxy;
use super::Client;
use super::broker::{Ports, spawn, wait_started};

/// One broker or several, each with a proxy before it. They end when this is dropped.
#[derive(Debug)]
pub struct KafkaCluster {
    brokers: Vec<Guarded>,
    proxies: Vec<Proxy>,
    client: Client,
}

impl KafkaCluster {
    /// Starts so many; when this returns all of them answer. [`Client::bootstrap`] goes straight to them.
    pub async fn start(brokers: usize) -> Self {
        for _ in 0..port::TRIES {
            let proxies: Vec<Proxy> = (0..brokers).map(|_| Proxy::to(port::loopback(0))).collect();
            let ports: Vec<Ports> = (0..brokers).map(|_| Ports::draw()).collect();
            let mut started = Vec::new();
            for (n, proxy) in proxies.iter().enumerate() {
                let settings = Ports::settings(&ports, n + 1, proxy.port());
                started.push(spawn(settings).await.unwrap_or_else(|problem| panic!("{problem}")));
            }
            // Where a port was taken meanwhile, all of them start with others.
            let mut taken = false;
            for broker in &started {
                if let Err(output) = wait_started(broker).await {
                    assert!(output.contains("Address already in use"), "a broker ended at its start:\n{output}");
                    taken = true;
                    break;
                }
            }
            if taken {
                continue;
            }
            for (proxy, ports) in proxies.iter().zip(&ports) {
                proxy.retarget(port::loopback(ports.proxied));
            }
            let addresses: Vec<String> = ports.iter().map(|it| port::loopback(it.broker).to_string()).collect();
            let client = Client::of_many(addresses.join(","), brokers);
            client.wait_ready().await;
            return Self { brokers: started, proxies, client };
        }
        panic!("the Kafka brokers found none of their ports free");
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.brokers.len()
    }

    /// Their addresses by way of the proxies.
    pub fn proxied(&self) -> String {
        let addresses: Vec<String> = self.proxies.iter().map(|proxy| proxy.address().to_string()).collect();
        addresses.join(",")
    }

    /// The proxies, in the order of the brokers.
    pub fn proxies(&self) -> &[Proxy] {
        &self.proxies
    }

    /// Sends a broker a signal; when this returns it was sent.
    pub fn signal(&self, broker: usize, signal: Signal) {
        self.brokers[broker].signal(signal);
    }

    /// Whether a broker has not ended.
    pub fn runs(&self, broker: usize) -> bool {
        self.brokers[broker].look(|state| state.exit.is_none())
    }

    /// Starts a broker again, which has ended, on its ports and with its data; when this returns it has started.
    pub async fn again(&self, broker: usize) {
        self.brokers[broker].again();
        if let Err(output) = wait_started(&self.brokers[broker]).await {
            panic!("a broker ended at its restart:\n{output}");
        }
    }
}

impl Deref for KafkaCluster {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

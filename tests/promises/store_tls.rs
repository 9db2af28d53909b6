//! TLS: who is trusted, who is not, and what the error says.

use std::sync::Arc;
use std::time::Duration;

use hapax::id::{IdKey, Namespace};
use hapax::store::{Agreement, OpenError, RedisStore, RedisStoreBuilder, Store, StoreError};

use crate::common::{Authority, Identity, RedisServer};
use crate::conformance::{LONG, Worker, claim, claimed, until};
use crate::store_redis::NAMESPACE;
use crate::store_redis_faults::chain;

fn builder(server: &RedisServer) -> RedisStoreBuilder {
    let url = server.url().replace("redis://", "rediss://");
    RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(LONG).connect_limit(Duration::from_secs(10))
}

async fn works(builder: RedisStoreBuilder) {
    let worker = Worker(Arc::new(builder.build().unwrap()));
    assert_eq!(worker.claim(1, b'a').await, claimed(0));
}

/// What the error says, which is one that somebody has to see to.
async fn refused(builder: RedisStoreBuilder) -> String {
    let store = builder.build().unwrap();
    let error = store.open(&Agreement::of(&store, "header ce_id", &IdKey::default())).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Refused(_))), "{}", chain(&error));
    chain(&error)
}

fn start(authority: &Authority, identity: &Identity, arguments: &[&str]) -> (RedisServer, tempfile::TempDir) {
    let (directory, files) = authority.files(identity);
    (RedisServer::start_tls(files.each_ref().map(String::as_str), arguments), directory)
}

#[tokio::test]
async fn only_a_server_of_a_trusted_authority_is_spoken_to() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, _files) =
        start(&authority, &authority.sign("127.0.0.1"), &["--tls-auth-clients", "no", "--requirepass", "geheim"]);
    let with_password = |server: &RedisServer| {
        let url = server.url().replace("redis://", "rediss://:geheim@");
        RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(LONG)
    };
    works(with_password(&server).tls_ca(authority.pem())).await;
    works(with_password(&server).tls_ca(other.pem() + &authority.pem())).await;
    let text = refused(with_password(&server).tls_ca(other.pem())).await;
    assert!(text.contains("give the CA that signed it") && !text.contains("geheim"), "{text}");
    // The system's roots do not know it either.
    let text = match with_password(&server).build() {
        Ok(_) => refused(with_password(&server)).await,
        Err(error) => error.to_string(),
    };
    assert!(text.contains("give the CA"), "{text}");
    // Without TLS nothing is said to it.
    let plain = RedisStore::builder(server.url(), Namespace::new(NAMESPACE).unwrap()).build().unwrap();
    assert!(plain.claim(vec![claim(1, b'a')]).await[0].is_err());
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    let authority = Authority::new();
    let (server, _files) = start(&authority, &authority.sign("elsewhere.example"), &["--tls-auth-clients", "no"]);
    let text = refused(builder(&server).tls_ca(authority.pem())).await;
    assert!(text.contains("for another name") && text.contains("elsewhere.example"), "{text}");
}

#[tokio::test]
async fn an_expired_certificate_is_refused_until_it_is_renewed() {
    let authority = Authority::new();
    let (server, _files) = start(&authority, &authority.sign_expired("127.0.0.1"), &["--tls-auth-clients", "no"]);
    let text = refused(builder(&server).tls_ca(authority.pem())).await;
    assert!(text.contains("has expired") && text.contains("renew it"), "{text}");

    let worker = Worker(Arc::new(builder(&server).tls_ca(authority.pem()).build().unwrap()));
    assert!(worker.0.claim(vec![claim(1, b'a')]).await[0].is_err());
    let (_renewed, [certificate, key, _]) = authority.files(&authority.sign("127.0.0.1"));
    server.cli_untrusting(&["CONFIG", "SET", "tls-cert-file", &certificate, "tls-key-file", &key]);
    until(async || worker.0.claim(vec![claim(1, b'a')]).await[0].is_ok()).await;
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_one() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (server, _files) = start(&authority, &authority.sign("127.0.0.1"), &[]);
    let us = authority.sign("worker.example");
    works(builder(&server).tls_ca(authority.pem()).tls_client(us.certificate.clone(), us.key.clone())).await;
    let text = refused(builder(&server).tls_ca(authority.pem())).await;
    assert!(text.contains("give a client certificate"), "{text}");
    let stranger = other.sign("worker.example");
    let text = refused(builder(&server).tls_ca(authority.pem()).tls_client(stranger.certificate, stranger.key)).await;
    assert!(text.contains("give a client certificate"), "{text}");

    // What cannot be used is told before anything is sent, and not shown.
    let key = other.sign("worker.example").key;
    let error = builder(&server).tls_client(us.certificate.clone(), key.clone()).build().unwrap_err().to_string();
    assert!(error.starts_with("TLS client key: ") && !error.contains(&key), "{error}");
    let error = builder(&server).tls_client("geheim", key).build().unwrap_err().to_string();
    assert!(error.starts_with("TLS client certificate: ") && !error.contains("geheim"), "{error}");
    assert!(builder(&server).tls_ca("nothing").build().unwrap_err().to_string().starts_with("TLS CA: "));
    let shown = format!("{:?}", builder(&server).tls_client(us.certificate, "geheim"));
    assert!(!shown.contains("geheim"), "{shown}");
}

/// Redis waits for the end of what it takes for a command, so all that is known is that there was no answer.
#[tokio::test]
async fn a_server_without_tls_is_guessed() {
    let server = RedisServer::start();
    let limit = Duration::from_millis(300);
    let store = builder(&server).tls_ca(Authority::new().pem()).connect_limit(limit).build().unwrap();
    let error = store.open(&Agreement::of(&store, "header ce_id", &IdKey::default())).await.unwrap_err();
    assert!(matches!(error, OpenError::Store(StoreError::Unavailable(_))), "{}", chain(&error));
    assert!(chain(&error).contains("write redis://"), "{}", chain(&error));
}

#[tokio::test]
async fn the_nodes_of_a_cluster_are_reached_by_tls() {
    let authority = Authority::new();
    let cluster = ["--tls-auth-clients", "no", "--cluster-enabled", "yes", "--tls-cluster", "yes"];
    let (server, _files) = start(&authority, &authority.sign("127.0.0.1"), &cluster);
    server.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until(async || server.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")).await;
    let url = server.url().replace("redis://", "rediss+cluster://");
    works(RedisStore::builder(url, Namespace::new(NAMESPACE).unwrap()).terms(LONG).tls_ca(authority.pem())).await;
}

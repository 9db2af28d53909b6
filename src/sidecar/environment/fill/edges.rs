//! HTTP, in both directions: the application, and who may call.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::super::problem::Complaint;
use super::super::reader::Reader;
use super::super::values::{address, at_least_one, bearer, boolean, duration, size, some_time, text};
use super::super::{Variable, lists, table, translate, urls};
use super::store::pair;
use super::{consumer, path};
use crate::sidecar::listen::{ListenSettings, TlsFiles, check_address};
use crate::sidecar::pull::PullSettings;
use crate::sidecar::push::{PushFormat, PushProtocol, PushSettings};
use crate::sidecar::settings::ConsumerSettings;
use crate::sidecar::{Secret, TokenSource};

/// A token that is shorter can be found by trying.
const SHORTEST_TOKEN: usize = 16;

pub(super) fn push(reader: &mut Reader<'_>, consumer: &ConsumerSettings) -> PushSettings {
    let protocols = [("http", PushProtocol::Http), ("dapr", PushProtocol::Dapr)];
    let formats = [("binary", PushFormat::Binary), ("structured", PushFormat::Structured)];
    PushSettings {
        url: reader.get(&table::PUSH_URL, urls::url).unwrap_or_else(|| "http://127.0.0.1/".to_owned()),
        protocol: reader.choose(&table::PUSH_PROTOCOL, &protocols).unwrap_or_default(),
        format: reader.choose(&table::PUSH_FORMAT, &formats).unwrap_or_default(),
        batched: consumer.batch > 1,
        http2: reader.get(&table::PUSH_HTTP2, boolean).unwrap_or_default(),
        time_limit: consumer::request_limit(consumer),
        connect_limit: reader.get(&table::PUSH_CONNECT_LIMIT, some_time).unwrap_or_default(),
        headers: reader.get(&table::PUSH_HEADERS, lists::headers).unwrap_or_default(),
        ready_url: reader.get(&table::PUSH_READY_URL, urls::url),
        retry_after_cap: reader.get(&table::PUSH_RETRY_AFTER_CAP, duration).unwrap_or_default(),
        max_answer: reader.get(&table::PUSH_MAX_ANSWER, size).unwrap_or(1),
        source: reader.get(&table::PUSH_SOURCE, text),
        event_type: reader.get(&table::PUSH_TYPE, text).unwrap_or_default(),
        content_type: reader.get(&table::PUSH_CONTENT_TYPE, text).unwrap_or_default(),
        token: token(reader, &table::PUSH_TOKEN, 1),
        ca: reader.get(&table::PUSH_CA_FILE, path),
        client: pair(reader, &table::PUSH_CLIENT_CERTIFICATE_FILE, &table::PUSH_CLIENT_KEY_FILE),
    }
}

pub(super) fn pull(reader: &mut Reader<'_>) -> PullSettings {
    PullSettings {
        id_key: consumer::id_key(reader),
        max_ids: reader.get(&table::PULL_MAX_IDS, at_least_one).unwrap_or(1),
        max_wait: reader.get(&table::PULL_MAX_WAIT, duration).unwrap_or_default(),
    }
}

pub(super) fn listen(reader: &mut Reader<'_>) -> ListenSettings {
    let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let token = token(reader, &table::TOKEN, SHORTEST_TOKEN);
    let client_ca = reader.get(&table::TLS_CLIENT_CA_FILE, path);
    let files = pair(reader, &table::TLS_CERTIFICATE_FILE, &table::TLS_KEY_FILE);
    if client_ca.is_some() && files.is_none() {
        let way_out = "set HAPAX_TLS_CERTIFICATE_FILE and HAPAX_TLS_KEY_FILE, too";
        reader.wrong(table::TLS_CLIENT_CA_FILE.name, "is set without a certificate of one's own", way_out);
    }
    let settings = ListenSettings {
        address: reader.get(&table::LISTEN, address).unwrap_or(nowhere),
        health_address: reader.get(&table::HEALTH_LISTEN, address).unwrap_or(nowhere),
        token,
        tls: files.map(|(certificate, key)| TlsFiles { certificate, key, client_ca }),
        hosts: reader.get(&table::HOSTS, lists::hosts).unwrap_or_default(),
        max_body: reader.get(&table::MAX_BODY, size).unwrap_or(1),
        max_connections: reader.get(&table::MAX_CONNECTIONS, at_least_one).unwrap_or(1),
    };
    // One that is set and cannot be used was told already.
    let meant = reader.is_set(&table::TOKEN) || reader.is_set(&table::TLS_CLIENT_CA_FILE);
    if let Err(open) = check_address(&settings)
        && !meant
    {
        reader.problems.push(translate::problem(open.into(), &BTreeMap::new()));
    }
    if settings.address.port() != 0 && settings.address == settings.health_address {
        reader.wrong(table::HEALTH_LISTEN.name, "is the address of HAPAX_LISTEN", "give each a port of its own");
    }
    settings
}

/// A token; from a file it is read again when that changes.
fn token(reader: &mut Reader<'_>, variable: &Variable, shortest: usize) -> Option<TokenSource> {
    let given = reader.get(variable, |token| {
        bearer(token)?;
        match token.len() < shortest {
            true => Err(Complaint::with("is so short that it can be guessed", "use 16 random characters or more")),
            false => Ok(Secret::new(token)),
        }
    })?;
    let file = variable.file()?;
    let named = reader.environment.flag_of(&file).or_else(|| reader.environment.variable(&file));
    Some(named.map_or(TokenSource::Given(given), |path| TokenSource::File(PathBuf::from(path))))
}

//! What the URL of a store says: which servers, how they belong together, and as whom.

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo};

use super::place::Place;
use crate::store::SettingsError;

/// A URL, taken apart at the border: behind it only the client library's type holds the password, and its debug output
/// leaves that out.
#[derive(Debug)]
pub(in crate::store::redis) struct Url {
    pub(in crate::store::redis) servers: Servers,
    pub(in crate::store::redis) login: RedisConnectionInfo,
    pub(in crate::store::redis) tls: bool,
}

/// How the servers belong together.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store::redis) enum Servers {
    One(Place),
    /// Some nodes of a cluster; they know the others.
    Cluster(Vec<Place>),
    /// Sentinels, and the name under which they watch the master.
    Sentinels(Vec<Place>, String),
}

const SENTINEL_PORT: u16 = 26379;

impl Url {
    /// Takes a URL apart.
    ///
    /// # Errors
    ///
    /// Says what a URL looks like, and nothing of this one: errors of the client library may repeat parts of it.
    pub(in crate::store::redis) fn parse(url: &str) -> Result<Self, SettingsError> {
        let (scheme, rest) = url.split_once(':').ok_or_else(not_a_url)?;
        let (tls, kind) = match scheme.split_once('+') {
            Some(("redis" | "valkey", kind @ ("cluster" | "sentinel"))) => (false, kind),
            Some(("rediss" | "valkeys", kind @ ("cluster" | "sentinel"))) => (true, kind),
            Some(_) => (false, "as it is"),
            None => (matches!(scheme, "rediss" | "valkeys"), "one"),
        };
        let servers = rest.strip_prefix("//").ok_or_else(not_a_url);
        match kind {
            "as it is" => Self::one(url, false),
            "one" if tls => Self::one(&format!("redis:{rest}"), true),
            "one" => Self::one(url, false),
            kind => Self::many(servers?, kind == "sentinel", tls),
        }
    }

    fn one(url: &str, tls: bool) -> Result<Self, SettingsError> {
        let (place, login) = one(url)?;
        Ok(Self { servers: Servers::One(place), login, tls })
    }

    /// `[user[:password]@]host[:port][,host[:port]…][/path]`
    fn many(rest: &str, sentinels: bool, tls: bool) -> Result<Self, SettingsError> {
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (format!("{user}@"), hosts),
            None => (String::new(), authority),
        };
        let (master, database) = match sentinels {
            true => path.split_once('/').unwrap_or((path, "")),
            false => ("", path),
        };
        if sentinels && master.is_empty() {
            return Err(wrong("names no master; write redis+sentinel://host[:port][,host…]/<master name>[/database]"));
        }
        if !sentinels && !matches!(database, "" | "0") {
            return Err(wrong("names a database, and a cluster has only number 0; leave it out"));
        }
        let mut places = Vec::new();
        let mut login = None;
        for host in hosts.split(',') {
            let (mut place, as_whom) = one(&format!("redis://{user}{host}/{database}"))?;
            match &mut place {
                Place::Tcp { port, .. } if sentinels && !has_port(host) => *port = SENTINEL_PORT,
                _ => {}
            }
            places.push(place);
            login = Some(as_whom);
        }
        let servers = match sentinels {
            true => Servers::Sentinels(places, master.to_owned()),
            false => Servers::Cluster(places),
        };
        Ok(Self { servers, login: login.ok_or_else(not_a_url)?, tls })
    }
}

fn has_port(host: &str) -> bool {
    host.rsplit_once(']').map_or(host, |(_, port)| port).contains(':')
}

fn one(url: &str) -> Result<(Place, RedisConnectionInfo), SettingsError> {
    let info = url.into_connection_info().map_err(|_| not_a_url())?;
    let place = match info.addr() {
        ConnectionAddr::Tcp(host, port) => Place::tcp(host.as_str(), *port),
        ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
        _ => return Err(not_a_url()),
    };
    Ok((place, info.redis_settings().clone()))
}

fn wrong(problem: &str) -> SettingsError {
    SettingsError { setting: "Redis URL", problem: problem.to_owned() }
}

fn not_a_url() -> SettingsError {
    wrong(
        "is not of the form redis://[user[:password]@]host[:port][/database], \
         redis+cluster://[user[:password]@]host[:port][,host[:port]…] or \
         redis+sentinel://[user[:password]@]host[:port][,host[:port]…]/<master name>[/database], \
         with rediss for TLS; write special characters of a password as %XX",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Url {
        Url::parse(url).unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    #[test]
    fn every_form_is_read() {
        let one = parse("redis://user:geheim@host:6380/2");
        assert_eq!(one.servers, Servers::One(Place::tcp("host", 6380)));
        assert_eq!((one.login.db(), one.login.password(), one.tls), (2, Some("geheim"), false));
        let tls = parse("rediss://host");
        assert_eq!((tls.servers, tls.tls), (Servers::One(Place::tcp("host", 6379)), true));
        assert_eq!(parse("unix:///run/redis.sock").servers, Servers::One(Place::Unix("/run/redis.sock".into())));

        let cluster = parse("rediss+cluster://u:p%40w@a:1,b,[::1]:3");
        let places = vec![Place::tcp("a", 1), Place::tcp("b", 6379), Place::tcp("::1", 3)];
        assert_eq!((cluster.servers, cluster.tls), (Servers::Cluster(places), true));
        assert_eq!((cluster.login.username(), cluster.login.password()), (Some("u"), Some("p@w")));

        let sentinel = parse("redis+sentinel://a,b:7/mymaster/3");
        let places = vec![Place::tcp("a", 26379), Place::tcp("b", 7)];
        assert_eq!(sentinel.servers, Servers::Sentinels(places, "mymaster".to_owned()));
        assert_eq!(sentinel.login.db(), 3);
    }

    #[test]
    fn a_wrong_url_is_explained_and_never_shown() {
        for (url, says) in [
            ("redis//:geheim@host", "redis://"),
            ("geheim", "redis://"),
            ("redis://:geheim@host/x", "redis://"),
            ("http://:geheim@host", "redis://"),
            ("redis+cluster://:geheim@host/3", "database"),
            ("redis+cluster://:geheim@", "redis://"),
            ("redis+sentinel://:geheim@host", "names no master"),
            ("redis+sentinel://:geheim@host/m/x", "redis://"),
            ("redis+other://:geheim@host", "redis://"),
        ] {
            let error = Url::parse(url).expect_err(url).to_string();
            assert!(error.contains(says) && !error.contains("geheim"), "{url}: {error}");
        }
    }
}

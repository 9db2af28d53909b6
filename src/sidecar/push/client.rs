//! The HTTP client for one URL.
//!
//! A request is sent again at once, on a new connection, only where nothing of it can have been handled: the connection
//! was closed before a byte of the request was handed to it, or HTTP/2 says so. Every other end is an unknown outcome.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use http::header::{ACCEPT, ACCEPT_ENCODING, HOST, USER_AGENT};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri};
use hyper::body::Incoming;
use reqwest::Url;
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, timeout_at};

use super::body::{Answered, End};
use super::connector::{Connected, Connector};
use super::fault::{self, Fault};
use super::line::{Body, Line, Sent, SharedLine};
use super::pool::{IDLE, Pool};
use super::{PushSettings, url};
use crate::error::Problem;

/// Sends requests to one URL. It keeps as many connections as there are requests at once; in HTTP/2 one.
#[derive(Debug)]
pub(super) struct Client {
    connector: Connector,
    pool: Arc<Pool>,
    shared: Mutex<Option<Shared>>,
    /// Whether the last connection was in HTTP/2: then one is enough for all, and the others wait for it.
    is_shared: AtomicBool,
    /// With scheme and host, as HTTP/2 has it.
    absolute: Uri,
    /// As HTTP/1.1 has it.
    path: Uri,
    host: HeaderValue,
}

/// The connection in HTTP/2.
#[derive(Debug)]
struct Shared {
    line: SharedLine,
    used: Instant,
}

/// An answer, as far as it was read.
#[derive(Debug)]
pub(super) enum Reply {
    /// Its head was read. With the connection, to be given back after the body.
    Answer(Response<Incoming>, Option<Line>),
    /// It has this status, and its headers were not read. With what there is of its body.
    Status(u16, Answered),
}

impl Client {
    /// # Errors
    ///
    /// The first setting that cannot be used; `setting` where it is the URL.
    pub(super) fn new(setting: &str, settings: &PushSettings, target: &Url) -> Result<Self, Problem> {
        let problem = || Problem::new(setting, "is not a URL that can be asked");
        let absolute = url::uri(setting, target)?;
        let path = absolute.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let host = absolute.authority().ok_or_else(problem)?;
        Ok(Self {
            connector: Connector::new(setting, settings, target, absolute.clone())?,
            pool: Arc::default(),
            shared: Mutex::default(),
            is_shared: AtomicBool::new(settings.http2),
            host: HeaderValue::from_str(host.as_str()).map_err(|_| problem())?,
            path: path.into(),
            absolute,
        })
    }

    /// Sends a request and waits for the head of its answer, or what there is of it, until `deadline` at the latest.
    ///
    /// # Cancel safety
    ///
    /// The connection is closed, or the HTTP/2 stream reset; the application may have handled the request.
    pub(super) async fn send(
        &self,
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
        deadline: Instant,
    ) -> Result<Reply, Fault> {
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("hapax/", env!("CARGO_PKG_VERSION"))));
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        // Without it every encoding would be welcome, and a compressed body is not read.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let mut request = Request::new(Body::new(body));
        (*request.method_mut(), *request.headers_mut()) = (method, headers);
        let mut only_new = false;
        loop {
            // Nothing is sent in here.
            let connected = timeout_at(deadline, self.connected(only_new)).await;
            let (connection, is_new) = connected.unwrap_or_else(|_| Err(fault::connected_too_late()))?;
            let seen = match &connection {
                Connected::One(line) => Some(line.seen()),
                Connected::Many(_) => None,
            };
            let Ok(sent) = timeout_at(deadline, self.send_on(connection, request)).await else {
                let answer = seen.and_then(|seen| seen.answer(End::TooSlow));
                return answer.map(|(status, body)| Reply::Status(status, body)).ok_or_else(fault::answered_too_late);
            };
            match sent {
                (Sent::Answered(answer), line) => return Ok(Reply::Answer(answer, line)),
                (Sent::Status(status, body), _) => return Ok(Reply::Status(status, body)),
                (Sent::Unsent(Some(again)), _) if !is_new => (request, only_new) = (again, true),
                (Sent::Unsent(_), _) => return Err(fault::unsent()),
                (Sent::Failed(fault), _) => return Err(fault),
            }
        }
    }

    /// Gives a connection back whose answer was read to its end.
    pub(super) fn give_back(&self, line: Line) {
        self.pool.give(line);
    }

    async fn send_on(&self, connection: Connected, mut request: Request<Body>) -> (Sent, Option<Line>) {
        match connection {
            Connected::One(mut line) => {
                *request.uri_mut() = self.path.clone();
                request.headers_mut().insert(HOST, self.host.clone());
                let sent = line.send(request).await;
                (sent, Some(line))
            }
            Connected::Many(mut line) => {
                *request.uri_mut() = self.absolute.clone();
                request.headers_mut().remove(HOST);
                (line.send(request).await, None)
            }
        }
    }

    /// A connection, and whether it was made for this request.
    async fn connected(&self, only_new: bool) -> Result<(Connected, bool), Fault> {
        while let Some(mut line) = self.pool.take().filter(|_| !only_new) {
            if line.is_free().await {
                return Ok((Connected::One(line), false));
            }
        }
        if !self.is_shared.load(Relaxed) {
            let connected = self.connector.connect().await?;
            if let Connected::Many(line) = &connected {
                self.is_shared.store(true, Relaxed);
                self.keep(&mut self.shared.lock().await, line);
            }
            return Ok((connected, true));
        }
        let mut shared = self.shared.lock().await;
        // One that was not used for a while may be gone without a word.
        let usable = |shared: &&mut Shared| shared.used.elapsed() < IDLE && !shared.line.is_closed();
        if let Some(shared) = shared.as_mut().filter(usable).filter(|_| !only_new) {
            shared.used = Instant::now();
            return Ok((Connected::Many(shared.line.clone()), false));
        }
        let connected = self.connector.connect().await?;
        match &connected {
            Connected::Many(line) => self.keep(&mut shared, line),
            // Another server took its place.
            Connected::One(_) => self.is_shared.store(false, Relaxed),
        }
        Ok((connected, true))
    }

    fn keep(&self, shared: &mut MutexGuard<'_, Option<Shared>>, line: &SharedLine) {
        **shared = Some(Shared { line: line.clone(), used: Instant::now() });
    }
}

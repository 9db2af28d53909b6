//! Every request passes here before a handler sees it.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Version, header};

use super::address::asks_for_certificates;
use super::rules::{self, Hosts};
use super::token::TokenCheck;
use super::{ListenSettings, Problem, body, problem};
use crate::store::SettingsError;
use crate::telemetry::Limiter;

#[derive(Debug)]
struct Gate {
    token: Option<TokenCheck>,
    /// `None` where callers show who they are, and so need not be told apart by the name they use.
    hosts: Option<Hosts>,
    max_body: usize,
    refusals: Limiter,
}

/// Lets only those through to `router` who may call it ([the rules](super)), with bodies that were read whole. Answers
/// to all others, and errors that the router has no words for, are [`Problem`]s.
///
/// # Errors
///
/// Names the setting where the token cannot be read.
pub fn guarded(router: Router, settings: &ListenSettings) -> Result<Router, SettingsError> {
    let token = settings.token.as_ref().map(TokenCheck::new).transpose()?;
    let known = token.is_some() || asks_for_certificates(settings);
    let gate = Gate {
        token,
        hosts: (!known).then(|| Hosts::new(settings.address, &settings.hosts)),
        max_body: settings.max_body,
        refusals: Limiter::new(Duration::from_secs(1)),
    };
    Ok(router.layer(from_fn_with_state(Arc::new(gate), pass)))
}

async fn pass(State(gate): State<Arc<Gate>>, request: Request, next: Next) -> Response {
    let version = request.version();
    let response = match gate.admit(request).await {
        Ok(request) => next.run(request).await,
        Err(refusal) => {
            let mut response = refusal.into_response();
            // The body was not read: the connection cannot be used again. HTTP/2 resets the stream instead.
            if version < Version::HTTP_2 {
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            response
        }
    };
    problem::finished(response)
}

impl Gate {
    async fn admit(&self, request: Request) -> Result<Request, Problem> {
        let (parts, body) = request.into_parts();
        let host = parts.uri.authority().map(http::uri::Authority::as_str);
        let host = host.or_else(|| parts.headers.get(header::HOST).and_then(|host| host.to_str().ok()));
        if self.hosts.as_ref().is_some_and(|hosts| !host.is_some_and(|host| hosts.allow(host))) {
            let detail = "this process is not known by the name in the header Host; call it by its address, or add the \
                          name to HAPAX_HOSTS";
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, detail));
        }
        if !rules::is_free(&parts.method, parts.uri.path()) {
            self.check_token(rules::bearer(&parts.headers)).await?;
        }
        if rules::changes(&parts.method) {
            rules::check_change(&parts.headers, host)?;
        }
        let body = body::read(body, self.max_body, body::BODY_LIMIT).await?;
        Ok(Request::from_parts(parts, Body::from(body)))
    }

    async fn check_token(&self, presented: Option<&[u8]>) -> Result<(), Problem> {
        let Some(token) = &self.token else { return Ok(()) };
        let detail = match presented {
            Some(presented) if token.accepts(presented).await => return Ok(()),
            Some(_) => "the token in the header Authorization is not the one of HAPAX_TOKEN_FILE",
            None => "the header Authorization: Bearer <token> is missing; the token is the one of HAPAX_TOKEN_FILE",
        };
        if let Some(suppressed) = self.refusals.admit(tracing::Level::WARN, "refused", "token") {
            tracing::warn!(suppressed, presented = presented.is_some(), "refused a caller without the right token");
        }
        Err(Problem::new(StatusCode::UNAUTHORIZED, detail))
    }
}

//! Which results of the inner service count as an effect.

/// Decides whether a result means that the effect happened, so that the ID is recorded as done.
///
/// Implemented by every `Fn(Result<&Response, &Error>) -> bool`. An error may count ("exists already"), and a response
/// may not (an HTTP 503).
pub trait Classify<Response, Error> {
    /// Whether the effect happened.
    fn is_success(&self, result: Result<&Response, &Error>) -> bool;
}

impl<F, Response, Error> Classify<Response, Error> for F
where
    F: Fn(Result<&Response, &Error>) -> bool,
{
    fn is_success(&self, result: Result<&Response, &Error>) -> bool {
        self(result)
    }
}

/// Every response counts, no error does: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct OkIsSuccess;

impl<Response, Error> Classify<Response, Error> for OkIsSuccess {
    fn is_success(&self, result: Result<&Response, &Error>) -> bool {
        result.is_ok()
    }
}

//! Natural batching: what gathered while the last round trip was under way is the next batch.
//!
//! There is no timer. Alone, a request leaves at once; under load, batches grow by themselves to what the store takes
//! per round trip, and several are under way, so that the store works on one while the answers to another are read.

use std::collections::VecDeque;
use std::future::Future;
#[cfg(test)]
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::{fmt, mem};

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;

use crate::store::{Answers, Cause, StoreError};

/// The most requests of callers that travel together: beyond a hundred or so a batch saves little more, and one answer
/// would keep all of them waiting. 256 callers on one thread all waited for the same round trip, and client and store worked
/// in turns: one batch of up to 512 at a time gave 0.64 of a bare pipelined client's rate (median of four runs), batches of
/// 128, up to four under way, 0.88. On several threads batches stay smaller by themselves, and it makes no difference.
pub(crate) const MAX_BATCH: usize = 128;

/// The most round trips of one kind under way at once.
pub(crate) const MAX_UNDER_WAY: usize = 4;

/// Asks a whole batch; answers one result per item, in order.
type Ask<Req, Res> = Box<dyn Fn(Vec<Req>) -> BoxFuture<'static, Answers<Res>> + Send>;

/// What came back for each request of one round trip, under the tag it was pushed with.
pub(crate) type Tagged<Tag, Res> = Vec<(Tag, Result<Res, StoreError>)>;

/// Gathers requests into batches, of which at most `max_under_way` are under way. The first leaves at once, whatever its
/// size; a further one only when it is at least half full, or many small round trips would cost the store more than
/// they save.
///
/// The queue has no bound of its own: whoever pushes must bound what it has outstanding. There is no order between
/// round trips, so a request that must follow another is pushed when the other was answered.
///
/// A store that never answers holds up everything behind it: time limits are the store's own.
pub(crate) struct Coalescer<Tag, Req, Res> {
    ask: Ask<Req, Res>,
    max_batch: usize,
    max_under_way: usize,
    /// Only the last one is still being filled, so that no item is moved again when the batch leaves.
    gathered: VecDeque<Gathered<Tag, Req>>,
    under_way: FuturesUnordered<RoundTrip<Tag, Res>>,
    len: usize,
    /// How many items left with the last batch: the next ones are likely to be as many.
    usual: usize,
}

impl<Tag, Req, Res> Coalescer<Tag, Req, Res> {
    /// Up to [`MAX_UNDER_WAY`] round trips, of at most [`MAX_BATCH`] items each.
    pub(crate) fn new(ask: impl Fn(Vec<Req>) -> BoxFuture<'static, Answers<Res>> + Send + 'static) -> Self {
        Self {
            ask: Box::new(ask),
            max_batch: MAX_BATCH,
            max_under_way: MAX_UNDER_WAY,
            gathered: VecDeque::new(),
            under_way: FuturesUnordered::new(),
            len: 0,
            usual: 1,
        }
    }

    /// Caps a batch; at least one.
    pub(crate) fn max_batch(mut self, items: usize) -> Self {
        self.max_batch = items.max(1);
        self
    }

    /// How many round trips may overlap; at least one.
    #[cfg(test)]
    pub(crate) fn max_under_way(mut self, round_trips: usize) -> Self {
        self.max_under_way = round_trips.max(1);
        self
    }

    /// Puts a request into the next batch, which leaves when [`poll_next`](Self::poll_next) is called and there is room
    /// for a round trip. So all that is pushed in one turn of the caller's loop travels together.
    pub(crate) fn push(&mut self, tag: Tag, request: Req) {
        self.len += 1;
        match self.gathered.back_mut() {
            Some(batch) if batch.tags.len() < self.max_batch => batch.push(tag, request),
            _ => {
                let (tags, requests) = (Vec::with_capacity(self.usual), Vec::with_capacity(self.usual));
                let mut batch = Gathered { tags, requests };
                batch.push(tag, request);
                self.gathered.push_back(batch);
            }
        }
    }

    /// Whether nothing is gathered nor under way.
    #[cfg(any(test, feature = "kafka"))]
    pub(crate) fn is_idle(&self) -> bool {
        self.len == 0
    }

    /// How many requests were pushed and are not answered.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Waits for the next round trip; pending for ever while nothing is gathered nor under way.
    ///
    /// # Cancel safety
    ///
    /// Cancel safe: round trips live in the coalescer, not in the returned future. They advance only while it is
    /// polled.
    #[cfg(test)]
    pub(crate) async fn next(&mut self) -> Tagged<Tag, Res> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Polls for the next answered round trip; pending while nothing is gathered nor under way.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Tagged<Tag, Res>> {
        while self.next_leaves()
            && let Some(Gathered { tags, requests }) = self.gathered.pop_front()
        {
            self.usual = tags.len();
            self.under_way.push(RoundTrip { tags, answers: (self.ask)(requests) });
        }
        match self.under_way.poll_next_unpin(cx) {
            Poll::Ready(Some(answered)) => {
                self.len -= answered.len();
                Poll::Ready(answered)
            }
            // Nothing is under way, so nothing would wake the task: what changes that is a push, and `push` needs the
            // coalescer back.
            Poll::Ready(None) | Poll::Pending => Poll::Pending,
        }
    }

    fn next_leaves(&self) -> bool {
        let enough = |batch: &Gathered<Tag, Req>| batch.tags.len() >= self.max_batch.div_ceil(2);
        self.under_way.is_empty()
            || self.under_way.len() < self.max_under_way && self.gathered.front().is_some_and(enough)
    }
}

impl<Tag, Req, Res> fmt::Debug for Coalescer<Tag, Req, Res> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Coalescer").field("len", &self.len).field("under_way", &self.under_way.len()).finish()
    }
}

struct Gathered<Tag, Req> {
    tags: Vec<Tag>,
    requests: Vec<Req>,
}

impl<Tag, Req> Gathered<Tag, Req> {
    fn push(&mut self, tag: Tag, request: Req) {
        self.tags.push(tag);
        self.requests.push(request);
    }
}

/// One batch under way, with the tags of its items.
struct RoundTrip<Tag, Res> {
    tags: Vec<Tag>,
    answers: BoxFuture<'static, Answers<Res>>,
}

// Tags are moved out, never pinned.
impl<Tag, Res> Unpin for RoundTrip<Tag, Res> {}

impl<Tag, Res> Future for RoundTrip<Tag, Res> {
    type Output = Tagged<Tag, Res>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answers = ready!(self.answers.as_mut().poll(cx));
        let tags = mem::take(&mut self.tags);
        if answers.len() == tags.len() {
            return Poll::Ready(tags.into_iter().zip(answers).collect());
        }
        // Which answer belongs to which item cannot be told, so nothing is known of any.
        let cause = Cause::new(format!("the store gave {} answers to {} items", answers.len(), tags.len()));
        Poll::Ready(tags.into_iter().map(|tag| (tag, Err(StoreError::Unknown(cause.clone())))).collect())
    }
}

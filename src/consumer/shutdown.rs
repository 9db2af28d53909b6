//! How a consumer is told to end.

use tokio_util::sync::CancellationToken;

/// Ends consumers: in order, or at once. Clones are one handle.
///
/// The two steps are those of a process that gets a signal: the first asks it to end, the second not to wait any longer.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    drain: CancellationToken,
    at_once: CancellationToken,
}

impl Shutdown {
    /// A handle that was not used yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Ends in order: nothing new starts, what runs may end within the drain limit, what settled is committed, what was
    /// claimed and not started is given back, and the consumer leaves its group.
    pub fn drain(&self) {
        self.drain.cancel();
    }

    /// Ends at once, before or during a drain: handlers that do not end within half a second are dropped where they are,
    /// and may run again elsewhere once their lease has run out. What settled is committed and what did not start is
    /// given back, if brokers and store take it within half a second each; nobody waits for them longer than that.
    pub fn at_once(&self) {
        self.drain.cancel();
        self.at_once.cancel();
    }

    /// Waits until an end is asked for, in order or at once.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn drain_asked(&self) {
        self.drain.cancelled().await;
    }

    /// Waits until an end at once is asked for.
    ///
    /// # Cancel safety
    ///
    /// Nothing is lost.
    pub async fn at_once_asked(&self) {
        self.at_once.cancelled().await;
    }
}

/// The token asks for a drain; nothing asks for more.
impl From<CancellationToken> for Shutdown {
    fn from(drain: CancellationToken) -> Self {
        Self { drain, at_once: CancellationToken::new() }
    }
}

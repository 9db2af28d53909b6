//! What a stalled partition waits for, in words.

use std::borrow::Cow;

use crate::observe::WaitsFor;

/// What the partition waits for, and the way out.
pub(super) fn in_words(waits_for: &WaitsFor) -> Cow<'static, str> {
    Cow::Borrowed(match waits_for {
        WaitsFor::Claim => {
            "the store, which answers neither the claim of its message ID nor the renewal: it goes on by itself once the \
             store answers; see that the store is reached, is not full, and refuses no command, which its status names"
        }
        WaitsFor::Elsewhere => {
            "another process, which has its message ID in flight: it goes on by itself once that one is done or its \
             lease has run out; if it lasts, see what the handlers of the other processes wait for"
        }
        WaitsFor::Twin => {
            "another record of this process, which has the same message ID: it goes on by itself once that one has \
             ended; if it lasts, see what that one's handler waits for"
        }
        WaitsFor::Turn => {
            "its turn, for other records fill the bound on handlers or on exposed records, or one that a process may \
             have died of runs alone: it goes on by itself; if it lasts, see what the running handlers wait for, or \
             raise the bound"
        }
        WaitsFor::Handler(running) => {
            return Cow::Owned(format!(
                "its handler, which has been running for {running:.1?}: see what the handler waits for; at its time \
                 limit the attempt ends as failed"
            ));
        }
        WaitsFor::Backoff(failed) => {
            return Cow::Owned(format!(
                "its next attempt, after {failed} that failed: see why the handler fails; its errors are in the log"
            ));
        }
        WaitsFor::Completion => {
            "the store, which does not take the record of its effect as done: it goes on by itself once the store \
             takes it; until then a crash would repeat the effect; see that the store is reached, is not full, and refuses \
             no command, which its status names"
        }
        WaitsFor::Delivery => {
            "the dead-letter topic or retry topic, which does not take its copy: it is sent again by itself; see that \
             the topic exists, that its brokers are reached, and that this process may write to it"
        }
        WaitsFor::Stopped => {
            "its next try or an operator, for the partition is stopped at this record and nothing is skipped: remove the \
             reason, which was logged when it stopped, then `hapax retry`; `hapax skip` settles this record alone"
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn words_say_what_is_waited_for_and_the_way_out() {
        let handler = in_words(&WaitsFor::Handler(Duration::from_millis(61_250)));
        assert!(handler.contains("running for 61.2s") || handler.contains("running for 61.3s"), "{handler}");
        assert!(in_words(&WaitsFor::Backoff(7)).contains("after 7 that failed"));
        let all = [
            WaitsFor::Claim,
            WaitsFor::Elsewhere,
            WaitsFor::Twin,
            WaitsFor::Turn,
            WaitsFor::Handler(Duration::ZERO),
            WaitsFor::Backoff(1),
            WaitsFor::Completion,
            WaitsFor::Delivery,
            WaitsFor::Stopped,
        ];
        for waits_for in all {
            let words = in_words(&waits_for);
            assert!(words.contains("by itself") || words.contains(": see ") || words.contains("remove the reason"));
            assert!(waits_for.name().chars().all(|c| c.is_ascii_lowercase()), "{waits_for:?}");
        }
    }
}

//! Many records in one request.

use super::exchange::{Answer, Wanted};
use super::headers::Unfit;
use super::outcome::Unsent;
use super::push::Inner;
use super::verdict::{Verdict, by_status};
use super::{PushProtocol, batch, dapr};
use crate::consumer::{Attempt, Failure};
use crate::record::Record;

type Handled = Result<(), Failure>;

impl Inner {
    /// Sends records together; an answer for each. One that cannot be sent does not keep the others from being sent.
    pub(super) async fn many(&self, records: &[(Record, Attempt)]) -> Vec<Handled> {
        let Some(first) = records.first() else { return Vec::new() };
        let events: Vec<_> = records.iter().map(|(record, attempt)| self.writer.entry(record, attempt)).collect();
        let fit: Vec<&[u8]> = events.iter().flatten().map(Vec::as_slice).collect();
        let mut answers = match fit.is_empty() {
            true => Vec::new(),
            false => match self.send_together(first, &fit).await {
                Ok(answer) => self.read(&answer, fit.len()),
                Err(unsent) => fit.iter().map(|_| Err(unsent.clone().into())).collect(),
            },
        }
        .into_iter();
        let answer = |event: Result<Vec<u8>, Unfit>| match event {
            Err(unfit) => Err(Failure::fatal(unfit)),
            Ok(_) => answers.next().unwrap_or_else(|| Err(Failure::retryable("no answer for this event"))),
        };
        events.into_iter().map(answer).collect()
    }

    async fn send_together(&self, first: &(Record, Attempt), events: &[&[u8]]) -> Result<Answer, Unsent> {
        self.outcomes.may_send()?;
        let (headers, body) = self.writer.many(first, events);
        self.exchange.send(headers, body, Wanted::Results).await.map_err(|fault| self.outcomes.no_answer(fault))
    }

    /// What an answer says about each of so many events.
    fn read(&self, answer: &Answer, count: usize) -> Vec<Handled> {
        let one = |verdict, status, said: &dyn Fn() -> String| {
            let follows = self.outcomes.follows(verdict, status, answer.retry_after, said);
            follows.map_err(|failure| failure.answered(&said()))
        };
        let all = |verdict, said: &dyn Fn() -> String| -> Vec<Handled> {
            (0..count).map(|_| one(verdict, answer.status, said)).collect()
        };
        let verdict = by_status(self.protocol, answer.status);
        if verdict != Verdict::Handled {
            let shown = |handled: Handled| handled.map_err(|failure| failure.answered(&answer.shown()));
            return all(verdict, &|| answer.said()).into_iter().map(shown).collect();
        }
        match self.protocol {
            PushProtocol::Http => match batch::results(&answer.body, count) {
                None => all(Verdict::Handled, &String::new),
                Some(results) => {
                    results.iter().map(|said| one(said.verdict, said.status, &|| said.text.clone())).collect()
                }
            },
            PushProtocol::Dapr => {
                let said = || match answer.note() {
                    Some(note) => format!("it asks for another attempt, or does not name this event; {note}"),
                    None => "it asks for another attempt, or does not name this event".to_owned(),
                };
                let verdicts = dapr::bulk_verdicts(&answer.body, count);
                verdicts.into_iter().map(|verdict| one(verdict, answer.status, &said)).collect()
            }
        }
    }
}

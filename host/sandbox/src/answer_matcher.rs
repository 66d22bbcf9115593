//! Matcher of answers: finds the effect of a replayed version that a recorded answer belongs to.
//!
//! A replayed version sends nothing. If its request or call equals one of the recorded call, in
//! order, it gets the answer to that one, with its own context. The answer to an effect that it does
//! not have is left out.

use std::collections::BTreeMap;

use crate::call_record::CallRecord;
use crate::difference::outgoing_line;
use crate::effect::Effect;

/// The effects of one replayed version that wait for recorded answers.
#[derive(Debug, Default)]
pub struct AnswerMatcher {
    /// The context of the version's own effect, by the number of the recorded one.
    contexts: BTreeMap<u64, Vec<u8>>,
    bytes: usize,
}

/// The maximum number of effects that wait. The oldest ones beyond it are forgotten: some answers
/// never come, such as those to a topic without a route.
const MAX_WAITING: usize = 10_000;
/// The maximum size of their contexts, in bytes.
const MAX_WAITING_BYTES: usize = 16 << 20;

impl AnswerMatcher {
    /// A call has been replayed, with these effects. `comparable` are the same effects in the form
    /// of the recording, which may be redacted.
    pub fn replayed(&mut self, recorded: &[Effect], replayed: &[Effect], comparable: &[Effect]) {
        let mut own: Vec<_> = replayed
            .iter()
            .zip(comparable)
            .filter_map(|(effect, comparable)| Some((outgoing_line(comparable)?, effect)))
            .collect();
        for effect in recorded {
            let (Some(line), Some(number)) = (outgoing_line(effect), number(effect)) else {
                continue;
            };
            let Some(place) = own.iter().position(|(own, _)| *own == line) else { continue };
            self.wait(number, context(own.remove(place).1));
        }
    }

    /// The context of the version's own effect that the recorded answer belongs to, once; empty for
    /// hooks without an answer. None if it has no such effect: the call is to be left out.
    pub fn context(&mut self, record: &CallRecord) -> Option<Vec<u8>> {
        let Some(answer) = &record.input.answer else { return Some(Vec::new()) };
        let context = self.contexts.remove(&answer.number)?;
        self.bytes -= context.len();
        Some(context)
    }

    fn wait(&mut self, number: u64, context: &[u8]) {
        self.bytes += context.len();
        // Servers give numbers out once; a damaged recording may repeat one.
        let repeated = self.contexts.insert(number, context.to_vec());
        self.bytes -= repeated.map_or(0, |it| it.len());
        while self.contexts.len() > MAX_WAITING || self.bytes > MAX_WAITING_BYTES {
            let Some((_, oldest)) = self.contexts.pop_first() else { return };
            self.bytes -= oldest.len();
        }
    }
}

fn number(effect: &Effect) -> Option<u64> {
    match effect {
        Effect::Request(request) => Some(request.permit.number()),
        Effect::Call(call) => Some(call.permit.number()),
        Effect::Publish { .. }
        | Effect::Send { .. }
        | Effect::Unsubscribe { .. }
        | Effect::Close { .. }
        | Effect::Complete(_) => None,
    }
}

fn context(effect: &Effect) -> &[u8] {
    match effect {
        Effect::Request(request) => &request.context,
        Effect::Call(call) => &call.context,
        Effect::Publish { .. }
        | Effect::Send { .. }
        | Effect::Unsubscribe { .. }
        | Effect::Close { .. }
        | Effect::Complete(_) => &[],
    }
}

#[cfg(test)]
mod tests;

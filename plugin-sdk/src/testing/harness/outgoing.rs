//! Effects with an answer: the test is the server, the callee and the caller.

use std::{mem, rc::Rc};

use super::Harness;
use crate::{
    Event, Refusal, SessionId, calls, http,
    later::Later,
    testing::{Failure, MadeCall, SentRequest, world::Fetches},
};

impl Harness {
    /// Takes the requests that hooks have sent since the last call.
    pub fn requests(&mut self) -> Vec<SentRequest> {
        mem::take(&mut self.world.requests)
    }

    /// Sets the function that answers requests that `on_subscribe` waits for.
    pub fn answer_fetches(
        &mut self,
        answer: impl Fn(http::Request) -> Result<http::Response, http::Error> + 'static,
    ) {
        self.world.fetches = Some(Fetches(Rc::new(answer)));
    }

    /// Takes the calls that hooks have made since the last call.
    pub fn calls(&mut self) -> Vec<MadeCall> {
        mem::take(&mut self.world.calls)
    }

    /// Answers a request.
    ///
    /// # Errors
    ///
    /// The fault of the handler.
    #[track_caller]
    pub fn respond(
        &mut self,
        sent: SentRequest,
        result: Result<http::Response, http::Error>,
    ) -> Result<(), Failure> {
        let answer = http::Answer { context: sent.context, result };
        let (request, _) = self.ask(None, &sent.topic);
        self.world.realm = sent.realm;
        self.run(|plugin| plugin.on_response(&request, &answer))?;
        self.settle()
    }

    /// Gives the result of a call.
    ///
    /// # Errors
    ///
    /// The fault of the handler.
    #[track_caller]
    pub fn give_result(
        &mut self,
        made: MadeCall,
        result: Result<Event, Refusal>,
    ) -> Result<(), Failure> {
        let answer = calls::Answer { context: made.context, result };
        let (request, _) = self.ask(None, &made.topic);
        self.world.realm = made.realm;
        self.run(|plugin| plugin.on_result(&request, &answer))?;
        self.settle()
    }

    /// Calls the topic as a procedure whose handler defers the result.
    ///
    /// # Errors
    ///
    /// The refusal or fault of the handler; a fault if it does not defer the result.
    #[track_caller]
    pub fn call_later(
        &mut self,
        session: SessionId,
        topic: &str,
        event: Event,
    ) -> Result<Later, Failure> {
        self.call(session, topic, event)?;
        let number = self.world.deferred.take();
        number.map(Later).ok_or_else(|| Failure::Fault("the result is not deferred".to_owned()))
    }

    /// Takes the result of a deferred call, if the plugin has completed it.
    pub fn completed(&mut self, later: Later) -> Option<Result<Event, Refusal>> {
        self.world.completed.remove(&later.0)
    }
}

//! The small workers of a test node.

use ockam::{Any, Context, Result, Routed, Worker};

use crate::{api, say};

/// Sends every message back as it came, whatever its bytes are.
pub struct Echo {
    pub verbose: bool,
}

#[ockam::worker]
impl Worker for Echo {
    type Context = Context;
    type Message = Any;

    async fn handle_message(&mut self, context: &mut Context, message: Routed<Any>) -> Result<()> {
        if self.verbose {
            say("Received", message.payload().len());
            say("Return route", message.return_route());
        }
        let route = message.return_route().clone();
        let reply = ockam::LocalMessage::new()
            .with_onward_route(route)
            .with_return_route(ockam::route![api::own_address(context)])
            .with_payload(message.into_payload());
        context.forward(reply).await
    }
}

/// Sends every string back in capitals.
pub struct Uppercase;

#[ockam::worker]
impl Worker for Uppercase {
    type Context = Context;
    type Message = String;

    async fn handle_message(
        &mut self,
        context: &mut Context,
        message: Routed<String>,
    ) -> Result<()> {
        let route = message.return_route().clone();
        let text = message.into_body()?.to_uppercase();
        context.send(route, text).await
    }
}

/// Passes messages on, with itself in the return route.
pub struct Hop;

#[ockam::worker]
impl Worker for Hop {
    type Context = Context;
    type Message = Any;

    async fn handle_message(&mut self, context: &mut Context, message: Routed<Any>) -> Result<()> {
        let address = api::own_address(context);
        let message = api::step_forward(message.into_local_message(), &address)?;
        context.forward(message).await
    }
}

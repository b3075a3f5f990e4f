//! Requests and responses, as the services of a node speak them.

use minicbor::Decoder;
use ockam::{Any, Context, LocalMessage, Result, Routed, Worker};
use ockam_core::api::{Error, Method, RequestHeader, ResponseHeader, Status};

use crate::api;

/// Bytes with their length in front: how requests and responses travel.
pub fn wrapped(bytes: &[u8]) -> Vec<u8> {
    let mut wrapped = vec![];
    let mut rest = bytes.len();
    while rest >= 0x80 {
        wrapped.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    wrapped.push(rest as u8);
    wrapped.extend(bytes);
    wrapped
}

pub fn unwrapped(bytes: &[u8]) -> Option<&[u8]> {
    let head = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    Some(&bytes[head..])
}

pub fn method(name: &str) -> Option<Method> {
    match name {
        "GET" => Some(Method::Get),
        "POST" => Some(Method::Post),
        "PUT" => Some(Method::Put),
        "DELETE" => Some(Method::Delete),
        "PATCH" => Some(Method::Patch),
        _ => None,
    }
}

/// Answers every request: `GET /` well, everything else with a reason why not.
pub struct Requests;

#[ockam::worker]
impl Worker for Requests {
    type Context = Context;
    type Message = Any;

    async fn handle_message(&mut self, context: &mut Context, message: Routed<Any>) -> Result<()> {
        let route = message.return_route().clone();
        let Some(response) = answer(&message.into_payload()) else {
            return Ok(());
        };
        let reply = LocalMessage::new()
            .with_onward_route(route)
            .with_return_route(ockam::route![api::own_address(context)])
            .with_payload(wrapped(&response));
        context.forward(reply).await
    }
}

fn answer(payload: &[u8]) -> Option<Vec<u8>> {
    let request: RequestHeader = Decoder::new(unwrapped(payload)?).decode().ok()?;
    let status = match (request.method(), request.path()) {
        (Some(Method::Get), "/") => Status::Ok,
        (Some(Method::Get), _) => Status::NotFound,
        (Some(Method::Post), _) => Status::BadRequest,
        (Some(Method::Put), _) => Status::Forbidden,
        (Some(Method::Delete), _) => Status::InternalServerError,
        _ => Status::NotImplemented,
    };
    let mut response = minicbor::to_vec(ResponseHeader::new(request.id(), status, true)).ok()?;
    response.extend(match status {
        Status::Ok => minicbor::to_vec("all is well").ok()?,
        _ => minicbor::to_vec(Error::from_failed_request(&request, "this cannot be done")).ok()?,
    });
    Some(response)
}

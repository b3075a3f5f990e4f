//! The few places where the public interface of the two releases differs:
//! what 0.139 awaits is an ordinary call later, and what it copies is borrowed.

use std::sync::Arc;

use ockam::flow_control::FlowControlId;
use ockam::tcp::{TcpInletOptions, TcpOutletOptions, TcpTransport};
use ockam::{Address, Context, LocalMessage, Result};

/// The value of a call that 0.139 awaits.
#[cfg(feature = "v0_139")]
#[macro_export]
macro_rules! now {
    ($call:expr) => {
        $call.await
    };
}

/// The value of a call that 0.139 awaits.
#[cfg(not(feature = "v0_139"))]
#[macro_export]
macro_rules! now {
    ($call:expr) => {
        $call
    };
}

#[cfg(feature = "v0_139")]
pub const RELEASE: &str = "0.139.0";
#[cfg(not(feature = "v0_139"))]
pub const RELEASE: &str = "0.150.0";

#[cfg(feature = "v0_139")]
pub async fn tcp(context: &Context) -> Result<Arc<TcpTransport>> {
    Ok(Arc::new(TcpTransport::create(context).await?))
}

#[cfg(not(feature = "v0_139"))]
pub async fn tcp(context: &Context) -> Result<Arc<TcpTransport>> {
    TcpTransport::get_or_create(context)
}

pub fn add_consumer(context: &Context, address: &str, id: &FlowControlId) {
    #[cfg(feature = "v0_139")]
    context.flow_controls().add_consumer(address, id);
    #[cfg(not(feature = "v0_139"))]
    context
        .flow_controls()
        .add_consumer(&Address::from_string(address), id);
}

/// A message with this hop moved from its onward to its return route.
pub fn step_forward(message: LocalMessage, address: &Address) -> Result<LocalMessage> {
    #[cfg(feature = "v0_139")]
    return message.step_forward(address);
    #[cfg(not(feature = "v0_139"))]
    return message.step_forward(address.clone());
}

pub fn own_address(context: &Context) -> Address {
    #[cfg(feature = "v0_139")]
    return context.address();
    #[cfg(not(feature = "v0_139"))]
    return context.primary_address().clone();
}

/// Portal options that 0.139 does not know are refused by the caller.
#[cfg(feature = "v0_139")]
pub const HAS_SKIP_HANDSHAKE: bool = false;
#[cfg(not(feature = "v0_139"))]
pub const HAS_SKIP_HANDSHAKE: bool = true;

#[cfg(feature = "v0_139")]
pub fn skipping_outlet(options: TcpOutletOptions, _skip: bool) -> TcpOutletOptions {
    options
}

#[cfg(not(feature = "v0_139"))]
pub fn skipping_outlet(options: TcpOutletOptions, skip: bool) -> TcpOutletOptions {
    options.set_skip_handshake(skip)
}

#[cfg(feature = "v0_139")]
pub fn skipping_inlet(options: TcpInletOptions, _skip: bool) -> TcpInletOptions {
    options
}

#[cfg(not(feature = "v0_139"))]
pub fn skipping_inlet(options: TcpInletOptions, skip: bool) -> TcpInletOptions {
    options.set_skip_handshake(skip)
}

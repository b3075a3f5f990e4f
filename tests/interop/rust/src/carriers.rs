//! The transports beside TCP: WebSocket and Unix sockets.

use ockam::{Address, Context};
use ockam_transport_uds::{UdsTransport, UDS};
use ockam_transport_websocket::{WebSocketTransport, WS};

use crate::arguments::{Arguments, Failure};
use crate::{now, say};

pub struct Carriers {
    websocket: WebSocketTransport,
    uds: UdsTransport,
}

impl Carriers {
    pub async fn new(context: &Context) -> Result<Self, Failure> {
        Ok(Self {
            websocket: now!(WebSocketTransport::create(context))?,
            uds: now!(UdsTransport::create(context))?,
        })
    }

    /// The listeners of `--ws-listen` and `--uds-listen`.
    pub async fn listen(&self, arguments: &Arguments) -> Result<(), Failure> {
        for address in arguments.all("ws-listen") {
            say("Listening by WebSocket", self.websocket.listen(address).await?);
        }
        for path in arguments.all("uds-listen") {
            self.uds.listen(path).await?;
            say("Listening by UDS", path);
        }
        Ok(())
    }

    /// Connects, and answers what a route begins with.
    pub async fn connect(&self, kind: &str, place: &str) -> Result<Address, Failure> {
        if kind == "ws" {
            self.websocket.connect(place).await?;
            return Ok((WS, place).into());
        }
        // A path, with another character for its slashes.
        let path = place.replace('!', "/");
        self.uds.connect(&path).await?;
        Ok((UDS, path).into())
    }
}

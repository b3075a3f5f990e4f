//! The transports beside TCP: WebSocket and Unix sockets.

use ockam::flow_control::FlowControlId;
#[cfg(not(feature = "v0_139"))]
use ockam::udp::{UdpBindArguments, UdpBindOptions, UdpTransport};
use ockam::{Address, Context};
use ockam_transport_uds::{UdsTransport, UDS};
use ockam_transport_websocket::{WebSocketTransport, WS};

use crate::arguments::{Arguments, Failure};
use crate::{now, say};

pub struct Carriers {
    websocket: WebSocketTransport,
    uds: UdsTransport,
    #[cfg(not(feature = "v0_139"))]
    udp: std::sync::Arc<UdpTransport>,
}

impl Carriers {
    pub async fn new(context: &Context) -> Result<Self, Failure> {
        Ok(Self {
            websocket: now!(WebSocketTransport::create(context))?,
            uds: now!(UdsTransport::create(context))?,
            #[cfg(not(feature = "v0_139"))]
            udp: UdpTransport::get_or_create(context)?,
        })
    }

    /// The listeners of `--ws-listen`, `--uds-listen` and `--udp-listen`, and the ids of what comes in there.
    pub async fn listen(&self, arguments: &Arguments) -> Result<Vec<FlowControlId>, Failure> {
        #[allow(unused_mut)]
        let mut ids = vec![];
        #[cfg(not(feature = "v0_139"))]
        for address in arguments.all("udp-listen") {
            let place = UdpBindArguments::new().with_bind_address(address)?;
            let bind = self.udp.bind(place, UdpBindOptions::new()).await?;
            ids.push(bind.flow_control_id().clone());
            say("Listening by UDP", bind.bind_address());
        }
        for address in arguments.all("ws-listen") {
            say("Listening by WebSocket", self.websocket.listen(address).await?);
        }
        for path in arguments.all("uds-listen") {
            self.uds.listen(path).await?;
            say("Listening by UDS", path);
        }
        Ok(ids)
    }

    /// Connects, and answers what a route begins with, and the id of what comes back.
    pub async fn connect(
        &self,
        kind: &str,
        place: &str,
    ) -> Result<(Address, Option<FlowControlId>), Failure> {
        #[cfg(not(feature = "v0_139"))]
        if kind == "udp" {
            let here = UdpBindArguments::new()
                .with_bind_address("127.0.0.1:0")?
                .with_peer_address(place)
                .await?;
            let bind = self.udp.bind(here, UdpBindOptions::new()).await?;
            return Ok((bind.sender_address().clone(), Some(bind.flow_control_id().clone())));
        }
        if kind == "ws" {
            self.websocket.connect(place).await?;
            return Ok(((WS, place).into(), None));
        }
        // A path, with another character for its slashes.
        let path = place.replace('!', "/");
        self.uds.connect(&path).await?;
        Ok(((UDS, path).into(), None))
    }
}

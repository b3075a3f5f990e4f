//! The transports beside TCP: WebSocket and Unix sockets.

use ockam::flow_control::FlowControlId;
#[cfg(not(feature = "v0_139"))]
use ockam::udp::{
    RendezvousClient, RendezvousService, UdpBindArguments, UdpBindOptions,
    UdpPunctureNegotiationListener, UdpPunctureNegotiationListenerOptions, UdpTransport, UDP,
};
#[cfg(not(feature = "v0_139"))]
use ockam::route;
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

    /// The worker `rendezvous`, reached from `ids`.
    #[cfg(not(feature = "v0_139"))]
    pub fn rendezvous(&self, context: &Context, ids: &[FlowControlId]) -> Result<(), Failure> {
        RendezvousService::start(context, "rendezvous")?;
        for id in ids {
            context.flow_controls().add_consumer(&"rendezvous".into(), id);
        }
        Ok(())
    }

    /// Asks the rendezvous at a place where we are seen.
    #[cfg(not(feature = "v0_139"))]
    pub async fn seen(&self, context: &Context, place: &str) -> Result<String, Failure> {
        let here = UdpBindArguments::new().with_bind_address("127.0.0.1:0")?;
        let bind = self.udp.bind(here, UdpBindOptions::new()).await?;
        let client = RendezvousClient::new(&bind, route![(UDP, place), "rendezvous"]);
        client.ping(context).await?;
        Ok(client.get_my_address(context).await?)
    }

    /// The worker `udp`, which negotiates punctures and asks the rendezvous at a place, reached from `ids`.
    #[cfg(not(feature = "v0_139"))]
    pub fn negotiate(&self, context: &Context, place: &str, ids: &[FlowControlId]) -> Result<(), Failure> {
        let mut options = UdpPunctureNegotiationListenerOptions::new();
        for id in ids {
            options = options.as_consumer(id);
        }
        let rendezvous = route![(UDP, place), "rendezvous"];
        UdpPunctureNegotiationListener::create(context, "udp", &self.udp, rendezvous, options)?;
        Ok(())
    }

    #[cfg(feature = "v0_139")]
    pub fn rendezvous(&self, _: &Context, _: &[FlowControlId]) -> Result<(), Failure> {
        Err("this release has another rendezvous".into())
    }

    #[cfg(feature = "v0_139")]
    pub async fn seen(&self, _: &Context, _: &str) -> Result<String, Failure> {
        Err("this release has another rendezvous".into())
    }

    #[cfg(feature = "v0_139")]
    pub fn negotiate(&self, _: &Context, _: &str, _: &[FlowControlId]) -> Result<(), Failure> {
        Err("this release has another negotiation".into())
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

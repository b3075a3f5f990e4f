//! The roles.

use std::future::pending;
use std::process::exit;
use std::str::FromStr;
use std::time::{Duration, Instant};

use ockam::access_control::AllowAll;
use ockam::compat::tokio::time::sleep;
use ockam::flow_control::FlowControlId;
use ockam::identity::models::CredentialSchemaIdentifier;
use ockam::identity::utils::AttributesBuilder;
use ockam::remote::{RemoteRelay, RemoteRelayOptions};
use ockam::tcp::{TcpInletOptions, TcpOutletOptions};
use ockam::transport::HostnamePort;
use minicbor::Decoder;
use ockam::{route, Any, Context, LocalMessage, MessageReceiveOptions};
use ockam::{RelayService, RelayServiceOptions};
use ockam_core::api::{Error, RequestHeader, ResponseHeader};

use crate::arguments::{Arguments, Failure};
use crate::peer::{import, Peer, Way};
use crate::{api, now, requests, say};

const ROLES: &[&str] = &[
    "relay",
    "outlet",
    "inlet",
    "listener",
    "initiator",
    "request",
    "identity",
    "issue",
    "seen",
];

pub async fn play(context: Context, arguments: Arguments) -> Result<(), Failure> {
    let role = arguments.role.clone();
    if arguments.has("skip-handshake") && !api::HAS_SKIP_HANDSHAKE {
        return Err("this release has no --skip-handshake".into());
    }
    if !ROLES.contains(&role.as_str()) {
        return Err(format!("no such role: {role}").into());
    }
    let peer = Peer::new(context, arguments).await?;
    match role.as_str() {
        "relay" => relay(&peer).await?,
        "outlet" => outlet(&peer).await?,
        "inlet" => inlet(&peer).await?,
        "listener" => listener(&peer).await?,
        "initiator" => initiator(&peer).await?,
        "request" => request(&peer).await?,
        "identity" => identity(&peer).await?,
        "issue" => issue(&peer).await?,
        "seen" => seen(&peer).await?,
        _ => unreachable!("roles are checked above"),
    }
    // The context and all that hangs on it must live until the process ends.
    pending::<()>().await;
    Ok(())
}

/// Lets what was sent last leave, and ends.
async fn leave() -> ! {
    sleep(Duration::from_millis(100)).await;
    exit(0)
}

async fn relay(peer: &Peer) -> Result<(), Failure> {
    peer.arguments.require("listen")?;
    let mut ids = peer.listen().await?;
    ids.extend(peer.listen_securely(&ids).await?);
    let mut options = RelayServiceOptions::new()
        .prefix(peer.arguments.get("prefix").unwrap_or(""))
        .with_service_incoming_access_control(peer.access.clone());
    for alias in peer.arguments.all("alias") {
        options = options.alias(alias.as_str());
    }
    for id in &ids {
        options = options.service_as_consumer(id).relay_as_consumer(id);
    }
    now!(RelayService::create(
        &peer.context,
        "forwarding_service",
        options
    ))?;
    peer.serve(&ids).await?;
    say("Ready", "relay");
    Ok(())
}

/// Opens the ways in: the ids of what comes in there, and the way to the relay if there is one.
async fn open(peer: &Peer) -> Result<(Vec<FlowControlId>, Option<Way>), Failure> {
    let mut ids = peer.listen().await?;
    let relay = match peer.arguments.get("relay") {
        Some(address) => Some(peer.way(address, "relay-authorized").await?),
        None => None,
    };
    ids.extend(relay.iter().filter_map(|way| way.id.clone()));
    let carriers = ["ws-listen", "uds-listen"];
    if ids.is_empty() && carriers.iter().all(|name| peer.arguments.all(name).is_empty()) {
        return Err("--listen, --ws-listen, --uds-listen or --relay is missing".into());
    }
    Ok((ids, relay))
}

/// Registers at the relay, last of all: messages can come in from then on.
async fn register(peer: &Peer, relay: Option<Way>) -> Result<(), Failure> {
    let Some(way) = relay else { return Ok(()) };
    let (route, options) = (way.route(), RemoteRelayOptions::new());
    let registration = match peer.arguments.get("relay-name") {
        Some(name) => RemoteRelay::create_static(&peer.context, route, name, options).await?,
        None => RemoteRelay::create(&peer.context, route, options).await?,
    };
    say("Forwarding address", registration.remote_address());
    Ok(())
}

async fn outlet(peer: &Peer) -> Result<(), Failure> {
    let target = HostnamePort::from_str(peer.arguments.require("target")?)?;
    let name = peer.arguments.get("outlet").unwrap_or("outlet");
    let (ids, relay) = open(peer).await?;
    let channels = peer.listen_securely(&ids).await?;
    let options = TcpOutletOptions::new().with_incoming_access_control(peer.access.clone());
    let mut options = api::skipping_outlet(options, peer.arguments.has("skip-handshake"));
    let plain: &[FlowControlId] = match peer.arguments.has("plaintext") {
        true => &ids,
        false => &[],
    };
    for id in channels.iter().chain(plain) {
        options = options.as_consumer(id);
    }
    now!(peer.tcp.create_outlet(name, target, options))?;
    peer.serve(&[ids, channels].concat()).await?;
    register(peer, relay).await?;
    say("Ready", "outlet");
    Ok(())
}

async fn listener(peer: &Peer) -> Result<(), Failure> {
    let (ids, relay) = open(peer).await?;
    let channels = peer.listen_securely(&ids).await?;
    if peer.arguments.has("rendezvous") {
        peer.carriers.rendezvous(&peer.context, &ids)?;
    }
    if let Some(place) = peer.arguments.get("negotiate") {
        peer.carriers.negotiate(&peer.context, place, &channels)?;
    }
    peer.serve(&[ids, channels].concat()).await?;
    register(peer, relay).await?;
    say("Ready", "listener");
    Ok(())
}

async fn inlet(peer: &Peer) -> Result<(), Failure> {
    let listen = peer.arguments.require("listen")?;
    let way = peer
        .way(peer.arguments.require("to")?, "authorized")
        .await?;
    let options = TcpInletOptions::new().with_incoming_access_control(peer.access.clone());
    let options = api::skipping_inlet(options, peer.arguments.has("skip-handshake"));
    let inlet = peer.tcp.create_inlet(listen, way.route(), options).await?;
    say("Listening", inlet.socket_address());
    say("Ready", "inlet");
    Ok(())
}

/// Sends `--count` messages of `--size` bytes, `--window` of them under way at a time,
/// and checks that they come back in order and unchanged.
async fn initiator(peer: &Peer) -> Result<(), Failure> {
    let way = peer
        .way(peer.arguments.require("to")?, "authorized")
        .await?;
    let count = peer.arguments.number("count", 1)?;
    let size = peer.arguments.number("size", 32)?;
    let window = peer.arguments.number("window", 1)?.max(1);
    let bare = !peer.arguments.has("bytes");
    let seconds = peer.arguments.number("timeout", 30)?;

    let name = "initiator";
    let mut context = now!(peer.context.new_detached(name, AllowAll, AllowAll))?;
    if let Some(id) = &way.id {
        api::add_consumer(&context, name, id);
    }
    let started = Instant::now();
    let mut sent = 0;
    for received in 0..count {
        while sent < count && sent < received + window {
            let message = LocalMessage::new()
                .with_onward_route(way.route())
                .with_return_route(route![name])
                .with_payload(payload(sent, size, bare));
            context.forward(message).await?;
            sent += 1;
        }
        let patience =
            MessageReceiveOptions::new().with_timeout(Duration::from_secs(seconds as u64));
        let reply = context.receive_extended::<Any>(patience).await?;
        let expected = payload(received, size, bare);
        if reply.payload() != expected && reply.payload() != capitals(expected, size) {
            return Err(format!("reply {received} is not what was sent").into());
        }
        sleep(Duration::from_secs(peer.arguments.number("pause", 0)? as u64)).await;
        if peer.arguments.has("verbose") {
            say("Received", reply.payload().len());
            say("Return route", reply.return_route());
        }
    }
    say("Echoed", count);
    say("Seconds", format!("{:.6}", started.elapsed().as_secs_f64()));
    if peer.arguments.has("stay") {
        return Ok(());
    }
    for channel in way.channels.iter().rev() {
        now!(peer.channels.stop_secure_channel(&peer.context, channel))?;
    }
    leave().await
}

/// Asks a rendezvous.
async fn seen(peer: &Peer) -> Result<(), Failure> {
    let place = peer.arguments.require("to")?;
    say("Seen at", peer.carriers.seen(&peer.context, place).await?);
    leave().await
}

/// Sends one request, and says what comes back.
async fn request(peer: &Peer) -> Result<(), Failure> {
    let way = peer
        .way(peer.arguments.require("to")?, "authorized")
        .await?;
    let method = requests::method(peer.arguments.get("method").unwrap_or("GET"))
        .ok_or("there is no such --method")?;
    let path = peer.arguments.get("path").unwrap_or("/");
    let seconds = peer.arguments.number("timeout", 30)?;

    let name = "requester";
    let mut context = now!(peer.context.new_detached(name, AllowAll, AllowAll))?;
    if let Some(id) = &way.id {
        api::add_consumer(&context, name, id);
    }
    let header = minicbor::to_vec(RequestHeader::new(method, path, false))?;
    let message = LocalMessage::new()
        .with_onward_route(way.route())
        .with_return_route(route![name])
        .with_payload(requests::wrapped(&header));
    context.forward(message).await?;
    let patience = MessageReceiveOptions::new().with_timeout(Duration::from_secs(seconds as u64));
    let reply = context.receive_extended::<Any>(patience).await?;
    let response = requests::unwrapped(reply.payload()).ok_or("the response has no length")?;
    let mut decoder = Decoder::new(response);
    let header: ResponseHeader = decoder.decode()?;
    match header.status() {
        Some(status) => say("Status", status),
        None => say("Status", "none"),
    }
    if header.is_ok() {
        say("Body", decoder.str()?);
    } else {
        let error: Error = decoder.decode()?;
        say("Error", error.message().unwrap_or("no message"));
    }
    leave().await
}

/// Letters that tell the number of the message; `bare`: as an encoded string.
fn payload(number: usize, size: usize, bare: bool) -> Vec<u8> {
    let text = (0..size).map(|index| b'a' + ((number + index) % 26) as u8);
    let mut bytes = vec![];
    if bare {
        let mut rest = size;
        while rest >= 0x80 {
            bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        bytes.push(rest as u8);
    }
    bytes.extend(text);
    bytes
}

/// What `uppercase` answers: the length in front of the `size` letters is left alone.
fn capitals(mut bytes: Vec<u8>, size: usize) -> Vec<u8> {
    let head = bytes.len() - size;
    bytes[head..].make_ascii_uppercase();
    bytes
}

async fn identity(peer: &Peer) -> Result<(), Failure> {
    if peer.arguments.has("rotate") {
        let creation = peer.channels.identities().identities_creation();
        let mut builder = creation.identity_builder();
        if peer.arguments.has("p256") {
            builder = builder.with_random_key(ockam::vault::SigningKeyType::ECDSASHA256CurveP256);
        }
        if peer.arguments.has("revoke-purpose-keys") {
            builder = builder.with_purpose_keys_revocation();
        }
        let options = builder.build_options().await?;
        creation
            .rotate_identity_with_options(&peer.identifier, options)
            .await?;
    }
    say("Change history", peer.history().await?);
    leave().await
}

async fn issue(peer: &Peer) -> Result<(), Failure> {
    let identities = peer.channels.identities();
    let subject = import(&identities, peer.arguments.require("subject")?).await?;
    let mut attributes = AttributesBuilder::with_schema(CredentialSchemaIdentifier(1));
    for (key, value) in peer.arguments.pairs("attribute")? {
        attributes = attributes.with_attribute(key, value);
    }
    let seconds = peer.arguments.number("ttl", 3600)?;
    let credential = identities
        .credentials()
        .credentials_creation()
        .issue_credential(
            &peer.identifier,
            &subject,
            attributes.build(),
            Duration::from_secs(seconds as u64),
        )
        .await?;
    say("Subject", subject);
    say("Change history", peer.history().await?);
    say("Credential", credential.encode_as_string()?);
    leave().await
}

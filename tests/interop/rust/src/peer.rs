//! What every role needs: state, an identity, trust, routes and the services of a node.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ockam::access_control::{AllowAll, IncomingAccessControl};
use ockam::flow_control::FlowControlId;
use ockam::identity::models::CredentialAndPurposeKey;
use ockam::identity::{
    CredentialAccessControl, Identifier, Identities, RemoteCredentialRetrieverCreator,
    RemoteCredentialRetrieverInfo, SecureChannelListenerOptions,
    SecureChannelOptions, SecureChannelSqlxDatabase, SecureChannels, TrustMultiIdentifiersPolicy,
};
use ockam::tcp::{TcpConnectionOptions, TcpListenerOptions, TcpTransport, TCP};
use ockam::vault::SigningKeyType;
use ockam::{route, Address, Context, Route, SqlxDatabase, Worker, WorkerBuilder};

use crate::arguments::{Arguments, Failure};
use crate::requests::Requests;
use crate::workers::{Echo, Hop, Uppercase};
use crate::{api, now, say};

pub struct Peer {
    pub context: Context,
    pub arguments: Arguments,
    pub channels: Arc<SecureChannels>,
    pub identifier: Identifier,
    pub tcp: Arc<TcpTransport>,
    /// Whose credentials count.
    authority: Option<Identifier>,
    pub carriers: crate::carriers::Carriers,
    /// What admits to workers, relays and portals.
    pub access: Arc<dyn IncomingAccessControl>,
}

impl Peer {
    pub async fn new(context: Context, arguments: Arguments) -> Result<Self, Failure> {
        let state = arguments.get("state").map(PathBuf::from);
        let database = match &state {
            Some(folder) => {
                std::fs::create_dir_all(folder)?;
                SqlxDatabase::create_sqlite(&folder.join("database.sqlite")).await?
            }
            None => SqlxDatabase::in_memory("peer").await?,
        };
        let identities = Identities::create(database.clone()).build();
        let channels = SecureChannels::from_identities(
            identities.clone(),
            Arc::new(SecureChannelSqlxDatabase::new(database)),
        );
        let identifier = identity(&identities, state.as_deref(), arguments.has("p256")).await?;
        let authority = match arguments.get("authority") {
            Some(history) => Some(import(&identities, history).await?),
            None => None,
        };
        let required = arguments.pairs("require")?;
        let access: Arc<dyn IncomingAccessControl> = match &authority {
            Some(authority) if !required.is_empty() => Arc::new(CredentialAccessControl::new(
                &required,
                authority.clone(),
                identities.identities_attributes(),
            )),
            None if !required.is_empty() => return Err("--require needs --authority".into()),
            _ => Arc::new(AllowAll),
        };
        let tcp = api::tcp(&context).await?;
        let carriers = crate::carriers::Carriers::new(&context).await?;
        say("Release", api::RELEASE);
        say("Identifier", &identifier);
        Ok(Self {
            context,
            arguments,
            channels,
            identifier,
            tcp,
            authority,
            carriers,
            access,
        })
    }

    pub async fn history(&self) -> Result<String, Failure> {
        let identities = self.channels.identities();
        Ok(identities
            .get_identity(&self.identifier)
            .await?
            .export_as_string()?)
    }

    fn credential(&self) -> Result<Option<CredentialAndPurposeKey>, Failure> {
        match self.arguments.get("credential") {
            Some(text) => Ok(Some(CredentialAndPurposeKey::decode_from_string(text)?)),
            None => Ok(None),
        }
    }

    /// The trust in an initiated channel. `who` names the option with the identifiers; none given: everyone.
    async fn channel_options(&self, who: &str) -> Result<SecureChannelOptions, Failure> {
        let seconds = self.arguments.number("timeout", 30)?;
        let mut options =
            SecureChannelOptions::new().with_timeout(Duration::from_secs(seconds as u64));
        if let Some(policy) = trusted(&self.arguments, who)? {
            options = options.with_trust_policy(policy);
        }
        if let Some(credential) = self.credential()? {
            options = options.with_credential(credential)?;
        }
        if let Some(authority) = &self.authority {
            options = options.with_authority(authority.clone());
            if let Some(place) = self.arguments.get("retrieve") {
                let context = now!(self.context.new_detached("retriever", AllowAll, AllowAll))?;
                let info = RemoteCredentialRetrieverInfo::create_for_project_member(
                    authority.clone(),
                    route![(TCP, place), "api"],
                );
                let creator = RemoteCredentialRetrieverCreator::new(
                    context,
                    self.tcp.clone(),
                    self.channels.clone(),
                    info,
                    "member".to_string(),
                );
                options = options.with_credential_retriever_creator(Arc::new(creator))?;
            }
        }
        if self.arguments.has("key-exchange-only") {
            options = options.key_exchange_only();
        }
        Ok(options)
    }

    fn listener_options(&self) -> Result<SecureChannelListenerOptions, Failure> {
        let mut options = SecureChannelListenerOptions::new();
        if let Some(policy) = trusted(&self.arguments, "authorized")? {
            options = options.with_trust_policy(policy);
        }
        if let Some(credential) = self.credential()? {
            options = options.with_credential(credential)?;
        }
        if let Some(authority) = &self.authority {
            options = options.with_authority(authority.clone());
        }
        if self.arguments.has("key-exchange-only") {
            options = options.key_exchange_only();
        }
        Ok(options)
    }

    /// The TCP listeners of `--listen`, and the ids of what comes in there.
    pub async fn listen(&self) -> Result<Vec<FlowControlId>, Failure> {
        let mut ids = vec![];
        for address in self.arguments.all("listen") {
            let listener = self.tcp.listen(address, TcpListenerOptions::new()).await?;
            ids.push(listener.flow_control_id().clone());
            say("Listening", listener.socket_address());
        }
        ids.extend(self.carriers.listen(&self.arguments).await?);
        Ok(ids)
    }

    /// A secure channel listener for each `--secure`, reached from `ids` and through one another.
    pub async fn listen_securely(
        &self,
        ids: &[FlowControlId],
    ) -> Result<Vec<FlowControlId>, Failure> {
        let mut listeners = vec![];
        for name in self.arguments.all("secure") {
            listeners.push((name.as_str(), self.listener_options()?));
        }
        let spawners: Vec<_> = listeners
            .iter()
            .map(|(_, options)| options.spawner_flow_control_id())
            .collect();
        for (name, mut options) in listeners {
            let own = options.spawner_flow_control_id();
            for id in ids.iter().chain(spawners.iter().filter(|id| **id != own)) {
                options = options.as_consumer(id);
            }
            now!(self.channels.create_secure_channel_listener(
                &self.context,
                &self.identifier,
                name,
                options
            ))?;
            say("Secure channel listener", name);
        }
        Ok(spawners)
    }

    /// The workers `echo`, `uppercase` and `hop`.
    pub async fn serve(&self, ids: &[FlowControlId]) -> Result<(), Failure> {
        let verbose = self.arguments.has("verbose");
        self.start("echo", Echo { verbose }, ids).await?;
        self.start("uppercase", Uppercase, ids).await?;
        self.start("requests", Requests, ids).await?;
        self.start("hop", Hop, ids).await
    }

    async fn start<W>(&self, name: &str, worker: W, ids: &[FlowControlId]) -> Result<(), Failure>
    where
        W: Worker<Context = Context>,
    {
        let builder = WorkerBuilder::new(worker)
            .with_address(name)
            .with_incoming_access_control_arc(self.access.clone())
            .with_outgoing_access_control(AllowAll);
        now!(builder.start(&self.context))?;
        for id in ids {
            api::add_consumer(&self.context, name, id);
        }
        Ok(())
    }

    /// Goes along a multi-address: connects, and makes every `/secure/` channel on the way.
    /// Answers the route, and the id of what comes back over its first hop.
    pub async fn way(&self, address: &str, who: &str) -> Result<Way, Failure> {
        let mut way = Way::default();
        let mut parts = address.split('/').skip(1);
        let mut host: Option<&str> = None;
        while let Some(kind) = parts.next() {
            let value = parts
                .next()
                .ok_or_else(|| format!("{address}: no value after /{kind}"))?;
            match kind {
                "dnsaddr" | "ip4" | "ip6" => host = Some(value),
                "tcp" => {
                    let host = host
                        .take()
                        .ok_or_else(|| format!("{address}: no host before /tcp"))?;
                    let to = match host.contains(':') {
                        true => format!("[{host}]:{value}"),
                        false => format!("{host}:{value}"),
                    };
                    let connection = self.tcp.connect(to, TcpConnectionOptions::new()).await?;
                    way.id = Some(connection.flow_control_id().clone());
                    way.hops = vec![connection.sender_address().clone()];
                }
                "ws" | "uds" | "udp" => {
                    let (first, id) = self.carriers.connect(kind, value).await?;
                    way.id = id;
                    way.hops = vec![first];
                }
                "service" => way.hops.push(value.into()),
                "secure" => {
                    way.hops.push(value.into());
                    let channel = self
                        .channels
                        .create_secure_channel(
                            &self.context,
                            &self.identifier,
                            way.route(),
                            self.channel_options(who).await?,
                        )
                        .await?;
                    say("Channel with", channel.their_identifier());
                    way.id = Some(channel.flow_control_id().clone());
                    way.hops = vec![channel.encryptor_address().clone()];
                    way.channels.push(channel.encryptor_address().clone());
                }
                _ => return Err(format!("{address}: /{kind} is not known").into()),
            }
        }
        Ok(way)
    }
}

/// Where a multi-address led.
#[derive(Default)]
pub struct Way {
    pub hops: Vec<Address>,
    /// Of what comes back over the first hop.
    pub id: Option<FlowControlId>,
    /// The encryptors of the channels made on the way, outermost first.
    pub channels: Vec<Address>,
}

impl Way {
    pub fn route(&self) -> Route {
        Route::create(self.hops.clone())
    }
}

fn trusted(
    arguments: &Arguments,
    who: &str,
) -> Result<Option<TrustMultiIdentifiersPolicy>, Failure> {
    let mut identifiers = vec![];
    for text in arguments.all(who) {
        identifiers.push(Identifier::try_from(text.as_str())?);
    }
    Ok(match identifiers.is_empty() {
        true => None,
        false => Some(TrustMultiIdentifiersPolicy::new(identifiers)),
    })
}

/// The identity of a state folder, made when there is none.
async fn identity(
    identities: &Arc<Identities>,
    state: Option<&Path>,
    p256: bool,
) -> Result<Identifier, Failure> {
    let file = state.map(|folder| folder.join("identifier"));
    if let Some(Ok(text)) = file.as_ref().map(std::fs::read_to_string) {
        return Ok(Identifier::try_from(text.trim())?);
    }
    let creation = identities.identities_creation();
    let mut builder = creation.identity_builder();
    if p256 {
        builder = builder.with_random_key(SigningKeyType::ECDSASHA256CurveP256);
    }
    let identifier = builder.build().await?;
    if let Some(file) = file {
        std::fs::write(file, format!("{identifier}\n"))?;
    }
    Ok(identifier)
}

/// Takes in the change history (hexadecimal) of somebody else.
pub async fn import(identities: &Arc<Identities>, history: &str) -> Result<Identifier, Failure> {
    let identity = ockam::identity::Identity::create(history.trim()).await?;
    identities
        .identities_verification()
        .update_identity_ignore_older(&identity)
        .await?;
    Ok(identity.identifier().clone())
}

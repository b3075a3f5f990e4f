//! The command line: a role, then `--name value` pairs and bare `--flags`.

use std::collections::BTreeMap;
use std::error::Error;

pub type Failure = Box<dyn Error + Send + Sync>;

/// Options that take no value.
const FLAGS: &[&str] = &[
    "bytes",
    "key-exchange-only",
    "log",
    "p256",
    "plaintext",
    "rendezvous",
    "revoke-purpose-keys",
    "rotate",
    "skip-handshake",
    "stay",
    "verbose",
];

/// Options that take a value.
const VALUES: &[&str] = &[
    "alias",
    "attribute",
    "authority",
    "authorized",
    "count",
    "credential",
    "listen",
    "method",
    "negotiate",
    "outlet",
    "path",
    "pause",
    "prefix",
    "relay",
    "relay-authorized",
    "relay-name",
    "require",
    "retrieve",
    "secure",
    "size",
    "state",
    "subject",
    "target",
    "timeout",
    "to",
    "ttl",
    "udp-listen",
    "uds-listen",
    "window",
    "ws-listen",
];

#[derive(Default)]
pub struct Arguments {
    pub role: String,
    values: BTreeMap<String, Vec<String>>,
}

impl Arguments {
    pub fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut arguments = Self {
            role: words.next().ok_or("no role given")?,
            ..Self::default()
        };
        while let Some(word) = words.next() {
            let name = word
                .strip_prefix("--")
                .ok_or_else(|| format!("not an option: {word}"))?;
            let value = if FLAGS.contains(&name) {
                String::new()
            } else if VALUES.contains(&name) {
                words.next().ok_or_else(|| format!("no value: {word}"))?
            } else {
                return Err(format!("no such option: {word}").into());
            };
            arguments
                .values
                .entry(name.to_string())
                .or_default()
                .push(value);
        }
        Ok(arguments)
    }

    pub fn has(&self, name: &str) -> bool {
        self.values.contains_key(name)
    }

    pub fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The last value given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    pub fn require(&self, name: &str) -> Result<&str, Failure> {
        self.get(name)
            .ok_or_else(|| format!("--{name} is missing").into())
    }

    pub fn number(&self, name: &str, default: usize) -> Result<usize, Failure> {
        match self.get(name) {
            Some(text) => text
                .parse()
                .map_err(|_| format!("--{name} {text}: not a number").into()),
            None => Ok(default),
        }
    }

    /// The `key=value` pairs of an option.
    pub fn pairs(&self, name: &str) -> Result<Vec<(Vec<u8>, Vec<u8>)>, Failure> {
        self.all(name)
            .iter()
            .map(|text| match text.split_once('=') {
                Some((key, value)) => Ok((key.into(), value.into())),
                None => Err(format!("--{name} {text}: not key=value").into()),
            })
            .collect()
    }
}

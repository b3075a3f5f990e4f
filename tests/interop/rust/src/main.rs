//! A node of the `ockam` crate that plays one role of the protocol, as its command line says.
//!
//! It prints `Label: value` lines. Roles that serve run until they are killed.

mod api;
mod arguments;
mod carriers;
mod peer;
mod requests;
mod roles;
mod workers;

use std::fmt::Display;
use std::io::Write;
use std::process::exit;

use ockam::NodeBuilder;

use arguments::{Arguments, Failure};

const USAGE: &str = "\
usage: peer ROLE [OPTIONS]

relay     --listen HOST:PORT [--prefix P] [--alias ADDRESS]... [--secure NAME]...
outlet    --target HOST:PORT [--outlet NAME] [--secure NAME]... [--plaintext] [--skip-handshake]
          (--listen HOST:PORT | --relay MULTIADDR [--relay-name NAME] [--relay-authorized I...])
inlet     --listen HOST:PORT --to MULTIADDR [--skip-handshake]
listener  [--secure NAME]... (--listen HOST:PORT | --relay MULTIADDR [--relay-name NAME])
initiator --to MULTIADDR [--count N] [--size BYTES] [--window N] [--bytes] [--stay]
request   --to MULTIADDR [--method METHOD] [--path PATH]
identity  [--p256] [--rotate] [--revoke-purpose-keys]
issue     --subject HISTORY [--attribute KEY=VALUE]... [--ttl SECONDS]

everywhere: [--state FOLDER] [--p256] [--authorized I...]... [--timeout SECONDS] [--log]
            [--credential HEX] [--authority HISTORY] [--retrieve HOST:PORT] [--require KEY=VALUE]...
            [--key-exchange-only] [--verbose]
            [--ws-listen HOST:PORT]... [--uds-listen PATH]... [--udp-listen HOST:PORT]...
MULTIADDR is /dnsaddr/HOST/tcp/PORT[/service/NAME][/secure/NAME]... and may begin with /ws/HOST:PORT, /udp/HOST:PORT
(newest only) or /uds/PATH, in which ! stands for a slash.
";

/// Prints one fact, at once.
pub fn say(label: &str, value: impl Display) {
    let mut output = std::io::stdout().lock();
    // Nobody may be reading any more: that is no reason to stop.
    let _ = writeln!(output, "{label}: {value}").and_then(|()| output.flush());
}

fn main() {
    let arguments = Arguments::parse(std::env::args().skip(1)).unwrap_or_else(|failure| {
        eprint!("peer: {failure}\n\n{USAGE}");
        exit(2);
    });
    let builder = match arguments.has("log") {
        true => NodeBuilder::new(),
        false => NodeBuilder::new().no_logging(),
    };
    let (context, mut executor) = builder.build();
    let outcome = executor.execute(async move {
        match roles::play(context, arguments).await {
            Ok(()) => Ok::<(), Failure>(()),
            Err(failure) => {
                eprintln!("Error: {failure}");
                exit(1);
            }
        }
    });
    if let Err(failure) = outcome {
        eprintln!("Error: {failure}");
        exit(1);
    }
}

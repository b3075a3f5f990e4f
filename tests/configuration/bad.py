"""
Files that are wrong, and what is said of them.

Each row is a name, the file, and the whole of what is said, without the name
of the file in front: C{LINE: TEXT}, or C{TEXT} where no line is at fault.
"""

from __future__ import annotations

from ockam_twisted.configuration.declared import declared
from ockam_twisted.configuration.settings import NodeSettings

WHO = "I" + "0" * 64

_PLACES = "give PORT, HOST:PORT ([::1]:4000 for IPv6) or an endpoint string such as tcp:4000:interface=127.0.0.1"
_SECRET = "is where a secret is: file:FILE, credential:NAME (systemd) or env:NAME, never the secret itself"
_TIME = "is no time up to a year, such as 600, 10m, 12h or 7d"
_TOP = ", ".join(each.key for each in declared(NodeSettings))
_OUTLET = "outlets:\n  - target: 127.0.0.1:5432\n"
_INLET = f"inlets:\n  - listen: 5432\n    authorized: {WHO}\n"

_RELAY = "registrations:\n  - relay: 127.0.0.1:4000\n"
_WAY = "/dnsaddr/relay.example.com/tcp/4000/service/forward_to_db/secure/api/service/outlet"
_AUTHORITIES = f"authorities:\n  - name: company\n    identifier: {WHO}\n    address: /ip4/192.0.2.1/tcp/1/secure/api\n"

#: Name, file, what is said.
BAD: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    # ------------------------------------------------------------ the file
    ("nothing", "", (": there is nothing in it; `ockam-twisted config example` writes one",)),
    ("only comments", "# nothing\n", (": there is nothing in it; `ockam-twisted config example` writes one",)),
    ("text", "outlet\n", ("1: a configuration begins with keys, such as `outlets:`",)),
    ("a list", "- outlets\n", ("1: a configuration begins with keys, such as `outlets:`",)),
    ("two documents", "hop: true\n---\nhop: true\n", ("2: this is no YAML: but found another document",)),
    ("a tab", "relay:\n\tprocesses: 2\n", ("2: this is no YAML: found character '\\t' that cannot start any token",)),
    ("brackets", "listen: [1\n", ("2: this is no YAML: expected ',' or ']', but got '<stream end>'",)),
    ("quotes", 'allow: "dba\n', ("2: this is no YAML: found unexpected end of stream",)),
    ("no colon", "hop true\nuppercase: true\n", ("2: this is no YAML: mapping values are not allowed here",)),
    ("twice", "hop: true\nhop: true\n", ("2: 'hop' is given twice",)),
    ("twice below", "relay:\n  processes: 1\n  processes: 2\n", ("3: 'relay.processes' is given twice",)),
    ("a reference", "listen: &here [1]\nreached-at: *here\n", ("1: references (& and *) are not taken: write it out",)),
    (
        "a tag",
        "allow: !!python/object:os.system dba\n",
        ("1: 'tag:yaml.org,2002:python/object:os.sy...' is not taken: text, numbers, true and false are",),
    ),
    ("a key that is a list", "? [a]\n: 1\n", ("1: a key is a word, followed by a colon",)),
    ("depth", "state: " + "[" * 20 + "]" * 20 + "\n", ("1: groups are nested too deeply",)),
    # ---------------------------------------------------------------- keys
    ("an unknown key", "frobnicate: 1\n", (f"1: there is no key 'frobnicate'; there are {_TOP}",)),
    ("a key spelt wrong", "outlet:\n  - target: 1\n", ("1: there is no key 'outlet'; did you mean outlets?",)),
    ("an option's name", "drain_timeout: 3\n", ("1: there is no key 'drain_timeout'; did you mean drain-timeout?",)),
    (
        "a key of elsewhere",
        "relay:\n  listen: 4000\n",
        ("2: relay: there is no key 'listen'; there are authorized, tickets, allow, processes",),
    ),
    (
        "a key below spelt wrong",
        _OUTLET + "    adress: db\n",
        ("3: outlets[0]: there is no key 'adress'; did you mean address?",),
    ),
    (
        "the same in a group",
        "tickets:\n  use: 3\n",
        ("2: tickets: there is no key 'use'; did you mean uses?",),
    ),
    (
        "no target",
        "outlets:\n  - address: db\n",
        ("2: outlets[0].target says which service to offer, for example 127.0.0.1:5432; or outlets[0].udp-target",),
    ),
    (
        "no listen",
        "inlets:\n  - name: db\n",
        ("2: inlets[0].listen says where clients connect, for example 5432; or inlets[0].udp-listen",),
    ),
    (
        "no identifier, no address",
        "authorities:\n  - name: main\n",
        ("2: authorities[0]: address is missing", "2: authorities[0]: identifier is missing"),
    ),
    # -------------------------------------------------------------- shapes
    (
        "a group for a list",
        "outlets:\n  target: 1\n",
        ("1: outlets is a list: each of its entries begins with a dash",),
    ),
    ("text for a list", "inlets: 5432\n", ("1: inlets is a list: each of its entries begins with a dash",)),
    ("text in a list of groups", "outlets:\n  - 5432\n", ("2: outlets[0] is a group of keys, not '5432'",)),
    ("a list for a group", "state: []\n", ("1: state is a group of keys, not a list",)),
    ("text for a group", "relay: true\n", ("1: relay is a group of keys, not 'true'",)),
    (
        "a group for text",
        _OUTLET + "    allow: {dba: true}\n",
        ("3: outlets[0].allow is a policy over attributes, not a list or a group",),
    ),
    ("nothing for text", _OUTLET + "    address:\n", ("3: outlets[0].address is a worker address, not nothing",)),
    ("a flag for text", _OUTLET + "    address: true\n", ("3: outlets[0].address is a worker address, not a flag",)),
    ("text for a flag", "hop: maybe\n", ("1: hop is true or false, not 'maybe'",)),
    ("a number for a flag", "hop: 1\n", ("1: hop is true or false, not '1'",)),
    # ------------------------------------------------------------- numbers
    ("text for a number", "drain-timeout: soon\n", ("1: drain-timeout is a number from 0 to 86400, not 'soon'",)),
    ("too small", "drain-timeout: -1\n", ("1: drain-timeout is a number from 0 to 86400, not '-1'",)),
    ("too large", "resume-timeout: 1e9\n", ("1: resume-timeout is a number from 0 to 86400, not '1e9'",)),
    ("not a number", "resume-timeout: .nan\n", ("1: resume-timeout is a number from 0 to 86400, not '.nan'",)),
    (
        "a flag for a number",
        "max-frame: true\n",
        ("1: max-frame is a whole number from 196608 to 16777216, not a flag",),
    ),
    ("a part", "max-frame: 70000.5\n", ("1: max-frame is a whole number from 196608 to 16777216, not '70000.5'",)),
    ("a small frame", "max-frame: 1\n", ("1: max-frame is a whole number from 196608 to 16777216, not '1'",)),
    ("processes", "relay: {processes: 65}\n", ("1: relay.processes is a whole number from 1 to 64, not '65'",)),
    ("uses", "tickets: {uses: 0}\n", ("1: tickets.uses is a whole number from 1 to 10000, not '0'",)),
    (
        "connect-timeout",
        _INLET + "    connect-timeout: 0\n",
        ("4: inlets[0].connect-timeout is a number from 0.1 to 3600, not '0'",),
    ),
    ("a time", "tickets: {expires: never}\n", (f"1: tickets.expires: 'never' {_TIME}",)),
    ("a long time", "credential-lifetime: 400d\n", (f"1: credential-lifetime: '400d' {_TIME}",)),
    # ------------------------------------------------------------- places
    (
        "a target without port",
        "outlets:\n  - target: db.example\n",
        (f"2: outlets[0].target: cannot read 'db.example'; {_PLACES}",),
    ),
    ("port 0", "outlets:\n  - target: 127.0.0.1:0\n", ("2: outlets[0].target: nothing listens on port 0",)),
    (
        "a large port",
        "listen: 70000\n",
        (f"1: listen: '70000' is no port from 0 to 65535; {_PLACES}",),
    ),
    (
        "one of several",
        "listen:\n  - 4000\n  - here\n",
        (f"3: listen[1]: cannot read 'here'; {_PLACES}",),
    ),
    ("reached-at", "reached-at: relay.example.com\n", (f"1: reached-at: cannot read 'relay.example.com'; {_PLACES}",)),
    (
        "a relay",
        "registrations:\n  - relay: relay.example.com\n",
        (f"2: registrations[0].relay: cannot read 'relay.example.com'; {_PLACES}",),
    ),
    (
        "a MultiAddr without port",
        "registrations:\n  - relay: /dnsaddr/relay.example.com\n",
        (
            "2: registrations[0].relay: /dnsaddr/relay.example.com does not begin with where to connect to, as in "
            "/dnsaddr/relay.example.com/tcp/4000",
        ),
    ),
    (
        "a MultiAddr",
        _INLET + "    to: /dnsadr/relay/tcp/1\n",
        ("4: inlets[0].to: unknown protocol /dnsadr; did you mean /dnsaddr?",),
    ),
    (
        "a way to nowhere",
        _INLET + "    to: /ip4/127.0.0.1/tcp/1\n",
        ("4: inlets[0].to: /ip4/127.0.0.1/tcp/1 does not end with the outlet, as in /secure/api/service/outlet",),
    ),
    (
        "an authority without listener",
        f"authorities:\n  - {{identifier: {WHO}, address: /ip4/127.0.0.1/tcp/1}}\n",
        ("2: authorities[0].address: '/ip4/127.0.0.1/tcp/1' does not end with its listener, as in /secure/api",),
    ),
    # ------------------------------------------------------- who, and what
    (
        "an identifier",
        "authorized: I33\n",
        (
            "1: authorized: not an identifier: I33: it has 2 digits (an identifier is the letter I and 64 hexadecimal "
            "digits)",
        ),
    ),
    (
        "one of several identifiers",
        f"authorized:\n  - {WHO}\n  - me\n",
        (
            "3: authorized[1]: not an identifier: me: it does not start with I (an identifier is the letter I and 64 "
            "hexadecimal digits)",
        ),
    ),
    (
        "a policy",
        _OUTLET + "    allow: (launch 1)\n",
        ("3: outlets[0].allow: an expression begins with one of and or not if < > = != member? exists?",),
    ),
    (
        "a relay name",
        "registrations:\n  - relay: 127.0.0.1:1\n    name: not a name\n",
        (
            "3: registrations[0].name: not a relay name: not a name: at most 64 letters, digits, dots, underscores "
            "and hyphens",
        ),
    ),
    (
        "a name",
        _INLET + "    name: a/b\n",
        ("4: inlets[0].name is a name of letters, digits, dots, dashes and underscores, not 'a/b'",),
    ),
    (
        "a vault",
        "state: {vault: token}\n",
        ("1: state.vault is pkcs11:token=LABEL?module-path=LIBRARY&pin-source=FILE, as in RFC 7512",),
    ),
    # ------------------------------------------------------------- secrets
    ("a ticket itself", _INLET + "    ticket: ockamticket1abc\n", (f"4: inlets[0].ticket {_SECRET}",)),
    ("a passphrase itself", "state: {passphrase: hunter2}\n", (f"1: state.passphrase {_SECRET}",)),
    (
        "no such file",
        "inlets:\n  - listen: 1\n    ticket: file:/nowhere/t\n",
        ("3: inlets[0].ticket: cannot read '/nowhere/t': No such file or directory",),
    ),
    (
        "no such variable",
        "authority-ticket: env:NO_SUCH_VARIABLE\n",
        ("1: authority-ticket: there is no environment variable 'NO_SUCH_VARIABLE'",),
    ),
    (
        "no credentials",
        "authority-ticket: credential:ticket\n",
        ("1: authority-ticket: there are no credentials here (in a systemd unit: LoadCredential=)",),
    ),
    # --------------------------------------------- what does not go together
    (
        "keeping nothing, there",
        "state: {ephemeral: true, folder: /x}\n",
        ("1: state.ephemeral keeps nothing: it excludes state.folder",),
    ),
    (
        "everybody, and one",
        _OUTLET + f"    trust-everyone: true\n    authorized: {WHO}\n",
        ("3: outlets[0].trust-everyone accepts anybody: it excludes outlets[0].authorized and outlets[0].allow",),
    ),
    (
        "everybody, and some",
        "trust-everyone: true\nallow: dba\n",
        ("1: trust-everyone accepts anybody: it excludes authorized and allow",),
    ),
    (
        "members of nobody",
        "relay: {allow: dba}\n",
        ("1: relay.allow is about members: give relay.tickets or authorities, too",),
    ),
    (
        "no relay",
        "registrations:\n  - name: db\n",
        ("2: registrations[0].relay says where to register: HOST:PORT, or a MultiAddr",),
    ),
    (
        "no pairing is kept",
        "state: {ephemeral: true}\ninlets:\n  - listen: 1\n",
        ("3: with state.ephemeral no pairing is kept: give inlets[0].ticket at each start",),
    ),
    (
        "the same address",
        _OUTLET + "  - target: 127.0.0.1:1\n" + _RELAY,
        ("3: outlets[1].address: 'outlet' is taken by another service of the node",),
    ),
    (
        "an address of the node",
        _OUTLET + "    address: echo\n" + _RELAY,
        ("3: outlets[0].address: 'echo' is taken by another service of the node",),
    ),
    (
        "members",
        "authority-service: {members: /nowhere/m}\n",
        ("1: authority-service.members: cannot read /nowhere/m: No such file or directory",),
    ),
    (
        "nobody can reach it",
        _OUTLET,
        (
            "1: outlets: nobody can reach this outlet: give registrations.relay HOST:PORT (no open port), or listen "
            "ENDPOINT",
        ),
    ),
    (
        "a relay nowhere",
        "hop: true\nrelay:\n",
        ("2: relay: nobody can reach this relay: give listen, for example tcp:4000",),
    ),
    (
        "an authority nowhere",
        "authority-service:\n",
        ("1: authority-service: nobody can reach this authority: give listen, for example tcp:4000",),
    ),
    (
        "nothing to do",
        "hop: true\n",
        ("1: there is nothing to do for this node: give it outlets, inlets, or a relay",),
    ),
    (
        "two inlets of one name",
        f"inlets:\n  - {{name: db, listen: 1, to: '{WHO}@{_WAY}'}}\n  - {{name: db, listen: 2, to: '{WHO}@{_WAY}'}}\n",
        ("3: inlets[1].name: 'db' is what inlets[0] is called, too",),
    ),
    (
        "two inlets without names",
        f"inlets:\n  - {{listen: 1, to: '{WHO}@{_WAY}'}}\n  - {{listen: 2, to: '{WHO}@{_WAY}'}}\n",
        ("3: inlets[1].name is missing, as in inlets[0]",),
    ),
    (
        "an authority that there is not",
        _AUTHORITIES + _OUTLET + "    authority: companny\n",
        ("7: outlets[0].authority: no authority is called 'companny'; did you mean company?",),
    ),
    (
        "an authority that is none of these",
        _AUTHORITIES + f"inlets:\n  - listen: 1\n    to: '{WHO}@{_WAY}'\n    authority: x\n",
        ("8: inlets[0].authority: no authority is called 'x'; there is company",),
    ),
    (
        "an authority where there is none",
        _OUTLET + "    authority: company\n",
        ("3: outlets[0].authority: no authority is called 'company'",),
    ),
    (
        "two authorities of one name",
        _AUTHORITIES + f"  - name: company\n    identifier: {WHO}\n    address: /ip4/192.0.2.1/tcp/1/secure/api\n",
        ("5: authorities[1].name: 'company' is what authorities[0] is called, too",),
    ),
    (
        "one place for two",
        f"listen: 5432\ninlets:\n  - listen: 127.0.0.1:5432\n    to: '{WHO}@{_WAY}'\n",
        ("3: inlets[0].listen: '127.0.0.1:5432' is where listen listens",),
    ),
    (
        "one place twice",
        "listen:\n  - 5432\n  - 5432\n",
        ("3: listen[1]: '5432' is where listen[0] listens",),
    ),
    (
        "one relay twice",
        _RELAY + "  - relay: 127.0.0.1:4000\n",
        ("3: registrations[1] is the same as registrations[0]",),
    ),
    (
        "a relay, and its ticket",
        _RELAY + "    ticket: env:SOME_TICKET\n",
        ("3: registrations[0].ticket: there is no environment variable 'SOME_TICKET'",),
    ),
    (
        "no authority for a policy",
        f"inlets:\n  - listen: 1\n    allow: db\n    to: {_WAY}\n",
        ("3: inlets[0].allow is about what an authority attests: give authorities, too",),
    ),
    (
        "no secure channel",
        f"inlets:\n  - listen: 1\n    to: {WHO}@/ip4/192.0.2.1/tcp/1/service/outlet\n",
        (
            "2: inlets[0]: /ip4/192.0.2.1/tcp/1/service/outlet has no secure channel, so nobody there proves who they "
            "are: it ends with /secure/api/service/outlet where there is one",
        ),
    ),
    (
        "a listener that is none",
        "listen: tcp:port=x\n",
        ("1: listen: not an endpoint that can be used: tcp:port=x (invalid literal for int() with base 10: 'x')",),
    ),
    # ------------------------------------------------------- several at once
    (
        "all that does not go together",
        _OUTLET
        + f"    trust-everyone: true\n    allow: dba\n{_RELAY}    ticket: file:/nowhere/t\nstate:\n  ephemeral: true\n"
        + "  folder: /x\n",
        (
            "3: outlets[0].trust-everyone accepts anybody: it excludes outlets[0].authorized and outlets[0].allow",
            "7: registrations[0].ticket: cannot read '/nowhere/t': No such file or directory",
            "9: state.ephemeral keeps nothing: it excludes state.folder",
        ),
    ),
    (
        "all that is no name",
        f"inlets:\n  - listen: 1\n    to: '{WHO}@/ip4/127.0.0.1/tcp/1'\n{_OUTLET}    address: echo\n"
        + "  - target: 127.0.0.1:2\n    address: api\nlisten: 4000\n",
        (
            "3: inlets[0].to: /ip4/127.0.0.1/tcp/1 does not end with the outlet, as in /secure/api/service/outlet",
            "6: outlets[0].address: 'echo' is taken by another service of the node",
            "8: outlets[1].address: 'api' is taken by another service of the node",
        ),
    ),
    (
        "all that is wrong",
        "hop: 2\n" + _OUTLET + "    adress: db\nrelay:\n  processes: many\n",
        (
            "1: hop is true or false, not '2'",
            "4: outlets[0]: there is no key 'adress'; did you mean address?",
            "6: relay.processes is a whole number from 1 to 64, not 'many'",
        ),
    ),
)

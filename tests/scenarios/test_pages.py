"""
The tutorial and the pages about how to do something, done as they stand there:
real programs, on machines of their own.
"""

from __future__ import annotations

import os
import shlex
import time

from tests.scenarios.pages import DOCS, PageTestCase, blocks
from tests.scenarios.processes import PATIENCE, Program, require
from tests.scenarios.test_databases import postgresql


class TutorialTests(PageTestCase):
    """
    C{docs/tutorial.rst}
    """

    def test_tutorial(self) -> None:
        """
        The first tunnel.
        """
        require("curl")
        self.do("tutorial.rst")


class HowToTests(PageTestCase):
    """
    C{docs/how-to}
    """

    def relay(self) -> None:
        """
        The relay that most pages take for granted.
        """
        self.on("on relay.example.com", "exec twist ockam-relay --listen tcp:4000").value("Identifier")

    def listens(self, name: str, port: int) -> None:
        """
        Wait until somebody listens on a port of a machine.
        """
        deadline = time.monotonic() + PATIENCE
        while self.on(name, f"exec 3<>/dev/tcp/127.0.0.1/{port}").process.wait(PATIENCE):
            self.assertLess(time.monotonic(), deadline, f"nobody listens on port {port} {name}")
            time.sleep(0.1)

    def run_(self, name: str, text: str) -> Program:
        """
        Run something that the page takes for granted, to its end.
        """
        program = self.on(name, text)
        self.assertEqual(program.process.wait(PATIENCE), 0, program.text())
        return program

    def serve(self, name: str, port: int, text: str) -> None:
        """
        A web page on a machine.
        """
        self.run_(name, f"mkdir -p site && echo '{text}' > site/index.html")
        self.on(name, f"exec python3 -m http.server --bind 127.0.0.1 --directory site {port}")
        self.listens(name, port)

    def test_ssh(self) -> None:
        """
        ssh, scp, rsync, with a server on port 22.
        """
        require("ssh", "sshd", "scp", "rsync", "ssh-keygen")
        self.relay()
        server, desk = "on the server", "at your desk"
        self.run_(server, "ssh-keygen -q -t ed25519 -N '' -f host && mkdir -m 700 .ssh")
        self.run_(desk, "mkdir -m 700 .ssh && ssh-keygen -q -t ed25519 -N '' -f .ssh/id_ed25519")
        here, there = self.machine(server).home, self.machine(desk).home
        (here / ".ssh" / "authorized_keys").write_bytes((there / ".ssh" / "id_ed25519.pub").read_bytes())
        known = f"server.internal {(here / 'host.pub').read_text()}"
        (there / ".ssh" / "known_hosts").write_text(known)
        config = "UsePAM no\nStrictModes no\nPermitRootLogin yes\nSubsystem sftp internal-sftp\n"
        (here / "sshd_config").write_text(f"HostKey {here}/host\n{config}")
        self.on(server, f"exec $(command -v sshd) -D -e -f {here}/sshd_config")
        self.listens(server, 22)
        self.do("how-to/ssh.rst")
        self.assertEqual((here / "synchronised.txt").read_text(), "some notes\n")

    def test_postgresql(self) -> None:
        """
        psql and pg_dump, over TCP and over the socket.
        """
        path = os.environ["PATH"]
        self.addCleanup(os.environ.__setitem__, "PATH", path)
        postgresql()
        require("psql", "initdb", "postgres", "pg_dump", "setpriv")
        self.relay()
        name = "beside the database"
        user = "setpriv --reuid postgres --regid postgres --clear-groups"
        os.chmod(self.folder, 0o755)
        self.run_(name, "install -d -o postgres -m 700 /var/lib/data && chown postgres /run/postgresql")
        self.run_(name, f"cd / && {user} initdb -D /var/lib/data -A trust -U app --no-sync --locale=C")
        options = "-c listen_addresses=127.0.0.1 -c unix_socket_directories=/run/postgresql -c fsync=off"
        self.on(name, f"cd / && exec {user} postgres -D /var/lib/data {options}")
        self.listens(name, 5432)
        self.run_(name, "until psql -h 127.0.0.1 -U app -c 'create database app' postgres; do sleep 0.2; done")
        self.do("how-to/postgresql.rst")
        self.assertIn("plum", (self.machine("at your desk").home / "fruit.sql").read_text())

    def test_redis(self) -> None:
        """
        redis-cli.
        """
        require("redis-server", "redis-cli")
        self.relay()
        self.on("beside Redis", "exec redis-server --save '' --appendonly no")
        self.listens("beside Redis", 6379)
        self.do("how-to/redis.rst")

    def test_dns(self) -> None:
        """
        named and dig, by UDP and by TCP.
        """
        require("dig", "named")
        self.relay()
        name = "beside the name server, which answers by UDP and by TCP"
        home = self.machine(name).home
        (home / "zone").write_text("$TTL 60\n@ SOA a b 1 1 1 1 1\n@ NS a\na A 192.0.2.53\nwww A 192.0.2.80\n")
        (home / "named.conf").write_text(
            f'options {{ directory "{home}"; listen-on {{ 127.0.0.1; }}; listen-on-v6 {{ none; }};\n'
            f'pid-file "{home}/named.pid"; recursion no; dnssec-validation no; session-keyfile none; }};\n'
            f'controls {{ }};\nzone "private.example" {{ type master; file "{home}/zone"; }};\n'
        )
        self.on(name, f"exec $(command -v named) -f -g -4 -c {home}/named.conf")
        self.listens(name, 53)
        self.do("how-to/dns.rst")

    def test_web(self) -> None:
        """
        nginx with two sites, and curl.
        """
        require("nginx", "curl")
        self.relay()
        name = "beside the application"
        home = self.machine(name).home
        self.run_(name, "mkdir /var/lib/nginx")
        site = "server {{ listen 127.0.0.1:8080; server_name {}; location / {{ return 200 'Welcome {}\n'; }} }}"
        (home / "nginx.conf").write_text(
            f"daemon off; pid {home}/pid; error_log stderr; events {{}} http {{ access_log off;\n"
            f"{site.format('_', 'inside')}\n{site.format('app.internal', 'to app.internal')}\n}}\n"
        )
        self.on(name, f"exec $(command -v nginx) -c {home}/nginx.conf")
        self.listens(name, 8080)
        self.do("how-to/web.rst")

    def test_printer(self) -> None:
        """
        A printer that has an address of its own beside the outlet.
        """
        require("nc")
        self.relay()
        name = "in the office"
        self.run_(name, "ip address add 192.168.7.20/32 dev lo")
        self.on(name, "exec nc -l 192.168.7.20 9100 > printed")
        self.do("how-to/printer.rst")
        printed = self.machine(name).home / "printed"
        deadline = time.monotonic() + PATIENCE
        while printed.read_text() != "Page one\n":
            self.assertLess(time.monotonic(), deadline, printed.read_text())
            time.sleep(0.05)

    def test_publicRelay(self) -> None:
        """
        A private relay, its firewall and its status.
        """
        require("nft")
        self.do("how-to/public-relay.rst")

    def test_direct(self) -> None:
        """
        A way past the relay.
        """
        require("curl")
        # The others know its name.
        self.machine("on relay.example.com")
        self.serve("beside the service", 8000, "Hello from a private place")
        self.do("how-to/direct.rst")

    def test_kafka(self) -> None:
        """
        A broker in between, which cannot be reached for a while.
        """
        from tests.kafka.brokers import prepare, waitUntilThere

        require("curl", "nft")
        command = prepare(self.folder / "broker", "broker.example.com", 9092, 19092, 19092, 19093, [19094])
        waitUntilThere(self.on("on broker.example.com", f"exec {shlex.join(command)}"))
        self.serve("beside the service", 8000, "Hello from a private place")
        self.do("how-to/kafka.rst")

    def test_withoutAPort(self) -> None:
        """
        A request by standard input, with a ticket and without.
        """
        self.relay()
        self.serve("beside the service", 8000, "Hello from a private place")
        self.do("how-to/without-a-port.rst")

    def test_whoIsLetIn(self) -> None:
        """
        Tickets, identifiers, and an authority.
        """
        require("curl")
        self.relay()
        self.machine("on authority.example.com")
        self.serve("beside the service", 8000, "Hello from a private place")
        self.serve("beside another service", 8000, "Hello from another place")
        self.do("how-to/who-is-let-in.rst")

    def test_several(self) -> None:
        """
        Two relays, of which one is stopped, and two outlets, the same.
        """
        require("curl")
        first, second = (f"on {each}.example.com" for each in ("relay", "relay2"))
        for each in (first, second):
            self.machine(each)
        for each in (first, second):
            relay = self.on(each, "exec twist ockam-relay --listen tcp:4000")
            relay.value("Identifier")
            self.running[(each, "ockam-relay")] = relay
        self.serve("beside the service", 8000, "Hello from a private place")
        self.serve("beside the same service", 8000, "Hello from the same place")
        self.do("how-to/several.rst")

    def test_movingAKey(self) -> None:
        """
        An outlet goes to another machine; its inlet follows.
        """
        require("curl")
        self.relay()
        self.serve("on the old machine", 8000, "The old machine")
        self.serve("on the new machine", 8000, "The new machine")
        self.do("how-to/moving-a-key.rst")

    def test_upgrading(self) -> None:
        """
        A relay is stopped, backed up, started, and goes back to the backup.
        """
        self.do("how-to/upgrading.rst")

    def test_every(self) -> None:
        """
        Each page about how to do something is done by one of these tests.
        """
        pages = {path.stem for path in (DOCS / "how-to").glob("*.rst")} - {"index"}
        tested = {"".join(part.capitalize() for part in page.split("-")) for page in pages}
        found = {name[5:6].upper() + name[6:] for name in vars(type(self)) if name.startswith("test_")} - {"Every"}
        self.assertEqual({each.lower() for each in tested}, {each.lower() for each in found})
        for page in pages:
            done = [each for each in blocks(DOCS / "how-to" / f"{page}.rst") if not each.notDone]
            self.assertTrue(done, page)

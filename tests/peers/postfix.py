"""Runs a private Postfix on loopback ports, as the mail server of one company.

    with Postfix("corp.example", deliver_to=dovecot.lmtp_port, relayhost=gateway_port) as server:
        ... server.smtp_port, server.internal_port, server.submission_port ...

It touches nothing of the system's own Postfix, several run side by side, and no mail can leave:
names are not looked up, and every destination is given.  Needs root, as the program does.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.peers.ports import ProcessGroup, free_port, wait_for_greeting, wait_until
from tests.peers.tls import TLSFiles, make_tls

Filter = tuple[Literal["smtp", "lmtp"], int]

_SYSTEM = Path("/etc/postfix")


class Postfix:
    """One server; ports are chosen at construction and everything can be set until it starts.

    Ports:
        smtp_port: For everybody; goes through *content_filter* and *relayhost*.
        internal_port: For what has been through the gateway: no filter; XFORWARD is believed.
        submission_port: STARTTLS and, with *sasl_port*, AUTH; then like `smtp_port`.

    Args:
        domain: The company's; its mail is delivered by LMTP to *deliver_to*.
        deliver_to: Port of an LMTP server; None discards.
        relayhost: Port of a smarthost for every other domain.
        outbound: Port of an SMTP server for each other domain (goes before *relayhost*).
        content_filter: Protocol and port of a filter in front of the queue's delivery.
        submission_filter: Another one for what comes by `submission_port`.
        sasl_port: Dovecot's authentication service.
        settings: More lines for main.cf.
        services: More entries for master.cf.
    """

    def __init__(
        self,
        domain: str = "corp.example",
        *,
        deliver_to: int | None = None,
        relayhost: int | None = None,
        outbound: Mapping[str, int] | None = None,
        content_filter: Filter | None = None,
        submission_filter: Filter | None = None,
        sasl_port: int | None = None,
        settings: Mapping[str, str] | None = None,
        services: Sequence[str] = (),
    ) -> None:
        self.domain = domain
        self.deliver_to = deliver_to
        self.relayhost = relayhost
        self.outbound = dict(outbound or {})
        self.content_filter = content_filter
        self.submission_filter = submission_filter
        self.sasl_port = sasl_port
        self.settings = dict(settings or {})
        self.services = tuple(services)
        self.smtp_port = free_port()
        self.internal_port = free_port()
        self.submission_port = free_port()
        self.tls: TLSFiles | None = None
        self._group: ProcessGroup | None = None

    # --- life ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        # Not pytest's tmp_path: its parents are mode 700 and user postfix could not enter.
        self.directory = Path(tempfile.mkdtemp(prefix="pf-"))
        self.directory.chmod(0o755)
        try:
            self._write()
            # Makes the queue's directories, once.
            self._run("postfix", "-c", str(self._etc), "check")
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Start (again) and return when every port greets."""
        # `postfix start` takes seconds; the master as our own child does not, and its id is ours.
        self._group = ProcessGroup(
            [str(_daemons() / "master"), "-d"],
            log=self.directory / "start.log",
            env={"MAIL_CONFIG": str(self._etc)},
        )
        try:
            for port in (self.smtp_port, self.internal_port, self.submission_port):
                wait_for_greeting(port, rb"220 ", alive=self._group.alive)
        except (RuntimeError, TimeoutError) as exc:
            raise RuntimeError(f"Postfix did not start:\n{self.log}") from exc

    @property
    def pid(self) -> int:
        """Of the master, whose children are all others."""
        assert self._group is not None
        return self._group.pid

    def stop(self) -> None:
        """Stop; what is in the queue stays there.  Does nothing when it does not run."""
        if self._group is not None:
            self._group.stop()
            self._group = None

    # --- what became of mail ---------------------------------------------------------------------

    @property
    def ca(self) -> Path:
        """PEM file of the authority that issued the server's certificate."""
        assert self.tls is not None
        return self.tls.ca

    @property
    def log(self) -> str:
        """What it said so far."""
        files = [self.directory / "start.log", self.directory / "mail.log"]
        return "".join(f.read_text(errors="replace") for f in files if f.exists())

    def queue(self) -> list[dict[str, Any]]:
        """Every queued message as `postqueue -j` tells it."""
        lines = self._run("postqueue", "-c", str(self._etc), "-j").splitlines()
        return [json.loads(line) for line in lines]

    def flush(self) -> None:
        """Try to deliver everything now."""
        self._run("postqueue", "-c", str(self._etc), "-f")

    def wait_for_log(self, text: str, *, seconds: float = 20.0) -> str:
        """Return the log as soon as it holds *text*."""
        wait_until(lambda: text in self.log, f"{text!r} in Postfix' log", seconds=seconds)
        return self.log

    def wait_for_empty_queue(self, *, seconds: float = 30.0) -> None:
        """Return when nothing waits for delivery."""
        wait_until(lambda: not self.queue(), "an empty queue", seconds=seconds)

    # --- configuration ---------------------------------------------------------------------------

    @property
    def _etc(self) -> Path:
        return self.directory / "etc"

    def _write(self) -> None:
        for name in ("etc", "spool", "data"):
            (self.directory / name).mkdir()
        owner = pwd.getpwnam("postfix")
        os.chown(self.directory / "data", owner.pw_uid, owner.pw_gid)
        self.tls = make_tls(self._etc)
        main = "".join(f"{key} = {value}\n" for key, value in self._main(self.tls).items())
        (self._etc / "main.cf").write_text(main)
        (self._etc / "master.cf").write_text(self._master())
        (self._etc / "dynamicmaps.cf").write_text("")
        if (_SYSTEM / "dynamicmaps.cf").exists():
            shutil.copy(_SYSTEM / "dynamicmaps.cf", self._etc)
        # Every program of Postfix naps until a file it reads is two seconds old.
        old = time.time() - 60
        for file in self._etc.iterdir():
            os.utime(file, (old, old))

    def _main(self, tls: TLSFiles) -> dict[str, str]:
        own = f"lmtp:inet:127.0.0.1:{self.deliver_to}" if self.deliver_to else "discard:"
        routes = " ".join(
            f"{{{domain} = smtp:[127.0.0.1]:{port}}}" for domain, port in self.outbound.items()
        )
        other = "smtp" if self.relayhost else "error:5.1.2 no route to this domain"
        return {
            "compatibility_level": "3.6",
            "queue_directory": str(self.directory / "spool"),
            "data_directory": str(self.directory / "data"),
            "command_directory": "/usr/sbin",
            "daemon_directory": str(_daemons()),
            "mail_owner": "postfix",
            "setgid_group": "postdrop",
            "syslog_name": "postfix",
            "maillog_file": str(self.directory / "mail.log"),
            "maillog_file_prefixes": str(self.directory),
            "myhostname": f"mail.{self.domain}",
            "mydomain": self.domain,
            "myorigin": self.domain,
            "inet_interfaces": "127.0.0.1",
            "inet_protocols": "ipv4",
            "mynetworks": "127.0.0.0/8",
            "mydestination": "",
            "local_recipient_maps": "",
            "alias_maps": "",
            "alias_database": "",
            "relay_domains": self.domain,
            "relay_transport": own,
            "default_transport": other,
            "relayhost": f"[127.0.0.1]:{self.relayhost}" if self.relayhost else "",
            "transport_maps": f"inline:{{ {routes} }}" if routes else "",
            "local_transport": "error:no local delivery",
            "disable_dns_lookups": "yes",
            "smtp_host_lookup": "native",
            "smtputf8_enable": "yes",
            "message_size_limit": "104857600",
            "mailbox_size_limit": "0",
            "minimal_backoff_time": "1s",
            "maximal_backoff_time": "2s",
            "queue_run_delay": "1s",
            "smtpd_peername_lookup": "no",
            "smtpd_error_sleep_time": "0",
            "smtpd_tls_cert_file": str(tls.certificate),
            "smtpd_tls_key_file": str(tls.key),
            "smtpd_tls_security_level": "may",
            "smtpd_relay_restrictions": "permit_mynetworks, reject_unauth_destination",
            "smtp_tls_security_level": "none",
            # A signed message must not be re-encoded on its way.
            "disable_mime_output_conversion": "yes",
            "notify_classes": "",
            **(
                {
                    "smtpd_sasl_type": "dovecot",
                    "smtpd_sasl_path": f"inet:127.0.0.1:{self.sasl_port}",
                }
                if self.sasl_port
                else {}
            ),
            **self.settings,
        }

    def _master(self) -> str:
        # An empty line inside an entry would end its options.
        through = _filter_option(self.content_filter)
        submission = [
            "-o smtpd_tls_security_level=encrypt",
            *_filter_option(self.submission_filter or self.content_filter),
        ]
        if self.sasl_port:
            submission += [
                "-o smtpd_sasl_auth_enable=yes",
                "-o smtpd_tls_auth_only=yes",
                "-o smtpd_relay_restrictions=permit_sasl_authenticated,reject",
            ]
        internal = [
            "-o content_filter=",
            "-o smtpd_tls_security_level=none",
            "-o smtpd_authorized_xforward_hosts=127.0.0.0/8",
            "-o smtpd_relay_restrictions=permit_mynetworks,reject",
            "-o receive_override_options=no_header_body_checks,no_unknown_recipient_checks",
        ]
        entries = [
            (f"127.0.0.1:{self.smtp_port} inet n - n - 20 smtpd", through),
            (f"127.0.0.1:{self.internal_port} inet n - n - 20 smtpd", internal),
            (f"127.0.0.1:{self.submission_port} inet n - n - 20 smtpd", submission),
            (
                "filter-smtp unix - - n - 10 smtp",
                ["-o smtp_send_xforward_command=yes", "-o smtp_tls_security_level=none"],
            ),
            ("filter-lmtp unix - - n - 10 lmtp", ["-o lmtp_send_xforward_command=yes"]),
            *((line, []) for line in (*_SERVICES.strip().splitlines(), *self.services)),
        ]
        return "".join(
            "\n".join([entry, *(f"  {option}" for option in options)]) + "\n"
            for entry, options in entries
        )

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            [_program(command[0]), *command[1:]],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
        return done.stdout


_SERVICES = """
pickup unix n - n 60 1 pickup
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
proxywrite unix - - n - 1 proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""


def _filter_option(target: Filter | None) -> list[str]:
    return [f"-o content_filter=filter-{target[0]}:[127.0.0.1]:{target[1]}"] if target else []


def _daemons() -> Path:
    for candidate in ("/usr/lib/postfix/sbin", "/usr/libexec/postfix", "/usr/lib/postfix"):
        if (Path(candidate) / "master").exists():
            return Path(candidate)
    raise RuntimeError("Postfix is not installed; run `make peers`")


def _program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise RuntimeError(f"{name} is not installed; run `make peers`")
    return path

"""A whole company: Postfix, Dovecot, slapd, a certificate authority and a gateway between them.

Clients reach it by `submit`, other companies by `mx_port`; both lead where the placement says:

- ``front``: the gateway in front of Postfix, users log in through it;
- ``lmtp`` and ``smtp``: Postfix in front, the gateway as its content filter.
"""

from __future__ import annotations

import contextlib
import shutil
import smtplib
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from tests.e2e import mail
from tests.e2e.authority import Authority
from tests.e2e.programs import GatewayProcess, program
from tests.e2e.wire import Wire
from tests.peers.dovecot import Dovecot
from tests.peers.ports import free_port, wait_until
from tests.peers.postfix import Postfix
from tests.peers.slapd import Slapd
from tests.peers.tls import make_tls

Placement = Literal["front", "lmtp", "smtp"]

_POLICY = """[[rule]]
name = "encrypted or not at all"
why  = "what these tests are about"
when = { direction = "outbound" }
then = { protect = "sign-then-encrypt", without_certificate = "refuse" }

[[rule]]
name = "open and report"
why  = "what these tests are about"
when = { direction = "inbound" }
then = { require = "none" }
"""


class Company:
    """One company; a context manager.  Postfix and gateway run after `place`.

    Args:
        domain: Its mail domain.
        user: Local part of the user who has a certificate from the beginning.
    """

    def __init__(self, domain: str, user: str) -> None:
        self.domain = domain
        self.user = f"{user}@{domain}"
        self.placement: Placement = "front"
        self.embedded = False
        """Look people up in the gateway's own database instead of LDAP."""
        self.limits: dict[str, int] = {}
        self.partner: Company | None = None
        self.submission_port = free_port()
        self.relay_port = free_port()
        self.gateway_mx_port = free_port()
        self.status_port = free_port()
        self._running = contextlib.ExitStack()
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            self.directory = Path(tempfile.mkdtemp(prefix="company-"))
            stack.callback(shutil.rmtree, self.directory, ignore_errors=True)
            suffix = ",".join(f"dc={label}" for label in self.domain.split("."))
            self.slapd = stack.enter_context(Slapd(suffix=suffix))
            self.dovecot = stack.enter_context(Dovecot())
            self.wire = stack.enter_context(Wire())
            self.authority = Authority(self.directory / "authority", f"CA of {self.domain}")
            self._prepare_gateway()
            self.container = self.enrol(self.user)
            self.gateway = GatewayProcess(self.directory / "smimegw.toml")
            stack.callback(self.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    def place(self, placement: Placement, **limits: int) -> None:
        """Start Postfix and the gateway in that order of things (again).

        Args:
            placement: Where the gateway stands.
            limits: The gateway's ``[limits]``, where they differ from the defaults.
        """
        assert self.partner
        self.stop()
        self.placement = placement
        self.limits = limits
        behind = placement if placement != "front" else None
        self.postfix = Postfix(
            self.domain,
            deliver_to=self.dovecot.lmtp_port,
            sasl_port=self.dovecot.sasl_port,
            outbound={self.partner.domain: self.partner.wire.port},
            content_filter=(behind, self.gateway_mx_port) if behind else None,
            submission_filter=(behind, self.relay_port) if behind else None,
        )
        self.wire.target = self.postfix.smtp_port if behind else self.gateway_mx_port
        self._running.enter_context(self.postfix)
        self.write_configuration()
        self._running.callback(self.gateway.stop)
        self.gateway.start()

    def stop(self) -> None:
        """End Postfix and the gateway; mailboxes, directory and keys stay."""
        self._running.close()

    @property
    def database(self) -> Path:
        """The gateway's own database."""
        return self.directory / "state" / "smimegw.db"

    # --- what people do --------------------------------------------------------------------------

    def submit(self, recipient: str | list[str], octets: bytes) -> None:
        """Send as the user's mail program: STARTTLS, login, mail.

        Raises:
            smtplib.SMTPResponseException: Refused.
        """
        mail.send(**self._way_out(recipient, octets))

    def try_to_submit(self, recipient: str | list[str], octets: bytes) -> str:
        """The same; returns code and text of the refusal, or nothing when it was accepted."""
        try:
            self.submit(recipient, octets)
        except smtplib.SMTPResponseException as refused:
            text = refused.smtp_error
            return f"{refused.smtp_code} {text.decode() if isinstance(text, bytes) else text}"
        return ""

    def submit_refused(self, recipient: str | list[str], octets: bytes) -> tuple[int, str]:
        """The same, expecting to be refused; returns code and text."""
        return mail.refusal(**self._way_out(recipient, octets))

    @property
    def front_port(self) -> int:
        """Where users' mail programs connect."""
        return self.submission_port if self.placement == "front" else self.postfix.submission_port

    @property
    def front_ca(self) -> Path:
        """The authority of the TLS certificate there."""
        return self.tls.ca if self.placement == "front" else self.postfix.ca

    def _way_out(self, recipient: str | list[str], octets: bytes) -> dict[str, Any]:
        return {
            "port": self.front_port,
            "sender": self.user,
            "recipients": [recipient] if isinstance(recipient, str) else recipient,
            "octets": octets,
            "login": (self.user, self.dovecot.password),
            "ca": self.front_ca,
        }

    def number(self, octets: bytes, user: str = "", *, as_text: bool = False) -> int:
        """Which of *user*'s messages is *octets* (see `mail.numbers`), as soon as it is there."""
        found: list[int] = []

        def there() -> bool:
            found[:] = mail.numbers(self.dovecot, user or self.user, octets, as_text=as_text)
            return bool(found)

        wait_until(there, f"the message for {user or self.user}", seconds=60)
        [number] = found
        return number

    def fetch(self, octets: bytes, user: str = "", *, as_text: bool = False) -> bytes:
        """The same message by IMAP."""
        number = self.number(octets, user, as_text=as_text)
        return mail.by_imap(self.dovecot, user or self.user, number)

    # --- what the administrator does -------------------------------------------------------------

    def enrol(self, address: str) -> Path:
        """Issue a certificate, give its key to the gateway, publish; returns the PKCS #12 file."""
        container = self.authority.issue(address)
        self.import_key(container)
        self.authority.publish(self.slapd)
        return container

    def import_key(self, container: Path) -> None:
        """Give the key in *container* to the gateway."""
        program(
            "smimegw", "key", "import", container, "--keystore", self.directory / "state" / "keys",
            "--kek-file", self.directory / "kek", "--password-file", self.authority.secret,
        )  # fmt: skip

    def _prepare_gateway(self) -> None:
        for name in ("state", "policies", "tls"):
            (self.directory / name).mkdir()
        self.policy = self.directory / "policies" / "rules.toml"
        self.policy.write_text(_POLICY)
        self.tls = make_tls(self.directory / "tls")
        (self.directory / "ldap-password").write_text(Slapd.gateway_password + "\n")
        program("smimegw", "key", "generate-kek", self.directory / "kek")

    def write_configuration(self) -> None:
        """Write smimegw.toml anew."""
        listeners = self._in_front() if self.placement == "front" else self._behind()
        assert self.partner
        companies = [self, self.partner]
        anchors = ", ".join(f'"{company.authority.anchor}"' for company in companies)
        limits = "".join(f"{name} = {value}\n" for name, value in self.limits.items())
        text = _CONFIGURATION.format(
            domain=self.domain,
            here=self.directory,
            status=self.status_port,
            anchors=anchors,
            internal=self.postfix.internal_port,
            limits=limits,
        )
        text += listeners
        if not self.embedded:
            text += "".join(self._directory_of(company) for company in companies)
        (self.directory / "smimegw.toml").write_text(text)

    def _in_front(self) -> str:
        return f"""
[listener.submission]
address = "127.0.0.1:{self.submission_port}"

[listener.submission.tls]
certificate = "{self.tls.certificate}"
key         = {{ file = "{self.tls.key}" }}
require     = true

[listener.mx]
address = "127.0.0.1:{self.gateway_mx_port}"

[next_hop.out]
address = "localhost:{self.postfix.submission_port}"
tls     = {{ mode = "verify", ca = "{self.postfix.ca}" }}
"""

    def _behind(self) -> str:
        filters = [("relay", self.relay_port), ("mx", self.gateway_mx_port)]
        return (
            "".join(
                f"""
[listener.{name}]
address       = "127.0.0.1:{port}"
protocol      = "{self.placement}"
peers         = ["127.0.0.1"]
xforward_from = ["127.0.0.1"]
"""
                for name, port in filters
            )
            + f"""
[next_hop.out]
address = "127.0.0.1:{self.postfix.internal_port}"
"""
        )

    def _directory_of(self, company: Company) -> str:
        return f"""
[[directory]]
name           = "{company.domain}"
kind           = "ldap"
url            = "{company.slapd.ldaps_url}"
base           = "{company.slapd.people_base}"
authority_base = "{company.slapd.authorities_base}"
ca             = "{company.slapd.ca}"
cache          = {{ found = "1s", absent = "1s", stale = "1s" }}

[directory.bind]
dn       = "{company.slapd.gateway_dn}"
password = {{ file = "{self.directory}/ldap-password" }}
"""


@contextlib.contextmanager
def two_companies() -> Iterator[tuple[Company, Company]]:
    """Alice's a.example and Bob's b.example, knowing each other, not yet placed."""
    ours, theirs = Company("a.example", "alice"), Company("b.example", "bob")
    ours.partner, theirs.partner = theirs, ours
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        opening = [pool.submit(company.__enter__) for company in (ours, theirs)]
        for company in opening:
            if company.exception() is None:
                stack.push(company.result())
        for company in opening:
            company.result()
        yield ours, theirs


def place(companies: Iterable[Company], placement: Placement, **limits: int) -> None:
    """Place all of them the same way, at once."""
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(company.place, placement, **limits) for company in companies]
    for task in tasks:
        task.result()


_CONFIGURATION = """version = 1

[gateway]
hostname         = "gw.{domain}"
internal_domains = ["{domain}"]
state_directory  = "{here}/state"

[next_hop.in]
address = "127.0.0.1:{internal}"

[trust]
anchors = [{anchors}]

[keystore]
key_encryption_key = {{ file = "{here}/kek" }}

[policies]
path = "{here}/policies"

[log]
format = "json"

[metrics]
address = "127.0.0.1:{status}"

[limits]
# A machine that runs many tests at once lags; that is not what these are about (O11).
loop_lag_seconds = 60.0
{limits}
"""

"""Every interface between the pipeline and the outside world, on one page.

Some stand beside their values and rules: what is remembered in `memory`, who answers for a message
in `custody`, what is asked of strangers' servers in `outside`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ParamSpec, Protocol, TypeVar

from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import NOTHING_KNOWN, Capabilities
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.keys import DecryptionCredential, SigningCredential
from smimegw.content import MEMORY, Store
from smimegw.custody import Journal, Ledger, NoJournal, NoLedger
from smimegw.errors import EnrolmentError
from smimegw.memory import Correspondents, NoCorrespondents, NoSightings, Sightings
from smimegw.mime.entity import Entity
from smimegw.outside import NoRevocationSource, RevocationSource
from smimegw.smtp.extensions import Extensions
from smimegw.smtp.reply import Reply
from smimegw.transaction import Outcome, Recipient, ReversePath, SessionInfo
from smimegw.x509.certificate import Certificate

P = ParamSpec("P")
T = TypeVar("T")


# --- directories -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCertificate:
    """One certificate a directory holds for a mailbox, not validated.

    Attributes:
        certificate: Parsed; values that do not parse are left out by the adapter and counted.
        source: ``kind:name`` such as ``ldap:staff``.
        owner: The directory's name for whose it is (DN, row id); two owners of one mailbox are
            a conflict.
        cached_seconds: Age of the answer; 0 when fresh.
        stale: The directory could not be reached and an older answer is used (R-06).
        capabilities: What its owner's software reads, if the directory holds his word for it.
        vouched: The mailbox' domain itself says, signed, that this is the one (RFC 8162, usage 3).
    """

    certificate: Certificate
    source: str
    owner: str
    cached_seconds: int = 0
    stale: bool = False
    capabilities: Capabilities = NOTHING_KNOWN
    vouched: bool = False


class CertificateDirectory(Protocol):
    """Where people's certificates live."""

    @property
    def name(self) -> str:
        """``kind:name`` for logs."""
        ...

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """Return every certificate published for *mailbox*, unvalidated; () when there is none.

        Raises:
            DirectoryError: The directory could not answer; never "no entry".
        """
        ...

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Forget cached answers, for one mailbox or all."""
        ...


class AuthorityDirectory(Protocol):
    """Where CA certificates and CRLs live, found by distinguished name."""

    async def authorities(self, subject_der: bytes) -> tuple[Certificate, ...]:
        """CA certificates with that subject, unvalidated.

        Raises:
            DirectoryError: The directory could not answer.
        """
        ...

    async def crls(self, issuer_der: bytes) -> tuple[bytes, ...]:
        """DER CertificateLists with that issuer, unverified.

        Raises:
            DirectoryError: The directory could not answer.
        """
        ...


# --- keys --------------------------------------------------------------------------------------


class Keystore(Protocol):
    """Gives key handles; never key octets."""

    async def signing_credentials(self, mailbox: Mailbox) -> tuple[SigningCredential, ...]:
        """Every signing credential of *mailbox*, newest first, not judged; () when none.

        Raises:
            KeystoreError: Locked, or not answering.
        """
        ...

    async def decryption_credentials(
        self, identifiers: Sequence[CertificateIdentifier], owners: Sequence[Mailbox]
    ) -> tuple[DecryptionCredential, ...]:
        """Credentials of *owners* whose certificate one of *identifiers* names.

        Raises:
            KeystoreError: Locked, or not answering.
        """
        ...


class Enrolment(Protocol):
    """Gets certificates from the certificate authority of our domains."""

    async def enrol(self, mailbox: Mailbox) -> None:
        """Make a key, have it certified for *mailbox*, and keep both in the keystore.

        When it returns, `Keystore.signing_credentials` has a certificate that is valid now.

        Raises:
            EnrolmentError: There is none, for a reason that the text tells.
        """
        ...

    def renew_when_due(self, mailbox: Mailbox, certificate: Certificate) -> None:
        """Begin to renew *certificate*, which signs for *mailbox*, if it ends soon; never waits."""
        ...


class NoEnrolment:
    """Implements `Enrolment` where no certificate authority is configured."""

    async def enrol(self, mailbox: Mailbox) -> None:  # noqa: ARG002
        """Never.

        Raises:
            EnrolmentError: Always.
        """
        raise EnrolmentError("a rule says enrol, and smimegw.toml has no table [enrolment]")

    def renew_when_due(self, mailbox: Mailbox, certificate: Certificate) -> None:
        """Nothing is renewed."""


# --- the next hop ------------------------------------------------------------------------------


class RelaySession(Protocol):
    """One transaction at the next hop, held open: MAIL, RCPT, content, and the final dot apart."""

    @property
    def extensions(self) -> Extensions:
        """What the next hop announced (after TLS)."""
        ...

    async def mail(self, reverse_path: ReversePath) -> Reply:
        """Send MAIL; ESMTP parameters the next hop cannot take are left out or refused by it."""
        ...

    async def recipient(self, recipient: Recipient) -> Reply:
        """Send RCPT."""
        ...

    async def prepare(self, content: Iterable[bytes]) -> Reply | None:
        """Send DATA and the content but not the final dot; a Reply means DATA was refused."""
        ...

    async def commit(self) -> tuple[Reply, ...]:
        """Send the final dot; one reply (SMTP) or one per accepted recipient (LMTP).

        Fewer with LMTP when it breaks off among them: the recipients after them are in doubt.

        Raises:
            NextHopError: With *in_doubt* when the dot went out and no reply came.
        """
        ...

    @property
    def answered(self) -> tuple[Reply, ...]:
        """The replies to the final dot that have come so far, while `commit` waits for others."""
        ...

    async def abort(self) -> None:
        """End the transaction so that the next hop keeps nothing; never raises."""
        ...

    async def close(self) -> None:
        """Give the connection back or close it; never raises."""
        ...

    @property
    def server(self) -> str:
        """``host[address]:port`` for logs."""
        ...

    @property
    def is_lmtp(self) -> bool:
        """The next hop answers per recipient."""
        ...


class Relay(Protocol):
    """Opens transactions at configured next hops."""

    async def open(self, next_hop: str, *, login: tuple[str, str] | None = None) -> RelaySession:
        """Connect (or reuse a connection), greet, TLS and, with *login*, AUTH.

        Raises:
            NextHopError: Unreachable, broke off, TLS not as configured.
            AuthenticationError: The next hop refused the login.
        """
        ...


# --- what the listener calls ---------------------------------------------------------------------


class IncomingTransaction(Protocol):
    """One MAIL transaction of a client, driven by the listener; implemented by the pipeline."""

    @property
    def id(self) -> str:
        """The transaction id."""
        ...

    async def recipient(self, recipient: Recipient) -> Reply:
        """Answer one RCPT, live from the next hop and the policy."""
        ...

    async def finish(self, content: Entity) -> Outcome:
        """Treat the complete content; every failure is an Outcome, nothing is raised."""
        ...

    def refused(self, reply: Reply) -> None:
        """The listener answers the data itself, with *reply*; `abandon` follows.  Never raises."""
        ...

    async def abandon(self) -> None:
        """RSET, QUIT or a lost client before the data ended; never raises."""
        ...

    async def told(self, *, reached: bool) -> None:
        """The client has the replies after the data, or may not have them; never raises."""
        ...


class Reception(Protocol):
    """Begins transactions and checks logins; one per process."""

    async def authenticate(self, session: SessionInfo, user: str, password: str) -> Reply:
        """Check a login (235, 535 or 454)."""
        ...

    async def begin(
        self, session: SessionInfo, reverse_path: ReversePath
    ) -> tuple[Reply, IncomingTransaction | None]:
        """Answer MAIL; the transaction is None when the reply is not positive."""
        ...

    async def extensions(self, session: SessionInfo) -> Extensions:
        """What EHLO may offer: our own limits and what the session's next hop can take."""
        ...


# --- work and records ----------------------------------------------------------------------------


class Workers(Protocol):
    """Runs pure functions off the event loop."""

    async def run(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call *function* in a worker thread and return what it returns."""
        ...


class Events(Protocol):
    """Log lines and metrics of one event catalogue."""

    def emit(self, event: str, *, txn: str = "", **values: object) -> None:
        """Write one event; *event* is a stable dotted name such as ``recipient.decided``."""
        ...


class Records(Protocol):
    """Decision records: why, per recipient, and what became of it."""

    async def write(self, record: Mapping[str, Any]) -> None:
        """Write one record durably.

        Raises:
            RecordError: It could not be written (R-20).
        """
        ...

    def note(self, record: Mapping[str, Any]) -> None:
        """Write one record about what has happened already; never raises, not durable at once."""
        ...


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Aware, UTC."""
        ...


@dataclass(frozen=True, slots=True)
class HostTrouble:
    """Why this machine should take no mail now.

    Attributes:
        row: Of the failure table: R-21 or R-24.
        text: For the administrator.
    """

    row: str
    text: str


class Host(Protocol):
    """The machine we run on."""

    def trouble(self) -> HostTrouble | None:
        """What is wrong with it; None when all is well."""
        ...


class SoundHost:
    """Implements `Host` where nobody looks."""

    def trouble(self) -> HostTrouble | None:
        """Nothing."""
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """All of them, handed to the pipeline by `app`."""

    directory: CertificateDirectory
    authorities: AuthorityDirectory
    keystore: Keystore
    relay: Relay
    workers: Workers
    events: Events
    records: Records
    clock: Clock
    revocation: RevocationSource = field(default_factory=NoRevocationSource)
    correspondents: Correspondents = field(default_factory=NoCorrespondents)
    sightings: Sightings = field(default_factory=NoSightings)
    ledger: Ledger = field(default_factory=NoLedger)
    journal: Journal = field(default_factory=NoJournal)
    spool: Store = MEMORY
    host: Host = field(default_factory=SoundHost)
    enrolment: Enrolment = field(default_factory=NoEnrolment)

"""Every interface between the pipeline and the outside world: directories, keys, time and records.

Transactions have modules of their own: those of a client `reception`, ours `next_hop`.  Others
stand beside their values and rules: what is remembered in `memory`, who answers for a message in
`custody`, what is asked of strangers' servers in `outside`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
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
from smimegw.next_hop import Relay
from smimegw.outside import NoRevocationSource, RevocationSource
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

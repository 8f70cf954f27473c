"""What the gateway remembers of the mail it saw: correspondents, their certificates, sightings.

Only what a verified signature or a key of our own vouched for becomes one of these values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import Capabilities
from smimegw.x509.certificate import Certificate


@dataclass(frozen=True, slots=True, kw_only=True)
class Correspondent:
    """What the software behind a mailbox can read, as its own signed mail said.

    Attributes:
        mailbox_key: `Mailbox.key`.
        capabilities: As announced; None when its mail never announced any.
        learned_at: The signing time of the mail that said so, or when it was seen without one.
        fingerprint: Of the certificate that signed it.
    """

    mailbox_key: str
    capabilities: Capabilities | None
    learned_at: datetime
    fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What one verified mail says of its originator's software.

    Attributes:
        mailbox: The address in the certificate that is the originator's.
        fingerprint: Of the certificate that signed.
        capabilities: From the signed attribute, else from the certificate (RFC 4262).
        signing_time: The signer's claim, never later than now; None when there is none.
    """

    mailbox: Mailbox
    fingerprint: str
    capabilities: Capabilities
    signing_time: datetime | None


class CandidateState(StrEnum):
    """What may be done with a certificate learned from mail."""

    CANDIDATE = "candidate"  # known, never used
    VERIFIED = "verified"  # came again later, nothing speaks against it; see harvest = "verified"
    SUCCESSOR = "successor"  # used where the configuration has harvest = "same-ca" (F22)
    ACCEPTED = "accepted"  # used, by an administrator's word
    REFUSED = "refused"  # never used, by an administrator's word


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A certificate that came with verified mail.

    Attributes:
        mailbox_key: Whose it is.
        certificate: Judged usable for encryption when it was learned; judged anew before use.
        state: What may be done with it.
        first_seen: When the first such mail came.
        was: Fingerprint of the certificate that was known for the mailbox before; empty when none.
    """

    mailbox_key: str
    certificate: Certificate
    state: CandidateState
    first_seen: datetime
    was: str = ""

    @property
    def is_conflict(self) -> bool:
        """Another certificate was known for the mailbox, so this one waits for a person."""
        return self.state is CandidateState.CANDIDATE and bool(self.was)


class SightingKind(StrEnum):
    """What was seen."""

    CIPHERTEXT = "ciphertext"
    SIGNATURE = "signature"
    THREAD = "thread"  # Message-ID of what came encrypted for a key of ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """When the gateway first saw something, and from whom.

    Attributes:
        at: By the gateway's own clock.
        originator: `Mailbox.key` of the From field then; empty when it was not one mailbox.
    """

    at: datetime
    originator: str


class Correspondents(Protocol):
    """What verified mail taught about those who write to us; shared by all nodes."""

    async def find(self, mailboxes: Sequence[Mailbox]) -> Mapping[str, Correspondent]:
        """What is known, by `Mailbox.key`; who is not known has no entry.

        Raises:
            DatabaseError: The database could not answer; never "not known".
        """

    async def learn(self, lesson: Lesson, now: datetime) -> bool:
        """Keep *lesson* unless something newer is known; True when it was kept.

        Raises:
            DatabaseError: Nothing was written.
        """

    async def candidates(self, mailbox: Mailbox) -> tuple[Candidate, ...]:
        """Every certificate learned for *mailbox*, in the order of first seen.

        Raises:
            DatabaseError: The database could not answer.
        """

    async def propose(self, candidate: Candidate) -> bool:
        """Keep *candidate* if its mailbox does not have that certificate; True when it was new.

        Raises:
            DatabaseError: Nothing was written.
        """

    async def confirm(self, candidate: Candidate) -> bool:
        """Make a candidate a verified one; False when it is no mere candidate any more.

        Raises:
            DatabaseError: Nothing was written.
        """


class Sightings(Protocol):
    """What was seen before, by digest; shared by all nodes."""

    async def find(self, kind: SightingKind, digest: bytes) -> Sighting | None:
        """The first sighting of *digest*; None when there was none, and nothing is kept.

        Raises:
            DatabaseError: The database could not answer; never "not seen".
        """

    async def any_seen(self, kind: SightingKind, digests: Sequence[bytes]) -> bool:
        """Whether one of *digests* was seen; nothing is kept.

        Raises:
            DatabaseError: The database could not answer; never "not seen".
        """

    async def first_seen(
        self, kind: SightingKind, digests: Sequence[bytes], originator: str, now: datetime
    ) -> tuple[Sighting, ...]:
        """The first sighting of each of *digests*, in their order.

        It is this one where there was none before, and is kept in the same step.

        Raises:
            DatabaseError: The database could not answer.
        """


class NoCorrespondents:
    """Implements `Correspondents` where nothing is remembered."""

    async def find(self, mailboxes: Sequence[Mailbox]) -> Mapping[str, Correspondent]:  # noqa: ARG002
        """Nobody."""
        return {}

    async def learn(self, lesson: Lesson, now: datetime) -> bool:  # noqa: ARG002
        """Forget it."""
        return False

    async def candidates(self, mailbox: Mailbox) -> tuple[Candidate, ...]:  # noqa: ARG002
        """None."""
        return ()

    async def propose(self, candidate: Candidate) -> bool:  # noqa: ARG002
        """Forget it."""
        return False

    async def confirm(self, candidate: Candidate) -> bool:  # noqa: ARG002
        """There is none."""
        return False


class NoSightings:
    """Implements `Sightings` where nothing is remembered: everything is seen first now."""

    async def find(self, kind: SightingKind, digest: bytes) -> Sighting | None:  # noqa: ARG002
        """Never."""
        return None

    async def any_seen(self, kind: SightingKind, digests: Sequence[bytes]) -> bool:  # noqa: ARG002
        """No."""
        return False

    async def first_seen(
        self,
        kind: SightingKind,  # noqa: ARG002
        digests: Sequence[bytes],
        originator: str,
        now: datetime,
    ) -> tuple[Sighting, ...]:
        """Now."""
        return (Sighting(at=now, originator=originator),) * len(digests)

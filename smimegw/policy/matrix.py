"""The failure matrix: what each trouble does to a copy of each protection."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from smimegw.policy.answers import CertificateAnswer, SigningAnswer, ThreadAnswer
from smimegw.policy.choices import Protection


class Verdict(StrEnum):
    """What happens to a copy that meets a trouble."""

    DEFER = "defer"  # 4xx
    REFUSE = "refuse"  # 5xx
    POLICY = "policy"  # refused unless the rule names a fall-back for it


class Trouble(StrEnum):
    """Why a copy cannot get what its rule asks for; the value is its place in the file."""

    NO_CERTIFICATE = "certificate.none"
    AMBIGUOUS = "certificate.ambiguous"
    EXPIRED = "certificate.expired"
    REVOKED = "certificate.revoked"
    UNSUITABLE = "certificate.unsuitable"
    REVOCATION_UNKNOWN = "certificate.revocation-unknown"
    UNAVAILABLE = "certificate.unavailable"
    NO_SIGNER = "signing.none"
    SIGNER_EXPIRED = "signing.expired"
    KEYSTORE_LOCKED = "signing.locked"
    KEYSTORE_UNAVAILABLE = "signing.unavailable"
    READER_LEFT_OUT = "reader.left-out"
    THREAD_ENCRYPTED = "thread.encrypted"
    THREAD_UNKNOWN = "thread.unknown"

    @property
    def row(self) -> str:
        """Of the failure table."""
        return _NATURES[self].row

    @property
    def is_unknown(self) -> bool:
        """Nobody knows whether what is needed is there: it may come to be known later."""
        return _NATURES[self].is_unknown

    @property
    def named_by(self) -> str:
        """The key with which a rule names a fall-back; empty when none can."""
        return _NATURES[self].named_by

    def touches(self, protection: Protection) -> bool:
        """Whether a copy of *protection* needs what is missing."""
        match self.value.partition(".")[0]:
            case "signing":
                return protection.signs
            case "thread":
                return not protection.encrypts
            case _:
                return protection.encrypts


@dataclass(frozen=True, slots=True)
class _Nature:
    row: str
    named_by: str = ""
    is_unknown: bool = False


_NATURES = {
    Trouble.NO_CERTIFICATE: _Nature("R-01", "without_certificate"),
    Trouble.AMBIGUOUS: _Nature("R-01"),
    Trouble.EXPIRED: _Nature("R-03", "fallback_for"),
    Trouble.REVOKED: _Nature("R-04"),
    Trouble.UNSUITABLE: _Nature("R-08", "fallback_for"),
    Trouble.REVOCATION_UNKNOWN: _Nature("R-05", is_unknown=True),
    Trouble.UNAVAILABLE: _Nature("R-06", is_unknown=True),
    Trouble.NO_SIGNER: _Nature("R-10", "signature"),
    Trouble.SIGNER_EXPIRED: _Nature("R-10", "signature"),
    Trouble.KEYSTORE_LOCKED: _Nature("R-13", is_unknown=True),
    Trouble.KEYSTORE_UNAVAILABLE: _Nature("R-14", is_unknown=True),
    Trouble.READER_LEFT_OUT: _Nature("R-26"),
    Trouble.THREAD_ENCRYPTED: _Nature("R-23", "quote_encrypted"),
    Trouble.THREAD_UNKNOWN: _Nature("R-22", is_unknown=True),
}


def certificate_trouble(answer: CertificateAnswer) -> Trouble | None:
    """What *answer* is for a copy that must be encrypted; None when it is none."""
    return None if answer is CertificateAnswer.USABLE else Trouble(f"certificate.{answer.value}")


def signing_trouble(answer: SigningAnswer) -> Trouble | None:
    """What *answer* is for a copy that must be signed; None when it is none."""
    return None if answer is SigningAnswer.USABLE else Trouble(f"signing.{answer.value}")


def thread_trouble(answer: ThreadAnswer) -> Trouble | None:
    """What *answer* is for a copy that leaves unencrypted; None when it is none."""
    return None if answer is ThreadAnswer.CLEAR else Trouble(f"thread.{answer.value}")


@dataclass(frozen=True, slots=True)
class FailureMatrix:
    """Every cell; made by `parse_matrix`, so there is no hole in it.

    Attributes:
        source: The file; empty for the one that is shipped.
        cells: For every trouble the verdict on each protection that it touches.
    """

    source: str
    cells: Mapping[Trouble, Mapping[Protection, Verdict]]

    def verdict(self, trouble: Trouble, protection: Protection) -> Verdict:
        """What happens to a copy of *protection*."""
        return self.cells[trouble][protection]

    def defers(self, trouble: Trouble, protection: Protection) -> bool:
        """The client may come again with it: 4xx, not 5xx."""
        return self.verdict(trouble, protection) is Verdict.DEFER

    def may_fall_back(self, trouble: Trouble, protection: Protection) -> bool:
        """A rule's fall-back counts."""
        return self.verdict(trouble, protection) is Verdict.POLICY

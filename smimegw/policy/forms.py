"""The shape of a policy file: what may be written, before it becomes rules and cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NewType

from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm, SignatureScheme
from smimegw.errors import AddressError
from smimegw.mime.build import SignedForm
from smimegw.mime.confidentiality import HeaderConfidentiality
from smimegw.policy.model import (
    CertificateAnswer,
    Direction,
    Protection,
    Requirement,
    SignatureWish,
    SigningAnswer,
    WithoutCertificate,
)
from smimegw.toml.structure import FaultError, Structurer, show

DomainPattern = NewType("DomainPattern", str)
FieldName = NewType("FieldName", str)
Text = NewType("Text", str)
Refusal = NewType("Refusal", str)

REFUSALS = ("R-01", "R-03", "R-04", "R-05", "R-06", "R-08", "R-10", "R-13", "R-14")


class DigestWord(StrEnum):
    """Digests a policy may ask for; SHA-1 is not among them."""

    SHA256 = DigestAlgorithm.SHA256.value
    SHA384 = DigestAlgorithm.SHA384.value
    SHA512 = DigestAlgorithm.SHA512.value


class SchemeWord(StrEnum):
    """RSA signature schemes."""

    PKCS1V15 = "pkcs1v15"
    PSS = "pss"

    @property
    def scheme(self) -> SignatureScheme:
        """The CMS scheme."""
        pss = self is SchemeWord.PSS
        return SignatureScheme.RSA_PSS if pss else SignatureScheme.RSA_PKCS1V15


class TransportWord(StrEnum):
    """RSA key transport."""

    PKCS1V15 = "pkcs1v15"
    OAEP = "oaep"


class FallbackWord(StrEnum):
    """Certificate answers that a rule may soften besides `none`."""

    EXPIRED = CertificateAnswer.EXPIRED.value
    UNSUITABLE = CertificateAnswer.UNSUITABLE.value


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderForm:
    """``when.header``."""

    name: FieldName
    value: str = ""
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WhenForm:
    """``when``."""

    direction: Direction | None = None
    sender: tuple[Mailbox, ...] | None = None
    sender_domain: tuple[DomainPattern, ...] | None = None
    recipient: tuple[Mailbox, ...] | None = None
    recipient_domain: tuple[DomainPattern, ...] | None = None
    recipient_internal: bool | None = None
    subject_word: tuple[Text, ...] | None = None
    header: HeaderForm | None = None
    user: tuple[Text, ...] | None = None
    size_over: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThenForm:
    """``then``."""

    protect: Protection | None = None
    without_certificate: WithoutCertificate | None = None
    fallback_for: tuple[FallbackWord, ...] = ()
    signature: SignatureWish | None = None
    form: SignedForm = SignedForm.CLEAR
    digest: DigestWord = DigestWord.SHA256
    scheme: SchemeWord = SchemeWord.PKCS1V15
    cipher: ContentCipher = ContentCipher.AES_256_CBC
    key_transport: TransportWord = TransportWord.PKCS1V15
    header_confidentiality: HeaderConfidentiality | None = None
    hidden_fields: tuple[FieldName, ...] | None = None
    legacy_display: bool | None = None
    require: Requirement | None = None
    old_ciphers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleForm:
    """``[[rule]]``."""

    name: Text
    why: Text
    when: WhenForm = WhenForm()
    then: ThenForm


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenForm:
    """``given`` of a case; ``from`` may be missing (a From that is not one mailbox)."""

    direction: Direction = Direction.OUTBOUND
    from_: Mailbox | None = None
    to: tuple[Mailbox, ...]
    subject: str = ""
    headers: Mapping[FieldName, str] | None = None
    user: str = ""
    size: int = 0
    certificate: CertificateAnswer = CertificateAnswer.USABLE
    signing: SigningAnswer = SigningAnswer.USABLE


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectForm:
    """``expect`` of a case; what is not named is not compared."""

    rule: Text | None = None
    protect: Protection | None = None
    refusal: Refusal | None = None
    require: Requirement | None = None
    subject: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseForm:
    """``[[case]]``."""

    name: Text
    given: GivenForm
    expect: ExpectForm


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyForm:
    """One policy file."""

    rule: tuple[RuleForm, ...] = ()
    case: tuple[CaseForm, ...] = ()


def policy_structurer() -> Structurer[PolicyForm]:
    """A reader of policy files."""
    return Structurer(
        PolicyForm,
        hooks=(
            (Mailbox, _mailbox),
            (DomainPattern, _domain_pattern),
            (FieldName, _field_name),
            (Text, _text),
            (Refusal, _refusal),
        ),
    )


def _mailbox(value: Any, _: Any) -> Mailbox:
    try:
        return Mailbox.parse(value if isinstance(value, str) else "")
    except AddressError as error:
        message = f'{show(value)} is not an address: {error}.  Write "alice@corp.example"'
        raise FaultError(message) from None


def _domain_pattern(value: Any, _: Any) -> DomainPattern:
    text = value if isinstance(value, str) and not value.startswith("[") else ""
    star = "*." if text.startswith("*.") else ""
    try:
        return DomainPattern(star + Mailbox.parse("x@" + text.removeprefix("*.")).domain)
    except AddressError as error:
        advice = 'Write "partner.example", or "*.partner.example" for every domain below'
        raise FaultError(f"{show(value)} is not a domain: {error}.  {advice}") from None


def _field_name(value: Any, _: Any) -> FieldName:
    printable = isinstance(value, str) and all("!" <= c <= "~" and c != ":" for c in value)
    if not printable or not value:
        raise FaultError(f'{show(value)} is not a field name.  Write "X-Encrypt", no colon')
    return FieldName(value.lower())


def _text(value: Any, _: Any) -> Text:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise FaultError(f"{show(value)} is not a text on one line")
    return Text(value)


def _refusal(value: Any, _: Any) -> Refusal:
    if value not in ("", *REFUSALS):
        raise FaultError(f'{show(value)} is not allowed.  Allowed: "", {", ".join(REFUSALS)}')
    return Refusal(value)

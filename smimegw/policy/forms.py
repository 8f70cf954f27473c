"""The shape of a policy file: what may be written, before it becomes rules and cases."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NewType

from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm, SignatureScheme
from smimegw.errors import AddressError
from smimegw.mime.build import SignedForm
from smimegw.mime.confidentiality import HeaderConfidentiality
from smimegw.policy.algorithms import Because
from smimegw.policy.answers import CertificateAnswer, SigningAnswer, ThreadAnswer
from smimegw.policy.choices import (
    Partial,
    Protection,
    QuoteEncrypted,
    Requirement,
    SignatureWish,
    WithoutCertificate,
)
from smimegw.policy.matrix import Trouble
from smimegw.policy.model import Direction
from smimegw.toml.structure import FaultError, Structurer, show

DomainPattern = NewType("DomainPattern", str)
FieldName = NewType("FieldName", str)
Text = NewType("Text", str)
Refusal = NewType("Refusal", str)
MediaType = NewType("MediaType", str)

_TYPE = re.compile(r"[!#$&^_.+A-Za-z0-9-]+/[!#$&^_.+A-Za-z0-9-]+")  # RFC 6838, 4.2
REFUSALS = tuple(sorted({trouble.row for trouble in Trouble} - {"R-26"}))  # that needs a message


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


class CipherWord(StrEnum):
    """Content ciphers; `auto` is the best that all readers are known to read."""

    AUTO = "auto"
    AES_128_CBC = ContentCipher.AES_128_CBC.label
    AES_192_CBC = ContentCipher.AES_192_CBC.label
    AES_256_CBC = ContentCipher.AES_256_CBC.label
    AES_128_GCM = ContentCipher.AES_128_GCM.label
    AES_192_GCM = ContentCipher.AES_192_GCM.label
    AES_256_GCM = ContentCipher.AES_256_GCM.label
    CHACHA20_POLY1305 = ContentCipher.CHACHA20_POLY1305.label

    @property
    def cipher(self) -> ContentCipher | None:
        """The CMS cipher."""
        return next((cipher for cipher in ContentCipher if cipher.label == self.value), None)


class TransportWord(StrEnum):
    """RSA key transport; `auto` is OAEP for whom is known to read it."""

    AUTO = "auto"
    PKCS1V15 = "pkcs1v15"
    OAEP = "oaep"

    @property
    def oaep(self) -> bool | None:
        """None when it depends on the recipient."""
        return None if self is TransportWord.AUTO else self is TransportWord.OAEP


class ExpectedTransport(StrEnum):
    """What a case may promise for RSA recipients."""

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
    media_type: tuple[MediaType, ...] | None = None
    null_reverse_path: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ThenForm:
    """``then``."""

    protect: Protection | None = None
    without_certificate: WithoutCertificate | None = None
    fallback_for: tuple[FallbackWord, ...] = ()
    signature: SignatureWish | None = None
    enrol: bool = False
    quote_encrypted: QuoteEncrypted | None = None
    partial: Partial | None = None
    form: SignedForm = SignedForm.CLEAR
    digest: DigestWord = DigestWord.SHA256
    scheme: SchemeWord = SchemeWord.PKCS1V15
    cipher: CipherWord = CipherWord.AUTO
    cipher_floor: ContentCipher | None = None
    key_transport: TransportWord = TransportWord.AUTO
    also_encrypt_for: tuple[Mailbox, ...] | None = None
    encrypt_to_sender: bool = False
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
    media_types: tuple[MediaType, ...] = ()
    null_reverse_path: bool = False
    certificate: CertificateAnswer = CertificateAnswer.USABLE
    other_readers: CertificateAnswer = CertificateAnswer.USABLE
    reads_ciphers: tuple[ContentCipher, ...] = ()
    reads_oaep: bool = False
    signing: SigningAnswer = SigningAnswer.USABLE
    thread: ThreadAnswer = ThreadAnswer.CLEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectForm:
    """``expect`` of a case; what is not named is not compared."""

    rule: Text | None = None
    protect: Protection | None = None
    refusal: Refusal | None = None
    require: Requirement | None = None
    subject: str | None = None
    cipher: ContentCipher | None = None
    because: Because | None = None
    key_transport: ExpectedTransport | None = None
    blocked_by: Mailbox | None = None


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
            (MediaType, _media_type),
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


def _media_type(value: Any, _: Any) -> MediaType:
    if not isinstance(value, str) or not _TYPE.fullmatch(value):
        raise FaultError(f'{show(value)} is not a media type.  Write "text/calendar"')
    return MediaType(value.lower())

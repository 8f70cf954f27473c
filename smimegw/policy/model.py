"""The values of a policy: treatments, conditions, rules, cases, decisions."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from smimegw.addresses import Mailbox
from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm, SignatureScheme
from smimegw.cms.capabilities import NOTHING_KNOWN, Capabilities
from smimegw.mime.build import SignedForm
from smimegw.mime.confidentiality import UNPROTECTED, HeaderProtection
from smimegw.policy.answers import CertificateAnswer, SigningAnswer, ThreadAnswer
from smimegw.policy.choices import (
    Partial,
    Protection,
    QuoteEncrypted,
    Requirement,
    SignatureWish,
    WithoutCertificate,
)

if TYPE_CHECKING:
    from smimegw.policy.matrix import FailureMatrix


class Direction(StrEnum):
    """Outbound mail is protected, inbound mail is opened."""

    OUTBOUND = "outbound"
    INBOUND = "inbound"


@dataclass(frozen=True, slots=True, kw_only=True)
class Treatment:
    """How protection is made; recipients with equal treatment may share a copy.

    Attributes:
        form: Clear or opaque signature.
        digest: Of the signature.
        scheme: For RSA signing keys; EC keys always sign with ECDSA.
        cipher: Of the content; None for the best that all readers are known to read.
        cipher_floor: The least cipher where *cipher* is None, whatever is known of the readers.
        oaep: RSA-OAEP or PKCS #1 v1.5 for RSA recipients; None for what each is known to read.
        also_encrypt_for: Mailboxes that can open every encrypted copy, too, without getting one.
        encrypt_to_sender: The originator can open it, too.
        header: How the header fields are protected.
    """

    form: SignedForm = SignedForm.CLEAR
    digest: DigestAlgorithm = DigestAlgorithm.SHA256
    scheme: SignatureScheme = SignatureScheme.RSA_PKCS1V15
    cipher: ContentCipher | None = None
    cipher_floor: ContentCipher = ContentCipher.AES_128_CBC
    oaep: bool | None = None
    also_encrypt_for: tuple[Mailbox, ...] = ()
    encrypt_to_sender: bool = False
    header: HeaderProtection = UNPROTECTED

    def other_readers(self, originator: Mailbox | None) -> tuple[Mailbox, ...]:
        """Who must be able to open an encrypted copy besides its recipients."""
        sender = (originator,) if self.encrypt_to_sender and originator else ()
        return tuple(dict.fromkeys((*self.also_encrypt_for, *sender)))


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderTrigger:
    """A header field that a rule waits for.

    Attributes:
        name: Lower case.
        value: Compared without regard to case; empty for any value.
        keep: Leave the field in the outgoing message.
    """

    name: str
    value: str = ""
    keep: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """When a rule applies: every condition that is given must hold; of a list, one suffices.

    Attributes:
        direction: None for both.
        sender: Keys of mailboxes (`Mailbox.key`) compared with the From mailbox.
        sender_domain: Domains in A-label form; ``*.`` in front means every domain below.
        recipient: Keys of mailboxes.
        recipient_domain: As *sender_domain*.
        recipient_internal: The recipient is in one of our own domains, or is not.
        subject_word: Words looked for in the decoded Subject.
        header: A header field.
        user: Logins.
        size_over: More octets than this.
        media_type: The message or a part of it is of one of these types (outbound only).
        null_reverse_path: MAIL FROM is ``<>``: a report or another automatic answer.
    """

    direction: Direction | None = None
    sender: tuple[str, ...] = ()
    sender_domain: tuple[str, ...] = ()
    recipient: tuple[str, ...] = ()
    recipient_domain: tuple[str, ...] = ()
    recipient_internal: bool | None = None
    subject_word: tuple[str, ...] = ()
    header: HeaderTrigger | None = None
    user: tuple[str, ...] = ()
    size_over: int | None = None
    media_type: tuple[str, ...] = ()
    null_reverse_path: bool | None = None

    @property
    def is_catch_all(self) -> bool:
        """Nothing but a direction is asked for."""
        return self == Conditions(direction=self.direction)

    def covers(self, direction: Direction) -> bool:
        """The rule can apply to mail of *direction*."""
        return self.direction in (None, direction)


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    """What a rule does.

    Attributes:
        protect: What outbound copies get.
        without_certificate: When encryption is wanted and there is no certificate.
        fallback_for: Further answers that *without_certificate* covers (expired, unsuitable).
        signature: How much a signature is wanted.
        enrol: A sender without a certificate gets one from the certificate authority.
        quote_encrypted: Whether an unencrypted copy may answer mail that came encrypted.
        partial: Who is refused when one recipient's copy cannot be made.
        treatment: How protection is made.
        require: What inbound messages must have had.
        old_ciphers: Open inbound mail under 3DES and RC2, too; it is marked.
    """

    protect: Protection = Protection.NONE
    without_certificate: WithoutCertificate = WithoutCertificate.REFUSE
    fallback_for: tuple[CertificateAnswer, ...] = ()
    signature: SignatureWish = SignatureWish.REQUIRED
    enrol: bool = False
    quote_encrypted: QuoteEncrypted = QuoteEncrypted.REFUSE
    partial: Partial = Partial.REFUSE_MESSAGE
    treatment: Treatment = Treatment()
    require: Requirement = Requirement.NONE
    old_ciphers: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        name: Unique in the policy; stands in logs and records.
        why: Reason in the author's words.
        source: ``file:line``.
        when: When it applies.
        then: What it does.
    """

    name: str
    why: str
    source: str
    when: Conditions
    then: Actions


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A test that stands in the policy file: a message and what must come of it.

    Attributes:
        name: What the case shows.
        source: ``file:line``.
        direction: Of the message.
        originator: Its From mailbox.
        recipients: Each must get the expected decision.
        subject: Decoded Subject.
        fields: Header fields, names in lower case.
        user: Login of the client.
        size: Octets.
        media_types: Of all parts.
        null_reverse_path: MAIL FROM is ``<>``.
        certificate: What the look-up of every recipient's certificate comes to.
        other_readers: What that of everybody in ``also_encrypt_for`` comes to.
        reads: What the recipients' software is known to read.
        signing: What the look-up of the signing credential comes to.
        thread: What looking up the message it answers comes to.
        expected: Keys of `expect` with their values.
    """

    name: str
    source: str
    direction: Direction
    originator: Mailbox | None
    recipients: tuple[Mailbox, ...]
    subject: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    user: str = ""
    size: int = 0
    media_types: tuple[str, ...] = ()
    null_reverse_path: bool = False
    certificate: CertificateAnswer = CertificateAnswer.USABLE
    other_readers: CertificateAnswer = CertificateAnswer.USABLE
    reads: Capabilities = NOTHING_KNOWN
    signing: SigningAnswer = SigningAnswer.USABLE
    thread: ThreadAnswer = ThreadAnswer.CLEAR
    expected: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """Rules in order, the first that applies wins.

    Attributes:
        rules: All of them.
        cases: The tests that stand beside them.
        digest: SHA-256 over the files, for records and comparison.
        matrix: What troubles do where the rules leave it open.
        warnings: Remarks such as rules that can never apply; ``file:line: text``.
    """

    rules: tuple[Rule, ...]
    cases: tuple[Case, ...]
    digest: str
    matrix: FailureMatrix
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one recipient's copy gets, and why.

    Attributes:
        recipient: Whose copy.
        protection: What it gets when *refusal* is empty.
        rule: Name of the rule that said so.
        rule_source: ``file:line`` of that rule.
        why: The rule's own words.
        refusal: Row id of the failure table (``R-01`` …), empty when the copy may go out.
        deferred: The refusal is for now, the client may come again.
        blocked_by: Whose certificate the refusal is about when it is not the recipient's.
        blocked_detail: More about it, such as a date.
        note: A remark for the record, such as ``unsigned: no signing certificate (R-11)``.
        fallback: The certificate answer that made *protection* weaker than the rule's own wish.
        treatment: How the protection is made.
    """

    recipient: Mailbox
    protection: Protection
    rule: str
    rule_source: str
    why: str
    refusal: str = ""
    deferred: bool = False
    blocked_by: Mailbox | None = None
    blocked_detail: str = ""
    note: str = ""
    fallback: str = ""
    treatment: Treatment = Treatment()

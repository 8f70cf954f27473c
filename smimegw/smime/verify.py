"""Verifies a signed layer against who the message says it is from; success is proof.

The order is that of what a reader should hear first: no or several signers, changed content, a
wrong signature, somebody else's signature, and only then whether the certificate is trusted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import InitVar, dataclass, replace
from datetime import datetime, timedelta
from functools import partial

from smimegw.address_lists import sole_mailbox
from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import Capabilities
from smimegw.cms.content_info import DATA
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.signed_data import CheckedSignature, verify_signer_info
from smimegw.errors import (
    AddressError,
    CertificateError,
    CMSError,
    LimitError,
    SignatureError,
    UnsupportedAlgorithmError,
    VerificationError,
)
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.build import SignedForm
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection
from smimegw.smime.media_types import SignedLayer
from smimegw.smime.signers import signer_outcomes
from smimegw.x509.cache import ValidationCache
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.match import matches
from smimegw.x509.path import Purpose, ValidatedCertificate, validate
from smimegw.x509.stapled import with_stapled

_PROOF = object()
_CLOCK_TOLERANCE = timedelta(days=1)  # wrong time zones of senders' machines (R-42)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedContent:
    """Proof that `verify` accepted a signed layer; cannot be made in any other way.

    Attributes:
        signer: The signer's certificate, validated for signatures and for *mailbox*.
        mailbox: The address of the certificate that is the originator's.
        entity: What was signed.
        signing_time: The signer's claim, None when absent.
        label: Algorithms, such as ``rsa-pss-sha256``.
        form: Clear or opaque.
        notes: Oddities that do not change the result, such as ``micalg-mismatch``.
        capabilities: What the signer's software reads, said under the signature.
        encryption_key: The certificate the signer wants to be encrypted to, said likewise.
    """

    signer: ValidatedCertificate
    mailbox: Mailbox
    entity: Entity
    signing_time: datetime | None
    label: str
    form: SignedForm
    notes: tuple[str, ...] = ()
    capabilities: Capabilities | None = None
    encryption_key: CertificateIdentifier | None = None
    proof: InitVar[object]

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("only smimegw.smime.verify.verify makes a VerifiedContent")


def identity_of(header: HeaderSection) -> tuple[Mailbox, Mailbox | None]:
    """Return the originator and, when there is a Sender field, the sender of a message.

    Raises:
        VerificationError: ``from``: not exactly one From with one mailbox; ``sender-mismatch``:
            a Sender that is not exactly one mailbox.
    """
    try:
        originator = _sole(header, "from")
    except AddressError as exc:
        raise VerificationError("fail", "from", str(exc)) from exc
    if not header.all("sender"):
        return originator, None
    try:
        return originator, _sole(header, "sender")
    except AddressError as exc:
        raise VerificationError("fail", "sender-mismatch", str(exc)) from exc


def verify(
    layer: SignedLayer,
    evidence: Evidence,
    *,
    originator: Mailbox | None,
    sender: Mailbox | None,
    now: datetime,
    limits: Limits = DEFAULT_LIMITS,
    strict_local_part: bool = False,
    judgements: ValidationCache | None = None,
    first_seen: datetime | None = None,
) -> VerifiedContent:
    """Verify *layer* as what *originator* signed.

    Args:
        layer: The root layer of the message, or of what was decrypted from it.
        evidence: Trust anchors, intermediates, CRLs; certificates of the layer are added, its
            OCSP responses when they are fresh.  Its lists are not: a signer could pick an old one.
        originator: The one mailbox of the one From field; None when it is not like that.
        sender: The mailbox of the Sender field; None when there is no such field.  Use
            `identity_of`, which refuses malformed ones.
        now: When to judge.
        limits: Numeric limits.
        strict_local_part: Compare the case of ASCII local parts.
        judgements: Where judgements of signers' certificates are remembered.
        first_seen: When the gateway itself verified this very signature before: certificates that
            were valid then and have ended since still count (R-44).

    Raises:
        VerificationError: Not verified; result and reason say why.
    """
    checked = _check_signature(layer)
    try:
        mailbox = _check_identity(checked, originator, sender, strict_local_part)
        _check_claims(checked, now)
        judge: Callable[..., ValidatedCertificate]
        if judgements is None or first_seen is not None:
            judge = partial(validate, limits=limits, valid_at=first_seen)
        else:
            judge = judgements.validate
        signer = judge(
            checked.certificate,
            _with_carried(evidence, layer, now),
            purpose=Purpose.SIGNATURE,
            mailbox=mailbox,
            now=now,
            strict_local_part=strict_local_part,
        )
        entity = inner_entity(layer, limits)
    except VerificationError as exc:
        exc.labels = _labels(checked)
        raise
    except LimitError as exc:
        raise VerificationError("permerror", "limits", str(exc), labels=_labels(checked)) from exc
    except CertificateError as exc:
        raise _of_certificate(exc, checked) from exc
    return _proof(layer, checked, signer, entity)


def inner_entity(layer: SignedLayer, limits: Limits = DEFAULT_LIMITS) -> Entity:
    """Return what is inside *layer*, whether or not it verifies.

    Raises:
        LimitError: Its header section is too large.
    """
    return Entity.parse(layer.content, limits)


def signer_labels(certificate: Certificate) -> dict[str, str]:
    """Return what reports say of a signer: address, fingerprint, serial number and issuer."""
    return {
        "signer": certificate.mailboxes[0].address if certificate.mailboxes else "",
        "fingerprint": certificate.fingerprint,
        "serial": f"{certificate.serial_number:x}",
        "issuer": certificate.parsed.issuer.rfc4514_string(),
    }


def _with_carried(evidence: Evidence, layer: SignedLayer, now: datetime) -> Evidence:
    carried = layer.signed_data
    whole = replace(evidence, intermediates=(*carried.certificates, *evidence.intermediates))
    return with_stapled(whole, carried.ocsp_responses, now)


def _proof(
    layer: SignedLayer, checked: CheckedSignature, signer: ValidatedCertificate, entity: Entity
) -> VerifiedContent:
    assert signer.mailbox is not None  # it was validated for one
    return VerifiedContent(
        signer=signer,
        mailbox=signer.mailbox,
        entity=entity,
        signing_time=checked.signing_time,
        label=checked.label,
        form=layer.form,
        notes=_notes(layer, checked),
        capabilities=checked.capabilities,
        encryption_key=checked.encryption_key,
        proof=_PROOF,
    )


def _check_signature(layer: SignedLayer) -> CheckedSignature:
    signed_data = layer.signed_data
    if not signed_data.signer_infos:
        raise VerificationError("none", "no-signer", "only certificates are carried (cases I13)")
    if len(signed_data.signer_infos) > 1:
        outcomes = ",".join(signer_outcomes(layer))
        labels = {"signers": outcomes}
        raise VerificationError("policy", "signers", "more than one signer", labels=labels)
    if signed_data.content_type != DATA:
        # RFC 8551, 2.4.1: MIME content is id-data; a time stamp, say, was not meant to be read.
        raise VerificationError("policy", "content-type", "what was signed is no mail")
    if layer.form is SignedForm.CLEAR and signed_data.encapsulated is not None:
        # Some readers show the one, others the other (cases H21).
        same = signed_data.encapsulated == layer.content
        result, detail = ("policy", "again") if same else ("fail", "other content")
        raise VerificationError(result, "mismatch", f"the detached signature carries {detail}")
    if layer.form is SignedForm.OPAQUE and signed_data.encapsulated is None:
        raise VerificationError("permerror", "no-content", "a signature without what it signs")
    try:
        checked = verify_signer_info(signed_data, signed_data.signer_infos[0], layer.content)
    except SignatureError as exc:
        result = "fail" if exc.reason in {"digest", "signature", "attributes"} else "policy"
        raise VerificationError(result, exc.reason, str(exc)) from exc
    except UnsupportedAlgorithmError as exc:
        raise VerificationError("policy", "algorithm", str(exc)) from exc
    except CMSError as exc:
        raise VerificationError("permerror", "malformed", str(exc)) from exc
    except LimitError as exc:
        raise VerificationError("permerror", "limits", str(exc)) from exc
    if checked.digest_algorithm.is_weak:
        raise VerificationError("policy", "weak-digest", checked.label, labels=_labels(checked))
    return checked


def _check_identity(
    checked: CheckedSignature,
    originator: Mailbox | None,
    sender: Mailbox | None,
    strict_local_part: bool,
) -> Mailbox:
    if originator is None:
        raise VerificationError("fail", "from", "not exactly one From field with one mailbox")
    # RFC 8550, 3: the signer's certificate must hold the From address.
    if not matches(checked.certificate, originator, strict_local_part=strict_local_part):
        raise VerificationError("fail", "from-mismatch", "signed by somebody else than From says")
    if not checked.certificate.has_alternative_name:
        # RFC 8550, 3 lets the subject's emailAddress count; CAs never checked it with care.
        raise VerificationError("policy", "no-alternative-name", "address in the subject only")
    if sender is not None and not sender.same_as(originator, strict_local_part=strict_local_part):
        raise VerificationError("fail", "sender-mismatch", "Sender is another mailbox than From")
    return originator


def _check_claims(checked: CheckedSignature, now: datetime) -> None:
    if checked.signing_time is not None and checked.signing_time > now + _CLOCK_TOLERANCE:
        raise VerificationError("policy", "signing-time", "signed in the future")


def _of_certificate(exc: CertificateError, checked: CheckedSignature) -> VerificationError:
    match exc.reason:
        case "revoked":
            result, reason = "fail", "revoked"
        case "revocation-unknown":
            result, reason = "temperror", "revocation-unknown"
        case "address-mismatch":
            result, reason = "fail", "from-mismatch"
        case other:
            result, reason = "policy", other
    return VerificationError(result, reason, str(exc), labels=_labels(checked))


def _notes(layer: SignedLayer, checked: CheckedSignature) -> tuple[str, ...]:
    # RFC 8551, 3.5.3.2: micalg is a hint for one-pass readers; the digest that counts is the
    # SignerInfo's (cases H23).
    if layer.form is SignedForm.OPAQUE:
        return ()
    announced = {name.replace("-", "") for name in layer.micalg}
    agrees = checked.digest_algorithm.micalg.replace("-", "") in announced
    return () if agrees else ("micalg-mismatch",)


def _labels(checked: CheckedSignature) -> dict[str, str]:
    return {**signer_labels(checked.certificate), "algorithm": checked.label}


def _sole(header: HeaderSection, name: str) -> Mailbox:
    fields = header.all(name)
    if any(field.flaw for field in fields):
        raise AddressError(f"a malformed field {name}")
    return sole_mailbox([field.body for field in fields]).mailbox

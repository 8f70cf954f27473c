"""Describes the S/MIME layers of a message without any key: what it is, for whom, by whom."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from asn1crypto import x509 as asn1_x509

from smimegw.cms import key_encryption_algorithms
from smimegw.cms.attributes import read_signed_attributes
from smimegw.cms.identifiers import CertificateIdentifier
from smimegw.cms.recipient_info import KeyTransRecipientInfo, RecipientInfo
from smimegw.cms.signed_data import SignedData, SignerInfo
from smimegw.errors import MessageError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.entity import Entity
from smimegw.smime.decompress import decompress
from smimegw.smime.media_types import CompressedLayer, EncryptedLayer, SignedLayer, layer_of
from smimegw.smime.protected_header import ProtectedHeader, read_protected_header
from smimegw.smime.verify import inner_entity

Description = dict[str, Any]


def describe(message: Entity) -> list[Description]:
    """Return one description per layer, from outside in, until something is encrypted.

    A layer that cannot be read ends the list with its ``error``.
    """
    found: list[Description] = []
    entity = message
    for number in range(DEFAULT_LIMITS.layers):
        try:
            layer = layer_of(entity)
            if layer is None:
                header = read_protected_header(entity, message.header) if found else None
                return [*found, *_header(number, header)]
            if isinstance(layer, EncryptedLayer):
                return [*found, {"layer": number, **_encrypted(layer)}]
            if isinstance(layer, CompressedLayer):
                found.append({"layer": number, "kind": "compression"})
                received = sum(map(len, message.pieces()))
                entity = decompress(layer, received_octets=received)
                continue
            found.append({"layer": number, **_signed(layer)})
            entity = inner_entity(layer)
        except MessageError as exc:
            return [*found, {"layer": number, "kind": "unreadable", "error": plain(str(exc))}]
    return found


def lines_of(description: Description) -> Iterator[str]:
    """Return the lines of one layer for people."""
    number = description["layer"]
    match description["kind"]:
        case "encryption":
            yield (
                f"layer {number}  encrypted  {description['cipher']}"
                f"  integrity {description['integrity']}"
            )
            for recipient in description["recipients"]:
                yield f"  recipient    {recipient['key_encryption']}  {_named(recipient)}"
            if description["more_recipients"]:
                yield "  recipient    … and more than we look at"
        case "header":
            names = ", ".join(description["names"])
            yield f"inside   header fields  {description['form']}  {names}"
            for key in ("hidden", "changed"):
                if description[key]:
                    yield f"  {key:<11}  {', '.join(description[key])}"
        case "compression":
            yield f"layer {number}  compressed"
        case "signature":
            micalg = f"  micalg {', '.join(description['micalg'])}" if description["micalg"] else ""
            yield f"layer {number}  signed  {description['form']}{micalg}"
            for signer in description["signers"]:
                yield from _signer_lines(signer)
            if not description["signers"]:
                yield "  signer       none: only certificates are carried"
            for certificate in description["certificates"]:
                yield f"  certificate  {certificate['subject']}  {certificate['fingerprint'][:19]}…"
        case _:
            yield f"layer {number}  not readable  {description['error']}"


def plain(text: str) -> str:
    """Return *text* on one line without characters that a terminal could act on."""
    return "".join(letter if letter.isprintable() else "�" for letter in text)


def _header(number: int, header: ProtectedHeader | None) -> Iterator[Description]:
    """Names only: whether they may be believed, the signature says."""
    if header is not None:
        yield {
            "layer": number,
            "kind": "header",
            "form": header.form.value,
            "names": list(header.names),
            "hidden": [entry.name.decode("ascii") for entry in header.hidden],
            "changed": list(header.changed),
        }


def _encrypted(layer: EncryptedLayer) -> Description:
    enveloped = layer.enveloped
    return {
        "kind": "encryption",
        "cipher": enveloped.cipher.label,
        "integrity": "authenticated" if enveloped.authenticated else "none",
        "recipients": [_recipient(info) for info in enveloped.recipient_infos],
        "more_recipients": enveloped.more_recipients,
    }


def _recipient(info: RecipientInfo) -> Description:
    try:
        if isinstance(info, KeyTransRecipientInfo):
            algorithm = key_encryption_algorithms.read_key_transport(info.algorithm)
            label = algorithm.key_encryption.label
        else:
            agreement = key_encryption_algorithms.read_key_agreement(info.algorithm)
            label = agreement.key_encryption.label
    except MessageError:
        label = "not supported"
    return {"key_encryption": label, **_identifier(info.identifier)}


def _signed(layer: SignedLayer) -> Description:
    signed_data = layer.signed_data
    return {
        "kind": "signature",
        "form": layer.form.value,
        "micalg": [plain(name) for name in layer.micalg],
        "signers": [_signer(signed_data, info) for info in signed_data.signer_infos],
        "certificates": [
            {
                "subject": certificate.subject_text,
                "mailboxes": [mailbox.address for mailbox in certificate.mailboxes],
                "fingerprint": certificate.fingerprint,
                "not_after": certificate.not_after.isoformat(),
            }
            for certificate in signed_data.certificates
        ],
        "certificates_ignored": signed_data.certificates_ignored,
        "crls": len(signed_data.crls),
    }


def _signer(signed_data: SignedData, info: SignerInfo) -> Description:
    named = [item for item in signed_data.certificates if info.identifier.matches(item)]
    signing_time = None
    if info.signed_attributes is not None:
        try:
            signing_time = read_signed_attributes(info.signed_attributes).signing_time
        except MessageError:
            signing_time = None
    algorithm = info.signature_algorithm
    return {
        "digest": info.digest_algorithm.value if info.digest_algorithm else "not supported",
        "scheme": algorithm.scheme.value if algorithm else "not supported",
        "signing_time": signing_time.isoformat() if signing_time else None,
        "mailboxes": [mailbox.address for item in named for mailbox in item.mailboxes],
        **_identifier(info.identifier),
    }


def _identifier(identifier: CertificateIdentifier) -> Description:
    if identifier.key_identifier is not None:
        return {"key_identifier": identifier.key_identifier.hex()}
    try:
        issuer = asn1_x509.Name.load(identifier.issuer_der).human_friendly
    except (ValueError, TypeError):
        issuer = identifier.issuer_der.hex()
    return {"issuer": plain(issuer), "serial": f"{identifier.serial_number:x}"}


def _named(values: Description) -> str:
    if "key_identifier" in values:
        return f"key identifier {values['key_identifier']}"
    return f"serial {values['serial']} of {values['issuer']}"


def _signer_lines(signer: Description) -> Iterator[str]:
    claimed = ", ".join(f"<{address}>" for address in signer["mailboxes"]) or "certificate not here"
    yield f"  signer       {claimed}  {signer['scheme']}  {signer['digest']}"
    yield f"               {_named(signer)}"
    if signer["signing_time"]:
        yield f"               signed, as the signer says, {signer['signing_time']}"

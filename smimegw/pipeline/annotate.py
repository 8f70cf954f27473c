"""Write the results on top of an inbound message, one field per fact, closed vocabulary."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence
from typing import Final

from smimegw.address_lists import NamedMailbox
from smimegw.addresses import Mailbox
from smimegw.content import Content
from smimegw.errors import AddressError
from smimegw.mime.build import boundary as new_boundary
from smimegw.mime.encoded_words import decode_words
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderField, HeaderSection, field
from smimegw.pipeline.adoption import Adoption
from smimegw.pipeline.assurance import integrity, overall
from smimegw.smime.report import REPLAY, LayerKind, LayerReport
from smimegw.smtp.trace import authentication_results, quoted

_ADOPTED: Final = ("content-", "mime-version")  # of an inner header section nothing else is taken
_BETWEEN_ADDRESSES = re.compile(r"[\s<>\"'(),;:\[\]]+")
_PLAIN_ADDRESS = re.compile(r"[A-Za-z0-9._+-]+@[A-Za-z0-9.-]+")
_EXPLANATIONS = {"pass": "signature valid", "none": "not signed"}


def result_fields(
    reports: Sequence[LayerReport],
    hostname: str,
    author: NamedMailbox | None,
    adoption: Adoption | None = None,
) -> tuple[HeaderField, ...]:
    """Authentication-Results and X-Smimegw-* for one copy."""
    signature = overall(reports)
    fields = [_authentication_results(signature, hostname)]
    fields += [_layer(entry) for entry in reports]
    fields.append(_status(reports, signature))
    if adoption is not None:
        fields.append(field("X-Smimegw-Header", adoption_text(adoption)))
    if author is not None and shows_other_address(author):
        fields.append(field("X-Smimegw-From-Warning", "display name shows another address"))
    return tuple(fields)


def _authentication_results(signature: LayerReport | None, hostname: str) -> HeaderField:
    if signature is None:
        return authentication_results(hostname, "none", explanation=_EXPLANATIONS["none"])
    passed = signature.result == "pass"
    return authentication_results(
        hostname,
        signature.result,
        explanation=_EXPLANATIONS.get(signature.result, ""),
        reason="" if passed else signature.reason,
        identifier=signature.signer if passed else "",
        part="1" if passed else "",
        serial=signature.serial,
        issuer=signature.issuer,
    )


def _layer(entry: LayerReport) -> HeaderField:
    match entry.kind:
        case LayerKind.ENCRYPTION:
            return _encryption(entry)
        case LayerKind.COMPRESSION:
            return field("X-Smimegw-Compression", f"layer={entry.layer}; result={entry.result}")
        case _:
            return _signature(entry)


def _signature(entry: LayerReport) -> HeaderField:
    values = [f"layer={entry.layer}", f"result={entry.result}"]
    if entry.reason and entry.result != "pass":
        values.append(f"reason={entry.reason}")
    if entry.signer:
        values.append(f"signer={_value(entry.signer)}")
    if entry.fingerprint:
        values.append(f"fpr={entry.fingerprint}")
    if entry.algorithm:
        values.append(f"algo={entry.algorithm}")
    if entry.signers:
        values.append(f"signers={entry.signers}")
    return field("X-Smimegw-Signature", "; ".join(values))


def _encryption(entry: LayerReport) -> HeaderField:
    if entry.result != "decrypted":
        return field("X-Smimegw-Encrypted", f"{entry.result}; reason={entry.reason}")
    values = [
        f"layer={entry.layer}",
        "result=decrypted",
        f"cipher={entry.cipher}",
        f"integrity={entry.integrity}",
        f"key={entry.fingerprint}",
    ]
    if entry.references:
        values.append(f"references={entry.references}")
    if REPLAY in entry.notes:
        values.append("replay=yes")
    return field("X-Smimegw-Encryption", "; ".join(values))


def adoption_text(adoption: Adoption) -> str:
    """What became of the header fields inside; of unvouched ones nothing is told."""
    header = adoption.header
    values = [f"form={header.form.value}"]
    if adoption.is_vouched:
        adopted = dict.fromkeys(entry.name.decode("ascii") for entry in adoption.fields)
        values += [
            f"{key}={','.join(names)}"
            for key, names in (
                ("protected", header.names),
                ("adopted", tuple(adopted)),
                ("changed", header.changed),
            )
            if names
        ]
        if header.withheld:
            values.append(f"withheld={header.withheld}")
    if adoption.reason:
        values.append(f"reason={adoption.reason}")
    return "; ".join(values)


def _status(reports: Sequence[LayerReport], signature: LayerReport | None) -> HeaderField:
    encryptions = [entry for entry in reports if entry.kind is LayerKind.ENCRYPTION]
    encrypted = "no"
    if encryptions:
        opened = all(entry.result == "decrypted" for entry in encryptions)
        encrypted = "yes" if opened else "not-decrypted"
    signed = signature.result if signature else "none"
    return field(
        "X-Smimegw-Status",
        f"signed={signed}; encrypted={encrypted}; integrity={integrity(reports)}",
    )


def _value(text: str) -> str:
    return text if _PLAIN_ADDRESS.fullmatch(text) else quoted(text)


def shows_other_address(author: NamedMailbox) -> bool:
    """The display name holds an address that is not the one behind it (I05)."""
    # As it looks to people: full-width letters are letters, zero-width ones are nothing.  Many
    # programs decode encoded words where none may be (RFC 2047, 5), and show a comment as a name.
    shown = f"{author.display_name} {author.comment}"
    text = decode_words(shown.encode("utf-8", "replace"))
    name = "".join(
        letter
        for letter in unicodedata.normalize("NFKC", text)
        if unicodedata.category(letter) != "Cf"
    )
    words = (word.strip("@.") for word in _BETWEEN_ADDRESSES.split(name))
    return any("@" in address and not _names(address, author.mailbox) for address in words)


def _names(address: str, mailbox: Mailbox) -> bool:
    try:
        return Mailbox.parse(address).same_as(mailbox)
    except AddressError:
        return False


def rewritten(
    original: Entity, header: HeaderSection, entity: Entity | None, *, keep_original: bool
) -> Entity:
    """The message with *header* and, when *entity* is given, that one's body and Content-*.

    Args:
        original: As received.
        header: The stripped outer header section.
        entity: What the layers held; None leaves the body alone.
        keep_original: Put *original* beside it as an attachment.
    """
    if entity is None:
        return original.with_header(header)
    if keep_original:
        entity = _with_original(entity, original)
    outer = header.without(lambda entry: entry.lower_name.startswith(_ADOPTED))
    inner = tuple(e for e in entity.header if e.lower_name.startswith("content-") and not e.flaw)
    adopted = outer.append((field("MIME-Version", "1.0"), *inner))
    return Entity(adopted, entity.body)


def _with_original(entity: Entity, original: Entity) -> Entity:
    mark = new_boundary(os.urandom).encode("ascii")
    inner = entity.header.without(lambda entry: not entry.lower_name.startswith("content-"))
    body = Content.joined(
        (
            b"--" + mark + b"\r\n",
            inner.raw,
            b"\r\n",
            entity.body,
            b"\r\n--" + mark + b"\r\n",
            b"Content-Type: message/rfc822\r\n",
            b'Content-Disposition: attachment; filename="original.eml"\r\n\r\n',
            original.content,
            b"\r\n--" + mark + b"--\r\n",
        )
    )
    kind = field("Content-Type", f'multipart/mixed; boundary="{mark.decode("ascii")}"')
    return Entity(HeaderSection((kind,)), body)

"""Decides which header fields from inside may stand in the message delivered (RFC 9788, 4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from smimegw.addresses import Mailbox
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderField, HeaderSection
from smimegw.pipeline.assurance import integrity, overall
from smimegw.pipeline.facts import originator
from smimegw.smime.protected_header import ProtectedHeader, read_protected_header
from smimegw.smime.report import LayerKind, LayerReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Adoption:
    """What became of the header fields inside.

    Attributes:
        header: What was inside.
        is_vouched: A signature or the cipher says that it is as its author wrote it.
        fields: To stand outside in place of those of the same names.
        reason: One word, why *fields* is empty although fields were hidden; empty otherwise.
    """

    header: ProtectedHeader
    is_vouched: bool
    fields: tuple[HeaderField, ...] = ()
    reason: str = ""


def adoption_of(
    payload: Entity,
    outer: HeaderSection,
    reverse_path: Mailbox | None,
    reports: Sequence[LayerReport],
    *,
    is_wrapped: bool = False,
    limits: Limits = DEFAULT_LIMITS,
) -> Adoption | None:
    """Judge the fields inside *payload*; None when it does not speak of a header section.

    Args:
        payload: The root entity inside all layers.
        outer: The header section as it arrived.
        reverse_path: Where a later server would send a report, header section included.
        reports: Of all layers.
        is_wrapped: *payload* is a message that was the whole content of the innermost layer.
        limits: Of header sections and fields.
    """
    header = read_protected_header(payload, outer, is_wrapped=is_wrapped, limits=limits)
    if header is None:
        return None
    assurance = integrity(reports)
    signature = overall(reports)
    is_vouched = assurance != "none" and (signature is None or signature.result == "pass")
    if not is_vouched:
        reason = "unvouched"
    elif header.same_from is False:
        reason = "from-mismatch"
    elif assurance != "signed" and header.same_from is None:
        reason = "no-from"  # whose ciphertext this is, nobody says
    elif not any(entry.result == "decrypted" for entry in reports):
        reason = "not-encrypted"  # readable before it came here: nothing was hidden from anybody
    elif not _reports_go_home(reverse_path, outer):
        reason = "reverse-path"
    else:
        return Adoption(header=header, is_vouched=True, fields=header.hidden)
    return Adoption(header=header, is_vouched=is_vouched, reason=reason if header.hidden else "")


def _reports_go_home(reverse_path: Mailbox | None, outer: HeaderSection) -> bool:
    """Whether a report about this message goes to the domain that wrote it, or to nobody.

    Reports quote the header section.  Somebody who holds old ciphertext could send it on under
    its author's name with a reverse-path of his own, and read the Subject in the report (T-31).
    """
    author = originator(outer)
    if reverse_path is None:
        return True
    if author is None:
        return False
    ours, theirs = f".{author.mailbox.domain}", f".{reverse_path.domain}"
    return ours.endswith(theirs) or theirs.endswith(ours)


def with_author_compared(
    reports: tuple[LayerReport, ...], adoption: Adoption | None
) -> tuple[LayerReport, ...]:
    """*reports*; a signature does not pass for a From that its content contradicts (T-08)."""
    if adoption is None or adoption.header.same_from is not False:
        return reports
    return tuple(
        replace(entry, result="fail", reason="from-mismatch")
        if entry.kind is LayerKind.SIGNATURE and entry.result == "pass"
        else entry
        for entry in reports
    )


def adopted_header(header: HeaderSection, adoption: Adoption | None) -> HeaderSection:
    """*header* with the adopted fields: each where the first of its name was, or at the end."""
    if adoption is None or not adoption.fields:
        return header
    waiting: dict[str, list[HeaderField]] = {}
    for entry in adoption.fields:
        waiting.setdefault(entry.lower_name, []).append(entry)
    names = frozenset(waiting)
    fields: list[HeaderField] = []
    for entry in header:
        if entry.lower_name in names:
            fields += waiting.pop(entry.lower_name, [])
        else:
            fields.append(entry)
    rest = [entry for entries in waiting.values() for entry in entries]
    return HeaderSection(tuple(fields)).append(rest)

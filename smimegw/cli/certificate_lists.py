"""Reads lists of addresses and certificates: CSV and LDIF."""

from __future__ import annotations

import base64
import csv
import errno
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from smimegw.addresses import Mailbox
from smimegw.cli.certificate_files import Contents, contents_of
from smimegw.errors import AddressError

LIST_OCTETS = 256 * 2**20  # of one file; 13,000 people are about 40 MiB

_CERTIFICATE_ATTRIBUTES = ("usercertificate", "usersmimecertificate")
_HEADINGS = {"address", "mail", "email", "e-mail"}
_LDIF_LINE = re.compile(r"([A-Za-z][A-Za-z0-9.-]*)(?:;[A-Za-z0-9;-]*)?:(:?) ?(.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """Certificates that somebody offers.

    Attributes:
        place: File, and line where there are several.
        contents: What it holds.
        addresses: For whom they are said to be; () means the certificate's own word.
    """

    place: str
    contents: Contents
    addresses: tuple[Mailbox, ...] = ()


def offers_in(path: Path, password: bytes | None) -> Iterator[Offer]:
    """Everything that *path*, a file or a folder with all below, offers; in name order.

    Links to folders are not followed: they may lead in a circle.

    Raises:
        OSError: A folder is unreadable.
    """
    if path.is_dir():
        for entry in sorted(path.iterdir()):
            circular = entry.is_symlink() and entry.is_dir()
            if not (entry.name.startswith(".") or circular):
                yield from offers_in(entry, password)
        return
    try:
        octets = _read(path)
    except OSError as exc:
        yield Offer(place=str(path), contents=_flaw(f"cannot be read: {exc.strerror}"))
        return
    if len(octets) > LIST_OCTETS:
        yield Offer(place=str(path), contents=_flaw(f"larger than {LIST_OCTETS >> 20} MiB"))
        return
    match path.suffix.lower():
        case ".csv" | ".tsv":
            yield from _of_csv(path, octets)
        case ".ldif" | ".ldi":
            yield from _of_ldif(path, octets)
        case _:
            yield Offer(place=str(path), contents=contents_of(octets, password))


def _read(path: Path) -> bytes:
    if not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file")  # a pipe would keep us waiting
    with path.open("rb") as file:
        return file.read(LIST_OCTETS + 1)


def _flaw(text: str) -> Contents:
    return Contents(flaws=(text,))


# --- CSV -----------------------------------------------------------------------------------------


def _of_csv(path: Path, octets: bytes) -> Iterator[Offer]:
    """Lines of an address and its certificate: in base64, or the name of a file beside."""
    text = octets.decode("utf-8-sig", "replace")
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in rows:
            fields = [field.strip() for field in row]
            if not any(fields) or (rows.line_num == 1 and fields[0].lower() in _HEADINGS):
                continue
            place = f"{path}:{rows.line_num}"
            if len(fields) < 2:
                flaw = "two columns are needed: address and certificate"
                yield Offer(place=place, contents=_flaw(flaw))
            else:
                yield _of_row(path, place, fields[0], fields[1])
    except csv.Error as exc:
        yield Offer(place=f"{path}:{rows.line_num}", contents=_flaw(f"not CSV: {exc}"))


def _of_row(path: Path, place: str, address: str, value: str) -> Offer:
    try:
        mailbox = Mailbox.parse(address)
    except AddressError as exc:
        return Offer(place=place, contents=_flaw(f"not an address: {exc}"))
    if value.startswith(("MII", "-----BEGIN")):
        contents = contents_of(value.encode())
    else:
        try:
            contents = contents_of(_read(path.parent / value))
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or "not a file name"
            contents = _flaw(f"{value[:80]!r} is neither base64 nor a file: {reason}")
    return Offer(place=place, contents=contents, addresses=(mailbox,))


# --- LDIF ----------------------------------------------------------------------------------------


def _of_ldif(path: Path, octets: bytes) -> Iterator[Offer]:
    """Entries with ``mail`` and certificates (RFC 2849); change records are read as entries."""
    text = octets.decode("utf-8", "replace").replace("\r\n", "\n").replace("\n ", "")
    for number, block in enumerate(re.split(r"\n(?:[ \t]*\n)+", text), start=1):
        lines = map(_LDIF_LINE.fullmatch, block.splitlines())
        values = [found.groups() for found in lines if found]
        places = [value for name, _, value in values if name.lower() == "dn"]
        addresses = [_plain(*rest) for name, *rest in values if name.lower() == "mail"]
        for name, encoding, value in values:
            if name.lower() in _CERTIFICATE_ATTRIBUTES:
                place = f"{path}: entry {number}" + (f" ({places[0][:80]})" if places else "")
                contents = _of_value(encoding, value)
                yield Offer(place=place, contents=contents, addresses=_mailboxes(addresses))


def _plain(encoding: str, value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode() if encoding else value.strip()
    except ValueError:
        return ""


def _of_value(encoding: str, value: str) -> Contents:
    if not encoding:
        return _flaw("the certificate is not in base64 (written with one colon)")
    try:
        return contents_of(base64.b64decode(value.strip(), validate=True))
    except ValueError:
        return _flaw("damaged base64")


def _mailboxes(addresses: list[str]) -> tuple[Mailbox, ...]:
    found = []
    for address in addresses:
        try:
            found.append(Mailbox.parse(address))
        except AddressError:
            continue  # the certificate is compared with the others
    return tuple(found)

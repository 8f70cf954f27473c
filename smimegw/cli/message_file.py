"""Reads and writes message files: line ends, the outer header, certificates and CRLs beside it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

import click

from smimegw.adapters.files.settings import read_trust
from smimegw.adapters.files.trust import read_certificates, read_crls
from smimegw.adapters.keys.containers import read_certificates as certificates_of
from smimegw.cli.key_source import read_bounded
from smimegw.cli.whole_files import replace
from smimegw.config.load import load
from smimegw.errors import UsageError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.mime.build import split_for_protection
from smimegw.mime.entity import Entity
from smimegw.mime.headers import HeaderSection, field
from smimegw.mime.lines import with_crlf
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose

F = TypeVar("F", bound=Callable[..., object])


def output_option(command: F) -> F:
    """``--output FILE``, for `write_message`."""
    return click.option("-o", "--output", default="-", help="Where to write.  [default: stdout]")(
        command
    )


def read_message(file: str) -> Entity:
    """Read a message from a file or, with ``-``, standard input.

    Files on Unix end lines with LF; a file without any CR is read as if it had CRLF.

    Raises:
        UsageError: Larger than a message may be.
        OSError: It cannot be read.
    """
    limit = DEFAULT_LIMITS.message_octets
    if file == "-":
        content = sys.stdin.buffer.read(limit + 1)
        if len(content) > limit:
            raise UsageError(f"standard input: larger than {limit} octets")
    else:
        content = read_bounded(Path(file), limit)
    return Entity.parse(content if b"\r" in content else with_crlf(content))


def split_message(message: Entity) -> tuple[HeaderSection, Entity]:
    """Return the fields that stay outside and the entity that is protected."""
    outer, inner = split_for_protection(message.header)
    return outer, Entity(inner, message.body)


def joined(outer: HeaderSection, header: HeaderSection, body: Iterable[bytes]) -> Iterable[bytes]:
    """Put a new body and its Content-* fields under the fields that stayed outside."""
    if not outer.all("mime-version"):
        outer = outer.append((field("MIME-Version", "1.0"),))
    yield outer.append(header.fields).raw
    yield b"\r\n"
    yield from body


def write_message(output: str, pieces: Iterable[bytes]) -> None:
    """Write a message, CRLF line ends, to a file or, with ``-``, standard output."""
    if output != "-":
        replace(Path(output), pieces)
        return
    with click.open_file(output, "wb") as stream:
        stream.writelines(pieces)


def evidence_of(trust: Sequence[Path], crls: Sequence[Path], config: Path) -> Evidence:
    """Collect what certificates are judged by, from files or else from the configuration.

    Without any CRL revocation is not judged when the files are given by hand.

    Raises:
        UsageError: Nothing to trust.
        ConfigurationError: A file that holds something else, or a configuration with mistakes.
    """
    lists = read_crls(crls, "--crl")
    if trust:
        anchors = read_certificates(trust, "--trust")
        return Evidence(trust_anchors=anchors, crls=lists, require_revocation=bool(lists))
    if not config.exists():
        raise UsageError("nobody to trust: give --trust FILE with the authorities, or -c CONFIG")
    material = read_trust(load(config, check_files=False))
    return Evidence(
        trust_anchors=material.anchors_for(Purpose.SIGNATURE),
        intermediates=material.intermediates,
        crls=(*material.crls, *lists),
        require_revocation=material.require_revocation,
        crl_grace_seconds=material.crl_grace_seconds,
    )


def certificates_in(path: Path) -> tuple[Certificate, ...]:
    """Read the certificates of one file.

    Raises:
        UsageError: It holds none, or one that cannot be read; the text names the file.
    """
    try:
        return certificates_of(read_bounded(path))
    except UsageError as exc:
        raise UsageError(f"{path}: {exc}") from exc

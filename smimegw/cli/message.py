"""``smimegw message``: sign, encrypt, decrypt, verify and inspect message files, offline."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import click

from smimegw.addresses import Mailbox
from smimegw.cli import message_protect
from smimegw.cli.exits import Exit, Failure, exits
from smimegw.cli.inspection import describe, lines_of
from smimegw.cli.key_source import key_file_options, keystore_of, read_key_file
from smimegw.cli.message_file import (
    evidence_of,
    joined,
    output_option,
    read_message,
    split_message,
    write_message,
)
from smimegw.cli.options import config_option
from smimegw.cli.verdict import judge, verdict_lines
from smimegw.cms.keys import DecryptionCredential, SoftwareDecryptionKey
from smimegw.config.load import load
from smimegw.errors import (
    DecryptionError,
    LimitError,
    MessageError,
    NoMatchingKeyError,
    UnsupportedAlgorithmError,
    UsageError,
)
from smimegw.mime.entity import Entity
from smimegw.pipeline.adoption import adopted_header, adoption_of
from smimegw.pipeline.annotate import adoption_text
from smimegw.smime.decrypt import OpenedContent
from smimegw.smime.decrypt import decrypt as open_layer
from smimegw.smime.media_types import EncryptedLayer, Layer, layer_of
from smimegw.smime.report import report_opened

_PATH = click.Path(path_type=Path)


@click.group()
def message() -> None:
    """Sign, encrypt, decrypt, verify and inspect message files; needs no running gateway.

    FILE is a message as it travels, header and body; - is standard input.
    """


for _command in message_protect.COMMANDS:
    message.add_command(_command)


@message.command()
@click.argument("file")
@key_file_options
@click.option("--for", "addresses", multiple=True, help="Whose keys of the keystore; repeatable.")
@output_option
@exits
def decrypt(
    file: str,
    key_file: Path | None,
    certificate: Path | None,
    password_file: str | None,
    config: Path,
    addresses: tuple[str, ...],
    output: str,
) -> None:
    """Decrypt FILE with --key, or with the configured keystore's keys of --for.

    What comes out may be signed; decrypting proves nothing about who wrote it.

    \b
    Examples:
      smimegw message decrypt secret.eml --key bob.p12 --password-file pass.txt
      smimegw message decrypt - --for alice@corp.example -o note.eml
    """
    content = read_message(file)
    layer = _layer(content)
    if not isinstance(layer, EncryptedLayer):
        raise Failure("the message is not encrypted, at least not as a whole", Exit.NO)
    credentials: tuple[DecryptionCredential, ...]
    if key_file is not None:
        material = read_key_file(key_file, password_file, certificate)
        handle = SoftwareDecryptionKey(material.private_key)
        credentials = (DecryptionCredential(material.certificate, handle),)
    else:
        credentials = _stored_keys(layer, config, addresses)
    opened = _opened(layer, credentials)
    outer, _ = split_message(content)
    inner = opened.entity.header.without(lambda entry: not entry.lower_name.startswith("content-"))
    adoption = adoption_of(opened.entity, outer, None, (report_opened(0, opened),))
    outer = adopted_header(outer, adoption)
    write_message(output, joined(outer, inner, opened.entity.body))
    integrity = "authenticated" if opened.authenticated else "not authenticated"
    click.echo(f"decrypted, {opened.cipher.label}, {integrity}", err=True)
    if adoption is not None:
        click.echo(f"header fields inside: {adoption_text(adoption)}", err=True)


def _stored_keys(
    layer: EncryptedLayer, config: Path, addresses: tuple[str, ...]
) -> tuple[DecryptionCredential, ...]:
    if not addresses:
        raise UsageError("whose key? give --key FILE, or --for ADDRESS with the keystore")
    store = keystore_of(load(config, check_files=False))
    owners = [Mailbox.parse(address) for address in addresses]
    return asyncio.run(store.decryption_credentials(layer.recipient_ids, owners))


def _opened(layer: EncryptedLayer, credentials: Sequence[DecryptionCredential]) -> OpenedContent:
    try:
        return open_layer(layer, credentials)
    except NoMatchingKeyError as exc:
        raise Failure(f"{exc}; `smimegw message inspect` names the recipients", Exit.NO) from exc
    except (DecryptionError, LimitError, UnsupportedAlgorithmError) as exc:
        raise Failure(str(exc), Exit.NO) from exc


@message.command()
@click.argument("file")
@click.option("--trust", type=_PATH, multiple=True, help="Trusted authorities; file or directory.")
@click.option("--crl", type=_PATH, multiple=True, help="Revocation lists.")
@config_option
@click.option("--json", "as_json", is_flag=True, help="The result as JSON.")
@exits
def verify(
    file: str,
    trust: tuple[Path, ...],
    crl: tuple[Path, ...],
    config: Path,
    as_json: bool,
) -> Exit:
    """Say whether FILE is signed by who it says it is from.

    Exit code 0: yes. 1: no. 4: cannot tell now (revocation unknown).

    \b
    Examples:
      smimegw message verify signed.eml --trust ca.pem --crl ca.crl
      smimegw message verify - --json
    """
    report = judge(read_message(file), evidence_of(trust, crl, config))
    if as_json:
        click.echo(json.dumps({"schema": 1, "kind": "verification", **asdict(report)}))
    else:
        for line in verdict_lines(report):
            click.echo(line)
    if report.result == "pass":
        return Exit.YES
    return Exit.CANNOT_TELL if report.result == "temperror" else Exit.NO


@message.command()
@click.argument("file")
@click.option("--json", "as_json", is_flag=True, help="One JSON object per layer.")
@exits
def inspect(file: str, as_json: bool) -> None:
    """Show the S/MIME layers of FILE, their algorithms, recipients and signers.

    Needs no key; says nothing about whether a signature is good.

    \b
    Examples:
      smimegw message inspect mail.eml
      smimegw message inspect - --json
    """
    layers = describe(read_message(file))
    for description in layers:
        if as_json:
            click.echo(json.dumps({"schema": 1, **description}))
        else:
            for line in lines_of(description):
                click.echo(line)
    if not as_json:
        click.echo("Not verified." if layers else "No S/MIME layer around the whole message.")


def _layer(content: Entity) -> Layer | None:
    try:
        return layer_of(content)
    except MessageError as exc:
        raise Failure(f"the message cannot be read: {exc}", Exit.NO) from exc

"""``smimegw message``: sign, encrypt, decrypt, verify and inspect message files, offline."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import click

from smimegw.addresses import Mailbox
from smimegw.cli.exits import Exit, Failure, exits
from smimegw.cli.inspection import describe, lines_of
from smimegw.cli.key_source import (
    keystore_of,
    password_option,
    read_key_file,
)
from smimegw.cli.message_file import (
    certificates_in,
    evidence_of,
    joined,
    read_message,
    split_message,
    write_message,
)
from smimegw.cli.options import config_option
from smimegw.cli.verdict import judge, verdict_lines
from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm, SignatureScheme
from smimegw.cms.keys import (
    DecryptionCredential,
    SigningCredential,
    SoftwareDecryptionKey,
    SoftwareSigningKey,
)
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
from smimegw.smime.decrypt import decrypt as open_layer
from smimegw.smime.encrypt import encrypt as encrypt_entity
from smimegw.smime.media_types import EncryptedLayer, Layer, layer_of
from smimegw.smime.report import report_opened
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.smime.verify import identity_of
from smimegw.x509.path import Purpose, validate

F = TypeVar("F", bound=Callable[..., object])
_PATH = click.Path(path_type=Path)
_CIPHERS = [cipher.label for cipher in ContentCipher]
_DIGESTS = [
    digest.value
    for digest in DigestAlgorithm
    if SignatureScheme.RSA_PKCS1V15.goes_with(digest) and not digest.is_weak
]


@click.group()
def message() -> None:
    """Sign, encrypt, decrypt, verify and inspect message files; needs no running gateway.

    FILE is a message as it travels, header and body; - is standard input.
    """


def _output_option(command: F) -> F:
    return click.option("-o", "--output", default="-", help="Where to write.  [default: stdout]")(
        command
    )


def _key_options(command: F) -> F:
    command = click.option("--certificate", type=_PATH, help="Certificate, when not in --key.")(
        command
    )
    command = click.option("--key", "key_file", type=_PATH, help="Key file (PKCS #12 or PEM).")(
        command
    )
    return password_option(config_option(command))


@message.command()
@click.argument("file")
@_key_options
@click.option("--from", "address", help="Whose key of the keystore.  [default: the From field]")
@click.option("--opaque", is_flag=True, help="application/pkcs7-mime, not multipart/signed.")
@click.option("--digest", type=click.Choice(_DIGESTS), default="sha256", show_default=True)
@click.option("--pss", is_flag=True, help="RSASSA-PSS; some readers know only PKCS #1 v1.5.")
@_output_option
@exits
def sign(
    file: str,
    key_file: Path | None,
    certificate: Path | None,
    password_file: str | None,
    config: Path,
    address: str | None,
    opaque: bool,
    digest: str,
    pss: bool,
    output: str,
) -> None:
    """Sign FILE with --key, or with the configured keystore's key of the From address.

    \b
    Examples:
      smimegw message sign note.eml --key alice.p12 --password-file pass.txt -o signed.eml
      smimegw message sign - --from alice@corp.example --opaque
    """
    content = read_message(file)
    if key_file is not None:
        material = read_key_file(key_file, password_file, certificate)
        credential = SigningCredential(
            material.certificate, material.chain, SoftwareSigningKey(material.private_key)
        )
    else:
        credential = _stored_signer(content, config, address)
    outer, entity = split_message(content)
    signed = (sign_opaque if opaque else sign_clear)(
        entity,
        credential,
        now=datetime.now(UTC),
        digest=DigestAlgorithm(digest),
        scheme=SignatureScheme.RSA_PSS if pss else None,
    )
    write_message(output, joined(outer, signed.header, signed.body))


def _stored_signer(content: Entity, config: Path, address: str | None) -> SigningCredential:
    mailbox = Mailbox.parse(address) if address else identity_of(content.header)[0]
    store = keystore_of(load(config, check_files=False))
    credentials = asyncio.run(store.signing_credentials(mailbox))
    if not credentials:
        raise UsageError(f"the keystore holds no signing key of <{mailbox}>; import one, or --key")
    return credentials[0]


@message.command()
@click.argument("file")
@click.option(
    "--to-cert", "to", type=_PATH, multiple=True, required=True, help="Recipient; repeatable."
)
@click.option("--trust", type=_PATH, multiple=True, help="Trusted authorities; file or directory.")
@click.option("--crl", type=_PATH, multiple=True, help="Revocation lists.")
@config_option
@click.option("--cipher", type=click.Choice(_CIPHERS), default="aes-256-cbc", show_default=True)
@click.option("--oaep", is_flag=True, help="RSA-OAEP; some readers know only PKCS #1 v1.5.")
@_output_option
@exits
def encrypt(
    file: str,
    to: tuple[Path, ...],
    trust: tuple[Path, ...],
    crl: tuple[Path, ...],
    config: Path,
    cipher: str,
    oaep: bool,
    output: str,
) -> None:
    """Encrypt FILE for the owners of certificates that --trust (or the configuration) vouches for.

    Further certificates in a --to-cert file are used to find its path.

    \b
    Examples:
      smimegw message encrypt note.eml --to-cert bob.pem --trust ca.pem -o secret.eml
      smimegw message encrypt - --to-cert bob.pem --to-cert eva.pem --cipher aes-256-gcm --oaep
    """
    content = read_message(file)
    evidence = evidence_of(trust, crl, config)
    recipients = []
    for path in to:
        certificate, *above = certificates_in(path)
        if not certificate.mailboxes:
            raise UsageError(f"{path}: the certificate names no mailbox")
        recipients.append(
            validate(
                certificate,
                replace(evidence, intermediates=(*above, *evidence.intermediates)),
                purpose=Purpose.ENCRYPTION,
                mailbox=certificate.mailboxes[0],
                now=datetime.now(UTC),
            )
        )
    outer, entity = split_message(content)
    chosen = next(item for item in ContentCipher if item.label == cipher)
    protected = encrypt_entity(entity, recipients, cipher=chosen, oaep=oaep)
    write_message(output, joined(outer, protected.header, protected.pieces()))


@message.command()
@click.argument("file")
@_key_options
@click.option("--for", "addresses", multiple=True, help="Whose keys of the keystore; repeatable.")
@_output_option
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
    try:
        opened = open_layer(layer, credentials)
    except NoMatchingKeyError as exc:
        raise Failure(f"{exc}; `smimegw message inspect` names the recipients", Exit.NO) from exc
    except (DecryptionError, LimitError, UnsupportedAlgorithmError) as exc:
        raise Failure(str(exc), Exit.NO) from exc
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

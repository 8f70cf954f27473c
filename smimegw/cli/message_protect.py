"""``smimegw message sign`` and ``encrypt``: protect message files, offline."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from smimegw.addresses import Mailbox
from smimegw.cli.exits import exits
from smimegw.cli.key_source import key_file_options, keystore_of, read_key_file
from smimegw.cli.message_file import (
    certificates_in,
    evidence_of,
    joined,
    output_option,
    read_message,
    split_message,
    write_message,
)
from smimegw.cli.options import config_option
from smimegw.cms.algorithms import ContentCipher, DigestAlgorithm, SignatureScheme
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.config.load import load
from smimegw.errors import UsageError
from smimegw.mime.entity import Entity
from smimegw.smime.encrypt import encrypt as encrypt_entity
from smimegw.smime.sign import sign_clear, sign_opaque
from smimegw.smime.verify import identity_of
from smimegw.x509.path import Purpose, validate

_PATH = click.Path(path_type=Path)
_CIPHERS = [cipher.label for cipher in ContentCipher]
_DIGESTS = [
    digest.value
    for digest in DigestAlgorithm
    if SignatureScheme.RSA_PKCS1V15.goes_with(digest) and not digest.is_weak
]


@click.command()
@click.argument("file")
@key_file_options
@click.option("--from", "address", help="Whose key of the keystore.  [default: the From field]")
@click.option("--opaque", is_flag=True, help="application/pkcs7-mime, not multipart/signed.")
@click.option("--digest", type=click.Choice(_DIGESTS), default="sha256", show_default=True)
@click.option("--pss", is_flag=True, help="RSASSA-PSS; some readers know only PKCS #1 v1.5.")
@output_option
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


@click.command()
@click.argument("file")
@click.option(
    "--to-cert", "to", type=_PATH, multiple=True, required=True, help="Recipient; repeatable."
)
@click.option("--trust", type=_PATH, multiple=True, help="Trusted authorities; file or directory.")
@click.option("--crl", type=_PATH, multiple=True, help="Revocation lists.")
@config_option
@click.option("--cipher", type=click.Choice(_CIPHERS), default="aes-256-cbc", show_default=True)
@click.option("--oaep", is_flag=True, help="RSA-OAEP; some readers know only PKCS #1 v1.5.")
@output_option
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


COMMANDS = (sign, encrypt)

"""``smimegw directory``: ask the configured directories as the gateway would."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from smimegw.addresses import Mailbox
from smimegw.app import assemble
from smimegw.cli.directory_check import check
from smimegw.cli.directory_flush import flush
from smimegw.cli.directory_import import import_certificates
from smimegw.cli.directory_publish import publish
from smimegw.cli.exits import Exit, exits
from smimegw.cli.found_certificates import certificate_lines, found_values, source_lines
from smimegw.cli.options import config_option, json_option
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.pipeline.recipient_evidence import RecipientEvidence, recipient_evidence
from smimegw.pipeline.select import recipient_facts
from smimegw.policy.answers import CertificateAnswer

_CANNOT_TELL = {CertificateAnswer.UNAVAILABLE, CertificateAnswer.REVOCATION_UNKNOWN}


@click.group(epilog="Example: smimegw directory find bob@partner.example")
def directory() -> None:
    """Look certificates up in the configured directories, publish them, check and flush."""


for command in (check, flush, import_certificates, publish):
    directory.add_command(command)


@directory.command()
@click.argument("address")
@config_option
@json_option
@exits
def find(address: str, config: Path, as_json: bool) -> Exit:
    """Find and judge the certificates of ADDRESS, usable or not, and say why.

    \b
    Examples:
      smimegw directory find bob@partner.example
      smimegw directory find bob@partner.example --json
    """
    mailbox = Mailbox.parse(address)
    evidence = asyncio.run(_find(mailbox, load(config, check_files=False)))
    facts = recipient_facts(evidence)
    if as_json:
        values = {"schema": 1, "kind": "directory.find", **found_values(evidence)}
        click.echo(json.dumps(values))
    else:
        for line in (*source_lines(evidence), *certificate_lines(evidence)):
            click.echo(line)
    if facts.certificate is CertificateAnswer.USABLE:
        return Exit.YES
    return Exit.CANNOT_TELL if facts.certificate in _CANNOT_TELL else Exit.NO


async def _find(mailbox: Mailbox, configuration: Configuration) -> RecipientEvidence:
    assembled = assemble(configuration)
    try:
        return await recipient_evidence(mailbox, assembled.ports, assembled.settings)
    finally:
        await assembled.close()

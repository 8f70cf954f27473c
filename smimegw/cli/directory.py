"""``smimegw directory``: ask the configured directories as the gateway would."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import click

from smimegw.addresses import Mailbox
from smimegw.app import assemble
from smimegw.cli.exits import Exit, exits
from smimegw.cli.options import config_option, json_option
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.pipeline.gather import RecipientEvidence, recipient_evidence
from smimegw.pipeline.select import recipient_facts
from smimegw.policy.model import CertificateAnswer

_CANNOT_TELL = {CertificateAnswer.UNAVAILABLE, CertificateAnswer.REVOCATION_UNKNOWN}

_HINTS = {
    "untrusted-ca": "to trust its CA, put the root certificate into trust.anchors",
    "revocation-unknown": (
        "no current CRL of its CA was found: publish one beside the CA's certificate, name a file"
        " in trust.crls, or the CA's server in revocation.allow_hosts"
    ),
}


@click.group(epilog="Example: smimegw directory find bob@partner.example")
def directory() -> None:
    """Look certificates up in the configured directories."""


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
        click.echo(json.dumps(_values(evidence)))
    else:
        for line in certificate_lines(evidence):
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


def certificate_lines(evidence: RecipientEvidence) -> list[str]:
    """What was found, one certificate after the other, for people."""
    if evidence.trouble:
        return [f"directory could not answer: {evidence.trouble}"]
    if not evidence.judged:
        return ["none: the directories know no certificate of this address"]
    lines = []
    for entry in evidence.judged:
        certificate, found = entry.found.certificate, entry.found
        age = f", cached {found.cached_seconds} s" if found.cached_seconds else ""
        age += ", stale" if found.stale else ""
        lines.append(
            f"{certificate.fingerprint[:19]}  {certificate.subject_text}  from {found.source}{age}"
        )
        valid = f"valid {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}"
        if entry.validated:
            status = f"{entry.validated.revocation.value}, {entry.validated.evidence}"
            path = " < ".join(c.subject_text for c in entry.validated.path)
            lines += [f"  usable: {valid}; status {status}", f"  path: {path}"]
        else:
            lines.append(f"  not used: {entry.reason}; {valid}")
            hint = _HINTS.get(entry.reason)
            if hint:
                lines.append(f"  {hint}")
    return lines


def _values(evidence: RecipientEvidence) -> dict[str, object]:
    facts = recipient_facts(evidence)
    return {
        "schema": 1,
        "kind": "directory.find",
        "address": evidence.mailbox.address,
        "answer": facts.certificate.value,
        "detail": facts.detail,
        "certificates": [
            {
                "sha256": entry.found.certificate.fingerprint.removeprefix("sha256:"),
                "subject": entry.found.certificate.subject_text,
                "source": entry.found.source,
                "stale": entry.found.stale,
                "not_before": entry.found.certificate.not_before.isoformat(),
                "not_after": entry.found.certificate.not_after.isoformat(),
                "usable": entry.validated is not None,
                "reason": entry.reason,
            }
            for entry in evidence.judged
        ],
    }

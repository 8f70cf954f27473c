"""``smimegw directory import``: bring certificates of correspondents from files."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import click
import sqlalchemy as sa

from smimegw.adapters.database.engine import open_database
from smimegw.adapters.database.imported import import_certificate, is_there
from smimegw.adapters.database.publisher import publish_authority
from smimegw.addresses import Mailbox
from smimegw.app import own_database
from smimegw.cli.certificate_lists import Offer, offers_in
from smimegw.cli.exits import Exit, exits
from smimegw.cli.key_source import password_option, read_password
from smimegw.cli.options import config_option, json_option
from smimegw.config.directories import EmbeddedDirectory
from smimegw.config.load import load
from smimegw.config.model import Configuration
from smimegw.errors import UsageError
from smimegw.limits import Limits
from smimegw.x509.certificate import Certificate
from smimegw.x509.lint import encryption_flaw
from smimegw.x509.match import matches


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What became of one certificate, or of a part that is none.

    Attributes:
        place: Where it stands.
        outcome: ``taken``, ``there`` (already), ``authority`` (taken to build paths) or
            ``refused``.
        text: Why, or for whom.
        certificate: None when there is none.
    """

    place: str
    outcome: str
    text: str
    certificate: Certificate | None = None


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@password_option
@config_option
@json_option
@exits
def import_certificates(
    paths: tuple[Path, ...], dry_run: bool, password_file: str | None, config: Path, as_json: bool
) -> Exit:
    """Bring certificates from files into the gateway's own directory.

    PATHS are files or folders: PEM and DER (.pem, .cer, .crt, .der), PKCS #7 (.p7b, .p7c),
    PKCS #12 (.p12, .pfx; keys are ignored), LDIF (.ldif; mail and userCertificate;binary) and CSV
    (.csv; address, certificate in base64 or file name). Each is taken for the addresses that it
    names, and is judged again whenever mail is sent.

    \b
    Examples:
      smimegw directory import partner.p7b
      smimegw directory import --dry-run ./certificates partners.csv
    """
    configuration = load(config, check_files=False)
    password = read_password(password_file)
    results: list[Result] = []
    with _Store(configuration, dry_run=dry_run) as store:
        for path in paths:
            for offer in offers_in(path, password):
                for result in store.take(offer):
                    results.append(result)
                    if not as_json:
                        click.echo(_line(result, dry_run=dry_run))
    if as_json:
        click.echo(json.dumps(_values(results, dry_run=dry_run)))
    else:
        click.echo(_summary(results, dry_run=dry_run))
    return _exit(results)


class _Store:
    """The embedded directory, open; on a dry run nothing is written."""

    def __init__(self, configuration: Configuration, *, dry_run: bool) -> None:
        self._configuration = configuration
        self._limits: Limits = configuration.limits
        self._dry_run = dry_run
        self._now = datetime.now(UTC)

    def __enter__(self) -> Self:
        self._database = own_database(self._configuration)
        self._engine = _own_engine(self._configuration) or self._database.open()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()
        asyncio.run(self._database.close())

    def take(self, offer: Offer) -> Iterator[Result]:
        """Judge everything that is offered, and keep what is good."""
        for flaw in offer.contents.flaws:
            yield Result(place=offer.place, outcome="refused", text=flaw)
        if offer.contents.remark:
            yield Result(place=offer.place, outcome="note", text=offer.contents.remark)
        for certificate in offer.contents.certificates:
            yield self._take(offer, certificate)

    def _take(self, offer: Offer, certificate: Certificate) -> Result:
        def result(outcome: str, text: str) -> Result:
            return Result(place=offer.place, outcome=outcome, text=text, certificate=certificate)

        if certificate.is_ca:
            if not self._dry_run:
                publish_authority(self._engine, certificate.der, now=self._now)
            return result("authority", "kept to build paths; it is trusted by trust.anchors only")
        flaw = encryption_flaw(certificate, self._now, limits=self._limits)
        if flaw:
            return result("refused", f"{flaw} (valid to {certificate.not_after:%Y-%m-%d})")
        wanted = offer.addresses or certificate.mailboxes
        owners = [mailbox for mailbox in wanted if matches(certificate, mailbox)]
        if not owners:
            claimed = ", ".join(mailbox.address for mailbox in wanted)
            why = f"address-mismatch: it is not for {claimed}" if wanted else "it has no address"
            return result("refused", why)
        new = [mailbox for mailbox in owners if self._keep(mailbox, certificate)]
        return result("taken" if new else "there", ", ".join(m.address for m in new or owners))

    def _keep(self, mailbox: Mailbox, certificate: Certificate) -> bool:
        if self._dry_run:
            return not is_there(self._engine, mailbox, certificate)
        return import_certificate(self._engine, mailbox, certificate, now=self._now)


def _own_engine(configuration: Configuration) -> sa.Engine | None:
    """The database of the first embedded directory; None means the gateway's own.

    One that is not there yet is not made: made by root it would shut the gateway out.

    Raises:
        UsageError: Nobody would look there, or it is not there.
        DirectoryError: It cannot be opened.
    """
    embedded = [e for e in configuration.directories if isinstance(e, EmbeddedDirectory)]
    if not embedded:
        raise UsageError(
            "the gateway's own directory is not asked by this configuration, so nobody would find"
            ' what is imported; add a [[directory]] with kind = "embedded"'
        )
    location = str(embedded[0].path or configuration.database_location)
    if "://" not in location and not Path(location).exists():
        raise UsageError(f"there is no database {location} yet; has the gateway run?")
    return open_database(location) if embedded[0].path is not None else None


# --- telling -------------------------------------------------------------------------------------

_WORDS = {"there": "already there", "authority": "CA"}


def _line(result: Result, *, dry_run: bool) -> str:
    word = _WORDS.get(result.outcome, result.outcome)
    if dry_run and result.outcome in ("taken", "authority"):
        word = f"would be {word}"
    found = result.certificate
    what = f"{found.fingerprint[:19]}  {found.subject_text}: " if found else ""
    return f"{word:13}  {result.place}  {what}{result.text}"


def _summary(results: Sequence[Result], *, dry_run: bool) -> str:
    counts = Counter(result.outcome for result in results)
    text = (
        f"{counts['taken']} taken, {counts['there']} already there, "
        f"{counts['authority']} of CAs, {counts['refused']} refused"
    )
    return f"{text}; nothing was written (--dry-run)" if dry_run else text


def _values(results: Sequence[Result], *, dry_run: bool) -> dict[str, object]:
    return {
        "schema": 1,
        "kind": "directory.import",
        "dry_run": dry_run,
        "results": [
            {
                "place": result.place,
                "outcome": result.outcome,
                "text": result.text,
                "sha256": result.certificate.fingerprint.removeprefix("sha256:")
                if result.certificate
                else "",
                "subject": result.certificate.subject_text if result.certificate else "",
            }
            for result in results
        ],
    }


def _exit(results: Sequence[Result]) -> Exit:
    outcomes = {result.outcome for result in results}
    if "refused" in outcomes:
        return Exit.WARNINGS if outcomes & {"taken", "there", "authority"} else Exit.NO
    return Exit.YES if outcomes - {"note"} else Exit.NO

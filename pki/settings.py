"""Reads and writes ca.toml, the CA's small configuration."""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from pki import authority, practice
from pki.practice import Practice
from pki.profiles import Baseline
from pki.setting_values import parse_domain, trouble
from smimegw.errors import ConfigurationError, Problem
from smimegw.regular_files import TEXT_OCTETS, read_regular

FILE_NAME = "ca.toml"

_TEXT = """\
# The settings of this certificate authority.  Written by `smimegw-ca init`; edit with care.
version = 1

# Stands in every subject; the CA's own names were fixed by init.
organization = {organization}
country = {country}
# its entry in a public register, as "NTRDE-HRB.12345"; certificates of a sponsor profile need it
organization_identifier = {organization_identifier}

# Mailboxes may be in these domains only; ".corp.example" means every domain below it.
# The issuing CA's certificate carries the list of init, so adding one here needs a new CA.
domains = {domains}

[days]
mailbox = {mailbox}          # validity of a subscriber's certificate (S/MIME BR allow 825)
crl = {crl}                # validity of the issuing CA's CRL: make a new one in half that time
root_crl = {root_crl}         # validity of the root's CRL
delta = {delta}               # validity of a delta CRL; made when urls.delta says where it is

[urls]                  # written into certificates when given: where readers fetch
# the issuing CA's CRL, e.g. ["http://pki.corp.example/issuing.crl"], and its certificate (DER)
crl = {crl_urls}
issuer = {issuer_urls}
# its OCSP responder, e.g. ["http://pki.corp.example/ocsp"], and its delta CRL
ocsp = {ocsp_urls}
delta = {delta_urls}
# the root's CRL and certificate; these two count at init only
root_crl = {root_crl_urls}
root = {root_urls}

[policies]
# certificatePolicies of subscribers' certificates
oids = {policies}
# which generation of the S/MIME Baseline Requirements they follow and say so: "strict",
# "multipurpose" or "none"; what does not follow them is refused before it is signed
baseline = {baseline}

[ocsp]
days = {ocsp_days}               # validity of the responder's certificate: nobody can revoke it
hours = {ocsp_hours}              # how long readers may keep an answer
unissued = {ocsp_unissued}    # what is said of serial numbers never issued; or "revoked"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The values of ca.toml; see the comments in the file itself."""

    organization: str = ""
    country: str = ""
    organization_identifier: str = ""
    domains: tuple[str, ...] = ()
    mailbox_days: int = 730
    crl_days: int = 7
    root_crl_days: int = 365
    delta_days: int = 1
    crl_urls: tuple[str, ...] = ()
    issuer_urls: tuple[str, ...] = ()
    ocsp_urls: tuple[str, ...] = ()
    delta_urls: tuple[str, ...] = ()
    root_crl_urls: tuple[str, ...] = ()
    root_urls: tuple[str, ...] = ()
    policies: tuple[str, ...] = ()
    baseline: Baseline = Baseline.NONE
    ocsp_days: int = 30
    ocsp_hours: int = 4
    ocsp_unissued: str = "unknown"
    practice: Practice = Practice()  # noqa: RUF009 - frozen

    @property
    def mailbox_pointers(self) -> authority.Pointers:
        """What subscribers' certificates point to."""
        return authority.Pointers(
            crl_urls=self.crl_urls,
            issuer_urls=self.issuer_urls,
            ocsp_urls=self.ocsp_urls,
            delta_urls=self.delta_urls,
            policies=self.policies,
            baseline=self.baseline,
        )


def load(path: Path) -> Settings:
    """Read ca.toml.

    Raises:
        ConfigurationError: With every mistake in it.
    """
    try:
        return parse(read_regular(path, TEXT_OCTETS).decode("utf-8"), path)
    except UnicodeDecodeError as error:
        raise ConfigurationError((_problem(path, "", f"is not TOML: {error}"),)) from error


def parse(text: str, path: Path) -> Settings:
    """Read the text of ca.toml; *path* is for the errors.

    Raises:
        ConfigurationError: With every mistake in it.
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError((_problem(path, "", f"is not TOML: {error}"),)) from error
    tables: dict[str, dict[str, object]] = {"": document}
    for name in ("days", "urls", "policies", "ocsp"):
        value = document.pop(name, {})
        tables[name] = value if isinstance(value, dict) else {"": value}
    decided, troubles = practice.parse(
        {name: document.pop(name) for name in practice.TABLES if name in document}
    )
    problems = [
        _problem(path, f"{table}.{key}".lstrip("."), wrong)
        for table, values in tables.items()
        for key, value in values.items()
        if (wrong := trouble(table, key, value))
    ]
    problems += [_problem(path, key, wrong) for key, wrong in troubles.items()]
    if document.get("version") is None:
        problems.append(_problem(path, "version", "is missing; write: version = 1"))
    if problems:
        raise ConfigurationError(tuple(problems))
    return replace(_settings(tables), practice=decided)


def write(settings: Settings) -> str:
    """Return the text of ca.toml for a new CA."""
    return _TEXT.format(
        organization=json.dumps(settings.organization, ensure_ascii=False),
        country=json.dumps(settings.country),
        organization_identifier=json.dumps(settings.organization_identifier),
        domains=json.dumps(list(settings.domains)),
        mailbox=settings.mailbox_days,
        crl=settings.crl_days,
        root_crl=settings.root_crl_days,
        delta=settings.delta_days,
        crl_urls=json.dumps(list(settings.crl_urls)),
        issuer_urls=json.dumps(list(settings.issuer_urls)),
        ocsp_urls=json.dumps(list(settings.ocsp_urls)),
        delta_urls=json.dumps(list(settings.delta_urls)),
        root_crl_urls=json.dumps(list(settings.root_crl_urls)),
        root_urls=json.dumps(list(settings.root_urls)),
        policies=json.dumps(list(settings.policies)),
        baseline=json.dumps(settings.baseline.value),
        ocsp_days=settings.ocsp_days,
        ocsp_hours=settings.ocsp_hours,
        ocsp_unissued=json.dumps(settings.ocsp_unissued),
    ) + practice.write(settings.practice)


def _settings(tables: dict[str, dict[str, object]]) -> Settings:
    def texts(table: str, key: str) -> tuple[str, ...]:
        value = tables[table].get(key, [])
        return tuple(str(item) for item in value) if isinstance(value, list) else ()

    def number(table: str, key: str, default: int) -> int:
        value = tables[table].get(key, default)
        return value if isinstance(value, int) else default

    return Settings(
        organization=str(tables[""].get("organization", "")),
        country=str(tables[""].get("country", "")),
        organization_identifier=str(tables[""].get("organization_identifier", "")),
        domains=tuple(parse_domain(domain) for domain in texts("", "domains")),
        mailbox_days=number("days", "mailbox", Settings().mailbox_days),
        crl_days=number("days", "crl", Settings().crl_days),
        root_crl_days=number("days", "root_crl", Settings().root_crl_days),
        delta_days=number("days", "delta", Settings().delta_days),
        crl_urls=texts("urls", "crl"),
        issuer_urls=texts("urls", "issuer"),
        ocsp_urls=texts("urls", "ocsp"),
        delta_urls=texts("urls", "delta"),
        root_crl_urls=texts("urls", "root_crl"),
        root_urls=texts("urls", "root"),
        policies=texts("policies", "oids"),
        baseline=Baseline(str(tables["policies"].get("baseline", Baseline.NONE))),
        ocsp_days=number("ocsp", "days", Settings().ocsp_days),
        ocsp_hours=number("ocsp", "hours", Settings().ocsp_hours),
        ocsp_unissued=str(tables["ocsp"].get("unissued", Settings().ocsp_unissued)),
    )


def _problem(path: Path, key: str, message: str) -> Problem:
    return Problem(file=str(path), line=None, key=key, message=message)

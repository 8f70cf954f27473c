"""Reads and writes ca.toml, the CA's small configuration."""

from __future__ import annotations

import difflib
import json
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography.x509.oid import ObjectIdentifier

from pki import authority, practice
from pki.practice import Practice
from pki.profiles import Baseline
from pki.subjects import clean_name, is_organization_identifier
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, ConfigurationError, Problem, UsageError

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

_KEYS: dict[str, dict[str, type]] = {
    "": {
        "version": int,
        "organization": str,
        "organization_identifier": str,
        "country": str,
        "domains": list,
    },
    "days": {"mailbox": int, "crl": int, "root_crl": int, "delta": int},
    "urls": {
        "crl": list,
        "issuer": list,
        "ocsp": list,
        "delta": list,
        "root_crl": list,
        "root": list,
    },
    "policies": {"oids": list, "baseline": str},
    "ocsp": {"days": int, "hours": int, "unissued": str},
}
_UNISSUED = ("unknown", "revoked")
_KIND = {int: "a whole number", str: "a text", list: "a list of texts"}


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
        return parse(path.read_text("utf-8"), path)
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
        _problem(path, f"{table}.{key}".lstrip("."), trouble)
        for table, values in tables.items()
        for key, value in values.items()
        if (trouble := _trouble(table, key, value))
    ]
    problems += [_problem(path, key, trouble) for key, trouble in troubles.items()]
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


def parse_domain(text: str) -> str:
    """Return a domain for name constraints: A-label form, with the leading dot if it had one.

    Raises:
        UsageError: Not a domain.
    """
    dot = "." if text.startswith(".") else ""
    try:
        domain = Mailbox.parse(f"postmaster@{text.removeprefix('.')}").domain
    except AddressError as error:
        raise UsageError(
            f"{text!r} is not a domain: {error}. Write corp.example, or .corp.example for every "
            "domain below it."
        ) from error
    if domain.startswith("["):
        raise UsageError(f"{text!r} is an address literal; certificates need a domain name.")
    return dot + domain


def parse_url(text: str) -> str:
    """Return a URL that readers of certificates can fetch.

    Raises:
        UsageError: Not http or ldap; https would need another certificate to be checked first.
    """
    if not text.startswith(("http://", "ldap://")) or not text.isascii() or " " in text:
        raise UsageError(f"{text!r} does not begin with http:// or ldap:// (S/MIME BR, 7.1.2.3).")
    return text


def parse_country(text: str) -> str:
    """Return an ISO 3166 code as given, or nothing for nothing.

    Raises:
        UsageError: Not two capital letters.
    """
    if text and not _is_country(text):
        raise UsageError(f"{text!r} is not a country code of two capital letters, such as DE.")
    return text


def _trouble(table: str, key: str, value: object) -> str:
    known = _KEYS[table]
    if key not in known:
        near = difflib.get_close_matches(key, known, n=1)
        return "unknown key." + (f"  Did you mean {near[0]}?" if near else "")
    if type(value) is not known[key]:
        return f"{value!r} is not {_KIND[known[key]]}"
    if isinstance(value, list) and not all(isinstance(item, str) for item in value):
        return "holds something that is not a text"
    if isinstance(value, int) and not 1 <= value <= 9999:
        return f"{value} is out of range; 1 to 9999 are allowed"
    if key == "version" and value != 1:
        return f"{value} is unknown; this release reads version 1"
    if key == "country" and value and not (isinstance(value, str) and _is_country(value)):
        return f"{value!r} is not a country code of two capital letters"
    if key == "baseline" and value not in list(Baseline):
        return f"{value!r} is neither {', nor '.join(Baseline)}"
    if key == "organization_identifier" and value and not is_organization_identifier(str(value)):
        return f"{value!r} does not look like NTRDE-HRB.12345 or LEIXG-…"
    if key == "organization" and value:
        return _name_trouble(str(value))
    if key == "unissued" and value not in _UNISSUED:
        return f"{value!r} is neither {' nor '.join(_UNISSUED)}"
    if isinstance(value, list):
        return _list_trouble(table, key, [str(item) for item in value])
    return ""


def _name_trouble(value: str) -> str:
    try:
        clean_name(value)
    except UsageError as error:
        return str(error)
    return ""


def _list_trouble(table: str, key: str, values: list[str]) -> str:
    for value in values:
        try:
            if key == "domains":
                parse_domain(value)
            elif key == "oids":
                ObjectIdentifier(value)
            elif table == "urls":
                parse_url(value)
        except (UsageError, ValueError) as error:
            return str(error)
    return ""


def _is_country(text: str) -> bool:
    return len(text) == 2 and text.isascii() and text.isalpha() and text.isupper()


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

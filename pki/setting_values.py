"""What the values of ca.toml may be, in the file and on the command line."""

from __future__ import annotations

import difflib

from cryptography.x509.oid import ObjectIdentifier

from pki.profiles import Baseline
from pki.subjects import clean_name, is_organization_identifier
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, UsageError

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


def trouble(table: str, key: str, value: object) -> str:
    """Return what is wrong with a value, in a few words; empty when nothing is."""
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

"""Names in certificates: of people, of organizations that vouch for them, of the CA itself."""

from __future__ import annotations

import re
import unicodedata

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from pki.profiles import Baseline, Level, Profile
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

_COMMON_NAME_CHARACTERS = 64  # RFC 5280, appendix A: ub-common-name
# S/MIME BR, 7.1.4.2.2 d: scheme, country (or XG) with perhaps a state, "-", reference
_ORGANIZATION_IDENTIFIER = re.compile(r"[A-Z]{3}[A-Z]{2}(\+[A-Z0-9]{1,3})?(-\S.{0,80})?")


def subject(
    profile: Profile,
    mailbox: Mailbox,
    name: str,
    *,
    organization: str,
    country: str,
    organization_identifier: str = "",
    baseline: Baseline = Baseline.NONE,
) -> x509.Name:
    """Return the subject: who, as people read it.  May be empty, then the SubjectAltName tells.

    Where the S/MIME BR hold, a mailbox-validated subject is the address alone (7.1.4.2.3): the CA
    looked at nothing else.  Names of people and of the organization need a sponsor profile.

    Args:
        profile: For what.
        mailbox: Whose certificate it is.
        name: The person's name, as ``Bob Baker`` or ``Baker, Bob``; may be empty.
        organization: Where the person works.
        country: ISO 3166.
        organization_identifier: The organization's entry in a public register.
        baseline: Whether the S/MIME BR hold.

    Raises:
        UsageError: *name* cannot stand in a certificate, or the profile needs what is not given.
    """
    person = clean_name(name) if name else ""
    if profile.shape.level is Level.SPONSORED:
        if not (person and organization and organization_identifier):
            raise UsageError(
                f"{profile} says that the organization vouches for a person, so it needs --name, "
                "and organization and organization_identifier in ca.toml (S/MIME BR, 7.1.4.2.5). "
                f"Give them, or take {Profile.BOTH}."
            )
        identifier = [(NameOID.ORGANIZATION_IDENTIFIER, organization_identifier)]
        owner = [(NameOID.ORGANIZATION_NAME, organization), *identifier]
        return _name([(NameOID.COUNTRY_NAME, country), *owner, *_personal(person)])
    if profile.shape.local_part or baseline is not Baseline.NONE:
        return _name([(NameOID.COMMON_NAME, _fitting(mailbox.address))])
    return _name(
        [
            (NameOID.COUNTRY_NAME, country),
            (NameOID.ORGANIZATION_NAME, organization),
            (NameOID.COMMON_NAME, person or _fitting(mailbox.address)),
        ]
    )


def authority_name(common_name: str, *, organization: str, country: str) -> x509.Name:
    """Return a CA's distinguished name."""
    return _name(
        [
            (NameOID.COUNTRY_NAME, country),
            (NameOID.ORGANIZATION_NAME, organization),
            (NameOID.COMMON_NAME, common_name),
        ]
    )


def clean_name(name: str) -> str:
    """Return a person's or authority's name in NFC.

    Raises:
        UsageError: Empty, longer than 64 characters, or with invisible characters.
    """
    name = unicodedata.normalize("NFC", name.strip())
    if not name or len(name) > _COMMON_NAME_CHARACTERS:
        raise UsageError(
            f"A name in a certificate has 1 to {_COMMON_NAME_CHARACTERS} characters, this one has "
            f"{len(name)} (RFC 5280, appendix A). Give a shorter --name."
        )
    if any(unicodedata.category(letter)[0] in "CZ" and letter != " " for letter in name):
        raise UsageError(
            "The name holds a control or invisible character, which makes two names look the "
            "same. Write the name without it."
        )
    return name


def is_organization_identifier(text: str) -> bool:
    """Whether *text* has the form ``NTRDE-HRB12345`` or ``LEIXG-…`` (ETSI EN 319 412-1, 5.1.4)."""
    return _ORGANIZATION_IDENTIFIER.fullmatch(text) is not None


def _personal(person: str) -> list[tuple[ObjectIdentifier, str]]:
    """The person's names; one word alone is a pseudonym."""
    if "," in person:
        surname, _, given = (part.strip() for part in person.partition(","))
    else:
        given, _, surname = person.rpartition(" ")
    if not given or not surname:
        return [(NameOID.PSEUDONYM, person), (NameOID.COMMON_NAME, person)]
    return [
        (NameOID.GIVEN_NAME, given.strip()),
        (NameOID.SURNAME, surname),
        (NameOID.COMMON_NAME, f"{given.strip()} {surname}"),
    ]


def _fitting(text: str) -> str:
    return text if len(text) <= _COMMON_NAME_CHARACTERS else ""


def _name(attributes: list[tuple[ObjectIdentifier, str]]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes if value])

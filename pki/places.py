"""Names the CA's own places: the root, the issuing CA, and the issuing CAs that follow it.

A place is a folder of the CA directory with a key, a certificate and a CRL.  ``issuing`` is the
first issuing CA, ``issuing-2`` the next after a roll-over.  A root may live elsewhere, offline;
then its place holds no key.
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from urllib.parse import urlsplit, urlunsplit

from pki.certified import Certified, IssuerName

ROOT: IssuerName = "root"
FIRST: IssuerName = "issuing"
_FOUNDED = (ROOT, FIRST)
_NAME = re.compile(r"root|issuing(-[1-9][0-9]{0,3})?")


def is_place(text: str) -> bool:
    """Whether *text* names a place."""
    return _NAME.fullmatch(text) is not None


def number(name: IssuerName) -> int:
    """Return 1 for the first issuing CA, 2 for the one after it; 0 for the root."""
    if name == ROOT:
        return 0
    return int(name.rpartition("-")[2]) if "-" in name else 1


def successor(name: IssuerName) -> IssuerName:
    """Return the place of the issuing CA that follows *name*."""
    return f"{FIRST}-{number(name) + 1}"


def assigned(own: tuple[Certified, ...]) -> dict[IssuerName, Certified]:
    """Return which of the CA's certificates is in which place, the root first.

    Args:
        own: Those for no mailbox, oldest first.  A CA of the first release did not write down
            where they are, but made the root first and the issuing CA next.
    """
    found: dict[IssuerName, Certified] = {}
    for position, certified in enumerate(own):
        name = certified.own
        if not name and certified.profile is None and position < len(_FOUNDED):
            name = _FOUNDED[position]
        if name:
            found[name] = certified
    return dict(sorted(found.items(), key=lambda item: number(item[0])))


def located(url: str, name: IssuerName) -> str:
    """Return where the file at *url* is for *name*, when *url* is that of the first issuing CA.

    Every key signs a CRL of its own, so each needs an address of its own: ``issuing.crl`` becomes
    ``issuing-2.crl``.  An LDAP entry holds them all and stays as it is.
    """
    parts = urlsplit(url)
    path = PurePosixPath(parts.path)
    if parts.scheme != "http" or not path.name:
        return url
    return urlunsplit(parts._replace(path=str(path.with_name(located_name(path.name, name)))))


def located_name(file_name: str, name: IssuerName) -> str:
    """Return the name of a file for *name*: ``issuing.crl`` becomes ``issuing-2.crl``."""
    if number(name) < 2:
        return file_name
    suffix = PurePosixPath(file_name).suffix
    return f"{file_name.removesuffix(suffix)}-{number(name)}{suffix}"

"""Compares a mailbox with the addresses a certificate was issued for."""

from __future__ import annotations

from smimegw.addresses import Mailbox
from smimegw.x509.certificate import Certificate


def matching_mailbox(
    certificate: Certificate, mailbox: Mailbox, *, strict_local_part: bool = False
) -> Mailbox | None:
    """Return the address of *certificate* that names *mailbox*, as the CA wrote it, or None.

    Domains are compared as A-labels, non-ASCII local parts exactly; the case of ASCII local parts
    counts only with *strict_local_part* (RFC 5280, 7.5 would always compare it).
    """
    found = None
    for candidate in certificate.mailboxes:
        if candidate == mailbox:
            return candidate
        if found is None and candidate.same_as(mailbox, strict_local_part=strict_local_part):
            found = candidate
    return found


def matches(certificate: Certificate, mailbox: Mailbox, *, strict_local_part: bool = False) -> bool:
    """Whether *certificate* was issued for *mailbox*."""
    return matching_mailbox(certificate, mailbox, strict_local_part=strict_local_part) is not None

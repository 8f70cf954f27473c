"""Applies rfc822Name constraints to the mailboxes of a path (RFC 5280, 4.2.1.10; RFC 9598, 6).

The path validator knows nothing of SmtpUTF8Mailbox, and a CA that is confined to one company's
domains must not escape by issuing for ``jürg@`` instead of ``juerg@``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from cryptography import x509

from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, CertificateError
from smimegw.limits import DEFAULT_LIMITS, Limits
from smimegw.x509.certificate import Certificate


def check_constraints(path: Sequence[Certificate], *, limits: Limits = DEFAULT_LIMITS) -> None:
    """Check every mailbox of *path* (end-entity … anchor) against the CAs above it.

    Raises:
        CertificateError: ``path`` for a mailbox outside, ``limits`` when constraints times names
            is beyond *limits.name_constraint_products* – the comparison is quadratic.
    """
    products = 0
    for position, authority in enumerate(path):
        constraints = _constraints(authority)
        if constraints is None:
            continue
        below = path[:position]
        subtrees = len(constraints.permitted_subtrees or ()) + len(
            constraints.excluded_subtrees or ()
        )
        products += subtrees * sum(_count_names(certificate) for certificate in below)
        if products > limits.name_constraint_products:
            raise CertificateError("limits", "too many name constraints times names")
        permitted = _bases(constraints.permitted_subtrees)
        excluded = _bases(constraints.excluded_subtrees)
        for certificate in below:
            # RFC 5280, 6.1.3 (b): self-issued certificates count at the end of the path only.
            if certificate.is_self_issued and certificate is not path[0]:
                continue
            for mailbox in certificate.mailboxes:
                if permitted and not any(_is_within(mailbox, base) for base in permitted):
                    raise CertificateError("path", "an address outside the CA's permitted names")
                if any(_is_within(mailbox, base) for base in excluded):
                    raise CertificateError("path", "an address among the CA's excluded names")


def _constraints(certificate: Certificate) -> x509.NameConstraints | None:
    try:
        return certificate.parsed.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return None


def _count_names(certificate: Certificate) -> int:
    # The subject counts too: as a directoryName and for its emailAddress attributes.
    subject = sum(1 for _ in certificate.parsed.subject)
    try:
        extension = certificate.parsed.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return subject + 1
    return subject + len(extension.value)


def _bases(subtrees: Iterable[x509.GeneralName] | None) -> list[str]:
    return [name.value for name in subtrees or () if isinstance(name, x509.RFC822Name)]


def _is_within(mailbox: Mailbox, base: str) -> bool:
    if "@" in base:
        try:
            return mailbox.same_as(Mailbox.parse(base))
        except AddressError as exc:
            raise CertificateError("path", "a name constraint that cannot be read") from exc
    base = base.lower()
    if not base or not base.isascii():
        raise CertificateError("path", "a name constraint that cannot be read")
    # A leading dot: any host below that domain, not the domain itself.
    return mailbox.domain.endswith(base) if base.startswith(".") else mailbox.domain == base

"""Where a certificate or a list says that lists, answers and issuers can be fetched (RFC 5280)."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509

PLACES = 4  # where revocation is asked: real certificates name one or two
_URL_OCTETS = 1024


def crl_places(extensions: x509.Extensions) -> tuple[tuple[str, ...], ...]:
    """URLs of each point that *extensions* of a certificate or a list name for finding lists.

    The URLs of one point lead to the same list.  Points for some reasons only are left out: their
    lists cannot prove "good" (4.2.1.13).
    """
    points = [
        point
        for extension in extensions
        if isinstance(extension.value, x509.CRLDistributionPoints | x509.FreshestCRL)
        for point in extension.value
    ]
    places = [_urls(point.full_name or ()) for point in points if not point.reasons]
    return tuple(dict.fromkeys(place for place in places if place))[:PLACES]


def access_urls(extensions: x509.Extensions, method: x509.ObjectIdentifier) -> tuple[str, ...]:
    """URLs of authorityInfoAccess with this accessMethod, in the issuer's order (4.2.2.1)."""
    try:
        access = extensions.get_extension_for_class(x509.AuthorityInformationAccess)
    except x509.ExtensionNotFound:
        return ()
    return _urls(e.access_location for e in access.value if e.access_method == method)


def _urls(names: Iterable[x509.GeneralName]) -> tuple[str, ...]:
    # Whoever made the certificate chose them, so only plain ones, and not many.
    urls = [name.value for name in names if isinstance(name, x509.UniformResourceIdentifier)]
    clean = [
        url
        for url in urls
        if url.lower().startswith(("http://", "https://"))
        and len(url) <= _URL_OCTETS
        and url.isascii()
        and url.isprintable()
        and " " not in url
    ]
    return tuple(dict.fromkeys(clean))[:PLACES]

"""Revocation lists whose issuer's name is a name in nobody's reading are none, and end nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from smimegw.adapters.database.publisher import publish_crl
from smimegw.adapters.files.trust import read_crls
from smimegw.adapters.ldap.authority_entries import RevocationList
from smimegw.adapters.ldap.values import issuer_of_crl
from smimegw.cms import asn1, der
from smimegw.errors import ConfigurationError, UsageError

_ECDSA = der.sequence(der.oid("1.2.840.10045.4.3.2"))
_TIME = der.value(asn1.UTC_TIME, b"260101000000Z")


def _list(value: bytes, version: int = 1) -> bytes:
    common_name = der.sequence(der.oid("2.5.4.3"), value)
    issuer = der.sequence(der.value(asn1.SET, common_name))
    signed = der.sequence(der.integer(version), _ECDSA, issuer, _TIME, _TIME)
    return der.sequence(signed, _ECDSA, der.bit_string(b"signature"))


ODD = {
    "bit string": _list(der.bit_string(b"CA")),
    "no UTF-8": _list(der.value(0x0C, b"\xff\xfe")),
    "version 9": _list(der.value(0x0C, b"CA"), version=8),
}
odd = pytest.mark.parametrize("octets", list(ODD.values()), ids=list(ODD))


@odd
def test_a_list_in_a_directory_is_left_out(octets: bytes) -> None:
    """Whoever may write there must not end the mail of those who look it up (F15)."""
    assert issuer_of_crl(octets) is None


@odd
def test_a_list_is_not_published_in_ldap(octets: bytes) -> None:
    """The text says what it is (RFC 5280, 5.1.2.3)."""
    with pytest.raises(UsageError, match="not a CRL"):
        RevocationList.parse(octets)


@odd
def test_a_list_is_not_published_in_the_database(octets: bytes) -> None:
    """The same at the gateway's own directory (RFC 5280, 5.1.2.3)."""
    with pytest.raises(UsageError, match="not a CRL"):
        publish_crl(sa.create_engine("sqlite://"), octets)


def test_a_list_beside_the_anchors_is_a_mistake_of_the_configuration(tmp_path: Path) -> None:
    """Told with file and key when the configuration is read (RFC 5280, 5.1.2.1)."""
    path = tmp_path / "odd.crl"
    path.write_bytes(ODD["version 9"])
    with pytest.raises(ConfigurationError, match="not a revocation list"):
        read_crls([path], "trust.crls")

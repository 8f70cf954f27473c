"""A CA's entry at a real server: certificates, cross pairs, and revocation lists of every kind."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator

import pytest
from cryptography import x509

from smimegw.adapters.ldap.publisher import LDAPPublisher
from smimegw.adapters.ldap.values import parse_authorities
from smimegw.errors import CertificateError, UsageError
from tests.contract.conftest import publishing_target
from tests.fakes.pki import CA, make_ca
from tests.interop.openssl import openssl
from tests.peers.slapd import Slapd


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    """One server for all: every test has CAs of its own."""
    with Slapd() as running:
        yield running


@pytest.fixture
def publisher(server: Slapd) -> Iterator[LDAPPublisher]:
    """As the CA, with the shipped rights."""
    with LDAPPublisher(publishing_target(server)) as opened:
        yield opened


def values(server: Slapd, ca: CA, attribute: str) -> list[bytes]:
    name = ca.name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
    ldif = server.search(f"(cn={name})", attribute, base=server.authorities_base)
    found = re.findall(rf"^{attribute}(?:;binary)?:: (\S+)$", ldif, re.MULTILINE)
    return [base64.b64decode(value) for value in found]


def delta(ca: CA, number: int, base: int) -> bytes:
    return ca.crl(number=number, extensions=[(x509.DeltaCRLIndicator(base), True)])


def for_authorities(ca: CA, number: int) -> bytes:
    """A list for CA certificates only (RFC 5280, 5.2.5)."""
    scope = x509.IssuingDistributionPoint(
        full_name=None,
        relative_name=None,
        only_contains_user_certs=False,
        only_contains_ca_certs=True,
        only_some_reasons=None,
        indirect_crl=False,
        only_contains_attribute_certs=False,
    )
    return ca.crl(number=number, extensions=[(scope, True)])


# --- certificates --------------------------------------------------------------------------------


def test_withdrawing_a_ca_certificate_leaves_its_successor(
    server: Slapd, publisher: LDAPPublisher
) -> None:
    """After a roll-over two certificates of one name stand in one entry (RFC 4523, 2.2)."""
    old, new = make_ca("Rolled CA", slot="rolled 1"), make_ca("Rolled CA", slot="rolled 2")
    publisher.publish_authority(old.certificate.der)
    publisher.publish_authority(new.certificate.der)
    publisher.withdraw_authority(old.certificate.der)
    assert values(server, new, "cACertificate") == [new.certificate.der]


def test_withdrawing_a_ca_that_is_not_there_changes_nothing(publisher: LDAPPublisher) -> None:
    """Repeating is harmless, and no entry is made for it."""
    assert publisher.withdraw_authority(make_ca("Absent CA").certificate.der) == ""


def test_a_cross_pair_is_read_by_openssl_and_by_us(server: Slapd, publisher: LDAPPublisher) -> None:
    """SEQUENCE of [0] issued to and [1] issued by this CA (RFC 4523, 2.3)."""
    ours, theirs = make_ca("Ours"), make_ca("Theirs")
    to_us = make_ca("Ours", parent=theirs, key=ours.key)
    by_us = make_ca("Theirs", parent=ours, key=theirs.key)
    publisher.publish_cross_pair(to_us.certificate.der, by_us.certificate.der)
    (pair,) = values(server, ours, "crossCertificatePair")
    assert parse_authorities(pair) == (to_us.certificate, by_us.certificate)
    text = openssl("asn1parse", "-inform", "DER", stdin=pair).decode()
    assert re.findall(r"d=1 .*cont \[ (\d) \]", text) == ["0", "1"]


def test_a_pair_that_becomes_complete_replaces_its_half(
    server: Slapd, publisher: LDAPPublisher
) -> None:
    """The other CA may answer a year later; pairs with third CAs stay."""
    ours, theirs, third = make_ca("Half"), make_ca("Other half"), make_ca("Third")
    to_us = make_ca("Half", parent=theirs, key=ours.key).certificate.der
    from_third = make_ca("Half", parent=third, key=ours.key).certificate.der
    by_us = make_ca("Other half", parent=ours, key=theirs.key).certificate.der
    publisher.publish_cross_pair(from_third)
    publisher.publish_cross_pair(to_us)
    publisher.publish_cross_pair(to_us, by_us)
    pairs = values(server, ours, "crossCertificatePair")
    found = {tuple(item.der for item in parse_authorities(pair)) for pair in pairs}
    assert found == {(from_third,), (to_us, by_us)}
    assert publisher.publish_cross_pair(to_us, by_us) == ""


def test_a_pair_of_nothing_is_refused(publisher: LDAPPublisher) -> None:
    """At least one of the two is there (RFC 4523, 2.3)."""
    with pytest.raises(UsageError):
        publisher.publish_cross_pair(None)


def test_what_is_no_certificate_is_no_cross_certificate(publisher: LDAPPublisher) -> None:
    """Parsed before anything is written."""
    with pytest.raises(CertificateError):
        publisher.publish_cross_pair(b"\x30\x03\x02\x01\x00")


# --- revocation lists ----------------------------------------------------------------------------


def test_a_delta_stands_beside_the_complete_list(server: Slapd, publisher: LDAPPublisher) -> None:
    """deltaRevocationList (RFC 4523, 2.6); readers of the complete list never meet it."""
    ca = make_ca("Delta CA")
    complete, change = ca.crl(number=5), delta(ca, 6, 5)
    publisher.publish_crl(complete)
    publisher.publish_crl(change)
    assert values(server, ca, "certificateRevocationList") == [complete]
    assert values(server, ca, "deltaRevocationList") == [change]


def test_a_new_delta_replaces_the_old_one(server: Slapd, publisher: LDAPPublisher) -> None:
    """Deltas are counted from the complete list, not from each other (RFC 5280, 5.2.4)."""
    ca = make_ca("Deltas CA")
    first, second = delta(ca, 6, 5), delta(ca, 7, 5)
    publisher.publish_crl(first)
    publisher.publish_crl(second)
    assert values(server, ca, "deltaRevocationList") == [second]


def test_a_newer_complete_list_takes_older_deltas_away(
    server: Slapd, publisher: LDAPPublisher
) -> None:
    """One with its own number stays: it is for readers of the list before."""
    ca = make_ca("Complete CA")
    same = delta(ca, 8, 5)
    publisher.publish_crl(ca.crl(number=5))
    publisher.publish_crl(same)
    publisher.publish_crl(ca.crl(number=8))
    assert values(server, ca, "deltaRevocationList") == [same]
    publisher.publish_crl(ca.crl(number=9))
    assert values(server, ca, "deltaRevocationList") == []


def test_an_older_delta_is_refused(publisher: LDAPPublisher) -> None:
    """Going back would bring revoked certificates to life (RFC 5280, 5.2.3)."""
    ca = make_ca("Old delta CA")
    publisher.publish_crl(delta(ca, 7, 5))
    with pytest.raises(UsageError, match="not newer"):
        publisher.publish_crl(delta(ca, 6, 5))


def test_a_second_list_of_one_number_is_refused(publisher: LDAPPublisher) -> None:
    """A CA restored from an older copy makes one that forgot a revocation (RFC 5280, 5.2.3)."""
    ca = make_ca("Restored CA")
    publisher.publish_crl(ca.crl(revoked=[7], number=5))
    with pytest.raises(UsageError, match="not newer"):
        publisher.publish_crl(ca.crl(number=5))


def test_a_list_for_cas_has_an_attribute_of_its_own(
    server: Slapd, publisher: LDAPPublisher
) -> None:
    """authorityRevocationList (RFC 4523, 2.5), for lists that say so (RFC 5280, 5.2.5)."""
    ca = make_ca("Root of CAs")
    everybody, authorities = ca.crl(number=3), for_authorities(ca, 4)
    publisher.publish_crl(everybody)
    publisher.publish_crl(authorities)
    assert values(server, ca, "certificateRevocationList") == [everybody]
    assert values(server, ca, "authorityRevocationList") == [authorities]


def test_a_list_without_number_is_refused(publisher: LDAPPublisher) -> None:
    """Without one nobody can tell which is newer (RFC 5280, 5.2.3)."""
    with pytest.raises(UsageError, match="number"):
        publisher.publish_crl(b"\x30\x03\x02\x01\x00")


def test_a_big_list_is_taken(server: Slapd, publisher: LDAPPublisher) -> None:
    """Ten thousand revoked ones; the README says which limit to raise for more."""
    ca = make_ca("Big CA")
    crl = ca.crl(revoked=range(1, 10_001), number=1)
    publisher.publish_crl(crl)
    assert values(server, ca, "certificateRevocationList") == [crl]

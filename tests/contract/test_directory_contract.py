"""What every directory promises, whatever technology is behind it."""

from __future__ import annotations

import asyncio
import functools

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from smimegw.addresses import Mailbox
from smimegw.errors import DirectoryError
from smimegw.x509.certificate import Certificate
from tests.contract.conftest import Subject
from tests.fakes.pki import CA, make_ca

BOB = Mailbox.parse("bob@corp.example")


@functools.cache
def authority() -> CA:
    return make_ca("Contract CA")


@functools.cache
def certificate(address: str = "bob@corp.example", number: int = 0) -> Certificate:
    return authority().issue(address, key="p256", slot=f"{address}-{number}").certificate


def find(subject: Subject, mailbox: Mailbox = BOB) -> list[Certificate]:
    return [found.certificate for found in asyncio.run(subject.directory.find(mailbox))]


def test_a_published_certificate_is_found(subject: Subject) -> None:
    """The one certificate of a mailbox comes back octet by octet (cases F05)."""
    subject.put_person("bob@corp.example", certificate().der, "")
    assert find(subject) == [certificate()]


def test_a_mailbox_that_nobody_has_gives_nothing(subject: Subject) -> None:
    """An answer of "no entry" is an answer, not an error (R-01)."""
    subject.put_person("bob@corp.example", certificate().der, "")
    assert find(subject, Mailbox.parse("nobody@corp.example")) == []


def test_all_certificates_of_a_mailbox_are_found(subject: Subject) -> None:
    """Old and new at once: choosing is not the directory's business (cases F24)."""
    both = {certificate(), certificate(number=1)}
    for item in both:
        subject.put_person("bob@corp.example", item.der, "")
    assert set(find(subject)) == both


def test_the_case_of_the_local_part_does_not_matter(subject: Subject) -> None:
    """``Bob`` and ``bob`` are one mailbox (cases F11)."""
    subject.put_person("bob@corp.example", certificate().der, "")
    assert find(subject, Mailbox.parse("Bob@Corp.Example")) == [certificate()]


def test_publishing_twice_is_like_publishing_once(subject: Subject) -> None:
    """A publisher that was interrupted may begin again."""
    subject.put_person("bob@corp.example", certificate().der, "")
    subject.put_person("bob@corp.example", certificate().der, "")
    assert find(subject) == [certificate()]


def test_two_people_with_one_mailbox_are_two_owners(subject: Subject) -> None:
    """The conflict has to be visible to whoever decides (cases F11)."""
    subject.put_person("bob@corp.example", certificate().der, "Bob Baker")
    subject.put_person("bob@corp.example", certificate(number=1).der, "Bob Brewer")
    found = asyncio.run(subject.directory.find(BOB))
    assert len({item.owner for item in found}) == 2


def test_certificates_of_one_person_have_one_owner(subject: Subject) -> None:
    """Two certificates of one entry are no conflict (cases F11)."""
    subject.put_person("bob@corp.example", certificate().der, "")
    subject.put_person("bob@corp.example", certificate(number=1).der, "")
    found = asyncio.run(subject.directory.find(BOB))
    assert len({item.owner for item in found}) == 1


def test_an_answer_says_where_it_comes_from(subject: Subject) -> None:
    """Records and logs name the source as ``kind:name``."""
    subject.put_person("bob@corp.example", certificate().der, "")
    (found,) = asyncio.run(subject.directory.find(BOB))
    assert found.source in {"ldap:staff", "embedded:local"}


def test_a_fresh_answer_is_neither_cached_nor_stale(subject: Subject) -> None:
    """What was asked just now carries no age (R-06)."""
    subject.put_person("bob@corp.example", certificate().der, "")
    (found,) = asyncio.run(subject.directory.find(BOB))
    assert (found.cached_seconds, found.stale) == (0, False)


def test_a_mailbox_in_a_quoted_string_is_found(subject: Subject) -> None:
    """Everything RFC 5321 allows in a local part can be looked up (RFC 5321, 4.1.2)."""
    address = '"a (b) *\\\\c"@corp.example'
    subject.put_person(address, certificate().der, "")
    assert find(subject, Mailbox.parse(address)) == [certificate()]


def test_an_internationalised_domain_is_found_by_its_a_label(subject: Subject) -> None:
    """The U-label and the A-label are one domain (cases F26)."""
    subject.put_person("bob@xn--bcher-kva.example", certificate().der, "")
    assert find(subject, Mailbox.parse("bob@bücher.example")) == [certificate()]


def test_a_directory_that_is_down_is_an_error(subject: Subject) -> None:
    """Not knowing is never "no entry" (R-06, cases F09)."""
    subject.break_down()
    with pytest.raises(DirectoryError):
        find(subject)


def test_a_directory_that_goes_down_after_a_question_is_an_error(subject: Subject) -> None:
    """Connections that were good a moment ago change nothing (R-06, cases F13)."""
    assert find(subject, Mailbox.parse("carol@corp.example")) == []
    subject.break_down()
    with pytest.raises(DirectoryError):
        find(subject)


def test_a_ca_certificate_is_found_by_its_subject(subject: Subject) -> None:
    """Paths are completed with CA certificates from the directory (RFC 4523, 3.2)."""
    subject.put_authority(authority().certificate.der)
    name = authority().certificate.subject_der
    assert asyncio.run(subject.authorities.authorities(name)) == (authority().certificate,)


def test_a_ca_of_the_same_common_name_is_not_found(subject: Subject) -> None:
    """Names are compared whole: the same CN below another organization is another CA."""
    subject.put_authority(authority().certificate.der)
    other = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Somebody else"),
            x509.NameAttribute(NameOID.COMMON_NAME, "Contract CA"),
        ]
    )
    assert asyncio.run(subject.authorities.authorities(other.public_bytes())) == ()


def test_a_crl_is_found_by_its_issuer(subject: Subject) -> None:
    """Revocation lists come octet by octet (RFC 4523, 3.3)."""
    crl = authority().crl()
    subject.put_crl(crl)
    assert asyncio.run(subject.authorities.crls(authority().certificate.subject_der)) == (crl,)


def test_authorities_of_a_directory_that_is_down_are_an_error(subject: Subject) -> None:
    """A missing CA certificate and a missing directory are different troubles (R-06)."""
    subject.break_down()
    with pytest.raises(DirectoryError):
        asyncio.run(subject.authorities.authorities(authority().certificate.subject_der))


def test_crls_of_a_directory_that_is_down_are_an_error(subject: Subject) -> None:
    """No list and no directory are different troubles (R-05, R-06)."""
    subject.break_down()
    with pytest.raises(DirectoryError):
        asyncio.run(subject.authorities.crls(authority().certificate.subject_der))

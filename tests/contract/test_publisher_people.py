"""Publishing to many people's entries at a real server, beside others who write to them."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest

from smimegw.adapters.ldap.publication import Bundle
from smimegw.adapters.ldap.publisher import LDAPPublisher
from smimegw.adapters.ldap.target import PublishingTarget
from smimegw.addresses import Mailbox
from smimegw.cms.capabilities import OURS
from smimegw.cms.directory_value import signed_directory_value
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.cms.sign import certificates_only
from smimegw.cms.vouched import vouched_capabilities
from smimegw.errors import DirectoryError
from tests.contract.conftest import publishing_target
from tests.fakes.pki import NOW, Issued, make_ca
from tests.peers.slapd import Slapd

CA = make_ca("People's CA")


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    """One server for all: every test has people of its own."""
    with Slapd() as running:
        yield running


@pytest.fixture
def publisher(server: Slapd) -> Iterator[LDAPPublisher]:
    """As the CA, with the shipped rights."""
    with LDAPPublisher(publishing_target(server)) as opened:
        yield opened


def issued(name: str, slot: str = "", usage: str = "both") -> Issued:
    return CA.issue(f"{name}@corp.example", key="p256", slot=slot or name, usage=usage)


def mailbox(name: str) -> Mailbox:
    return Mailbox.parse(f"{name}@corp.example")


def plain(person: Issued) -> Bundle:
    return Bundle.of(certificates_only([person.certificate, CA.certificate]))


def signed(person: Issued) -> Bundle:
    """His own word."""
    credential = SigningCredential(
        person.certificate, (CA.certificate,), SoftwareSigningKey(person.key)
    )
    return Bundle(
        make=lambda: signed_directory_value(
            credential,
            capabilities=OURS,
            encryption_certificate=person.certificate,
            now=NOW,
        ),
        signed=True,
    )


def values(server: Slapd, name: str, attribute: str) -> set[bytes]:
    ldif = server.search(f"(mail={name}@corp.example)", attribute)
    found = re.findall(rf"^{attribute}(?:;binary)?:: (\S+)$", ldif, re.MULTILINE)
    return {base64.b64decode(value) for value in found}


def add_value(server: Slapd, name: str, attribute: str, value: bytes) -> None:
    """What another program does."""
    server.add(
        f"dn: mail={name}@corp.example,{server.people_base}\nchangetype: modify\n"
        f"add: {attribute}\n{attribute}:: {base64.b64encode(value).decode()}\n"
    )


# --- many at once --------------------------------------------------------------------------------


def test_many_people_are_found_with_few_searches(server: Slapd, publisher: LDAPPublisher) -> None:
    """Not one search per person: two for a hundred, whether they have an entry or not."""
    people = [f"crowd{number}" for number in range(100)]
    for name in people[:3]:
        server.add_person(f"{name}@corp.example")
    before = server.log.count("SRCH base=")
    publisher.read_ahead(mailbox(name) for name in people)
    person = issued("crowd")
    for name in people:
        publisher.publish_certificate(mailbox(name), name, person.certificate.der)
    assert server.log.count("SRCH base=") - before == 2
    assert values(server, "crowd2", "userCertificate") == {person.certificate.der}
    assert values(server, "crowd99", "userCertificate") == {person.certificate.der}


def test_the_entry_of_an_alias_is_found_among_many(server: Slapd, publisher: LDAPPublisher) -> None:
    """By the other attribute of the filter, and in another case (cases F11)."""
    server.add_person(
        "alias-main@corp.example", more={"smimegwMailAlternateAddress": "Alias-Other@corp.example"}
    )
    publisher.read_ahead([mailbox("alias-other"), mailbox("alias-nobody")])
    person = issued("alias-other")
    publisher.publish_certificate(mailbox("alias-other"), "", person.certificate.der)
    assert values(server, "alias-main", "userCertificate") == {person.certificate.der}


def test_two_entries_of_one_address_are_seen_among_many(
    server: Slapd, publisher: LDAPPublisher
) -> None:
    """Whose it is, a person has to say (cases F11)."""
    for name in ("one", "two"):
        server.add_person(
            "shared@corp.example", dn=f"cn=shared {name},{server.people_base}", name=name
        )
    publisher.read_ahead([mailbox("shared"), mailbox("shared-not")])
    with pytest.raises(DirectoryError, match="several entries"):
        publisher.publish_certificate(mailbox("shared"), "", issued("shared").certificate.der)


def test_a_filter_that_is_no_list_of_equalities_asks_one_by_one(server: Slapd) -> None:
    """Whose entry it is cannot be told from a list of answers then."""
    target = changed(server, person_filter="(&(objectClass=inetOrgPerson)(mail=%{address}))")
    server.add_person("onebyone@corp.example")
    person = issued("onebyone")
    with LDAPPublisher(target) as publisher:
        publisher.read_ahead([mailbox("onebyone"), mailbox("onebyone2")])
        publisher.publish_certificate(mailbox("onebyone"), "", person.certificate.der)
    assert values(server, "onebyone", "userCertificate") == {person.certificate.der}


# --- beside others -------------------------------------------------------------------------------


def test_a_bundle_that_a_stranger_added_meanwhile_stays(
    server: Slapd, publisher: LDAPPublisher
) -> None:
    """The attribute is written as a whole, but only over what was read (RFC 4528)."""
    server.add_person("meanwhile@corp.example")
    person, stranger = issued("meanwhile"), certificates_only([CA.certificate])
    publisher.read_ahead([mailbox("meanwhile")])
    add_value(server, "meanwhile", "userSMIMECertificate", stranger)
    publisher.publish_certificate(mailbox("meanwhile"), "", person.certificate.der, plain(person))
    found = values(server, "meanwhile", "userSMIMECertificate")
    assert found == {stranger, plain(person).make()}


def test_a_certificate_that_somebody_added_meanwhile_is_no_error(
    server: Slapd, publisher: LDAPPublisher
) -> None:
    """It is what was wanted."""
    server.add_person("faster@corp.example")
    der = issued("faster").certificate.der
    publisher.read_ahead([mailbox("faster")])
    add_value(server, "faster", "userCertificate;binary", der)
    assert publisher.publish_certificate(mailbox("faster"), "", der) == ""


def test_an_entry_that_was_deleted_meanwhile_is_made_anew(
    server: Slapd, publisher: LDAPPublisher
) -> None:
    """What was read ahead is not believed against the server."""
    dn = server.add_person("deleted@corp.example")
    der = issued("deleted").certificate.der
    publisher.read_ahead([mailbox("deleted")])
    server.delete(dn)
    publisher.publish_certificate(mailbox("deleted"), "Dee Leted", der)
    assert values(server, "deleted", "userCertificate") == {der}


def test_an_entry_that_was_made_meanwhile_is_used(server: Slapd, publisher: LDAPPublisher) -> None:
    """And not made a second time."""
    der = issued("made").certificate.der
    publisher.read_ahead([mailbox("made")])
    server.add_person("made@corp.example", more={"telephoneNumber": "12"})
    publisher.publish_certificate(mailbox("made"), "", der)
    assert values(server, "made", "userCertificate") == {der}
    assert "telephoneNumber: 12" in server.search("(mail=made@corp.example)")


def test_an_entry_that_cannot_be_found_by_its_address_is_told(server: Slapd) -> None:
    """It can neither be changed nor made; the text says so, and the run goes on with others."""
    server.add_person("hidden@corp.example")
    target = changed(server, person_filter="(uid=%{address})")
    with LDAPPublisher(target) as publisher:
        with pytest.raises(DirectoryError, match="cannot be found by its address") as told:
            publisher.publish_certificate(mailbox("hidden"), "", issued("hidden").certificate.der)
    assert not told.value.retryable


# --- what the owner says -------------------------------------------------------------------------


def test_a_signed_bundle_takes_the_place_of_certificates_only(
    server: Slapd, publisher: LDAPPublisher
) -> None:
    """The owner's capabilities are worth more (RFC 2798, 2.8)."""
    person = issued("speaks")
    der = person.certificate.der
    publisher.publish_certificate(mailbox("speaks"), "", der, plain(person))
    publisher.publish_certificate(mailbox("speaks"), "", der, signed(person))
    (value,) = values(server, "speaks", "userSMIMECertificate")
    found = vouched_capabilities(value)
    assert found is not None
    assert found.capabilities == OURS


def test_a_signed_bundle_is_not_signed_again(publisher: LDAPPublisher) -> None:
    """Every signature is another one: comparing octets would write at each run."""
    person = issued("once")
    der = person.certificate.der
    publisher.publish_certificate(mailbox("once"), "", der, signed(person))
    assert publisher.publish_certificate(mailbox("once"), "", der, signed(person)) == ""


def test_certificates_only_does_not_replace_the_owners_word(
    server: Slapd, publisher: LDAPPublisher
) -> None:
    """A mail program that publishes to the directory itself says more than we know."""
    person = issued("himself")
    value = signed(person).make()
    server.add_person("himself@corp.example", smime_certificates=[value])
    publisher.publish_certificate(mailbox("himself"), "", person.certificate.der, plain(person))
    assert values(server, "himself", "userSMIMECertificate") == {value}


def test_a_bundle_with_another_path_is_replaced(server: Slapd, publisher: LDAPPublisher) -> None:
    """After the CA's roll-over it carries the new issuer's certificate, and only that."""
    person, other = issued("path"), make_ca("People's CA", slot="other")
    old = Bundle.of(certificates_only([person.certificate, other.certificate]))
    der = person.certificate.der
    publisher.publish_certificate(mailbox("path"), "", der, old)
    publisher.publish_certificate(mailbox("path"), "", der, plain(person))
    assert values(server, "path", "userSMIMECertificate") == {plain(person).make()}


def test_withdrawing_takes_the_signed_bundle_along(server: Slapd, publisher: LDAPPublisher) -> None:
    """A revoked certificate must not live on in it (RFC 2798, 2.8)."""
    person = issued("leaves")
    der = person.certificate.der
    publisher.publish_certificate(mailbox("leaves"), "", der, signed(person))
    publisher.withdraw_certificate(mailbox("leaves"), der)
    assert values(server, "leaves", "userSMIMECertificate") == set()
    assert values(server, "leaves", "userCertificate") == set()


def changed(server: Slapd, **changes: Any) -> PublishingTarget:
    """The usual target, with changes."""
    target = publishing_target(server)
    kept: dict[str, Any] = {
        name: getattr(target, name)
        for name in ("urls", "bind_dn", "password", "people_base", "authorities_base", "ca")
    }
    return PublishingTarget(**{**kept, **changes})

"""What an LDAP administrator reads when a server does not take what is published."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smimegw.adapters.ldap.publication import Bundle
from smimegw.adapters.ldap.publisher import LDAPPublisher
from smimegw.adapters.ldap.target import PublishingTarget
from smimegw.addresses import Mailbox
from smimegw.cms.sign import certificates_only
from smimegw.errors import DirectoryError
from tests.contract.conftest import publishing_target
from tests.fakes.pki import make_ca
from tests.peers.ports import wait_until
from tests.peers.slapd import Slapd

CA = make_ca("Fault CA")
BOB = Mailbox.parse("bob@corp.example")
PERSON = CA.issue(str(BOB), key="p256")
BUNDLE = Bundle.of(certificates_only([PERSON.certificate, CA.certificate]))


@pytest.fixture(scope="module")
def server() -> Iterator[Slapd]:
    """One server that the tests of this file do not change."""
    with Slapd() as running:
        yield running


def changed(server: Slapd, **changes: Any) -> PublishingTarget:
    target = publishing_target(server)
    names = ("urls", "bind_dn", "password", "people_base", "authorities_base", "ca")
    return PublishingTarget(**{**{name: getattr(target, name) for name in names}, **changes})


def refused(target: PublishingTarget, bundle: Bundle | None = None) -> DirectoryError:
    """What publishing for Bob says."""
    with pytest.raises(DirectoryError) as told, LDAPPublisher(target) as publisher:
        publisher.publish_certificate(BOB, "Bob", PERSON.certificate.der, bundle)
    return told.value


def test_without_rights_the_rule_to_add_is_named(server: Slapd) -> None:
    """Other entries might be allowed: the run goes on, for a while."""
    error = refused(
        changed(server, bind_dn=server.gateway_dn, password=lambda: server.gateway_password)
    )
    assert "access rules forbid that to whoever writes" in str(error)
    assert "ldap-schema/access.conf" in str(error)
    assert not error.retryable


def test_a_base_that_does_not_exist_is_named(server: Slapd) -> None:
    """A typing error, mostly."""
    error = refused(changed(server, people_base=f"ou=peple,{server.suffix}"))
    assert "noSuchObject" in str(error)
    assert "`base` does not exist there" in str(error)


def test_a_person_without_entry_is_told_when_none_may_be_made(server: Slapd) -> None:
    """Entries of people belong to somebody else in many companies."""
    error = refused(changed(server, may_add_people=False))
    assert "no entry below" in str(error)
    assert "<bob@corp.example>" in str(error)
    assert not error.retryable


def test_a_wrong_password_is_told(server: Slapd) -> None:
    """Before anything is read."""
    error = refused(changed(server, password=lambda: "wrong-secret"))
    assert "`bind.dn` or its password is wrong" in str(error)
    assert "wrong-secret" not in str(error)


def test_a_server_of_another_authority_is_told(server: Slapd, tmp_path: Path) -> None:
    """The password is not sent (T-11)."""
    other = tmp_path / "other.pem"
    other.write_bytes(PERSON.pem)
    assert "cannot be trusted" in str(refused(changed(server, ca=other)))


def test_a_port_without_tls_is_told(server: Slapd) -> None:
    """ldaps:// on the port for ldap://."""
    error = refused(changed(server, urls=f"ldaps://127.0.0.1:{server.ldap_port}"))
    assert "does that port speak TLS?" in str(error)


def test_a_server_that_is_read_only_is_told() -> None:
    """As during a backup."""
    with Slapd(configuration="cnconfig") as server:
        server.add(
            "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcReadOnly\n"
            "olcReadOnly: TRUE\n",
            external=True,
        )
        error = refused(publishing_target(server))
    assert "is it read-only" in str(error)


def test_a_copy_that_takes_no_writes_is_told(server: Slapd) -> None:
    """It names its provider, and referrals are never followed (T-11)."""
    with Slapd(provider=server) as copy:
        wait_until(lambda: "cn=smimegw-ca" in copy.search("(cn=*)", "dn"), "the first copying")
        error = refused(changed(copy, password=lambda: server.publisher_password))
    assert "takes no writes" in str(error)
    assert error.retryable  # the whole run ends, not only this entry


def test_a_schema_without_user_smime_certificate_is_told() -> None:
    """inetorgperson.schema has it (RFC 2798, 2.8)."""
    with Slapd(schemas=("core", "cosine"), bare=True) as server:
        server.add(_tree(server))
        server.add(
            f"dn: cn=Bob,{server.people_base}\nobjectClass: newPilotPerson\ncn: Bob\nsn: B\n"
            "mail: bob@corp.example\n"
        )
        target = changed(
            server,
            bind_dn=server.admin_dn,
            password=lambda: server.admin_password,
            person_filter="(mail=%{address})",
        )
        error = refused(target, BUNDLE)
        with LDAPPublisher(target) as publisher:
            publisher.publish_certificate(BOB, "Bob", PERSON.certificate.der)
        assert "userCertificate;binary::" in server.search("(mail=bob@corp.example)")
    assert "schema" in str(error)
    assert not error.retryable


def test_a_stopped_server_ends_the_run(tmp_path: Path) -> None:
    """In the middle: what was read ahead does not hide it (cases F09)."""
    with Slapd() as server, LDAPPublisher(publishing_target(server)) as publisher:
        publisher.publish_certificate(BOB, "Bob", PERSON.certificate.der)
        carol = Mailbox.parse("carol@corp.example")
        publisher.read_ahead([carol])
        server.stop()
        with pytest.raises(DirectoryError) as told:
            publisher.publish_certificate(carol, "Carol", PERSON.certificate.der)
    assert told.value.retryable


def test_a_limit_below_a_batch_is_got_round() -> None:
    """Then everybody is asked for alone."""
    with Slapd(configuration="cnconfig") as server:
        server.add(
            "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\nreplace: olcSizeLimit\n"
            "olcSizeLimit: 2\n",
            external=True,
        )
        people = [Mailbox.parse(f"limit{number}@corp.example") for number in range(4)]
        for person in people:
            server.add_person(str(person))
        with LDAPPublisher(publishing_target(server)) as publisher:
            publisher.read_ahead(people)
            for person in people:
                publisher.publish_certificate(person, "", PERSON.certificate.der)
        ldif = server.search("(mail=limit*)", "userCertificate")
    assert ldif.count("userCertificate;binary::") == 4


def _tree(server: Slapd) -> str:
    text = server.adapted("sample.ldif")
    return "\n\n".join(text.split("\n\n")[:3])

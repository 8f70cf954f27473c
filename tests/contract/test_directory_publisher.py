"""The LDAP publisher against a real server, bound as the CA with the shipped access rules."""

from __future__ import annotations

import asyncio
import base64
import functools
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.publication import Bundle
from smimegw.adapters.ldap.publisher import LDAPPublisher
from smimegw.adapters.ldap.target import PublishingTarget
from smimegw.addresses import Mailbox
from smimegw.cms import der
from smimegw.cms.algorithms import ContentCipher
from smimegw.cms.capabilities import NOTHING_KNOWN, OURS, Capabilities
from smimegw.cms.signed_data import certificates_only
from smimegw.errors import CertificateError, DirectoryError, UsageError
from smimegw.x509.certificate import Certificate
from tests.contract.conftest import ldap_settings, publishing_target
from tests.fakes.pki import CA, PAST, Issued, make_ca
from tests.peers.slapd import Slapd

BOB = Mailbox.parse("bob@corp.example")


@functools.cache
def authority() -> CA:
    return make_ca("Publisher CA")


def issued(number: int = 0) -> Issued:
    return _issued(number)


@functools.cache
def _issued(number: int) -> Issued:
    return authority().issue("bob@corp.example", key="p256", slot=f"publisher-{number}")


def octets(number: int = 0) -> bytes:
    return issued(number).certificate.der


def bundle(number: int = 0) -> Bundle:
    """A userSMIMECertificate value: the certificate and its path."""
    return Bundle.of(bundle_octets(number))


def bundle_octets(number: int = 0) -> bytes:
    return certificates_only([issued(number).certificate, authority().certificate])


def publish(server: Slapd, number: int = 0, smime_value: Bundle | None = None) -> str:
    with LDAPPublisher(publishing_target(server)) as publisher:
        return publisher.publish_certificate(BOB, "Bob Baker", octets(number), smime_value)


def withdraw(server: Slapd, number: int = 0) -> str:
    with LDAPPublisher(publishing_target(server)) as publisher:
        return publisher.withdraw_certificate(BOB, octets(number))


def find(server: Slapd, mailbox: Mailbox = BOB, **settings: object) -> set[Certificate]:
    async def work() -> set[Certificate]:
        directory = LDAPDirectory(ldap_settings(server, **settings))
        try:
            return {found.certificate for found in await directory.find(mailbox)}
        finally:
            await directory.close()

    return asyncio.run(work())


# --- people --------------------------------------------------------------------------------------


def test_a_new_person_gets_an_entry_that_mail_clients_find(slapd: Slapd) -> None:
    """Thunderbird asks ``(mail=…)`` for ``userCertificate;binary`` (RFC 4523, 2.1)."""
    publish(slapd)
    answer = slapd.search("(mail=bob@corp.example)", "userCertificate;binary", "cn")
    assert "userCertificate;binary::" in answer
    assert "cn: Bob Baker" in answer


def test_a_person_who_is_there_keeps_what_he_has(slapd: Slapd) -> None:
    """The publisher adds a value and touches nothing else."""
    slapd.add_person(
        "bob@corp.example", certificates=[octets(1)], more={"telephoneNumber": "12 34"}
    )
    publish(slapd)
    assert find(slapd) == {issued(0).certificate, issued(1).certificate}
    assert "telephoneNumber: 12 34" in slapd.search("(mail=bob@corp.example)")


def test_a_person_is_found_by_another_address(slapd: Slapd) -> None:
    """A second entry for an alias would be a conflict (cases F11)."""
    slapd.add_person("b.baker@corp.example", more={"smimegwMailAlternateAddress": str(BOB)})
    publish(slapd)
    assert slapd.search("(userCertificate;binary=*)", "dn").count("dn:") == 1


def test_publishing_again_changes_nothing(slapd: Slapd) -> None:
    """No change, and none shown."""
    publish(slapd, smime_value=bundle())
    assert publish(slapd, smime_value=bundle()) == ""


def test_two_entries_with_the_address_are_refused(slapd: Slapd) -> None:
    """Which of the two is meant, a person has to say (cases F11)."""
    for name in ("one", "two"):
        slapd.add_person("bob@corp.example", dn=f"cn={name},{slapd.people_base}", name=name)
    with pytest.raises(DirectoryError, match="several entries"):
        publish(slapd)


def test_an_entry_without_a_fitting_class_gets_one(slapd: Slapd) -> None:
    """Accounts of other programs hold certificates after pkiUser was added (RFC 4523, 3.1)."""
    slapd.add(
        f"dn: uid=bob,{slapd.people_base}\nobjectClass: account\nobjectClass: smimegwMailPerson\n"
        "uid: bob\nmail: bob@corp.example\n"
    )
    publish(slapd, smime_value=bundle())
    assert find(slapd) == {issued().certificate}


def test_a_name_with_special_characters_makes_a_good_entry(slapd: Slapd) -> None:
    """Names are values, never parts of a DN or of LDIF."""
    mailbox = Mailbox.parse('"b,o+b=\\"x\\""@corp.example')
    name = " Böb, #1 <Baker>\\"
    with LDAPPublisher(publishing_target(slapd)) as publisher:
        publisher.publish_certificate(mailbox, name, octets())
    assert find(slapd, mailbox) == {issued().certificate}


def test_what_is_no_certificate_is_not_published(slapd: Slapd) -> None:
    """Parsed before anything is written."""
    with LDAPPublisher(publishing_target(slapd)) as publisher, pytest.raises(CertificateError):
        publisher.publish_certificate(BOB, "Bob", b"\x30\x03\x02\x01\x00")


def test_withdrawing_removes_exactly_that_certificate(slapd: Slapd) -> None:
    """The others and the entry stay."""
    publish(slapd, 0)
    publish(slapd, 1)
    withdraw(slapd, 0)
    assert find(slapd) == {issued(1).certificate}


def test_withdrawing_the_last_certificate_leaves_the_entry(slapd: Slapd) -> None:
    """A person is more than a certificate."""
    publish(slapd)
    withdraw(slapd)
    assert find(slapd) == set()
    assert "mail: bob@corp.example" in slapd.search("(mail=bob@corp.example)")


def test_withdrawing_what_is_not_there_changes_nothing(slapd: Slapd) -> None:
    """Repeating is harmless."""
    assert withdraw(slapd) == ""


def test_withdrawing_removes_the_bundle_too(slapd: Slapd) -> None:
    """userSMIMECertificate would otherwise keep a revoked certificate alive (RFC 2798, 2.8)."""
    publish(slapd, 0, bundle(0))
    publish(slapd, 1, bundle(1))
    withdraw(slapd, 0)
    assert find(slapd, attributes=("userSMIMECertificate",)) == {issued(1).certificate}


def test_bundles_of_strangers_stay(slapd: Slapd) -> None:
    """A value that we cannot read is not ours to remove."""
    slapd.add_person("bob@corp.example", smime_certificates=[b"\x30\x03\x02\x01\x03"])
    publish(slapd, 0, bundle(0))
    withdraw(slapd, 0)
    assert "userSMIMECertificate:: MAMCAQM=" in slapd.search("(mail=bob@corp.example)")


def test_a_bundle_gives_the_person_not_the_ca(slapd: Slapd) -> None:
    """The path inside userSMIMECertificate is no certificate of the mailbox (RFC 2798, 2.8)."""
    publish(slapd, smime_value=bundle())
    assert find(slapd, attributes=("userSMIMECertificate",)) == {issued().certificate}


def test_a_signed_bundle_of_another_program_is_read(slapd: Slapd, tmp_path: Path) -> None:
    """userSMIMECertificate as RFC 2798, 2.8 wants it: SignedData with a signer, by openssl."""
    (tmp_path / "bob.pem").write_bytes(issued().pem)
    (tmp_path / "bob.key").write_bytes(issued().key_pem)
    command = "openssl cms -sign -binary -nodetach -outform DER -signer bob.pem -inkey bob.key"
    value = subprocess.run(
        command.split(), input=b"", cwd=tmp_path, capture_output=True, timeout=30, check=True
    ).stdout
    slapd.add_person("bob@corp.example", smime_certificates=[value])
    assert find(slapd) == {issued().certificate}


@pytest.mark.parametrize("signs", [True, False])
def test_a_signed_bundle_says_what_its_signer_reads(
    slapd: Slapd, tmp_path: Path, signs: bool
) -> None:
    """The capabilities under openssl's signature; certificates alone say nothing (G24)."""
    (tmp_path / "bob.pem").write_bytes(issued().pem)
    (tmp_path / "bob.key").write_bytes(issued().key_pem)
    command = "openssl cms -sign -binary -outform DER -signer bob.pem -inkey bob.key"
    value = subprocess.run(
        command.split(), input=b"", cwd=tmp_path, capture_output=True, timeout=30, check=True
    ).stdout
    slapd.add_person("bob@corp.example", smime_certificates=[value if signs else bundle_octets()])

    async def read() -> list[bool]:
        directory = LDAPDirectory(ldap_settings(slapd))
        found = await directory.find(BOB)
        await directory.close()
        return [ContentCipher.AES_256_CBC in entry.capabilities.ciphers for entry in found]

    assert asyncio.run(read()) == [signs]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(OURS.write(), OURS), (b"\x02\x01\x05", NOTHING_KNOWN)],
    ids=["capabilities", "something else"],
)
def test_an_administrator_may_say_what_somebody_reads(
    slapd: Slapd, value: bytes, expected: Capabilities
) -> None:
    """smimegwCapabilities, where the owner cannot sign; what does not parse says nothing (G24)."""
    dn = slapd.add_person("bob@corp.example", certificates=[octets()])
    slapd.add(
        f"dn: {dn}\nchangetype: modify\nadd: smimegwCapabilities\n"
        f"smimegwCapabilities:: {base64.b64encode(value).decode()}\n"
    )

    async def read() -> list[Capabilities]:
        directory = LDAPDirectory(ldap_settings(slapd))
        found = await directory.find(BOB)
        await directory.close()
        return [entry.capabilities for entry in found]

    assert asyncio.run(read()) == [expected]


def test_a_value_that_does_not_parse_is_skipped_and_counted(slapd: Slapd) -> None:
    """One bad value does not hide the good ones (cases F05)."""
    slapd.add_person(
        "bob@corp.example", certificates=[octets()], smime_certificates=[b"\x30\x03\x02\x01\x03"]
    )

    async def work() -> tuple[int, int]:
        directory = LDAPDirectory(ldap_settings(slapd))
        found = await directory.find(BOB)
        await directory.close()
        return len(found), directory.skipped_values

    assert asyncio.run(work()) == (1, 1)


# --- authorities ---------------------------------------------------------------------------------


def authorities(server: Slapd) -> tuple[set[Certificate], set[bytes]]:
    async def work() -> tuple[set[Certificate], set[bytes]]:
        directory = LDAPDirectory(ldap_settings(server))
        name = authority().certificate.subject_der
        found = set(await directory.authorities(name)), set(await directory.crls(name))
        await directory.close()
        return found

    return asyncio.run(work())


def test_a_ca_entry_holds_certificate_and_crl(slapd: Slapd) -> None:
    """One entry of class pkiCA, both attributes with ``;binary`` (RFC 4523, 2.2 and 2.4)."""
    crl = authority().crl()
    with LDAPPublisher(publishing_target(slapd)) as publisher:
        publisher.publish_authority(authority().certificate.der)
        publisher.publish_crl(crl)
    assert authorities(slapd) == ({authority().certificate}, {crl})
    assert slapd.search("(objectClass=pkiCA)", "dn").count("dn:") == 1


def test_a_cross_certificate_is_found(slapd: Slapd) -> None:
    """Both halves of a pair are candidates for a path (RFC 4523, 2.3)."""
    other = make_ca("Other CA")
    crossed = make_ca("Publisher CA", parent=other, key=authority().key)
    pair = der.sequence(der.value(0xA0, crossed.certificate.der))
    slapd.add(
        f"dn: cn=Publisher CA,{slapd.authorities_base}\nobjectClass: organizationalRole\n"
        "objectClass: pkiCA\ncn: Publisher CA\n"
        f"crossCertificatePair;binary:: {base64.b64encode(pair).decode()}\n"
    )
    assert authorities(slapd)[0] == {crossed.certificate}


def test_a_new_crl_replaces_the_old_one(slapd: Slapd) -> None:
    """Two lists of one issuer would leave the choice to the reader (RFC 5280, 5.2.3)."""
    newer = authority().crl(revoked=[issued()], number=7)
    with LDAPPublisher(publishing_target(slapd)) as publisher:
        publisher.publish_crl(authority().crl(number=6))
        publisher.publish_crl(newer)
    assert authorities(slapd)[1] == {newer}


def test_the_lists_of_an_old_and_a_new_key_stand_side_by_side(slapd: Slapd) -> None:
    """After a roll-over both keys list under one name; each replaces its own (RFC 4210, 4.4)."""
    newer = make_ca("Publisher CA", slot="the key after the roll-over")
    lists = [authority().crl(number=7), newer.crl(number=1), authority().crl(number=8)]
    with LDAPPublisher(publishing_target(slapd)) as publisher:
        for crl in lists:
            publisher.publish_crl(crl)
    assert authorities(slapd)[1] == set(lists[1:])


def test_an_older_crl_is_refused(slapd: Slapd) -> None:
    """Going back would bring revoked certificates to life (RFC 5280, 5.2.3)."""
    with LDAPPublisher(publishing_target(slapd)) as publisher:
        publisher.publish_crl(authority().crl(number=7))
        with pytest.raises(UsageError, match="not newer"):
            publisher.publish_crl(authority().crl(number=6))


def test_the_crl_of_another_ca_with_the_same_common_name_stays(slapd: Slapd) -> None:
    """One entry can serve two CAs; each replaces its own list only."""
    organization = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Somebody else")
    common_name = x509.NameAttribute(NameOID.COMMON_NAME, "Publisher CA")
    other = authority().crl(issuer=x509.Name([organization, common_name]))
    crl = authority().crl()
    with LDAPPublisher(publishing_target(slapd)) as publisher:
        publisher.publish_crl(other)
        publisher.publish_crl(crl)
    assert authorities(slapd)[1] == {crl}
    entry = slapd.search("(objectClass=pkiCA)", "certificateRevocationList;binary")
    assert entry.count("certificateRevocationList;binary::") == 2


# --- dry run, rights, troubles -------------------------------------------------------------------


def test_a_dry_run_writes_nothing(slapd: Slapd) -> None:
    """The plan is shown, the server untouched."""
    with LDAPPublisher(publishing_target(slapd), dry_run=True) as publisher:
        assert publisher.publish_certificate(BOB, "Bob Baker", octets())
    assert slapd.search("(mail=bob@corp.example)") == ""


def test_the_ldif_of_a_dry_run_does_the_same_with_ldapmodify(slapd: Slapd) -> None:
    """An administrator may carry the plan to another machine (RFC 2849)."""
    slapd.add_person("carol@corp.example", certificates=[octets(1)])
    with LDAPPublisher(publishing_target(slapd), dry_run=True) as publisher:
        carol = Mailbox.parse("carol@corp.example")
        plan = [
            publisher.publish_certificate(BOB, "Böb Baker ", octets(), bundle()),
            publisher.publish_certificate(carol, "", octets(), bundle()),
            publisher.publish_certificate(BOB, "", octets(1)),
            publisher.withdraw_certificate(BOB, octets(1)),
            publisher.publish_authority(authority().certificate.der),
            publisher.publish_crl(authority().crl()),
        ]
    done = subprocess.run(
        [
            *("ldapmodify", "-x", "-H", slapd.ldapi_url),
            *("-D", slapd.publisher_dn, "-w", slapd.publisher_password),
        ],
        input="\n".join(plan),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert find(slapd) == {issued().certificate}
    assert find(slapd, carol) == {issued(0).certificate, issued(1).certificate}
    assert authorities(slapd)[0] == {authority().certificate}
    assert len(authorities(slapd)[1]) == 1


def test_the_gateway_may_not_publish(slapd: Slapd) -> None:
    """Whoever breaks into the gateway cannot change whom others encrypt to (T-11)."""
    target = publishing_target(slapd)
    as_gateway = PublishingTarget(
        urls=target.urls,
        bind_dn=slapd.gateway_dn,
        password=lambda: slapd.gateway_password,
        people_base=target.people_base,
        authorities_base=target.authorities_base,
        ca=target.ca,
    )
    with LDAPPublisher(as_gateway) as publisher:
        with pytest.raises(DirectoryError, match="insufficientAccessRights"):
            publisher.publish_certificate(BOB, "Bob", octets())


def test_a_server_that_stops_is_an_error(slapd: Slapd) -> None:
    """The command ends with the reason (cases F09)."""
    with LDAPPublisher(publishing_target(slapd)) as publisher:
        slapd.stop()
        with pytest.raises(DirectoryError):
            publisher.publish_certificate(BOB, "Bob", octets())


def test_an_expired_certificate_can_be_withdrawn(slapd: Slapd) -> None:
    """Cleaning up after a renewal."""
    old = authority().issue("bob@corp.example", key="p256", not_after=PAST, slot="publisher-old")
    slapd.add_person("bob@corp.example", certificates=[old.certificate.der, octets()])
    with LDAPPublisher(publishing_target(slapd)) as publisher:
        publisher.withdraw_certificate(BOB, old.certificate.der)
    assert find(slapd) == {issued().certificate}

"""From the CA through the directory to the next mail: new, renewed and revoked certificates."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smimegw.adapters.database.engine import open_database
from smimegw.adapters.database.publisher import publish_certificate
from smimegw.addresses import Mailbox
from tests.e2e import mail
from tests.e2e.company import Company, place
from tests.interop.openssl import openssl
from tests.peers.ports import wait_until


@pytest.fixture(scope="module", params=["ldap", "embedded"], autouse=True)
def placed(request: pytest.FixtureRequest, companies: tuple[Company, Company]) -> Iterator[None]:
    """A's gateway looks people up in slapd, then in its own database."""
    companies[0].embedded = request.param == "embedded"
    place(companies, "front")
    yield
    companies[0].embedded = False


@pytest.fixture
def user(request: pytest.FixtureRequest) -> str:
    """Somebody new at B for each test and each kind of directory."""
    name = "".join(letter for letter in request.node.name if letter.isalnum())
    return f"{name[-40:]}@b.example"


def publish(a: Company, b: Company) -> None:
    """B's authority tells the world, where A's gateway looks."""
    if a.embedded:
        b.authority.publish_embedded(a.database)
    else:
        b.authority.publish(b.slapd)


def wait_for_answer(a: Company, user: str, expected: str) -> tuple[bytes, str]:
    """Submit until the reply holds *expected*, nothing for acceptance; the cache keeps 1 s.

    Returns:
        The last message that was sent, and the reply.
    """
    tries: list[tuple[bytes, str]] = []

    def answered() -> bool:
        octets = mail.plain(a.user, user)
        tries.append((octets, a.try_to_submit(user, octets)))
        reply = tries[-1][1]
        return expected in reply if expected else not reply

    wait_until(answered, expected or "acceptance", seconds=60)
    return tries[-1]


def opens(message: bytes, b: Company, container: Path) -> bool:
    """Whether openssl decrypts *message* with the key in *container*."""
    try:
        openssl("cms", "-decrypt", "-recip", b.authority.pem(container), stdin=message)
    except AssertionError:
        return False
    return True


def test_a_new_user_gets_encrypted_mail(a: Company, b: Company, user: str) -> None:
    """Refused before; issued and published, the next mail is encrypted to the user."""
    assert "(R-01)" in a.try_to_submit(user, mail.plain(a.user, user))
    container = b.authority.issue(user)
    b.import_key(container)
    publish(a, b)
    octets, _ = wait_for_answer(a, user, "")
    wire = b.wire.wait_for(octets)
    assert opens(wire, b, container)
    assert not opens(wire, b, b.container)
    assert "signed=pass; encrypted=yes; integrity=signed" in b.fetch(octets, user).decode()


def test_a_renewed_certificate_is_used_beside_the_old_one(
    a: Company, b: Company, user: str
) -> None:
    """During roll-over both keys open the mail, and a gateway with either key reads it (R-09)."""
    old = b.authority.issue(user)
    publish(a, b)
    wait_for_answer(a, user, "")
    new = b.authority.renew(user)
    assert b.authority.serial(new) != b.authority.serial(old)
    publish(a, b)
    b.import_key(new)
    sent: list[bytes] = []

    def is_for_the_new_key() -> bool:
        sent.append(mail.plain(a.user, user))
        a.submit(user, sent[-1])
        return opens(b.wire.wait_for(sent[-1]), b, new)

    wait_until(is_for_the_new_key, "a mail that the new key opens", seconds=60)
    assert opens(b.wire.wait_for(sent[-1]), b, old)
    assert "encrypted=yes" in b.fetch(sent[-1], user).decode()


def test_a_revoked_certificate_is_not_used(a: Company, b: Company, user: str) -> None:
    """Withdrawn it is unknown (R-01); put back by somebody it is refused by the CRL (R-04)."""
    container = b.authority.issue(user)
    publish(a, b)
    wait_for_answer(a, user, "")
    b.authority.revoke(container)
    publish(a, b)
    assert wait_for_answer(a, user, "(R-01)")[1].startswith("550 5.7.5")
    put_back(a, b, user, b.authority.der(container))
    octets, reply = wait_for_answer(a, user, "(R-04)")
    assert reply.startswith("550 5.7.5")
    a.postfix.wait_for_empty_queue()
    assert not b.wire.saw(octets)


def test_a_rekeyed_user_gets_mail_for_the_new_key_only(a: Company, b: Company, user: str) -> None:
    """Replaced and published: the old key opens no later mail (M18)."""
    old = b.authority.issue(user)
    publish(a, b)
    wait_for_answer(a, user, "")
    new = b.authority.rekey(old)
    publish(a, b)
    sent: list[bytes] = []

    def is_for_the_new_key() -> bool:
        sent.append(mail.plain(a.user, user))
        refused = a.try_to_submit(user, sent[-1])  # between two answers of the cache
        return not refused and opens(b.wire.wait_for(sent[-1]), b, new)

    wait_until(is_for_the_new_key, "a mail that the new key opens", seconds=60)
    assert not opens(b.wire.wait_for(sent[-1]), b, old)


def test_a_held_certificate_is_used_again_after_its_release(
    a: Company, b: Company, user: str
) -> None:
    """Withdrawn while it is on hold, published again afterwards (RFC 5280, 5.3.1)."""
    container = b.authority.issue(user)
    publish(a, b)
    wait_for_answer(a, user, "")
    b.authority.hold(container)
    publish(a, b)
    wait_for_answer(a, user, "(R-01)")
    b.authority.release(container)
    publish(a, b)
    octets, _ = wait_for_answer(a, user, "")
    assert opens(b.wire.wait_for(octets), b, container)


def test_users_from_the_directory_get_encrypted_mail(a: Company, b: Company, user: str) -> None:
    """Found by a search, issued, published into the entries they have, encrypted to."""
    b.slapd.add_person(user, name="Somebody New")
    (container,) = b.authority.issue_everybody(b.slapd, f"(mail={user})")
    publish(a, b)
    octets, _ = wait_for_answer(a, user, "")
    assert opens(b.wire.wait_for(octets), b, container)


def put_back(a: Company, b: Company, user: str, certificate: bytes) -> None:
    """What an administrator does who restores a backup of the directory."""
    if a.embedded:
        engine = open_database(a.database)
        publish_certificate(engine, Mailbox.parse(user), certificate, now=datetime.now(UTC))
        engine.dispose()
        return
    dn = f"mail={user},{b.slapd.people_base}"
    b.slapd.add(
        f"dn: {dn}\nchangetype: modify\nadd: userCertificate;binary\n"
        f"userCertificate;binary:: {base64.b64encode(certificate).decode()}\n"
    )


def test_users_of_the_old_and_the_new_key_of_a_ca_get_encrypted_mail(
    a: Company, b: Company, user: str
) -> None:
    """After a roll-over both keys' lists and certificates are found; each revokes its own (F24)."""
    before = b.authority.issue(user)
    b.authority.roll_over()
    another = f"new{user}"
    after = b.authority.issue(another)
    publish(a, b)
    for address, container in ((user, before), (another, after)):
        octets, _ = wait_for_answer(a, address, "")
        assert opens(b.wire.wait_for(octets), b, container)
    b.authority.revoke(before)
    publish(a, b)
    put_back(a, b, user, b.authority.der(before))
    wait_for_answer(a, user, "(R-04)")
    wait_for_answer(a, another, "")

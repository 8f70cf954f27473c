"""Who sends ciphertext on wants an answer in clear: no Message-ID gets it for him (R-23)."""

from __future__ import annotations

import pytest

from smimegw.mime.entity import Entity
from tests.fakes.company import Company, message
from tests.flow.protected import encrypted

ALICE, EVE = "alice@ours.example", "eve@evil.example"
ID = b"Message-ID: <1@test>\r\n"


@pytest.fixture
def company() -> Company:
    company = Company()
    company.user(ALICE, key="p256")
    return company


def _delivered(company: Company, identifier: bytes) -> Entity:
    content = encrypted(message(EVE, ALICE), company.ca, company.world.keystore.held[0])
    assert content.count(ID) == 1
    content = content.replace(ID, identifier)
    assert company.send("mx", [ALICE], content, reverse_path=EVE).reply.code == 250
    return Entity.parse(company.arrived[-1])


@pytest.mark.parametrize(
    "identifier",
    [
        b"",
        b"Message-ID: \r\n",
        b"Message-ID: nonsense\r\n",
        b"Message-ID: <>\r\n",
        b"Message-ID: <a b@test>\r\n",
        b"Message-ID: <1@test><2@test>\r\n",
        b"Message-ID: <1@test>\r\nMessage-ID: <2@test>\r\n",
        b"Message-ID : <1@test>\r\n",
    ],
)
def test_answer_to_encrypted_mail_without_one_message_id_does_not_leave_in_clear(
    company: Company, identifier: bytes
) -> None:
    """The next server would give it one, or a mail program take any of several (R-23, T-05).

    And a stranger who names the threads of others in it must write as many mails (T-09).
    """
    (field,) = _delivered(company, identifier).header.all("message-id")
    extra = f"In-Reply-To: {field.body.decode()}\r\n"
    answer = company.send("relay", [EVE], message(ALICE, EVE, extra=extra))
    assert "(R-23)" in answer.reply.text


def test_message_id_that_is_there_stays(company: Company) -> None:
    """Nothing is written anew without need."""
    (field,) = _delivered(company, ID).header.all("message-id")
    assert field.raw == ID


def test_mail_in_clear_gets_no_message_id(company: Company) -> None:
    """What was not opened is not touched (RFC 5321, 6.4)."""
    content = message(EVE, ALICE).replace(ID, b"")
    assert company.send("mx", [ALICE], content, reverse_path=EVE).reply.code == 250
    assert not Entity.parse(company.arrived[-1]).header.all("message-id")

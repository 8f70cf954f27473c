"""A spool without room while a message is worked on: the client keeps the message."""

from __future__ import annotations

from pathlib import Path

from smimegw.adapters.spool.file import FileStore
from tests.fakes.company import Company, message
from tests.fakes.ports import World
from tests.flow.protected import encrypted, signed

ALICE, BOB = "alice@ours.example", "bob@partner.example"


def test_no_room_for_what_is_opened_is_452(tmp_path: Path) -> None:
    """Nothing is delivered, and the log says what to do (R-21)."""
    spool = FileStore(tmp_path / "absent", memory_octets=1000)
    company = Company(world=World(spool=spool))
    company.user(ALICE)
    alice = company.ca.issue(ALICE)
    company.world.keystore.add(alice)
    inner = signed(message(BOB, ALICE, body="geheim\r\n" * 1000), company.ca.issue(BOB))
    content = encrypted(inner, company.ca, alice)
    reply = company.send("mx", (ALICE,), content, reverse_path=BOB).reply
    assert str(reply) == "452 4.3.1 disk nearly full, try later (R-21)"
    assert company.arrived == []
    (said,) = [values for name, values in company.world.events.emitted if name == "spool.error"]
    assert said["code"] == "R-21"
    assert "set spool in [gateway]" in str(said["text"])

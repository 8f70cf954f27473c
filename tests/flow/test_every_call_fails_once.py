"""The n-th call to the outside fails, n = 1, 2, 3 … until a clean pass: no loss, no leak."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from smimegw.custody import Dot
from smimegw.errors import (
    DatabaseError,
    DirectoryError,
    JournalError,
    KeystoreError,
    LedgerError,
    NextHopError,
    RecordError,
)
from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.ports import HostTrouble, Ports, SoundHost
from tests.fakes.company import Company, message
from tests.fakes.custody import MemoryJournal
from tests.fakes.ports import MemoryRelay, MemoryRelaySession
from tests.flow.canary import is_readable
from tests.flow.protected import encrypted, signed

ALICE, BOB = "alice@ours.example", "bob@partner.example"

TROUBLES: dict[str, Callable[[], Exception]] = {
    "refused": lambda: ConnectionRefusedError("refused"),
    "timeout": lambda: TimeoutError("timed out"),
    "no-space": lambda: OSError(28, "No space left on device"),
    "no-files": lambda: OSError(24, "Too many open files"),
    "no-memory": MemoryError,
    "port-error": lambda: NextHopError("broke off"),
}
OWN_ERRORS = {
    "directory": lambda: DirectoryError("search timed out"),
    "authorities": lambda: DirectoryError("search timed out"),
    "keystore": lambda: KeystoreError("token lost"),
    "records": lambda: RecordError("no space left on device"),
    "relay": lambda: NextHopError("broke off"),
    "workers": MemoryError,
    "host": lambda: OSError("input/output error"),
    "ledger": lambda: LedgerError("connection refused"),
    "journal": lambda: JournalError("no space left on device"),
    "correspondents": lambda: DatabaseError("connection refused"),
    "sightings": lambda: DatabaseError("connection refused"),
}


class Saboteur:
    """Counts awaited calls and raises at one of them (or from it on)."""

    def __init__(self, fail_at: int, trouble: str, *, for_ever: bool) -> None:
        self.fail_at = fail_at
        self.trouble = trouble
        self.for_ever = for_ever
        self.calls = 0

    def call(self, port: str) -> None:
        self.calls += 1
        hit = self.calls >= self.fail_at if self.for_ever else self.calls == self.fail_at
        if hit:
            make = OWN_ERRORS[port] if self.trouble == "port-error" else TROUBLES[self.trouble]
            raise make()

    def wrap(self, port: str, inner: Any) -> Any:
        return _Wrapped(self, port, inner)


class _Wrapped:
    """Any port: its coroutine methods go through the saboteur."""

    def __init__(self, saboteur: Saboteur, port: str, inner: Any) -> None:
        self._saboteur = saboteur
        self._port = port
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        never_raise = {"abort", "close", "note"}  # by contract
        if not callable(value) or name in never_raise:
            return value

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._saboteur.call(self._port)
            result = await value(*args, **kwargs)
            is_session = isinstance(result, MemoryRelaySession)
            return self._saboteur.wrap("relay", result) if is_session else result

        return call


def _sabotaged(company: Company, saboteur: Saboteur) -> Ports:
    names = (
        "directory", "authorities", "keystore", "relay", "records", "workers", "correspondents",
        "sightings", "ledger",
    )  # fmt: skip
    ports = company.world.ports
    wrapped = {name: saboteur.wrap(name, getattr(ports, name)) for name in names}
    return replace(ports, **wrapped, journal=_Journal(saboteur), host=_Host(saboteur))


class _Host(SoundHost):
    """A machine that cannot be looked at."""

    def __init__(self, saboteur: Saboteur) -> None:
        self._saboteur = saboteur

    def trouble(self) -> HostTrouble | None:
        self._saboteur.call("host")
        return super().trouble()


class _Journal(MemoryJournal):
    """Only what is waited for can fail."""

    def __init__(self, saboteur: Saboteur) -> None:
        super().__init__()
        self._saboteur = saboteur

    async def sending(self, dots: Sequence[Dot]) -> None:
        self._saboteur.call("journal")
        await super().sending(dots)


def _run(
    company: Company, role: str, people: list[str], content: bytes, saboteur: Saboteur
) -> tuple[int, MemoryRelay]:
    company.world.relay = relay = MemoryRelay()
    policy = company.gateway.policy
    ports = _sabotaged(company, saboteur)
    company.gateway = Gateway(policy, ports, company.settings)
    sender = ALICE if role == "relay" else BOB
    try:
        outcome = company.send(role, people, content, reverse_path=sender)
    except (OSError, MemoryError):
        return 451, relay  # raised at MAIL or RCPT: the listener's own reply
    return outcome.reply.code, relay


@pytest.fixture(scope="module")
def company() -> Company:
    company = Company()
    company.user(ALICE, key="p256")
    company.partner(BOB, key="p256")
    return company


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_outbound_mail_survives_every_failing_call(
    company: Company, trouble: str, for_ever: bool
) -> None:
    """A 250 means that everybody has the copy; nothing that must be encrypted is readable."""
    for fail_at in range(1, 200):
        canary = secrets.token_hex(16)
        people = [BOB, "plain@else.example"]
        content = message(ALICE, ", ".join(people), body=canary + "\r\n")
        saboteur = Saboteur(fail_at, trouble, for_ever=for_ever)
        code, relay = _run(company, "relay", people, content, saboteur)
        arrived = {name: e.content for e in relay.arrived for name in e.recipients}
        assert not is_readable(canary.encode(), arrived.get(BOB, b"")), fail_at
        assert (code == 250) == (set(arrived) == set(people)), (fail_at, code, set(arrived))
        assert 400 <= code < 500 or code == 250, (fail_at, code)
        assert relay.open_sessions == 0, fail_at
        if saboteur.calls < fail_at:
            assert code == 250
            return
    pytest.fail("never a clean pass")


@pytest.mark.parametrize("trouble", TROUBLES)
def test_inbound_mail_survives_every_failing_call(company: Company, trouble: str) -> None:
    """Either the client keeps the message, or it arrived and says nothing false."""
    alice = company.ca.issue(ALICE, key="p256")
    inner = signed(message(BOB, ALICE), company.ca.issue(BOB, key="p256"))
    content = encrypted(inner, company.ca, alice)
    for fail_at in range(1, 200):
        saboteur = Saboteur(fail_at, trouble, for_ever=False)
        code, relay = _run(company, "mx", [ALICE], content, saboteur)
        assert (code == 250) == (len(relay.arrived) == 1), (fail_at, code)
        assert relay.open_sessions == 0, fail_at
        for entry in relay.arrived:
            status = Entity.parse(entry.content).header.all("x-smimegw-status")[0].body
            told = status.startswith(b"signed=pass") or b"signed=temperror" in status
            assert told or b"not-decrypted" in status, (fail_at, status)
        if saboteur.calls < fail_at:
            assert code == 250
            return
    pytest.fail("never a clean pass")

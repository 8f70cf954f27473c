"""One attempt per mailbox at a time, one key until it has a certificate, and pauses between."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from smimegw.adapters.est.enrolment import EnrolmentKey
from smimegw.addresses import Mailbox
from smimegw.errors import EnrolmentError
from tests.fakes.est import (
    HANG,
    Answer,
    ScriptedEST,
    certs_only,
    http,
    issuing,
    scripted_est,
)
from tests.fakes.pki import DAY, NOW, make_ca
from tests.peers.tls import TLSFiles, make_tls
from tests.unit.est.desk import Desk

ROOT = make_ca("Root of enrolments")
CA = make_ca("CA of enrolments", parent=ROOT)
ALICE, BOB = (Mailbox.parse(f"{name}@ours.example") for name in ("alice", "bob"))
MINUTE = timedelta(minutes=1)
Work = Callable[["Desk", ScriptedEST], Awaitable[None]]


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TLSFiles:
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def desk(tmp_path: Path, tls: TLSFiles) -> Desk:
    return Desk(tmp_path, tls)


def run(desk: Desk, answer: Answer, work: Work) -> ScriptedEST:
    async def go() -> ScriptedEST:
        async with scripted_est(desk.tls, answer) as server:
            await work(desk, server)
            return server

    return asyncio.run(go())


async def once(desk: Desk, server: ScriptedEST) -> None:
    await desk.worker(server).enrol(ALICE)


async def refused(desk: Desk, server: ScriptedEST, mailbox: Mailbox = ALICE) -> EnrolmentError:
    with pytest.raises(EnrolmentError) as caught:
        await desk.worker(server).enrol(mailbox)
    return caught.value


def requests(server: ScriptedEST) -> list[x509.CertificateSigningRequest]:
    """What was asked to be certified."""
    return [
        x509.load_der_x509_csr(base64.b64decode(body))
        for path, body in server.asked
        if path.endswith("/simpleenroll")
    ]


def test_key_certificate_and_path_go_to_the_keystore(desk: Desk) -> None:
    """The root is left out: readers have it."""
    run(desk, issuing(CA), once)
    (enrolled,) = desk.kept
    assert enrolled.certificate.mailboxes == (ALICE,)
    assert enrolled.chain == (CA.certificate,)
    assert enrolled.private_key.public_key() == enrolled.certificate.parsed.public_key()
    assert desk.files == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [(EnrolmentKey.P_256, ec.EllipticCurvePublicKey), (EnrolmentKey.RSA_3072, rsa.RSAPublicKey)],
)
def test_the_key_is_of_the_kind_that_is_configured(
    desk: Desk, kind: EnrolmentKey, expected: type
) -> None:
    """Some correspondents read RSA only."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        await desk.worker(server, key=kind).enrol(ALICE)

    server = run(desk, issuing(CA), work)
    assert isinstance(requests(server)[0].public_key(), expected)


@pytest.mark.parametrize("address", ["alice@ours.example", "jörg@ours.example"])
def test_the_request_names_the_mailbox_and_proves_the_key(desk: Desk, address: str) -> None:
    """RFC 2986; RFC 9598, 3 for what is not ASCII."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        await desk.worker(server).enrol(Mailbox.parse(address))

    (request,) = requests(run(desk, issuing(CA), work))
    assert request.is_signature_valid
    assert desk.kept[0].certificate.mailboxes == (Mailbox.parse(address),)


def test_who_has_a_certificate_gets_no_second_one(desk: Desk) -> None:
    """Another worker was quicker."""
    desk.keystore.add(CA.issue("alice@ours.example"))
    assert run(desk, issuing(CA), once).asked == []


def test_who_has_an_expired_certificate_gets_a_new_one(desk: Desk) -> None:
    """Nobody could use the old one."""
    desk.keystore.add(CA.issue("alice@ours.example", not_after=NOW - DAY))
    run(desk, issuing(CA), once)
    assert len(desk.kept) == 1


def test_workers_ask_once_for_one_mailbox(desk: Desk) -> None:
    """The lock is one between processes; here they are tasks with adapters of their own."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        await asyncio.gather(*(desk.worker(server).enrol(ALICE) for _ in range(5)))

    assert len(requests(run(desk, issuing(CA), work))) == 1


def test_mailboxes_do_not_wait_for_each_other(desk: Desk) -> None:
    """One that hangs must not hold up all."""

    def answer(path: str, body: bytes) -> bytes | None:
        if b"alice" in base64.b64decode(body):
            return HANG
        return issuing(CA)(path, body)

    async def work(desk: Desk, server: ScriptedEST) -> None:
        hanging = asyncio.create_task(desk.worker(server).enrol(ALICE))
        await desk.worker(server).enrol(BOB)
        hanging.cancel()
        await asyncio.gather(hanging, return_exceptions=True)

    run(desk, answer, work)
    assert [enrolled.mailbox for enrolled in desk.kept] == [BOB]


# --- what goes wrong -----------------------------------------------------------------------------


def test_a_server_that_is_down_is_asked_again_after_half_a_minute(desk: Desk) -> None:
    """Not by every mail; then with the same request."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        await refused(desk, server)
        assert "asked again from" in str(await refused(desk, server))
        desk.clock.advance(MINUTE)
        server.answer = issuing(CA)
        await once(desk, server)

    first, second = requests(run(desk, lambda *_: http(503), work))
    assert first.public_key() == second.public_key()


def test_a_refusal_is_remembered_for_the_configured_time(desk: Desk) -> None:
    """Then with a new key: it may be the old one that was refused."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        await refused(desk, server)
        desk.clock.advance(10 * MINUTE)
        await refused(desk, server)
        assert len(server.asked) == 1
        desk.clock.advance(10 * MINUTE)
        server.answer = issuing(CA)
        await once(desk, server)

    first, second = requests(run(desk, lambda *_: http(403, b"no"), work))
    assert first.public_key() != second.public_key()


def test_a_clock_that_was_ahead_makes_no_pause_longer(desk: Desk) -> None:
    """Refused while the clock was a year ahead: asked again when it is right (T-27)."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        desk.clock.advance(365 * 24 * 60 * MINUTE)
        await refused(desk, server)
        desk.clock.advance(-365 * 24 * 60 * MINUTE)
        server.answer = issuing(CA)
        await once(desk, server)

    assert len(requests(run(desk, lambda *_: http(403, b"no"), work))) == 2


def test_a_refusal_is_remembered_over_a_restart(desk: Desk) -> None:
    """And by other workers: it stands in a file."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        await refused(desk, server)
        assert "not in our domains" in str(await refused(desk, server))

    server = run(desk, lambda *_: http(403, b"not in our domains"), work)
    assert len(server.asked) == 1


def test_a_request_that_waits_is_sent_again_as_it_was(desk: Desk) -> None:
    """RFC 7030, 4.2.3: the same request after Retry-After."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        assert "waits to be approved" in str(await refused(desk, server))
        desk.clock.advance(timedelta(seconds=299))
        await refused(desk, server)
        assert len(server.asked) == 1
        desk.clock.advance(timedelta(seconds=1))
        server.answer = issuing(CA)
        await once(desk, server)

    first, second = requests(run(desk, lambda *_: http(202, Retry_After="300"), work))
    assert first == second


def test_a_key_that_waits_is_sealed(desk: Desk) -> None:
    """T-15: no key in clear on the disk."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        await refused(desk, server)

    run(desk, lambda *_: http(202), work)
    (path,) = desk.files
    document = json.loads(path.read_bytes())
    sealed = base64.b64decode(document["key"])
    assert desk.sealer.open(sealed, b"smimegw enrolment\0" + ALICE.key.encode())
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_key_of_another_mailbox_is_not_used(desk: Desk) -> None:
    """T-16: files that were exchanged are nobody's; a new key is made."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        await refused(desk, server, ALICE)
        await refused(desk, server, BOB)
        first, second = desk.files
        first_octets = first.read_bytes()
        first.write_bytes(second.read_bytes())
        second.write_bytes(first_octets)
        desk.clock.advance(timedelta(days=1))
        server.answer = issuing(CA)
        await once(desk, server)

    keys = [request.public_key() for request in requests(run(desk, lambda *_: http(202), work))]
    assert len({key.public_numbers() for key in keys}) == 3  # type: ignore[union-attr]


@pytest.mark.parametrize("octets", [b"", b"{}", b"[1]", b'{"key": "!"}', b"\xff"])
def test_a_damaged_file_is_as_none(desk: Desk, octets: bytes) -> None:
    """A new key costs less than a person's time."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        await refused(desk, server)
        desk.files[0].write_bytes(octets)
        server.answer = issuing(CA)
        await once(desk, server)

    run(desk, lambda *_: http(202), work)
    assert len(desk.kept) == 1


def test_a_silent_server_is_not_asked_by_the_next_mail(desk: Desk) -> None:
    """The deadline is the caller's; that it passed is remembered."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        asking = asyncio.create_task(desk.worker(server).enrol(ALICE))
        await server.question.wait()
        asking.cancel()  # as a deadline does
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert "in time" in str(await refused(desk, server))

    run(desk, lambda *_: HANG, work)


def test_a_certificate_for_somebody_else_is_not_kept(desk: Desk) -> None:
    """The server may be wrong as well."""

    async def work(desk: Desk, server: ScriptedEST) -> None:
        assert "does not name <alice@ours.example>" in str(await refused(desk, server))

    run(desk, issuing(CA, "bob@ours.example"), work)
    assert desk.kept == []


def test_a_certificate_for_another_key_is_not_kept(desk: Desk) -> None:
    """Nothing could be signed with it."""
    other = CA.issue("alice@ours.example")

    async def work(desk: Desk, server: ScriptedEST) -> None:
        assert "for the key of the request" in str(await refused(desk, server))

    run(desk, lambda *_: certs_only(other.certificate), work)
    assert desk.kept == []


def test_a_keystore_that_is_full_loses_no_certificate(desk: Desk) -> None:
    """The same request gets the same certificate when there is room again."""
    desk.full = True

    async def work(desk: Desk, server: ScriptedEST) -> None:
        assert "no space left" in str(await refused(desk, server))
        desk.full = False
        desk.clock.advance(MINUTE)
        await once(desk, server)

    first, second = requests(run(desk, issuing(CA), work))
    assert first == second


def test_the_key_is_written_down_before_anybody_is_asked(desk: Desk) -> None:
    """T-24: a gateway that dies while it waits for the answer has not lost the key."""
    remembered: list[int] = []

    def answer(path: str, body: bytes) -> bytes | None:
        remembered.append(len(desk.files))
        return issuing(CA)(path, body)

    run(desk, answer, once)
    assert remembered[0] == 1


def test_a_gateway_that_died_asks_again_with_the_same_key(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The CA answers the same request with the same certificate."""

    class KilledError(BaseException):
        """Nothing of ours runs after it."""

    def die(*_: object) -> None:
        raise KilledError

    async def work(desk: Desk, server: ScriptedEST) -> None:
        monkeypatch.setattr("smimegw.adapters.est.enrolment._ours", die)
        with pytest.raises(KilledError):
            await desk.worker(server).enrol(ALICE)
        monkeypatch.undo()
        await once(desk, server)

    first, second = requests(run(desk, issuing(CA), work))
    assert first == second


def test_a_locked_keystore_asks_nobody(desk: Desk) -> None:
    """R-13: what comes could not be kept."""
    desk.keystore.locked = True

    async def work(desk: Desk, server: ScriptedEST) -> None:
        assert "key-encryption key" in str(await refused(desk, server))

    assert run(desk, issuing(CA), work).asked == []

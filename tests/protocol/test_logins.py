"""Logins judged by Dovecot and by LDAP, and what a session does with them afterwards."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from smimegw.adapters.imap.judge import IMAPJudge
from smimegw.adapters.ldap.judge import LDAPJudge
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.adapters.smtp.dovecot import DovecotJudge
from smimegw.adapters.smtp.settings import LoginJudge
from smimegw.errors import DependencyError
from smimegw.limits import Limits
from smimegw.smtp.login import ACCEPTED, LATER, REFUSED, Login
from smimegw.smtp.reply import Reply
from smimegw.smtp.roles import ListenerRole
from tests.fakes.reception import FakeReception
from tests.peers.dovecot import Dovecot
from tests.peers.ports import free_port
from tests.peers.slapd import Slapd
from tests.peers.tls import make_tls
from tests.protocol.raw_client import Client, place, run

ALICE = "alice@corp.example"
NOW = Limits(auth_delay_seconds=0.0, drain_seconds=5, login_recheck_seconds=1e-9)


def plain(user: str, password: str) -> str:
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


@pytest.fixture(scope="module")
def dovecot() -> Iterator[Dovecot]:
    with Dovecot(password="geheim-ü") as server:
        yield server


@pytest.fixture(scope="module")
def slapd() -> Iterator[Slapd]:
    with Slapd() as server:
        yield server


def _ldap(slapd: Slapd, **settings: object) -> LDAPJudge:
    values: dict[str, object] = {
        "name": "staff",
        "servers": parse_servers(slapd.ldaps_url),
        "base": slapd.people_base,
        "filter": "(|(uid=%{user})(mail=%{user}))",
        "bind_dn": slapd.gateway_dn,
        "password": lambda: slapd.gateway_password,
        "ca": slapd.ca,
        "deadline_seconds": 10.0,
    }
    return LDAPJudge(settings=LDAPSettings(**(values | settings)))  # type: ignore[arg-type]


def _judged(judge: LoginJudge, user: str, password: str) -> Reply:
    return asyncio.run(judge.judge(Login(user, password), "198.51.100.7"))


# --- Dovecot --------------------------------------------------------------------------------------


def test_dovecot_says_who_may_enter(dovecot: Dovecot) -> None:
    """The password counts, octet for octet (RFC 4616, 2)."""
    judge = DovecotJudge(host="127.0.0.1", port=dovecot.sasl_port)
    assert _judged(judge, ALICE, "geheim-ü") == ACCEPTED
    assert _judged(judge, ALICE, "geheim") == REFUSED


@pytest.mark.parametrize("user", ["a\tOK\t1", "a\nOK\t1\tuser=a"])
def test_login_cannot_write_into_the_protocol(user: str, dovecot: Dovecot) -> None:
    """A user name with tabs or line ends stays inside its base64 (T-12)."""
    judge = DovecotJudge(host="127.0.0.1", port=dovecot.sasl_port)
    # From another address each, for Dovecot lets an address wait that failed before.
    client = f"198.51.100.{10 + len(user)}"
    assert asyncio.run(judge.judge(Login(user, "wrong"), client)) == REFUSED


def test_nobody_at_dovecots_place_is_not_a_wrong_password(tmp_path: Path) -> None:
    """Unknown is a temporary failure; the text says where it was looked for."""
    for judge in (
        DovecotJudge(host="127.0.0.1", port=free_port()),
        DovecotJudge(socket=tmp_path / "auth-client"),
    ):
        with pytest.raises(DependencyError, match="Dovecot at"):
            _judged(judge, ALICE, "x")


GREETING = b"VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n"


def _scripted(answer: bytes, directory: Path) -> Reply:
    """Dovecot's place is taken by a socket that says *answer*."""

    async def test() -> Reply:
        over = asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(answer)
            with contextlib.suppress(OSError):
                await reader.read()
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            over.set()

        place = directory / "auth"
        server = await asyncio.start_unix_server(serve, str(place))
        async with server:
            judge = DovecotJudge(socket=place, deadline_seconds=1)
            try:
                return await judge.judge(Login(ALICE, "x"), "")
            finally:
                await over.wait()

    return asyncio.run(test())


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"OK\t1\tuser=alice\n", ACCEPTED),
        (b"OK\t2\tuser=bob\nFAIL\t1\tuser=alice\n", REFUSED),
        (b"FAIL\t1\tuser=alice\tuser_disabled\n", REFUSED),
        (b"FAIL\t1\tuser=alice\ttemp\n", LATER),
        (b"FAIL\t1\tuser=alice\tcode=temp_fail\n", LATER),
    ],
)
def test_each_answer_of_dovecot(answer: bytes, reply: Reply, tmp_path: Path) -> None:
    """Its database being down says nothing about the password; others' answers are not ours."""
    assert _scripted(GREETING + answer, tmp_path) == reply


@pytest.mark.parametrize(
    "answer",
    [b"", b"VERSION\t2\t0\n", GREETING, GREETING + b"CONT\t1\t\n", b"X" * 20_000, b"A\n" * 200],
    ids=["silent", "version", "no-answer", "continue", "long", "many"],
)
def test_what_is_no_answer_is_a_temporary_failure(answer: bytes, tmp_path: Path) -> None:
    """Never taken for yes, and never for no."""
    with pytest.raises(DependencyError):
        _scripted(answer, tmp_path)


# --- IMAP -----------------------------------------------------------------------------------------


def _imap(dovecot: Dovecot, **settings: object) -> IMAPJudge:
    values: dict[str, object] = {"host": "localhost", "port": dovecot.imaps_port, "ca": dovecot.ca}
    return IMAPJudge(**(values | settings))  # type: ignore[arg-type]


@pytest.mark.parametrize("way", ["imaps", "starttls", "clear"])
def test_imap_says_who_may_enter(dovecot: Dovecot, way: str) -> None:
    """The password counts, octet for octet (RFC 9051, 6.2.2)."""
    plain_port: dict[str, object] = {"port": dovecot.imap_port, "implicit_tls": False}
    ways = {"imaps": {}, "starttls": plain_port | {"start_tls": True}, "clear": plain_port}
    judge = _imap(dovecot, **ways[way])
    assert _judged(judge, ALICE, "geheim-ü") == ACCEPTED
    assert _judged(judge, ALICE, "geheim") == REFUSED


@pytest.mark.parametrize("way", ["imaps", "starttls"])
def test_imap_server_that_is_another_gets_no_password(
    dovecot: Dovecot, tmp_path: Path, way: str
) -> None:
    """Its certificate is of an authority that is not ours: a temporary failure (T-11)."""
    ways = {"imaps": {}, "starttls": {"port": dovecot.imap_port, "implicit_tls": False}}
    judge = _imap(dovecot, ca=make_tls(tmp_path).ca, start_tls=way == "starttls", **ways[way])
    with pytest.raises(DependencyError, match="certificate"):
        _judged(judge, ALICE, "geheim-ü")


def test_nobody_at_the_imap_servers_place_is_not_a_wrong_password(dovecot: Dovecot) -> None:
    """Unknown is a temporary failure; the text says where it was looked for."""
    with pytest.raises(DependencyError, match="IMAP at localhost:"):
        _judged(_imap(dovecot, port=free_port()), ALICE, "x")


def _imap_scripted(*answers: bytes) -> tuple[Reply | None, bytes]:
    """An IMAP server that says each of *answers* after a line of ours; what it heard."""

    async def test() -> tuple[Reply | None, bytes]:
        heard, over = bytearray(), asyncio.Event()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError):
                for number, answer in enumerate(answers):
                    heard.extend(await reader.readline() if number else b"")
                    writer.write(answer)
                heard.extend(await reader.read())
            writer.close()
            over.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            judge = IMAPJudge(host="127.0.0.1", port=port, implicit_tls=False, deadline_seconds=1)
            try:
                reply = await judge.judge(Login(ALICE, "secret"), "")
            except DependencyError:
                reply = None
            await over.wait()
            return reply, bytes(heard)

    return asyncio.run(test())


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        (b"a1 OK done\r\n", ACCEPTED),
        (b"* CAPABILITY IMAP4rev2\r\na1 OK [CAPABILITY IMAP4rev2] in\r\n", ACCEPTED),
        (b"a1 NO [AUTHENTICATIONFAILED] no\r\n", REFUSED),
        (b"a1 NO no\r\n", REFUSED),
        (b"a1 NO [UNAVAILABLE] its database is down\r\n", LATER),
        (b"a1 NO [LIMIT] too many\r\n", LATER),
    ],
)
def test_each_answer_of_an_imap_server(answer: bytes, reply: Reply) -> None:
    """What says nothing about the password is for now (RFC 5530, 3)."""
    assert _imap_scripted(b"* OK hello\r\n", b"+ \r\n", answer)[0] == reply


@pytest.mark.parametrize(
    "answers",
    [
        (b"* BYE busy\r\n",),
        (b"* PREAUTH welcome\r\n",),
        (b"220 mail.corp.example ESMTP\r\n",),
        (b"* OK hello\r\n", b"a1 BAD unknown\r\n"),
        (b"* OK hello\r\n", b"a1 OK already\r\n"),
        (b"* OK hello\r\n", b"* BYE\r\n"),
        (b"* OK hello\r\n", b"* X\r\n" * 200),
        (b"* OK " + b"X" * 20_000,),
    ],
    ids=["bye", "preauth", "smtp", "unknown", "early", "late bye", "many", "long"],
)
def test_what_is_no_imap_answer_gets_no_password(answers: tuple[bytes, ...]) -> None:
    """Never taken for yes, and never for no; the password goes out only when it is asked for."""
    reply, heard = _imap_scripted(*answers)
    assert reply is None
    assert base64.b64encode(f"\0{ALICE}\0secret".encode()) not in heard


# --- LDAP -----------------------------------------------------------------------------------------


def test_ldap_finds_and_binds(slapd: Slapd) -> None:
    """By mail address or user id; the password is the directory's matter (RFC 4513, 5.1.3)."""
    slapd.add_person("lisa@corp.example", more={"uid": "lisa", "userPassword": "geheim-ü"})
    judge = _ldap(slapd)
    assert _judged(judge, "lisa@corp.example", "geheim-ü") == ACCEPTED
    assert _judged(judge, "lisa", "geheim-ü") == ACCEPTED
    assert _judged(judge, "lisa", "geheim") == REFUSED
    assert _judged(judge, "nobody", "geheim-ü") == REFUSED


@pytest.mark.parametrize("user", ["*", "l*", "mona)(uid=*", "mona*)(|(uid=*"])
def test_login_is_no_part_of_the_filter(user: str, slapd: Slapd) -> None:
    """An asterisk finds nobody (T-12)."""
    if "mona@" not in slapd.search("(mail=mona@corp.example)", "mail"):
        slapd.add_person("mona@corp.example", more={"uid": "mona", "userPassword": "geheim"})
    assert _judged(_ldap(slapd), user, "geheim") == REFUSED


def test_login_that_finds_two_entries_is_nobodys(slapd: Slapd) -> None:
    """Whose password would count?"""
    for name in ("nina", "nora"):
        slapd.add_person(f"{name}@corp.example", more={"uid": "twin", "userPassword": "geheim"})
    with pytest.raises(DependencyError):
        _judged(_ldap(slapd, filter="(objectClass=inetOrgPerson)"), "twin", "geheim")
    assert _judged(_ldap(slapd), "twin", "geheim") == REFUSED


def test_entry_without_password_lets_nobody_in(slapd: Slapd) -> None:
    """An unauthenticated bind would look like success (RFC 4513, 5.1.2)."""
    slapd.add_person("olga@corp.example", more={"uid": "olga"})
    assert _judged(_ldap(slapd), "olga", "x") == REFUSED


def test_directory_that_does_not_answer_is_not_a_wrong_password(slapd: Slapd) -> None:
    """Unknown is a temporary failure; the next server is asked (R-06)."""
    dead = f"ldap://127.0.0.1:{free_port()}"
    with pytest.raises(DependencyError, match="refused the connection"):
        _judged(_ldap(slapd, servers=parse_servers(dead)), "lisa", "x")
    both = parse_servers(f"{dead} {slapd.ldaps_url}")
    assert _judged(_ldap(slapd, servers=both), "nobody", "x") == REFUSED


def test_silent_directory_has_a_deadline(slapd: Slapd) -> None:
    """Accepted and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        servers = parse_servers(f"ldap://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(DependencyError):
            _judged(_ldap(slapd, servers=servers, deadline_seconds=0.3), "lisa", "x")


# --- the session ----------------------------------------------------------------------------------


@dataclass
class Judge:
    """Says what a test wants."""

    answer: Callable[[Login], Reply | DependencyError]
    asked: list[tuple[str, str]] = field(default_factory=list)

    async def judge(self, login: Login, client: str) -> Reply:
        self.asked.append((login.user, client))
        answer = self.answer(login)
        if isinstance(answer, DependencyError):
            raise answer
        return answer


async def _logged_in(client: Client) -> None:
    assert await client.say(plain(ALICE, "geheim-ü")) == str(ACCEPTED)


def test_password_that_a_judge_took_goes_no_further(dovecot: Dovecot) -> None:
    """The next hop hears of the mail, not of the login."""
    judge = DovecotJudge(host="127.0.0.1", port=dovecot.sasl_port)

    async def test() -> None:
        settings = {"role": ListenerRole.SUBMISSION, "auth": True, "judge": judge}
        async with place(FakeReception(), NOW, **settings) as here:
            client = await here.greeted()
            assert (await client.say("MAIL FROM:<alice@corp.example>")).startswith("530")
            assert (await client.say(plain(ALICE, "wrong"))).startswith("535 5.7.8")
            await _logged_in(client)
            assert (await client.say("MAIL FROM:<alice@corp.example>")).startswith("250")
            [begun] = here.reception.begun
            assert (begun.session.user, begun.session.login) == (ALICE, None)
            assert begun.session.protocol == "ESMTPA"

    run(test())


def test_judge_that_cannot_be_asked_is_logged() -> None:
    """The client hears 454, the administrator why; the password stands in neither."""
    judge = Judge(lambda login: DependencyError("Dovecot at x cannot judge logins: gone"))

    async def test() -> None:
        async with place(FakeReception(), NOW, auth=True, judge=judge) as here:
            client = await here.greeted()
            assert await client.say(plain(ALICE, "geheim")) == str(LATER)
            assert "gone" in str(here.events.named("login.error"))
            assert "geheim" not in str(here.events.said)

    run(test())


def test_account_disabled_during_the_session_sends_nothing_more() -> None:
    """535 to the next MAIL, and the login is forgotten (case B18)."""
    enabled = [True]
    judge = Judge(lambda login: ACCEPTED if enabled[0] else REFUSED)

    async def test() -> None:
        async with place(FakeReception(), NOW, auth=True, judge=judge) as here:
            client = await here.greeted()
            await _logged_in(client)
            assert (await client.say("MAIL FROM:<alice@corp.example>")).startswith("250")
            assert (await client.say("RSET")).startswith("250")
            enabled[0] = False
            assert (await client.say("MAIL FROM:<alice@corp.example>")).startswith("535 5.7.8")
            enabled[0] = True
            assert (await client.say("MAIL FROM:<alice@corp.example>")).startswith("530 5.7.0")
            await _logged_in(client)
            assert len(here.reception.begun) == 1

    run(test())


def test_password_changed_at_the_directory_ends_the_right_to_send(slapd: Slapd) -> None:
    """The same with a real directory, from which the user was removed (case B18)."""
    dn = slapd.add_person("paul@corp.example", more={"uid": "paul", "userPassword": "geheim"})

    async def test() -> None:
        async with place(FakeReception(), NOW, auth=True, judge=_ldap(slapd)) as here:
            client = await here.greeted()
            assert await client.say(plain("paul", "geheim")) == str(ACCEPTED)
            assert (await client.say("MAIL FROM:<paul@corp.example>")).startswith("250")
            assert (await client.say("RSET")).startswith("250")
            await asyncio.to_thread(slapd.delete, dn)
            assert (await client.say("MAIL FROM:<paul@corp.example>")).startswith("535 5.7.8")

    run(test())


def test_next_hop_that_changed_its_mind_is_heard_at_mail() -> None:
    """Where the next hop judges, it is asked again as well (case B18)."""
    reception = FakeReception(users={ALICE: "geheim-ü"})

    async def test() -> None:
        async with place(reception, NOW, auth=True) as here:
            client = await here.greeted()
            assert (await client.say(plain(ALICE, "geheim-ü"))).startswith("235")
            reception.users.clear()
            assert (await client.say("MAIL FROM:<alice@corp.example>")).startswith("535 5.7.8")
            assert not here.reception.begun

    run(test())


def test_fresh_login_is_not_judged_twice() -> None:
    """Mail right after the login asks nobody."""
    judge = Judge(lambda login: ACCEPTED)

    async def test() -> None:
        async with place(FakeReception(), Limits(drain_seconds=5), auth=True, judge=judge) as here:
            client = await here.greeted()
            await _logged_in(client)
            assert (await client.say("MAIL FROM:<alice@corp.example>")).startswith("250")
            assert len(judge.asked) == 1

    run(test())


def test_refusals_sound_the_same_and_their_delay_hides_what_the_judge_took(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The delay counts from the beginning, and doubles: 1, 2, 4 (case B11)."""
    waits: list[float] = []
    sleep = asyncio.sleep

    async def noted(seconds: float) -> None:
        waits.append(seconds)

    async def took_long(login: Login) -> None:
        if login.user == "known":  # a password was compared, which takes time
            await sleep(0.05)

    class Slow:
        async def judge(self, login: Login, client: str) -> Reply:
            await took_long(login)
            return REFUSED

    monkeypatch.setattr("smimegw.adapters.smtp.logging_in.asyncio.sleep", noted)

    async def test() -> None:
        for user in ("known", "unknown"):
            async with place(FakeReception(), auth=True, judge=Slow()) as here:
                client = await here.greeted()
                texts = [await client.say(plain(user, "x")) for _ in range(3)]
                assert texts == [str(REFUSED)] * 3
                assert (await client.reply()).startswith("421 4.7.0")

    run(test())
    known, unknown = waits[:3], waits[3:]
    for slow, fast, delay in zip(known, unknown, (1.0, 2.0, 4.0), strict=True):
        assert slow <= delay - 0.05
        assert slow < fast <= delay


def test_auth_parameter_of_mail_is_no_identity() -> None:
    """`AUTH=<boss>` changes nothing about who sends (case B16; RFC 4954, 5)."""
    judge = Judge(lambda login: ACCEPTED)

    async def test() -> None:
        async with place(FakeReception(), NOW, auth=True, judge=judge) as here:
            client = await here.greeted()
            await _logged_in(client)
            reply = await client.say("MAIL FROM:<alice@corp.example> AUTH=boss@corp.example")
            assert reply.startswith("250")
            assert here.reception.begun[0].session.user == ALICE

    run(test())

"""Directories that lie, hang or send us elsewhere, and addresses that bend the question."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ldap3.operation.search import MATCH_EQUAL, parse_filter
from ldap3.protocol.convert import prepare_filter_for_sending

from smimegw.adapters.ldap.directory import LDAPDirectory
from smimegw.adapters.ldap.filter import FilterTemplate, escape
from smimegw.adapters.ldap.settings import LDAPSettings, parse_servers
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, ConfigurationError, DirectoryError
from tests.contract.conftest import ldap_settings
from tests.fakes.pki import Issued, make_ca
from tests.peers.slapd import Slapd

BOB = Mailbox.parse("bob@corp.example")


@pytest.fixture(scope="module")
def bob() -> Issued:
    return make_ca("Attack CA").issue("bob@corp.example", key="p256")


@pytest.fixture
def slapd(bob: Issued) -> Iterator[Slapd]:
    with Slapd() as server:
        server.add_person("bob@corp.example", certificates=[bob.certificate.der])
        yield server


def find(settings: LDAPSettings, mailbox: Mailbox = BOB) -> list[bytes]:
    """One question to a directory made for it."""

    async def ask() -> list[bytes]:
        directory = LDAPDirectory(settings)
        try:
            return [found.certificate.der for found in await directory.find(mailbox)]
        finally:
            await directory.close()

    return asyncio.run(ask())


def error_of(settings: LDAPSettings) -> str:
    with pytest.raises(DirectoryError) as caught:
        find(settings)
    return str(caught.value)


# --- filter injection (F01, F03) -----------------------------------------------------------------


@pytest.mark.parametrize(
    "local_part",
    ["*", "*)(mail=*", "b*", "bob)(|(mail=*", "\\2a", "bob\\", "(bob", "bob)", "|(mail=*)", "&"],
)
def test_an_address_cannot_widen_the_search(slapd: Slapd, local_part: str) -> None:
    """Characters of the filter language are only characters (cases F01)."""
    assert find(ldap_settings(slapd), Mailbox(local_part, "corp.example")) == []


@pytest.mark.parametrize("local_part", ["bob\0", "*\0"])
def test_an_octet_zero_does_not_end_the_value(slapd: Slapd, local_part: str) -> None:
    """NUL is a character of a value that nobody has, should a parser let it by (cases F01)."""
    assert find(ldap_settings(slapd), Mailbox(local_part, "corp.example")) == []


def test_an_escaped_address_still_finds_its_entry(slapd: Slapd, bob: Issued) -> None:
    """Escaping must not turn a strange but real address into one that is never found."""
    slapd.add_person('"*)(mail=*"@corp.example', certificates=[bob.certificate.der])
    mailbox = Mailbox.parse('"*)(mail=*"@corp.example')
    assert find(ldap_settings(slapd), mailbox) == [bob.certificate.der]


@given(st.text(min_size=1, max_size=80))
def test_a_value_is_exactly_one_equality_node(value: str) -> None:
    """Whatever the value, the parsed filter asks for equality with exactly it (cases F03)."""
    value = value.encode("utf-8", "replace").decode()
    root: Any = parse_filter(f"(mail={escape(value)})", None, False, False, None, False)
    (node,) = root.elements
    assert (node.tag, node.elements) == (MATCH_EQUAL, [])
    assert prepare_filter_for_sending(node.assertion["value"]) == value.encode()


@given(st.text(max_size=64), st.text(max_size=30))
def test_a_mailbox_is_exactly_one_equality_node(local_part: str, domain: str) -> None:
    """The same through the address parser and the template (cases F03)."""
    try:
        mailbox = Mailbox.parse('"' + local_part.replace('"', "") + f'"@{domain or "x"}.example')
    except AddressError:
        return
    written = FilterTemplate("(mail=%{address})").write(mailbox)
    root: Any = parse_filter(written, None, False, False, None, False)
    (node,) = root.elements
    assert (node.tag, node.elements) == (MATCH_EQUAL, [])
    assert prepare_filter_for_sending(node.assertion["value"]) == mailbox.address.encode()


def test_a_placeholder_inside_an_address_is_not_expanded() -> None:
    """A value never becomes a template (cases F01)."""
    written = FilterTemplate("(mail=%{address})").write(Mailbox("%{domain}", "corp.example"))
    assert "corp.example" in written
    assert written.count("corp.example") == 1


@pytest.mark.parametrize("template", ["(mail=*)", "mail=%{address}", "(mail=%{adress})", "((%{"])
def test_a_template_that_cannot_work_is_refused(template: str) -> None:
    """A mistake in the filter shows when it is loaded, not as "no certificate"."""
    with pytest.raises(ConfigurationError, match="filter"):
        FilterTemplate(template, origin="ldap:staff")


# --- referrals (F07) -----------------------------------------------------------------------------


class Sink:
    """Listens and remembers whether anybody connected."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0)
        self.port: int = self._socket.getsockname()[1]

    def was_called(self) -> bool:
        """A connection is waiting in the queue of the kernel, even if it was closed again."""
        try:
            self._socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@pytest.fixture
def sink() -> Iterator[Sink]:
    listener = Sink()
    yield listener
    listener.close()


def test_the_sink_notices_a_connection(sink: Sink) -> None:
    """Otherwise the two tests below could not fail."""
    socket.create_connection(("127.0.0.1", sink.port)).close()
    assert sink.was_called()


def test_a_referral_as_the_whole_answer_is_not_followed(sink: Sink) -> None:
    """No connection, so no bind with our password, reaches the other server (cases F07)."""
    with Slapd() as server:
        server.add(
            f"dn: ou=away,{server.people_base}\n"
            "objectClass: referral\nobjectClass: extensibleObject\nou: away\n"
            f"ref: ldap://127.0.0.1:{sink.port}/{server.people_base}\n"
        )
        text = error_of(ldap_settings(server, base=f"ou=away,{server.people_base}"))
    assert "referral" in text
    assert not sink.was_called()


def test_a_reference_beside_no_entry_is_not_followed(sink: Sink) -> None:
    """A search reference could hide the entry: unknown, not absent (cases F07)."""
    with Slapd() as server:
        server.add(
            f"dn: ou=away,{server.people_base}\n"
            "objectClass: referral\nobjectClass: extensibleObject\nou: away\n"
            f"ref: ldap://127.0.0.1:{sink.port}/{server.people_base}\n"
        )
        text = error_of(ldap_settings(server))
    assert "never" in text
    assert not sink.was_called()


# --- servers that do not answer, or say no (F09) -------------------------------------------------


def test_a_refused_connection_is_an_error(slapd: Slapd) -> None:
    """Nobody listens (cases F09)."""
    slapd.stop()
    assert "refused the connection" in error_of(ldap_settings(slapd))


def test_a_hanging_server_is_an_error(slapd: Slapd) -> None:
    """The kernel accepts, the server never answers (cases F09)."""
    slapd.freeze()
    text = error_of(ldap_settings(slapd, deadline_seconds=0.5))
    assert "did not answer" in text


def test_a_wrong_password_is_an_error(slapd: Slapd) -> None:
    """A bind that fails is not an empty directory (cases F09)."""
    text = error_of(ldap_settings(slapd, password=lambda: "wrong"))
    assert "invalidCredentials" in text
    assert "wrong" not in text.replace("is wrong", "")


def test_an_empty_password_is_an_error(slapd: Slapd) -> None:
    """A name without password is an anonymous bind that looks like success (RFC 4513, 5.1.2)."""
    text = error_of(ldap_settings(slapd, password=lambda: ""))
    assert "password is empty" in text


def test_a_password_that_cannot_be_read_is_an_error(slapd: Slapd, tmp_path: Path) -> None:
    """A credential that vanished stops the mail, not the gateway (R-06)."""
    missing = tmp_path / "ldap.password"
    text = error_of(ldap_settings(slapd, password=missing.read_text))
    assert "ldap.password" in text


def test_more_entries_than_allowed_is_an_error() -> None:
    """sizeLimitExceeded leaves open what the others were (cases F09)."""
    with Slapd() as server:
        base = server.people_base
        for number in range(21):
            server.add_person("bob@corp.example", dn=f"cn=bob{number},{base}", name=f"bob{number}")
        assert "sizeLimitExceeded" in error_of(ldap_settings(server))


def test_a_base_that_does_not_exist_is_an_error(slapd: Slapd) -> None:
    """A wrong base would otherwise make everybody certificateless (cases F09)."""
    text = error_of(ldap_settings(slapd, base=f"ou=nowhere,{slapd.suffix}"))
    assert "noSuchObject" in text


class ScriptedServer:
    """Accepts one bind and answers the search with given octets."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(10)
        self.url = f"ldap://127.0.0.1:{self._socket.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            client, _ = self._socket.accept()
        except OSError:
            return
        with client:
            client.settimeout(10)
            bind = client.recv(65536)
            start = bind.index(b"\x02", 2)  # the messageID: ldap3 counts over all connections
            identifier = bind[start : start + 2 + bind[start + 1]]
            body = identifier + b"\x61\x07\x0a\x01\x00\x04\x00\x04\x00"
            client.sendall(b"\x30" + bytes([len(body)]) + body)
            search = client.recv(65536)
            identifier = search[search.index(b"\x02") :][: 2 + search[search.index(b"\x02") + 1]]
            if not self._answer:
                return
            body = identifier + self._answer
            client.sendall(b"\x30" + bytes([len(body)]) + body)
            client.recv(65536)

    def close(self) -> None:
        """End."""
        self._socket.close()
        self._thread.join(timeout=15)


def result(code: int) -> bytes:
    """SearchResultDone with *code*."""
    return b"\x65\x07\x0a\x01" + bytes([code]) + b"\x04\x00\x04\x00"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (1, "operationsError"),
        (3, "timeLimitExceeded"),
        (10, "referral"),
        (11, "adminLimitExceeded"),
        (50, "insufficientAccessRights"),
        (51, "busy"),
        (52, "unavailable"),
        (53, "unwillingToPerform"),
        (80, "other"),
    ],
)
def test_a_result_other_than_success_is_an_error(code: int, name: str) -> None:
    """Every refusal stays a refusal and is named (cases F09)."""
    server = ScriptedServer(result(code))
    settings = LDAPSettings(name="s", servers=parse_servers(server.url), base="dc=x")
    try:
        assert name in error_of(settings)
    finally:
        server.close()


@pytest.mark.parametrize(
    "answer",
    [b"\x65\x03\x0a\x01", b"\xff\xff\xff\xff", b"\x64\x02\x04\x00", b"\x04\x00"],
    ids=["cut", "noise", "half an entry", "no operation"],
)
def test_octets_that_are_not_ldap_are_an_error(answer: bytes) -> None:
    """A broken or hostile server gives no "no entry" (cases F09)."""
    server = ScriptedServer(answer)
    settings = LDAPSettings(
        name="s", servers=parse_servers(server.url), base="dc=x", deadline_seconds=1.0
    )
    try:
        error_of(settings)
    finally:
        server.close()


def test_a_server_that_closes_instead_of_answering_is_an_error() -> None:
    """The end of the connection is not the end of the results (cases F09)."""
    server = ScriptedServer(b"")
    settings = LDAPSettings(name="s", servers=parse_servers(server.url), base="dc=x")
    try:
        error_of(settings)
    finally:
        server.close()


# --- what entries hold ---------------------------------------------------------------------------


def test_two_entries_with_one_address_are_two_owners(slapd: Slapd, bob: Issued) -> None:
    """Whoever adds an entry with somebody's address is seen, not preferred (cases F11)."""
    slapd.add_person(
        "BOB@corp.example", dn=f"cn=evil,{slapd.people_base}", certificates=[bob.certificate.der]
    )
    settings = ldap_settings(slapd)

    async def owners() -> set[str]:
        directory = LDAPDirectory(settings)
        found = await directory.find(BOB)
        await directory.close()
        return {item.owner for item in found}

    assert asyncio.run(owners()) == {
        f"mail=bob@corp.example,{slapd.people_base}",
        f"cn=evil,{slapd.people_base}",
    }


def test_settings_show_no_password(slapd: Slapd) -> None:
    """What ends in a log or a traceback holds no secret."""
    assert slapd.gateway_password not in repr(ldap_settings(slapd))

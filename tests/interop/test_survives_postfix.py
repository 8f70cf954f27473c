"""Protected mail keeps its signature through a real Postfix that has to go down to 7 bits."""

from __future__ import annotations

import asyncio
import smtplib
from collections.abc import Iterator, Mapping

import pytest

from smimegw.adapters.smtp.sink import Sink
from smimegw.mime.lines import has_crlf_only
from tests.interop.exchange import ALICE, BOB, Exchange
from tests.interop.gnupg import GnuPG, gnupg
from tests.interop.nss import NSS, nss
from tests.interop.openssl import Files
from tests.interop.readers import GnuPGReader, NSSReader, OpenSSLReader, Reader, shown
from tests.interop.untidy import UNTIDY
from tests.interop.writers import HEAD, GnuPGWriter, NSSWriter, OpenSSLWriter, Writer
from tests.peers.ports import free_port
from tests.peers.postfix import Postfix

SEVEN_BITS = ("PIPELINING", "SIZE 209715200", "ENHANCEDSTATUSCODES")
FORMS = {
    "clear": 'protect = "sign"',
    "opaque": 'protect = "sign", form = "opaque"',
    "sealed": 'protect = "sign-then-encrypt"',
    "plain": 'protect = "none"',
}
READERS = ("openssl", "gpgsm", "nss")
Letters = Mapping[tuple[str, str], bytes]
"""Contents by name and form."""


def body(mail: bytes) -> bytes:
    """All behind the header section, where servers add their fields."""
    return mail.partition(b"\r\n\r\n")[2]


def through_postfix(
    letters: Letters, *, extensions: tuple[str, ...] = SEVEN_BITS
) -> dict[tuple[str, str], bytes]:
    """What the server after Postfix gets, with *extensions* in its reply to EHLO."""

    async def run() -> dict[tuple[str, str], bytes]:
        sink = Sink(port=free_port(), extensions=extensions)
        await sink.start()
        try:
            settings = {"disable_mime_output_conversion": "no"}  # as Postfix is by default
            with Postfix("ours.example", relayhost=sink.port, settings=settings) as postfix:
                await asyncio.to_thread(_submit, postfix.smtp_port, letters)
                arrived = await sink.wait_for(len(letters), seconds=60)
        finally:
            await sink.stop()
        numbers = {message.recipients[0].partition("@")[0]: message.content for message in arrived}
        return {key: numbers[f"<n{number}"] for number, key in enumerate(letters)}

    return asyncio.run(run())


def _submit(port: int, letters: Letters) -> None:
    with smtplib.SMTP("127.0.0.1", port, timeout=60) as client:
        for number, octets in enumerate(letters.values()):
            options = [] if octets.isascii() else ["BODY=8BITMIME"]
            client.sendmail(ALICE, [f"n{number}@next.example"], octets, options)


@pytest.fixture(scope="module")
def company() -> Exchange:
    return Exchange(FORMS)


@pytest.fixture(scope="module")
def sent(company: Exchange) -> Letters:
    """What left the gateway."""
    return {
        (name, form): company.write(form, octets)
        for name, octets in UNTIDY.items()
        for form in FORMS
        # Only what is protected gets line ends that SMTP carries.
        if form != "plain" or has_crlf_only(octets)
    }


@pytest.fixture(scope="module")
def arrived(sent: Letters) -> Letters:
    """What is left of it after Postfix."""
    return through_postfix(sent)


@pytest.fixture(scope="module")
def programs(
    company: Exchange, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Files, GnuPG, NSS]]:
    """Each with Bob's key."""
    files = Files.of(company.bob, tmp_path_factory.mktemp("bob"), "bob")
    with gnupg(company.bob) as home, nss(company.bob) as database:
        yield files, home, database


@pytest.fixture(scope="module")
def readers(programs: tuple[Files, GnuPG, NSS]) -> Mapping[str, Reader]:
    files, home, database = programs
    return {
        "openssl": OpenSSLReader(files),
        "gpgsm": GnuPGReader(home),
        "nss": NSSReader(database),
    }


# --- our mail, other readers ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["UTF-8", "Latin-1", "GB18030", "HTML", "long lines", "forwarded"])
def test_postfix_changes_what_is_not_protected(sent: Letters, arrived: Letters, name: str) -> None:
    """The tests below can fail: 8-bit content is encoded and long lines are cut (G16)."""
    assert body(arrived[name, "plain"]) != body(sent[name, "plain"])


@pytest.mark.parametrize("form", ["clear", "opaque", "sealed"])
@pytest.mark.parametrize("name", UNTIDY)
def test_postfix_leaves_our_octets_alone(
    sent: Letters, arrived: Letters, name: str, form: str
) -> None:
    """Nothing that we make needs 8 bits, long lines or care (RFC 8551, 3.1; G16)."""
    assert body(arrived[name, form]) == body(sent[name, form])


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("form", ["clear", "opaque", "sealed"])
@pytest.mark.parametrize("name", UNTIDY)
def test_signature_verifies_behind_postfix(
    arrived: Letters, readers: Mapping[str, Reader], name: str, form: str, reader: str
) -> None:
    """Other programs verify it and show what the client wrote (RFC 8551, 3.1; G16)."""
    program, mail = readers[reader], arrived[name, form]
    content = program.verified(program.opened(mail) if form == "sealed" else mail)
    assert shown(content) == shown(UNTIDY[name])


@pytest.mark.parametrize("reader", READERS)
def test_change_behind_postfix_is_noticed(
    arrived: Letters, readers: Mapping[str, Reader], reader: str
) -> None:
    """The comparison can fail."""
    changed = arrived["ASCII", "clear"].replace(b"Hello Bob", b"Hello Eve")
    with pytest.raises(AssertionError, match=r"Verification failure|BADSIG|DigestMismatch"):
        readers[reader].verified(changed)


@pytest.mark.parametrize("name", ["ASCII", "UTF-8", "html and attachment of a program"])
def test_ordinary_mail_stays_readable_without_smime(arrived: Letters, name: str) -> None:
    """Wrapping everything would survive too, and nobody without S/MIME could read it."""
    assert b"multipart/signed" in arrived[name, "clear"].partition(b"\r\n\r\n")[0]


# --- their mail, our gateway ----------------------------------------------------------------------

THEIRS = {
    "8-bit": b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
    + "Grüße \r\nFrom Köln\r\n.\r\n\r\n".encode(),
    "quoted-printable": b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe=20\r\n=46rom\r\n",
    "base64": b"Content-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\nR3LDvMOfZQ0K\r\n",
    "no line end": b"Content-Type: text/plain\r\n\r\ncut off",
}
WRITERS = ("openssl", "gpgsm", "nss")


@pytest.fixture(scope="module")
def theirs(company: Exchange, programs: tuple[Files, GnuPG, NSS]) -> Letters:
    """What Bob's programs make of it, by "content form" and program."""
    files, home, database = programs
    writers: dict[str, Writer] = {
        "openssl": OpenSSLWriter(files, files.certificate),
        "gpgsm": GnuPGWriter(home, BOB, ALICE),
        "nss": NSSWriter(database, BOB, ALICE),
    }
    return {
        (f"{name} {form}", program): HEAD + getattr(writer, form)(entity)
        for name, entity in THEIRS.items()
        for form in ("clear", "opaque")
        for program, writer in writers.items()
    }


@pytest.fixture(scope="module")
def carried(theirs: Letters) -> Letters:
    """The same behind Postfix, whose next hop takes 8 bits as our listener does."""
    return through_postfix(theirs, extensions=(*SEVEN_BITS, "8BITMIME"))


@pytest.mark.parametrize("program", WRITERS)
@pytest.mark.parametrize("form", ["clear", "opaque"])
@pytest.mark.parametrize("name", THEIRS)
def test_signature_of_another_program_passes_behind_postfix(
    company: Exchange, carried: Letters, name: str, form: str, program: str
) -> None:
    """8-bit and encoded text, signed clear and opaque, by three programs (RFC 8551, 3.1; I01)."""
    seen = company.read(carried[f"{name} {form}", program])
    assert seen.result == "pass"
    assert seen.shown == shown(THEIRS[name])


def test_clear_signature_over_8_bits_fails_where_a_relay_encodes(
    company: Exchange, theirs: Letters
) -> None:
    """Why we encode first, and why our listener offers 8BITMIME (RFC 6152, 3; I03)."""
    key = ("8-bit clear", "openssl")
    seen = company.read(through_postfix({key: theirs[key]})[key])
    assert (seen.result, "digest" in seen.field("Authentication-Results")) == ("fail", True)

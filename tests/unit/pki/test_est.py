"""The EST server certifies for registration authorities, our domains and proven keys (RFC 7030)."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509.oid import NameOID

from pki import approval, issuance, opening
from pki.certified import Certified
from pki.profiles import Profile
from pki.serial_numbers import serial_text
from pki.serve import access, est
from pki.serve.hosting import hosting
from pki.serve.office import Office
from smimegw.addresses import Mailbox
from tests.peers.tls import make_tls
from tests.unit.pki.steps import NOW, PASSPHRASE

ALICE = "alice@corp.example"
KEY = ec.generate_private_key(ec.SECP256R1())


def csr(*addresses: str, key: Any = KEY, signer: Any = None, subject: str = "anybody") -> bytes:
    """A request for *addresses*; signed by another key when *signer* is given."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)])
    )
    if addresses:
        names = [x509.RFC822Name(address) for address in addresses]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


REQUEST = csr(ALICE)
"""One request that is sent twice; another with the same key would be another request."""


@dataclass
class Said:
    """One answer."""

    status: int
    fields: Any
    body: bytes

    @property
    def certificate(self) -> x509.Certificate:
        """The one certificate in it."""
        assert self.status == 200, self.body
        (found,) = self.certificates
        return found

    @property
    def certificates(self) -> list[x509.Certificate]:
        return pkcs7.load_der_pkcs7_certificates(base64.b64decode(self.body))

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Client:
    """Somebody with these TLS files."""

    url: str
    tls: ssl.SSLContext

    async def ask(self, method: str, path: str, body: bytes = b"", **fields: str) -> Said:
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        connector = aiohttp.TCPConnector(ssl=self.tls)
        async with aiohttp.ClientSession(connector=connector) as session:
            url = f"{self.url}/.well-known/est{path}"
            async with session.request(method, url, data=body or None, headers=named) as answer:
                return Said(answer.status, answer.headers, await answer.read())

    async def enrol(self, request: bytes, action: str = "/simpleenroll") -> Said:
        body = base64.encodebytes(request)
        return await self.ask("POST", action, body, Content_Type="application/pkcs10")


@dataclass
class Server:
    """The running server and who may talk to it."""

    path: Path
    url: str
    places: access.Places
    issued: list[Certified]
    reported: list[str]

    def client(self, certificate: Path | None = None, key: Path | None = None) -> Client:
        context = ssl.create_default_context(cafile=self.places.authority)
        if certificate is not None:
            context.load_cert_chain(certificate, key)
        return Client(self.url.replace("127.0.0.1", "localhost"), context)

    @property
    def gateway(self) -> Client:
        """The registration authority."""
        return self.client(self.path / "gateway.pem")

    def count(self) -> int:
        """Certificates of mailboxes in the ledger."""
        with opening.reading(self.path) as opened:
            return sum(1 for each in opened.register.certificates() if each.mailbox)


Work = Callable[[Server], Awaitable[None]]


def serve(path: Path, work: Work, now: datetime = NOW) -> Server:
    """Run *work* against a server of the CA in *path*."""
    places = access.Places.of(path)
    access.make_server(places, ["localhost"], PASSPHRASE, now=now)
    certificate, key = access.make_client(places, "gw1", PASSPHRASE, now=now)
    (path / "gateway.pem").write_bytes(certificate + key)

    async def run() -> Server:
        office = Office(path, PASSPHRASE, lambda: now)
        await office.open()
        issued: list[Certified] = []
        reported: list[str] = []
        application = est.application(office, issued.append, reported.append)
        tls = est.tls_context(places.server, places.authority)
        try:
            async with hosting(application, "127.0.0.1", 0, tls=tls) as url:
                server = Server(path, url, places, issued, reported)
                await work(server)
                return server
        finally:
            await office.close()

    return asyncio.run(run())


def test_a_request_becomes_a_certificate(ca_path: Path) -> None:
    """RFC 7030, 4.2: the key of the request, the names and the profile of the CA."""

    async def work(server: Server) -> None:
        said = await server.gateway.enrol(csr(ALICE, subject="CN of the request"))
        made = said.certificate
        assert said.fields["Content-Type"] == "application/pkcs7-mime; smime-type=certs-only"
        assert made.public_key() == KEY.public_key()
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.RFC822Name) == [ALICE]
        assert "CN of the request" not in made.subject.rfc4514_string()

    server = serve(ca_path, work)
    (certified,) = server.issued
    assert certified.profile is Profile.BOTH
    assert not certified.key_held


def test_the_ledger_says_who_asked(ca_path: Path) -> None:
    """The registration authority's name, from its certificate."""

    async def work(server: Server) -> None:
        await server.gateway.enrol(csr(ALICE))

    serve(ca_path, work)
    with opening.reading(ca_path) as opened:
        (request,) = opened.register.history.requests.values()
    assert request.requester == "est:gw1"


@pytest.mark.parametrize("profile", [Profile.SIGN, Profile.ENCRYPT, Profile.BOTH])
def test_a_label_names_the_profile(ca_path: Path, profile: Profile) -> None:
    """RFC 7030, 3.2.2."""

    async def work(server: Server) -> None:
        await server.gateway.enrol(csr(ALICE), f"/{profile.value}/simpleenroll")

    (certified,) = serve(ca_path, work).issued
    assert certified.profile is profile


@pytest.mark.parametrize("label", ["other", "issuing-ca", "ocsp-responder", "root-ca"])
def test_other_labels_are_nowhere(ca_path: Path, label: str) -> None:
    """Nobody becomes a CA or a responder by asking."""

    async def work(server: Server) -> None:
        assert (await server.gateway.enrol(csr(ALICE), f"/{label}/simpleenroll")).status == 404

    assert serve(ca_path, work).count() == 0


def test_the_same_request_gets_the_same_certificate(ca_path: Path) -> None:
    """The answer may have been lost; the CA issues once."""

    async def work(server: Server) -> None:
        first, second = [await server.gateway.enrol(REQUEST) for _ in range(2)]
        assert first.certificate == second.certificate

    assert serve(ca_path, work).count() == 1


def test_requests_at_the_same_time_do_not_collide(ca_path: Path) -> None:
    """One thread, one lock, one ledger."""

    async def work(server: Server) -> None:
        keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(4)]
        asking = [
            server.gateway.enrol(csr(f"user{number}@corp.example", key=key))
            for number, key in enumerate(keys)
        ]
        assert len({said.certificate for said in await asyncio.gather(*asking)}) == 4

    assert serve(ca_path, work).count() == 4


# --- who may ask ---------------------------------------------------------------------------------


def test_without_a_certificate_nobody_is_certified(ca_path: Path) -> None:
    """RFC 7030, 3.3.2."""

    async def work(server: Server) -> None:
        assert (await server.client().enrol(csr(ALICE))).status == 401

    assert serve(ca_path, work).count() == 0


def test_a_certificate_for_another_purpose_is_not_enough(ca_path: Path) -> None:
    """RFC 7030, 3.7: id-kp-cmcRA says who asks for others; the server's own has it not."""

    async def work(server: Server) -> None:
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await server.client(server.places.server).enrol(csr(ALICE))

    assert serve(ca_path, work).count() == 0


def test_a_client_that_is_no_registration_authority_is_refused(
    ca_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client certificate of the right authority, with clientAuth alone."""

    async def work(server: Server) -> None:
        plain = access.REGISTRATION_AUTHORITY
        monkeypatch.setattr(access, "REGISTRATION_AUTHORITY", x509.ObjectIdentifier("1.2.3.4"))
        certificate, key = access.make_client(server.places, "mallory", PASSPHRASE, now=NOW)
        monkeypatch.setattr(access, "REGISTRATION_AUTHORITY", plain)
        (ca_path / "mallory.pem").write_bytes(certificate + key)
        said = await server.client(ca_path / "mallory.pem").enrol(csr(ALICE))
        assert (said.status, "registration authority" in said.text) == (403, True)

    assert serve(ca_path, work).count() == 0


def test_a_certificate_of_another_authority_ends_the_handshake(
    ca_path: Path, tmp_path: Path
) -> None:
    """Not even /cacerts: who shows a wrong one has a wrong configuration."""

    async def work(server: Server) -> None:
        files = make_tls(tmp_path)
        with pytest.raises((aiohttp.ClientError, ssl.SSLError)):
            await server.client(files.certificate, files.key).enrol(csr(ALICE))

    assert serve(ca_path, work).count() == 0


def test_the_authorities_are_told_to_everybody(ca_path: Path) -> None:
    """RFC 7030, 4.1.1: whoever begins to trust cannot show anything yet."""

    async def work(server: Server) -> None:
        said = await server.client().ask("GET", "/cacerts")
        assert said.fields["Content-Type"] == "application/pkcs7-mime"
        with opening.reading(server.path) as opened:
            wanted = {opened.authority(name).certificate for name in opened.issuers}
        assert set(said.certificates) == wanted

    serve(ca_path, work)


def test_the_attributes_of_a_request_are_told(ca_path: Path) -> None:
    """RFC 7030, 4.5.2."""

    async def work(server: Server) -> None:
        said = await server.client().ask("GET", "/csrattrs")
        assert said.fields["Content-Type"] == "application/csrattrs"
        assert base64.b64decode(said.body)[0] == 0x30

    serve(ca_path, work)


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_der", "expected"),
    [
        (csr("alice@elsewhere.example"), "outside of the domains"),
        (csr(), "names 0 mailboxes"),
        (csr(ALICE, "bob@corp.example"), "names 2 mailboxes"),
        (csr("not a mailbox"), "no mailbox"),
        (b"garbage", "not one PKCS #10"),
    ],
    ids=["other domain", "nobody", "two", "no address", "garbage"],
)
def test_a_request_that_is_not_fit_is_refused_with_its_reason(
    ca_path: Path, request_der: bytes, expected: str
) -> None:
    """RFC 7030, 4.2.3: 400 and a text for people."""

    async def work(server: Server) -> None:
        said = await server.gateway.enrol(request_der)
        assert (said.status, expected in said.text) == (400, True), said.text

    assert serve(ca_path, work).count() == 0


def test_a_signature_that_does_not_hold_is_refused(ca_path: Path) -> None:
    """RFC 7030, 3.4: proof of possession."""
    octets = bytearray(csr(ALICE))
    octets[-1] ^= 1

    async def work(server: Server) -> None:
        said = await server.gateway.enrol(bytes(octets))
        assert (said.status, "private key" in said.text) == (400, True), said.text

    assert serve(ca_path, work).count() == 0


@pytest.mark.parametrize(
    ("kind", "body", "status"),
    [
        ("text/plain", base64.b64encode(csr(ALICE)), 415),
        ("application/pkcs10", b"!!!", 400),
        ("application/pkcs10", b"A" * 70_000, 413),
    ],
    ids=["type", "no base64", "too long"],
)
def test_what_is_no_request_is_refused(ca_path: Path, kind: str, body: bytes, status: int) -> None:
    """T-09; RFC 8951, 2.1."""

    async def work(server: Server) -> None:
        said = await server.gateway.ask("POST", "/simpleenroll", body, Content_Type=kind)
        assert said.status == status

    assert serve(ca_path, work).count() == 0


def test_a_ledger_that_does_not_hold_says_nothing_to_clients(ca_path: Path) -> None:
    """503 and Retry-After; the text is the administrator's."""

    async def work(server: Server) -> None:
        with opening.locked(ca_path):
            pass
        (ca_path / "ledger.db").write_bytes(b"x" * 4096)
        said = await server.gateway.enrol(csr(ALICE))
        assert (said.status, said.fields["Retry-After"]) == (503, "10")
        assert str(ca_path) not in said.text
        assert str(ca_path) in server.reported[0]

    serve(ca_path, work)


def test_a_disk_that_takes_nothing_is_told_to_the_administrator(ca_path: Path) -> None:
    """503, and not 500 with a traceback; when it is mended the same request is served (M22)."""
    issued = ca_path / "issued"

    async def work(server: Server) -> None:
        aside = issued.rename(ca_path / "aside")
        issued.write_text("in the way")
        said = await server.gateway.enrol(REQUEST)
        assert (said.status, said.fields["Retry-After"]) == (503, "10")
        assert str(ca_path) not in said.text
        assert "Not a directory" in server.reported[0]
        issued.unlink()
        aside.rename(issued)
        assert (await server.gateway.enrol(REQUEST)).certificate.public_key() == KEY.public_key()

    assert serve(ca_path, work).count() == 1


# --- a second person -----------------------------------------------------------------------------


def _second_person(path: Path) -> None:
    text = (path / "ca.toml").read_text()
    assert "second_person = false" in text
    (path / "ca.toml").write_text(text.replace("second_person = false", "second_person = true"))


def test_a_request_waits_for_a_second_person(ca_path: Path) -> None:
    """RFC 7030, 4.2.3: 202 and Retry-After; asked again it is still one request."""
    _second_person(ca_path)

    async def work(server: Server) -> None:
        for _ in range(2):
            said = await server.gateway.enrol(REQUEST)
            assert (said.status, said.fields["Retry-After"]) == (202, "300")

    assert serve(ca_path, work).count() == 0
    with opening.reading(ca_path) as opened:
        assert len(opened.register.history.requests) == 1


def test_after_approval_the_same_request_is_answered(ca_path: Path) -> None:
    """Whoever approved did not issue; that is done when the gateway asks."""
    _second_person(ca_path)

    async def work(server: Server) -> None:
        assert (await server.gateway.enrol(REQUEST)).status == 202
        with opening.changing(ca_path, now=NOW) as opened:
            approval.approve(opened, approval.find(opened, 1), operator="berta", now=NOW)
        assert (await server.gateway.enrol(REQUEST)).certificate

    assert serve(ca_path, work).count() == 1


def test_a_refusal_is_told_with_its_reason(ca_path: Path) -> None:
    """And is final for this request."""
    _second_person(ca_path)

    async def work(server: Server) -> None:
        await server.gateway.enrol(REQUEST)
        with opening.changing(ca_path, now=NOW) as opened:
            request = approval.find(opened, 1)
            approval.refuse(opened, request, operator="berta", reason="left us", now=NOW)
        said = await server.gateway.enrol(REQUEST)
        assert (said.status, "left us" in said.text) == (400, True)

    assert serve(ca_path, work).count() == 0


# --- renewal -------------------------------------------------------------------------------------


def test_a_new_key_follows_the_old_certificate(ca_path: Path) -> None:
    """RFC 7030, 4.2.2: rekey."""

    async def work(server: Server) -> None:
        first = await server.gateway.enrol(csr(ALICE))
        key = ec.generate_private_key(ec.SECP256R1())
        second = await server.gateway.enrol(csr(ALICE, key=key), "/simplereenroll")
        assert second.certificate.public_key() == key.public_key()
        with opening.reading(server.path) as opened:
            found = opened.register.find(serial_text(second.certificate.serial_number))
        assert found.renews == first.certificate.serial_number

    assert serve(ca_path, work).count() == 2


def test_who_has_none_cannot_renew(ca_path: Path) -> None:
    """RFC 7030, 4.2.2: there is nothing that it could follow."""

    async def work(server: Server) -> None:
        said = await server.gateway.enrol(csr(ALICE), "/simplereenroll")
        assert (said.status, "no mailbox-both certificate" in said.text) == (400, True)

    assert serve(ca_path, work).count() == 0


def test_a_revoked_key_is_not_certified_again(ca_path: Path) -> None:
    """M18: neither by enrolling nor by renewing."""

    async def work(server: Server) -> None:
        made = (await server.gateway.enrol(csr(ALICE))).certificate
        with opening.changing(ca_path, now=NOW) as opened:
            certified = opened.register.find(serial_text(made.serial_number))
            issuance.revoke(opened, certified, "keyCompromise", now=NOW)
        for action in ("/simpleenroll", "/simplereenroll"):
            assert (await server.gateway.enrol(csr(ALICE), action)).status == 400

    assert serve(ca_path, work).count() == 1


def test_a_key_that_cannot_sign_sends_no_request() -> None:
    """RFC 7030, 3.4: X25519 keys come another way; the library cannot even make one."""
    with pytest.raises((TypeError, ValueError)):
        csr(ALICE, key=x25519.X25519PrivateKey.generate())


def test_an_address_of_a_person_with_another_case_is_the_same(ca_path: Path) -> None:
    """One mailbox, however it is written."""

    async def work(server: Server) -> None:
        said = await server.gateway.enrol(csr(ALICE, "Alice@corp.example"))
        assert said.certificate

    (certified,) = serve(ca_path, work).issued
    assert certified.mailbox == Mailbox.parse(ALICE)

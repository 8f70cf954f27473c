"""`smimegw-ca serve` asked by OpenSSL, by NSS and by the gateway over real connections."""

from __future__ import annotations

import asyncio
import base64
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509 import ocsp as library

from smimegw.x509 import ocsp
from smimegw.x509.certificate import Certificate
from smimegw.x509.revocation import status
from smimegw.x509.status import RevocationMethod
from tests.fakes.ports import ListedEvents
from tests.interop.openssl import openssl
from tests.peers.ca_services import ServedCA
from tests.peers.ports import wait_until
from tests.peers.revocation import source_for


class Status:
    """The CA, its service, and three certificates: good, revoked, on hold."""

    def __init__(self, ca: ServedCA, url: str, serials: list[str]) -> None:
        self.ca = ca
        self.url = url
        self.good, self.revoked, self.held = serials
        self.issuing = self.certificate("issuing")

    def certificate(self, owner: str) -> Certificate:
        parsed = x509.load_pem_x509_certificate(self.ca.certificate(owner).read_bytes())
        return Certificate.parse(parsed.public_bytes(Encoding.DER))

    def ask(
        self, method: str, path: str, body: bytes = b"", fields: dict[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        connection = HTTPConnection("127.0.0.1", self.ca.port, timeout=30)
        try:
            connection.request(method, path, body or None, fields or {})
            response = connection.getresponse()
            return response, response.read()
        finally:
            connection.close()

    def by_get(
        self, owner: str, nonce: bytes = b"", fields: dict[str, str] | None = None
    ) -> tuple[HTTPResponse, bytes]:
        request = ocsp.request(self.certificate(owner), self.issuing, nonce)
        path = quote(base64.b64encode(request).decode(), safe="")
        return self.ask("GET", f"/ocsp/{path}", fields=fields)

    def openssl(self, *words: str | Path) -> str:
        """`openssl ocsp` about certificates of the issuing CA; it checks the signature."""
        chain = self.ca.directory / "chain.pem"
        pems = [self.ca.certificate(name).read_bytes() for name in ("root", "issuing")]
        chain.write_bytes(b"".join(pems))
        return openssl(
            *("ocsp", "-issuer", self.ca.certificate("issuing"), "-url", f"{self.url}/ocsp"),
            *("-CAfile", chain, *words),
        ).decode()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Status]:
    ca = ServedCA(tmp_path_factory.mktemp("served"), deltas=True)
    serials = [ca.issue(f"{name}@ours.example") for name in ("good", "revoked", "held")]
    ca.run("revoke", serials[1], "--reason", "keyCompromise", "--yes")
    ca.run("hold", serials[2], "--yes")
    ca.run("crl", "make", "--due")
    ca.run("ocsp", "make")
    with ca.status() as url:
        yield Status(ca, url, serials)


# --- OpenSSL -------------------------------------------------------------------------------------


def test_openssl_asks_about_several(served: Status) -> None:
    """Good, revoked with its reason, on hold, and never issued (RFC 6960, 2.2)."""
    serials = [f"0x{serial}" for serial in (served.good, served.revoked, served.held, "1234")]
    said = served.openssl(*[word for serial in serials for word in ("-serial", serial)])
    lines = [line.strip() for line in said.splitlines()]
    assert f"{serials[0]}: good" in lines
    assert f"{serials[1]}: revoked" in lines
    assert "Reason: keyCompromise" in lines
    assert "Reason: certificateHold" in lines
    assert f"{serials[3]}: unknown" in lines


def test_openssl_gets_its_nonce_back(served: Status) -> None:
    """RFC 9654; without -ignore_err a wrong nonce would be an error."""
    said = served.openssl("-cert", served.ca.certificate(served.good), "-resp_text")
    assert "OCSP Nonce" in said
    assert "WARNING: no nonce" not in said


def test_openssl_verifies_the_delegate_without_help(served: Status) -> None:
    """RFC 6960, 4.2.2.2: issued by the CA itself, for this purpose; and not to be asked about."""
    said = served.openssl("-cert", served.ca.certificate(served.good), "-resp_text")
    assert "OCSP Signing" in said
    assert "OCSP No Check" in said


def test_another_issuer_is_refused(served: Status) -> None:
    """RFC 6960, 2.3: unauthorized; the root appointed nobody."""
    certificate = served.ca.certificate
    done = subprocess.run(
        ["openssl", "ocsp", "-issuer", certificate("root"), "-cert", certificate("issuing"),
         "-url", f"{served.url}/ocsp"],
        capture_output=True, timeout=60, check=False,
    )  # fmt: skip
    assert b"unauthorized (6)" in done.stdout + done.stderr


def test_openssl_follows_the_lists(served: Status, tmp_path: Path) -> None:
    """Complete and delta CRL as they are served, with the whole path (RFC 5280, 5.2.4, 6.3)."""
    pems = []
    for name in ("root", "issuing"):
        der = served.ask("GET", f"/crl/{name}.crl")[1]
        pems.append(openssl("crl", "-inform", "DER", stdin=der))
    crls = tmp_path / "crls.pem"
    crls.write_bytes(b"".join(pems))
    root, issuing = served.ca.certificate("root"), served.ca.certificate("issuing")
    words = ["verify", "-x509_strict", "-crl_check_all", "-CAfile", root, "-CRLfile", crls]
    assert b"OK" in openssl(*words, "-untrusted", issuing, served.ca.certificate(served.good))


# --- the gateway ---------------------------------------------------------------------------------


@pytest.mark.parametrize("wanted", ["good", "revoked", "held"])
@pytest.mark.parametrize("method", [RevocationMethod.OCSP, RevocationMethod.CRL])
def test_the_gateway_learns_it(served: Status, wanted: str, method: RevocationMethod) -> None:
    """F15: its own client asks at the places that the certificate names, and judges alike."""
    certificate = served.certificate(getattr(served, wanted))
    events = ListedEvents()
    source = source_for(f"127.0.0.1:{served.ca.port}", events=events)

    async def news() -> tuple[tuple[bytes, ...], list[bytes]]:
        if method is RevocationMethod.OCSP:
            response = await source.ocsp(certificate, served.issuing, certificate.ocsp_urls)
            return (), [response] if response else []
        places = (*certificate.crl_points, (f"{served.url}/crl/issuing-delta.crl",))
        found = [await source.crls(urls, served.issuing) for urls in places]
        return tuple(der for each in found for der in each), []

    crls, responses = asyncio.run(news())
    result = status(
        certificate, served.issuing, crls, datetime.now(UTC), 0, ocsp_responses=responses
    )
    assert not events.named("revocation.error")
    assert result.status == ("good" if wanted == "good" else "revoked")
    assert result.method is method


# --- NSS -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "expected"), [("good", "succeeded"), ("revoked", "revoked")])
def test_nss_asks_at_the_place_in_the_certificate(
    served: Status, tmp_path: Path, wanted: str, expected: str
) -> None:
    """`ocspclnt` finds the responder by authorityInfoAccess and checks its appointment."""
    database = f"sql:{tmp_path}"
    subprocess.run(["certutil", "-N", "-d", database, "--empty-password"], check=True, timeout=60)
    owners = {"root": "CT,C,C", "issuing": ",,", getattr(served, wanted): ",,"}
    for owner, trust in owners.items():
        path = served.ca.certificate(owner)
        command = ["certutil", "-A", "-d", database, "-n", owner, "-t", trust, "-a", "-i", path]
        subprocess.run(command, check=True, timeout=60)
    done = subprocess.run(
        ["ocspclnt", "-S", getattr(served, wanted), "-d", database],
        capture_output=True, timeout=60, check=False, text=True,
    )  # fmt: skip
    assert expected in (done.stdout + done.stderr).lower(), done.stdout + done.stderr


# --- HTTP ----------------------------------------------------------------------------------------


def test_an_answer_by_get_may_be_cached(served: Status) -> None:
    """RFC 5019, 6.2: the fields, and an end that is that of the answer."""
    response, body = served.by_get(served.good)
    parsed = library.load_der_ocsp_response(body)
    assert parsed.certificate_status is library.OCSPCertStatus.GOOD
    assert response.headers["Content-Type"] == "application/ocsp-response"
    assert response.headers["Expires"] == parsed.next_update_utc.strftime(
        "%a, %d %b %Y %H:%M:%S GMT"
    )
    control = response.headers["Cache-Control"]
    assert "public" in control
    assert "no-transform" in control
    assert "must-revalidate" in control
    assert 0 < int(control.partition("max-age=")[2].partition(",")[0]) <= 4 * 3600
    assert response.headers["Last-Modified"]


def test_an_answer_that_is_known_is_not_sent_again(served: Status) -> None:
    """RFC 9110, 13.1.2: 304 for the same ETag."""
    first, _ = served.by_get(served.good)
    tag = first.headers["ETag"]
    again, body = served.by_get(served.good, fields={"If-None-Match": tag})
    assert (again.status, body) == (304, b"")
    assert again.headers["ETag"] == tag


def test_an_answer_with_a_nonce_is_for_one_reader(served: Status) -> None:
    """RFC 5019, 2.1: caches could do nothing with it."""
    response, body = served.by_get(served.good, nonce=b"n" * 16)
    assert ocsp.answers_nonce(body, b"n" * 16)
    assert "max-age" not in response.headers.get("Cache-Control", "")


def test_a_revocation_is_told_at_once(served: Status) -> None:
    """An answer that was kept ends with the first entry behind it in the ledger."""
    serial = served.ca.issue("late@ours.example")
    before = library.load_der_ocsp_response(served.by_get(serial)[1])
    served.ca.run("revoke", serial, "--reason", "superseded", "--yes")
    after = library.load_der_ocsp_response(served.by_get(serial)[1])
    assert before.certificate_status is library.OCSPCertStatus.GOOD
    assert after.certificate_status is library.OCSPCertStatus.REVOKED


@pytest.mark.parametrize("path", ["/ocsp/!!!", "/ocsp/MAMCAQE=", "/ocsp/"])
def test_a_malformed_question_is_said_to_be(served: Status, path: str) -> None:
    """RFC 6960, 2.3: an answer of its own, not to be cached."""
    response, body = served.ask("GET", path)
    parsed = library.load_der_ocsp_response(body)
    assert parsed.response_status is library.OCSPResponseStatus.MALFORMED_REQUEST
    assert response.headers["Cache-Control"] == "no-store"


def test_a_posted_question_needs_its_type(served: Status) -> None:
    """RFC 6960, A.1."""
    response, _ = served.ask("POST", "/ocsp", b"x", {"Content-Type": "text/plain"})
    assert response.status == 415


def test_a_large_question_is_not_read(served: Status) -> None:
    """T-09: 16 KiB are enough for everybody."""
    fields = {"Content-Type": "application/ocsp-request"}
    response, _ = served.ask("POST", "/ocsp", b"x" * 17_000, fields)
    assert response.status == 413


@pytest.mark.parametrize("name", ["root", "issuing"])
def test_the_authorities_certificates_are_there(served: Status, name: str) -> None:
    """RFC 5280, 4.2.2.1: DER, and certs-only with those above."""
    response, body = served.ask("GET", f"/aia/{name}.cer")
    assert response.headers["Content-Type"] == "application/pkix-cert"
    assert x509.load_der_x509_certificate(body) == served.certificate(name).parsed
    response, body = served.ask("GET", f"/aia/{name}.p7c")
    assert response.headers["Content-Type"] == "application/pkcs7-mime; smime-type=certs-only"
    held = pkcs7.load_der_pkcs7_certificates(body)
    assert served.certificate(name).parsed in held
    assert served.certificate("root").parsed in held


def test_a_crl_says_how_long_it_may_be_kept(served: Status) -> None:
    """Not longer than an hour: it may be made before its time."""
    response, body = served.ask("GET", "/crl/issuing.crl")
    assert response.headers["Content-Type"] == "application/pkix-crl"
    assert x509.load_der_x509_crl(body).next_update_utc is not None
    assert "max-age=3600," in response.headers["Cache-Control"]


@pytest.mark.parametrize(
    "path", ["/", "/crl/other.crl", "/aia/issuing-7.cer", "/crl/..%2fca.toml", "/../ca.toml"]
)
def test_nothing_else_is_there(served: Status, path: str) -> None:
    """Names are looked up, never joined to a path."""
    assert served.ask("GET", path)[0].status == 404


def test_the_process_holds_no_key_of_the_ca(served: Status, tmp_path: Path) -> None:
    """It answers without a passphrase and with the CA's key files taken away."""
    key = served.ca.home / "issuing" / "key.pem"
    aside = key.rename(tmp_path / "key.pem")
    try:
        body = served.by_get(served.good, nonce=b"x" * 8)[1]
    finally:
        aside.rename(key)
    status_of = library.load_der_ocsp_response(body).certificate_status
    assert status_of is library.OCSPCertStatus.GOOD


def test_health_says_that_all_is_well(served: Status) -> None:
    """For a probe."""
    response, body = served.ask("GET", "/healthz")
    assert (response.status, body) == (200, b'{"ok": true, "troubles": []}')


def test_what_is_due_is_made_meanwhile(tmp_path: Path) -> None:
    """`--make-due`: responder and list are made in processes of their own, and used at once."""
    ca = ServedCA(tmp_path)
    serial = ca.issue("anna@ours.example")
    ca.run("revoke", serial, "--reason", "superseded", "--yes")
    before = x509.load_der_x509_crl((ca.home / "issuing" / "crl.der").read_bytes())
    with ca.status("--make-due", "--passphrase-file", ca.secret) as url:
        served = Status(ca, url, [serial] * 3)

        def is_made() -> bool:
            listed = x509.load_der_x509_crl(served.ask("GET", "/crl/issuing.crl")[1])
            return listed != before and served.ask("GET", "/healthz")[0].status == 200

        wait_until(is_made, "a new list and a responder", seconds=120)
        answer = library.load_der_ocsp_response(served.by_get(serial)[1])
    assert answer.certificate_status is library.OCSPCertStatus.REVOKED

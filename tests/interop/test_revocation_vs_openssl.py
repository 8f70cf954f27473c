"""OCSP with OpenSSL's responder, and CRLs from a web server, over real connections."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from smimegw.x509 import ocsp
from smimegw.x509.revocation import RevocationResult, status
from tests.fakes.pki import CA, NOW, Issued, make_ca
from tests.fakes.ports import ListedEvents, SystemClock
from tests.interop.openssl import openssl
from tests.peers.revocation import ocsp_responder, source_for, web_server

ISSUER = make_ca("Responding CA")
GOOD = ISSUER.issue("good@ours.example", key="p256", slot="vs")
BAD = ISSUER.issue("bad@ours.example", key="p256", slot="vs")
STRANGER = ISSUER.issue("stranger@ours.example", key="p256", slot="vs")


def delegate(ca: CA = ISSUER, **options: Any) -> Issued:
    return ca.issue(
        None,
        **{
            "key": "rsa",
            "usage": "sign",
            "common_name": "Responder",
            "eku": [ExtendedKeyUsageOID.OCSP_SIGNING],
            "extensions": [(x509.OCSPNoCheck(), False)],
            **options,
        },
    )


def judged(issued: Issued, response: bytes | None, issuer: CA = ISSUER) -> RevocationResult:
    return status(
        issued.certificate,
        issuer.certificate,
        (),
        SystemClock().now(),
        0,
        ocsp_responses=[response] if response else [],
    )


def ask(port: int, *about: Issued) -> tuple[list[RevocationResult], ListedEvents]:
    events = ListedEvents()
    source = source_for(f"127.0.0.1:{port}", events=events)

    async def run() -> list[bytes | None]:
        urls = [f"http://127.0.0.1:{port}/"]
        return [await source.ocsp(i.certificate, ISSUER.certificate, urls) for i in about]

    answers = asyncio.run(run())
    return [judged(*pair) for pair in zip(about, answers, strict=True)], events


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    directory = tmp_path_factory.mktemp("ocsp")
    with ocsp_responder(directory, ISSUER, known=[GOOD], revoked=[BAD]) as at:
        yield at


def test_openssl_answers_our_questions(port: int) -> None:
    """Good, revoked with its reason, and unknown (RFC 6960, 2.2)."""
    results, events = ask(port, GOOD, BAD, STRANGER)
    assert [result.status for result in results] == ["good", "revoked", "unknown"]
    assert results[1].reason == "keyCompromise"
    (error,) = events.named("revocation.error")
    assert "does not know the certificate" in str(error["text"])


def test_openssl_answers_for_a_delegate(tmp_path: Path) -> None:
    """A responder that the CA appointed, RSA, with nextUpdate."""
    options = ["-nmin", "60"]
    with ocsp_responder(tmp_path, ISSUER, known=[GOOD], signer=delegate(), options=options) as port:
        (result,), _ = ask(port, GOOD)
    assert result.status == "good"
    assert result.next_update is not None


def made_by_openssl(directory: Path, *options: str, signer: Issued = ISSUER) -> bytes:
    """A response about GOOD without a network."""
    end = f"{NOW.replace(year=NOW.year + 1):%y%m%d%H%M%SZ}"
    serial = f"{GOOD.certificate.serial_number:X}"
    (directory / "index").write_text(f"V\t{end}\t\t{serial.zfill(40)}\tunknown\t/CN=x\n")
    (directory / "ca.pem").write_bytes(ISSUER.pem)
    (directory / "signer.pem").write_bytes(signer.pem)
    (directory / "signer.key").write_bytes(signer.key_pem)
    request = ocsp.request(GOOD.certificate, ISSUER.certificate)
    (directory / "request").write_bytes(request)
    answer = directory / "answer"
    command = ["ocsp", "-index", directory / "index", "-CA", directory / "ca.pem"]
    command += ["-rsigner", directory / "signer.pem", "-rkey", directory / "signer.key"]
    openssl(*command, "-reqin", directory / "request", "-respout", answer, *options)
    return answer.read_bytes()


@pytest.mark.parametrize("digest", ["sha256", "sha384", "sha512"])
def test_rsa_pss_is_verified(tmp_path: Path, digest: str) -> None:
    """RSASSA-PSS with a salt as long as the hash."""
    pss = ["-rsigopt", "rsa_padding_mode:pss", "-rsigopt", "rsa_pss_saltlen:digest"]
    der = made_by_openssl(tmp_path, "-rmd", digest, *pss, signer=delegate())
    assert judged(GOOD, der).status == "good"


@pytest.mark.parametrize("padding", [[], ["-rsigopt", "rsa_padding_mode:pss"]], ids=["v15", "pss"])
def test_sha1_is_refused(tmp_path: Path, padding: list[str]) -> None:
    """A weak hash proves nothing."""
    der = made_by_openssl(tmp_path, "-rmd", "sha1", *padding, signer=delegate())
    assert judged(GOOD, der).status == "unknown"


def test_openssl_reads_our_question() -> None:
    """RFC 6960, 4.1: certID, nonce."""
    der = ocsp.request(GOOD.certificate, ISSUER.certificate, b"\x01" * 32)
    text = openssl("ocsp", "-reqin", "/dev/stdin", "-req_text", "-noverify", stdin=der).decode()
    serial_number = GOOD.certificate.serial_number
    octets = serial_number.to_bytes(serial_number.bit_length() // 8 + 1)  # may begin with 00 or 0A
    assert octets.hex().lstrip("0") in text.lower().partition("serial number: ")[2]
    assert "OCSP Nonce" in text


def test_list_made_by_openssl_is_fetched(tmp_path: Path) -> None:
    """`openssl ca -gencrl` behind a web server."""
    (tmp_path / "ca.pem").write_bytes(ISSUER.pem)
    (tmp_path / "ca.key").write_bytes(ISSUER.key_pem)
    (tmp_path / "index").write_text("")
    (tmp_path / "ca.cnf").write_text(
        "[ca]\ndefault_ca = d\n[d]\ndatabase = " + str(tmp_path / "index") + "\n"
    )
    pem = openssl(
        *("ca", "-gencrl", "-config", tmp_path / "ca.cnf", "-cert", tmp_path / "ca.pem"),
        *("-keyfile", tmp_path / "ca.key", "-md", "sha256", "-crldays", "1"),
    )
    der = openssl("crl", "-outform", "DER", stdin=pem)
    with web_server({"/ca.crl": der}) as web:
        source = source_for(web.rule)
        crls = asyncio.run(source.crls([web.url("/ca.crl")], ISSUER.certificate))
    assert crls == (der,)
    now = SystemClock().now()
    assert status(GOOD.certificate, ISSUER.certificate, crls, now, 0).status == "good"

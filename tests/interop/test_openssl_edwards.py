"""Ed25519 and Ed448: openssl's keys and asn1crypto's structures against ours, both ways (RFC 8419).

`openssl cms` of OpenSSL 3.0 knows neither, so what it lacks is put together here: asn1crypto takes
SignedData apart and builds it, `openssl pkeyutl` signs and verifies, `hashlib` digests.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from asn1crypto import cms, core, x509

from smimegw.cms.algorithms import DigestAlgorithm, digest_for, signature_scheme_for
from smimegw.cms.keys import SigningCredential, SoftwareSigningKey
from smimegw.cms.signed_data import (
    CheckedSignature,
    parse_signed_data,
    sign_opaque,
    verify_signer_info,
)
from smimegw.errors import SignatureError
from tests.fakes.pki import NOW, Issued, make_ca
from tests.interop.openssl import Files, openssl, refusal

CONTENT = b"Content-Type: text/plain\r\n\r\n" + bytes(range(256)) * 16 + b"\r\n"
KINDS = ["ed25519", "ed448"]
OIDS = {"ed25519": "1.3.101.112", "ed448": "1.3.101.113"}


@dataclass(frozen=True)
class Bench:
    """A directory with one person's files."""

    kind: str
    directory: Path
    issued: Issued
    files: Files

    def keep(self, name: str, octets: bytes) -> Path:
        path = self.directory / name
        path.write_bytes(octets)
        return path

    def digest(self, octets: bytes) -> bytes:
        if self.kind == "ed448":
            return hashlib.shake_256(octets).digest(64)
        return hashlib.sha512(octets).digest()

    def digest_identifier(self) -> core.Asn1Value:
        if self.kind == "ed448":
            return _identifier("2.16.840.1.101.3.4.2.18", core.Integer(512))
        return _identifier("2.16.840.1.101.3.4.2.3")


@pytest.fixture(params=KINDS)
def bench(request: pytest.FixtureRequest, tmp_path: Path) -> Bench:
    issued = make_ca("Edwards CA").issue("alice@ours.example", key=request.param, usage="sign")
    return Bench(request.param, tmp_path, issued, Files.of(issued, tmp_path, "alice"))


class _Identifier(core.Sequence):
    """AlgorithmIdentifier without asn1crypto's table of known ones."""

    _fields: ClassVar = [
        ("algorithm", core.ObjectIdentifier),
        ("parameters", core.Any, {"optional": True}),
    ]


class _SignerInfo(core.Sequence):
    """SignerInfo likewise."""

    _fields: ClassVar = [
        ("version", core.Integer),
        ("sid", cms.SignerIdentifier),
        ("digest_algorithm", _Identifier),
        ("signed_attrs", cms.CMSAttributes, {"implicit": 0, "optional": True}),
        ("signature_algorithm", _Identifier),
        ("signature", core.OctetString),
    ]


class _SignerInfos(core.SetOf):
    _child_spec = _SignerInfo


class _Identifiers(core.SetOf):
    _child_spec = _Identifier


class _SignedData(core.Sequence):
    _fields: ClassVar = [
        ("version", core.Integer),
        ("digest_algorithms", _Identifiers),
        ("encap_content_info", cms.ContentInfo),
        ("certificates", cms.CertificateSet, {"implicit": 0, "optional": True}),
        ("signer_infos", _SignerInfos),
    ]


class _ContentInfo(core.Sequence):
    _fields: ClassVar = [
        ("content_type", core.ObjectIdentifier),
        ("content", _SignedData, {"explicit": 0}),
    ]


def _identifier(oid: str, parameters: core.Asn1Value | None = None) -> _Identifier:
    value = {"algorithm": oid}
    return _Identifier(value if parameters is None else {**value, "parameters": parameters})


def _assembled(bench: Bench, *, with_attributes: bool) -> bytes:
    certificate = x509.Certificate.load(bench.issued.certificate.der)
    choice = cms.CertificateChoices("certificate", certificate)
    attributes = cms.CMSAttributes(
        [
            cms.CMSAttribute({"type": "content_type", "values": ["data"]}),
            cms.CMSAttribute({"type": "message_digest", "values": [bench.digest(CONTENT)]}),
        ]
    )
    signed = attributes.dump() if with_attributes else CONTENT
    signature = openssl(
        *("pkeyutl", "-sign", "-rawin", "-inkey", bench.files.key),
        *("-in", bench.keep("signed", signed)),
    )
    name = cms.IssuerAndSerialNumber(
        {"issuer": certificate.issuer, "serial_number": certificate.serial_number}
    )
    fields = {
        "version": 1,
        "sid": cms.SignerIdentifier("issuer_and_serial_number", name),
        "digest_algorithm": bench.digest_identifier(),
        "signature_algorithm": _identifier(OIDS[bench.kind]),
        "signature": signature,
    }
    if with_attributes:
        fields["signed_attrs"] = attributes
    signed_data = _SignedData(
        {
            "version": 1,
            "digest_algorithms": _Identifiers([bench.digest_identifier()]),
            "encap_content_info": cms.ContentInfo({"content_type": "data"}),
            "certificates": cms.CertificateSet([choice]),
            "signer_infos": _SignerInfos([_SignerInfo(fields)]),
        }
    )
    info = _ContentInfo({"content_type": "1.2.840.113549.1.7.2", "content": signed_data})
    return bytes(info.dump())


def _checked(octets: bytes, content: bytes) -> CheckedSignature:
    signed_data = parse_signed_data(octets)
    return verify_signer_info(signed_data, signed_data.signer_infos[0], (content,))


@pytest.mark.parametrize("with_attributes", [True, False])
def test_signatures_by_openssl_verify(bench: Bench, with_attributes: bool) -> None:
    """With and without signed attributes (RFC 8419, 3.1 and 3.2)."""
    octets = _assembled(bench, with_attributes=with_attributes)
    checked = _checked(octets, CONTENT)
    assert checked.scheme.value == bench.kind
    assert checked.certificate == bench.issued.certificate
    with pytest.raises(SignatureError):
        _checked(octets, CONTENT + b"\r\n")


def test_openssl_verifies_our_signatures(bench: Bench) -> None:
    """The SET OF Attribute in DER is what was signed; the digests are those of the RFC."""
    scheme = signature_scheme_for(bench.issued.certificate)
    octets = sign_opaque(
        CONTENT,
        digest_algorithm=digest_for(scheme, DigestAlgorithm.SHA256),
        credential=SigningCredential(
            bench.issued.certificate, bench.issued.chain, SoftwareSigningKey(bench.issued.key)
        ),
        scheme=scheme,
        signing_time=NOW,
        capabilities=None,  # asn1crypto does not know how they look
    ).whole()
    signed_data = _ContentInfo.load(octets, strict=True)["content"]
    (info,) = signed_data["signer_infos"]
    assert signed_data["encap_content_info"]["content"].native == CONTENT
    assert info["digest_algorithm"].dump() == bench.digest_identifier().dump()
    assert info["signature_algorithm"].dump() == _identifier(OIDS[bench.kind]).dump()
    values = {item["type"].native: item["values"].native[0] for item in info["signed_attrs"]}
    assert values["message_digest"] == bench.digest(CONTENT)
    signed = bench.keep("signed", info["signed_attrs"].untag().dump())
    signature = bench.keep("signature", info["signature"].native)
    command = ("pkeyutl", "-verify", "-rawin", "-certin", "-inkey", bench.files.certificate)
    openssl(*command, "-in", signed, "-sigfile", signature)
    refusal(*command, "-in", bench.keep("other", CONTENT), "-sigfile", signature)

"""Fuzz targets in what sources of certificates send: DNS messages, files, lists."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from smimegw.adapters.dns.resolver import RECORDS, ValidatingResolver
from smimegw.adapters.dns.smimea import owner_name
from smimegw.addresses import Mailbox
from smimegw.cli.certificate_files import contents_of
from smimegw.cli.certificate_lists import offers_in
from smimegw.errors import DirectoryError
from tests.fakes.pki import make_ca
from tests.fuzz.cms_targets import TAGS
from tests.fuzz.target import Target

ROOT = make_ca("Fuzz Root", key="p256")
BOB = ROOT.issue("bob@partner.example", key="p256", slot="f")
_NAME = f"{owner_name(Mailbox.parse('bob@partner.example'))}."
_QUESTION = dns.message.make_query(_NAME, "SMIMEA", use_edns=0, id=4711)
_RESOLVER = ValidatingResolver("127.0.0.1", 53)


def read_dns(octets: bytes) -> None:
    """Few records, all of the type that was asked for."""
    answer = _RESOLVER.read(_QUESTION, octets)
    assert len(answer.records) <= RECORDS
    assert all(record.rdtype == _QUESTION.question[0].rdtype for record in answer.records)


def _dns_seeds() -> Sequence[bytes]:
    answer = dns.message.make_response(_QUESTION)
    answer.flags |= dns.flags.AD
    none = answer.to_wire()
    value = f"3 0 0 {BOB.certificate.der.hex()}"
    answer.answer.append(dns.rrset.from_text(_NAME, 300, "IN", "CNAME", "a.example."))
    answer.answer.append(dns.rrset.from_text("a.example.", 300, "IN", "SMIMEA", value))
    return none, answer.to_wire()


def read_file(octets: bytes) -> None:
    """Certificates or flaws, never nothing."""
    contents = contents_of(octets, b"secret")
    assert contents.certificates or contents.flaws or contents.remark


def _file_seeds() -> Sequence[bytes]:
    certificates = [BOB.certificate.parsed, ROOT.certificate.parsed]
    return (
        BOB.certificate.der,
        BOB.pem,
        base64.b64encode(BOB.certificate.der),
        *(
            pkcs7.serialize_certificates(certificates, form)
            for form in (Encoding.DER, Encoding.PEM)
        ),
    )


def _read_list(octets: bytes, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(octets)
        for offer in offers_in(path, None):
            assert offer.place.startswith(str(path))


def read_csv(octets: bytes) -> None:
    """Each line is an offer, good or bad."""
    _read_list(octets, "list.csv")


def read_ldif(octets: bytes) -> None:
    """Each value of a certificate attribute is an offer."""
    _read_list(octets, "list.ldif")


def _csv_seeds() -> Sequence[bytes]:
    value = base64.b64encode(BOB.certificate.der)
    return b"address,certificate\r\nbob@partner.example," + value, b'"b";"missing.cer"\n'


def _ldif_seeds() -> Sequence[bytes]:
    value = base64.b64encode(BOB.certificate.der)
    head = b"version: 1\n\ndn: cn=Bob\nmail: bob@partner.example\n"
    return head + b"userCertificate;binary:: " + value[:60] + b"\n " + value[60:] + b"\n", head


TARGETS = (
    Target("dns-reply", read_dns, (DirectoryError,), _dns_seeds, (b"\xc0\x0c", b"\0\x35", b"\0\5")),
    Target("certificate-file", read_file, (), _file_seeds, TAGS),
    Target("certificate-csv", read_csv, (), _csv_seeds, (b",", b";", b'"', b"\r\n", b"MII")),
    Target("certificate-ldif", read_ldif, (), _ldif_seeds, (b"\n ", b":: ", b":< ", b"mail:")),
)

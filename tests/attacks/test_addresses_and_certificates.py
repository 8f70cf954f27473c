"""Forged senders, poisoned names and certificates made to keep the validator busy."""

from __future__ import annotations

import itertools
import subprocess
from datetime import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from smimegw.address_lists import parse_mailboxes, sole_mailbox
from smimegw.addresses import Mailbox
from smimegw.errors import AddressError, CertificateError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.x509 import search
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.match import matches
from smimegw.x509.path import Purpose, validate
from tests.fakes.pki import NOW, SERVER_AUTH, make_ca, private_key, raw_rfc822

ADMIN = Mailbox("admin", "legit.example")
ATTACKER = Mailbox("eve", "evil.example")

# Every From that is known to show one address to a person and another to a checker.
SPOOFED = [
    [b"admin@legit.example", b"eve@evil.example"],
    [b"eve@evil.example", b"admin@legit.example"],
    [b"admin@legit.example, eve@evil.example"],
    [b"eve@evil.example, admin@legit.example"],
    [b"<admin@legit.example>, <eve@evil.example>"],
    [b"admin@legit.example,,eve@evil.example"],
    [b"admin@legit.example <eve@evil.example>"],
    [b"<admin@legit.example> <eve@evil.example>"],
    [b"<admin@legit.example><eve@evil.example>"],
    [b"<eve@evil.example>admin@legit.example"],
    [b"admin@legit.example<eve@evil.example>"],
    [b"<<admin@legit.example>eve@evil.example>"],
    [b"<admin@legit.example(eve@evil.example)>"],
    [b"<admin(x)@legit.example>"],
    [b"admin@legit.example(@evil.example"],
    [b"admin@(legit.example)evil.example"],
    [b"(<eve@evil.example>)admin@legit.example(<eve@evil.example>"],
    [b"<@evil.example:admin@legit.example>"],
    [b"<@evil.example,@more.example:admin@legit.example>"],
    [b"<admin@legit.example:eve@evil.example>"],
    [b"Group: admin@legit.example;"],
    [b"Group: admin@legit.example, eve@evil.example;"],
    [b"undisclosed-recipients:;"],
    [b""],
    [b" "],
    [b"<>"],
    [b"admin"],
    [b"admin@legit.example\0eve@evil.example"],
    [b"<admin@legit.example\0@evil.example>"],
    [b"admin@legit.example\\,eve@evil.example"],
    [b"<admin@legit.example\\>@evil.example>"],
    [b'"admin@legit.example'],
    [b'"admin@legit.example\\"<eve@evil.example>'],
    [b"=?utf-8?q?admin=40legit.example?="],
    [b"=?utf-8?q?=3Cadmin=40legit.example=3E?=@evil.example"],
    [b"=?utf-8?b?YWRtaW5AbGVnaXQuZXhhbXBsZQ==?=@evil.example"],
    [b"admin@legit.example\r\nFrom: eve@evil.example"],
    [b"admin@legit.example\neve@evil.example"],
    [b"admin@legit.example\xe2\x80\xae@evil.example"],
    [b"admin@legit.example\xff"],
    [b"admin @legit.example"],
    [b"admin@legit.example;eve@evil.example"],
]


@pytest.mark.parametrize("bodies", SPOOFED, ids=[repr(bodies) for bodies in SPOOFED])
def test_spoofed_from_has_no_mailbox(bodies: list[bytes]) -> None:
    """What reads differently in two programs gives no mailbox to compare (cases I07)."""
    with pytest.raises(AddressError):
        sole_mailbox(bodies)


@pytest.mark.parametrize(
    "body",
    [
        b'"admin@legit.example" <eve@evil.example>',
        b'"admin@legit.example <admin@legit.example>" <eve@evil.example>',
        b"=?utf-8?q?admin=40legit=2Eexample?= <eve@evil.example>",
        b"(admin@legit.example) eve@evil.example",
        b"eve@evil.example (admin@legit.example)",
        b"Admin <eve@evil.example> (<admin@legit.example>)",
    ],
)
def test_address_shown_beside_the_real_one_never_is_the_mailbox(body: bytes) -> None:
    """The quoted name is only a name, the mailbox is eve's (cases I05, I07)."""
    assert sole_mailbox([body]).mailbox == ATTACKER


@pytest.mark.parametrize("bracket", ["(", "<", '"', "[", ",", ";", ":", "=?", "\\", "(a)", "a:"])
def test_kilobytes_of_brackets_are_refused_without_recursion(bracket: str) -> None:
    """5 KB of ``(`` end in a RecursionError elsewhere; a megabyte is not even looked at."""
    for count in (5_000, 40_000, 1_000_000):
        with pytest.raises(AddressError):
            sole_mailbox([(bracket * count).encode()])


def test_deep_but_balanced_comments_are_a_comment() -> None:
    """Nesting is counted, not recursed."""
    value = "(" * 20_000 + ")" * 20_000 + " eve@evil.example"
    assert parse_mailboxes(value)[0].mailbox == ATTACKER


@pytest.mark.parametrize(
    "name",
    [
        "admin@legit.example\0.evil.example",
        "admin@legit.example\0",
        "\0admin@legit.example",
        "admin\0@legit.example",
        "admin@legit.example\r\n",
        "admin@legit.example\x1f",
        "admin@legit.example\x7f",
        "admin@legit.example ",
        " admin@legit.example",
        "ad min@legit.example",
        "admin@legit.example\t",
        "ädmin@legit.example",
        "\u0430dmin@legit.example",
        "admin@legit.example\u200b",
    ],
)
def test_poisoned_name_voids_the_certificate(name: str) -> None:
    """NUL, control characters, spaces and 8-bit in an rfc822Name (cases F28)."""
    authority = make_ca("Poison")
    with pytest.raises(CertificateError) as caught:
        authority.issue(san=[raw_rfc822("eve@evil.example"), raw_rfc822(name)], key="p256")
    assert caught.value.reason == "void"


def test_internationalised_look_alike_does_not_match() -> None:
    """A Cyrillic a is another letter, as U-label and as A-label (T-08)."""
    certificate = make_ca("Homograph").issue("admin@xn--legt-vqa.example", key="p256").certificate
    assert not matches(certificate, ADMIN)
    assert not matches(certificate, Mailbox.parse("admin@l\u0435git.example"))


def validation_refusal(certificate: Certificate, evidence: Evidence, now: datetime = NOW) -> str:
    with pytest.raises(CertificateError) as caught:
        validate(certificate, evidence, purpose=Purpose.SIGNATURE, mailbox=None, now=now)
    return caught.value.reason


@pytest.fixture
def signature_checks(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """One item for every signature that the search checks."""
    checks: list[object] = []
    original = search._is_issued_by

    def counted(*arguments: object) -> bool:
        checks.append(arguments)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(search, "_is_issued_by", counted)
    return checks


def test_a_thousand_cross_signed_authorities_end_in_the_budget(
    signature_checks: list[object],
) -> None:
    """Everyone certifies everyone, nobody is trusted: work is counted, not timed (cases H03)."""
    authorities = [make_ca(f"Cycle {number}", slot="cycle") for number in range(32)]
    crossed = [
        make_ca(f"Cycle {below}", parent=authorities[above], slot="cycle").certificate
        for below, above in itertools.permutations(range(32), 2)
    ]
    assert len(crossed) >= 990
    anchor = make_ca("Cycle Root")
    leaf = authorities[0].issue("eve@evil.example", key="p256").certificate
    evidence = Evidence(trust_anchors=(anchor.certificate,), intermediates=tuple(crossed))
    assert validation_refusal(leaf, evidence) == "limits"
    assert len(signature_checks) <= DEFAULT_LIMITS.path_signatures


def test_a_thousand_namesakes_end_in_the_budget(signature_checks: list[object]) -> None:
    """The same name and key identifier a thousand times, and no signature fits (cases H03)."""
    real = make_ca("Namesake")
    fakes = [
        make_ca("Namesake", key=private_key("p256", f"namesake {number % 16}")).certificate
        for number in range(1_000)
    ]
    leaf = real.issue("eve@evil.example", key="p256").certificate
    evidence = Evidence(
        trust_anchors=(make_ca("Elsewhere").certificate,), intermediates=tuple(fakes)
    )
    assert validation_refusal(leaf, evidence) == "limits"
    assert len(signature_checks) <= DEFAULT_LIMITS.path_signatures


def test_decoys_do_not_hide_the_trusted_path() -> None:
    """The administrator's anchors are looked at first, whatever a message brings along."""
    real = make_ca("Decoyed")
    fakes = [
        make_ca("Decoyed", key=private_key("p256", f"decoy {number % 16}")).certificate
        for number in range(200)
    ]
    leaf = real.issue("admin@legit.example", key="p256").certificate
    evidence = Evidence(
        trust_anchors=(real.certificate,), intermediates=tuple(fakes), crls=(real.crl(),)
    )
    proof = validate(leaf, evidence, purpose=Purpose.SIGNATURE, mailbox=ADMIN, now=NOW)
    assert proof.path == (leaf, real.certificate)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"eku": [SERVER_AUTH]}, "extended-key-usage"),
        ({"usage": "encrypt"}, "key-usage"),
        ({"usage": "ca"}, "key-usage"),
    ],
)
def test_certificate_for_something_else_does_not_sign_mail(
    how: dict[str, object], reason: str
) -> None:
    """Web server, encryption only, CA (cases I19)."""
    authority = make_ca("Usage")
    certificate = authority.issue("admin@legit.example", key="p256", **how).certificate  # type: ignore[arg-type]
    evidence = Evidence(trust_anchors=(authority.certificate,), crls=(authority.crl(),))
    assert validation_refusal(certificate, evidence) == reason


def test_certificate_with_257_addresses_is_refused_and_with_117_evaluated() -> None:
    """Comparing must stay cheap; GnuPG's sample has 117 (cases I24)."""
    authority = make_ca("Crowd")
    names = [raw_rfc822(f"user{number}@legit.example") for number in range(256)]
    evidence = Evidence(trust_anchors=(authority.certificate,), crls=(authority.crl(),))
    certificate = authority.issue(san=[*names[:116], raw_rfc822(ADMIN.address)], key="p256")
    proof = validate(
        certificate.certificate, evidence, purpose=Purpose.SIGNATURE, mailbox=ADMIN, now=NOW
    )
    assert proof.mailbox == ADMIN
    with pytest.raises(CertificateError) as caught:
        authority.issue(san=[*names, raw_rfc822(ADMIN.address)], key="p256")
    assert caught.value.reason == "limits"


def test_confined_authority_cannot_speak_for_others() -> None:
    """Name constraints hold for both kinds of addresses (T-29)."""
    root = make_ca("Confining")
    confined = make_ca("Confined", parent=root, permitted=[raw_rfc822("evil.example")])
    evidence = Evidence(
        trust_anchors=(root.certificate,),
        intermediates=(confined.certificate,),
        crls=(root.crl(), confined.crl()),
    )
    for address in ("admin@legit.example", "ädmin@legit.example"):
        forged = confined.issue(address, key="p256").certificate
        assert validation_refusal(forged, evidence) == "path"


def test_sha1_signature_of_an_authority_is_refused(tmp_path: Path) -> None:
    """SHA-1 collisions are affordable (R-08); openssl still makes such certificates."""
    authority = make_ca("SHA-1", key="rsa", slot="sha1")
    key_file, ca_file = tmp_path / "ca.key", tmp_path / "ca.pem"
    key_file.write_bytes(authority.key_pem)
    ca_file.write_bytes(authority.pem)
    (tmp_path / "user.key").write_bytes(authority.issue(key="p256").key_pem)
    (tmp_path / "ext").write_text(
        "subjectAltName=email:admin@legit.example\nextendedKeyUsage=emailProtection\n"
        "keyUsage=digitalSignature\n"
    )
    run = ["openssl", "req", "-new", "-key", "user.key", "-subj", "/CN=admin", "-out", "csr"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    run = ["openssl", "x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-sha1"]
    run += ["-extfile", "ext", "-outform", "DER", "-out", "user.der"]
    subprocess.run(run, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    certificate = Certificate.parse((tmp_path / "user.der").read_bytes())
    evidence = Evidence(trust_anchors=(authority.certificate,), crls=(authority.crl(),))
    assert validation_refusal(certificate, evidence, certificate.not_before) == "weak-signature"


def test_certificates_do_not_show_their_octets_in_texts() -> None:
    """Errors and representations end in logs."""
    certificate = make_ca("Quiet").certificate
    spki = certificate.parsed.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert spki.hex() not in repr(certificate)
    assert repr(spki) not in repr(certificate)
    assert len(repr(certificate)) < 300


@pytest.mark.parametrize("curve", ["prime256v1", "prime192v1"])
@pytest.mark.parametrize("purpose", list(Purpose))
def test_key_with_explicit_parameters_is_refused(
    curve: str, purpose: Purpose, tmp_path: Path
) -> None:
    """A curve is named, never described: who describes it chooses the base point (cases H14)."""
    authority = make_ca("Explicit", key="p256")
    (tmp_path / "ca.key").write_bytes(authority.key_pem)
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    (tmp_path / "ext").write_text(
        "subjectAltName=email:admin@legit.example\nextendedKeyUsage=emailProtection\n"
        "keyUsage=digitalSignature,keyAgreement\n"
    )
    evidence = Evidence(trust_anchors=(authority.certificate,), crls=(authority.crl(),))
    for form in ("named_curve", "explicit"):
        certificate = _with_curve(curve, form, tmp_path)
        now = certificate.not_before
        if (curve, form) == ("prime256v1", "named_curve"):
            validate(certificate, evidence, purpose=purpose, mailbox=ADMIN, now=now)
            continue
        with pytest.raises(CertificateError) as caught:
            validate(certificate, evidence, purpose=purpose, mailbox=ADMIN, now=now)
        assert caught.value.reason == "weak-key"


def _with_curve(curve: str, form: str, folder: Path) -> Certificate:
    """A certificate that openssl makes; *form* is that of the parameters."""
    for run in (
        ["openssl", "ecparam", "-name", curve, "-param_enc", form, "-genkey", "-out", "user.key"],
        ["openssl", "req", "-new", "-key", "user.key", "-subj", "/CN=admin", "-out", "csr"],
        ["openssl", "x509", "-req", "-in", "csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-extfile",
         "ext", "-outform", "DER", "-out", "user.der", "-sha256", "-days", "9"],
    ):  # fmt: skip
        subprocess.run(run, cwd=folder, check=True, capture_output=True, timeout=60)
    return Certificate.parse((folder / "user.der").read_bytes())

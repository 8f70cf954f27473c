"""`openssl verify` as a second opinion on good and broken paths."""

from __future__ import annotations

import base64
import re
import subprocess
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cryptography import x509

from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, validate
from tests.fakes.pki import (
    CA,
    DAY,
    FUTURE,
    NOW,
    PAST,
    SERVER_AUTH,
    Issued,
    make_ca,
    private_key,
    raw_rfc822,
)

ROOT = make_ca("Interop Root", key="rsa")
ISSUING = make_ca("Interop CA", parent=ROOT, path_length=0)
GOOD = ISSUING.issue("alice@ours.example")
CONFINED = make_ca("Confined", parent=ROOT, permitted=[raw_rfc822("ours.example")])
DOMAIN = make_ca("Domain", parent=ROOT, permitted=[raw_rfc822(".ours.example")])
BARRED = make_ca("Barred", parent=ROOT, excluded=[raw_rfc822("ours.example")])
IDN = make_ca("IDN", parent=ROOT, permitted=[raw_rfc822("xn--bcher-kva.example")])
CRITICAL = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One path and both programs' expected verdict on it: "" for accepted, or our reason."""

    name: str
    issued: Issued
    reason: str = ""
    between: tuple[CA, ...] = (ISSUING,)
    anchor: CA = ROOT
    purpose: Purpose = Purpose.SIGNATURE
    mailbox: str = ""
    crls: tuple[bytes, ...] | None = None
    options: tuple[str, ...] = field(default=())


def crls_of(*authorities: CA) -> tuple[bytes, ...]:
    return tuple(authority.crl() for authority in authorities)


def through(authority: CA, name: str, reason: str = "", **how: object) -> Scenario:
    issued = authority.issue("alice@ours.example", key="p256", slot="interop")
    return Scenario(name=name, issued=issued, reason=reason, between=(authority,), **how)  # type: ignore[arg-type]


def direct(name: str, reason: str = "", **how: object) -> Scenario:
    """An end-entity with one property of its own, below ISSUING."""
    scenario = {key: how.pop(key) for key in ("purpose", "mailbox", "options") if key in how}
    return Scenario(name=name, issued=ISSUING.issue(**how), reason=reason, **scenario)  # type: ignore[arg-type]


SCENARIOS = [
    direct("good signature"),
    direct("good encryption", purpose=Purpose.ENCRYPTION),
    direct("good P-256", key="p256"),
    direct("good P-521", key="p521"),
    direct("no key usage", usage=None),
    direct("no extended key usage", eku=None),
    direct("right address", mailbox="alice@ours.example"),
    direct("wrong address", "address-mismatch", mailbox="bob@ours.example"),
    direct("expired", "expired", not_after=PAST),
    direct("not yet valid", "not-yet-valid", not_before=FUTURE),
    direct("web server", "extended-key-usage", eku=[SERVER_AUTH]),
    direct("encryption key signs", "key-usage", usage="encrypt"),
    direct("signature key encrypts", "key-usage", usage="sign", purpose=Purpose.ENCRYPTION),
    direct("unknown critical extension", "path", extensions=[(CRITICAL, True)]),
    direct("short key", "weak-key", key="rsa1024", options=("-auth_level", "2")),
    Scenario(name="unknown root", issued=GOOD, reason="untrusted-ca", anchor=make_ca("Unknown")),
    Scenario(name="missing intermediate", issued=GOOD, reason="untrusted-ca", between=()),
    Scenario(
        name="forged signature",
        issued=make_ca("Interop CA", slot="forged").issue("alice@ours.example", key="p256"),
        reason="untrusted-ca",
    ),
    through(make_ca("Old", parent=ROOT, not_after=PAST), "expired intermediate", "expired"),
    through(make_ca("Not CA", parent=ROOT, ca=False), "intermediate is no CA", "path"),
    through(make_ca("No sign", parent=ROOT, usage="sign"), "no keyCertSign", "path"),
    through(make_ca("Web", parent=ROOT, eku=[SERVER_AUTH]), "CA for web", "extended-key-usage"),
    through(CONFINED, "permitted address"),
    through(DOMAIN, "host is not below the domain", "path"),
    through(BARRED, "excluded address", "path"),
    Scenario(
        name="address outside the permitted names",
        issued=CONFINED.issue("alice@other.example", key="p256"),
        reason="path",
        between=(CONFINED,),
    ),
    Scenario(
        name="permitted internationalised domain",
        issued=IDN.issue("alice@xn--bcher-kva.example", key="p256"),
        between=(IDN,),
    ),
    Scenario(
        name="path too long",
        issued=make_ca("Deep", parent=ISSUING).issue("alice@ours.example", key="p256"),
        reason="path",
        between=(ISSUING, make_ca("Deep", parent=ISSUING)),
    ),
    Scenario(
        name="revoked",
        issued=GOOD,
        reason="revoked",
        crls=(*crls_of(ROOT), ISSUING.crl([GOOD])),
    ),
    Scenario(
        name="on hold",
        issued=GOOD,
        reason="revoked",
        crls=(*crls_of(ROOT), ISSUING.crl([GOOD], reason=x509.ReasonFlags.certificate_hold)),
    ),
    Scenario(
        name="intermediate revoked",
        issued=GOOD,
        reason="revoked",
        crls=(ROOT.crl([ISSUING]), *crls_of(ISSUING)),
    ),
    Scenario(name="no CRL", issued=GOOD, reason="revocation-unknown", crls=()),
    Scenario(
        name="CRL of the root missing",
        issued=GOOD,
        reason="revocation-unknown",
        crls=crls_of(ISSUING),
    ),
    Scenario(
        name="CRL with another key",
        issued=GOOD,
        reason="revocation-unknown",
        crls=(*crls_of(ROOT), ISSUING.crl(key=private_key("p256", "forger"))),
    ),
    Scenario(
        name="CRL out of date",
        issued=GOOD,
        reason="revocation-unknown",
        crls=(*crls_of(ROOT), ISSUING.crl(this_update=NOW - 9 * DAY, next_update=NOW - DAY)),
    ),
    Scenario(
        name="CRL from the future",
        issued=GOOD,
        reason="revocation-unknown",
        crls=(*crls_of(ROOT), ISSUING.crl(this_update=NOW + DAY)),
    ),
]


# X509_V_ERR_… of openssl/x509_vfy.h that mean the same as our word.
OPENSSL_ERRORS = {
    "untrusted-ca": {20},
    "expired": {10},
    "not-yet-valid": {9},
    "revoked": {23},
    "revocation-unknown": {3, 8, 11, 12},  # no CRL, its signature, not yet valid, expired
    "key-usage": {26},
    "extended-key-usage": {26},
    "address-mismatch": {63},
    "weak-key": {66},
    "path": {25, 34, 47, 48, 79},  # length, critical extension, permitted, excluded, no CA
}


def crls_used(scenario: Scenario) -> tuple[bytes, ...]:
    if scenario.crls is not None:
        return scenario.crls
    return crls_of(scenario.anchor, *scenario.between)


def pem(octets: bytes, label: str) -> str:
    lines = "\n".join(textwrap.wrap(base64.b64encode(octets).decode(), 64))
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n"


def openssl_errors(scenario: Scenario, directory: Path) -> set[int]:
    def write(name: str, certificates: list[Certificate]) -> str:
        text = "".join(pem(certificate.der, "CERTIFICATE") for certificate in certificates)
        (directory / name).write_text(text)
        return name

    purpose = "smimesign" if scenario.purpose is Purpose.SIGNATURE else "smimeencrypt"
    command = ["openssl", "verify", "-no-CApath", "-no-CAstore", "-purpose", purpose]
    command += ["-CAfile", write("anchor.pem", [scenario.anchor.certificate])]
    command += ["-attime", str(int(NOW.timestamp())), "-crl_check_all", *scenario.options]
    if scenario.between:
        command += ["-untrusted", write("ca.pem", [ca.certificate for ca in scenario.between])]
    if crls := crls_used(scenario):
        (directory / "crls.pem").write_text("".join(pem(crl, "X509 CRL") for crl in crls))
        command += ["-CRLfile", "crls.pem"]
    if scenario.mailbox:
        command += ["-verify_email", scenario.mailbox]
    command.append(write("leaf.pem", [scenario.issued.certificate]))
    done = subprocess.run(
        command, cwd=directory, capture_output=True, text=True, timeout=60, check=False
    )
    errors = {int(number) for number in re.findall(r"^error (\d+) at", done.stderr, re.MULTILINE)}
    assert bool(errors) is (done.returncode != 0), done.stderr
    return errors


def our_reason(scenario: Scenario) -> str:
    evidence = Evidence(
        trust_anchors=(scenario.anchor.certificate,),
        intermediates=tuple(authority.certificate for authority in scenario.between),
        crls=crls_used(scenario),
        crl_grace_seconds=0,
    )
    mailbox = Mailbox.parse(scenario.mailbox) if scenario.mailbox else None
    try:
        validate(
            scenario.issued.certificate,
            evidence,
            purpose=scenario.purpose,
            mailbox=mailbox,
            now=NOW,
        )
    except CertificateError as exc:
        return exc.reason
    return ""


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[scenario.name for scenario in SCENARIOS])
def test_openssl_and_we_agree(scenario: Scenario, tmp_path: Path) -> None:
    """RFC 5280 read by two programs; and our reason is the one for this defect."""
    assert our_reason(scenario) == scenario.reason
    errors = openssl_errors(scenario, tmp_path)
    if scenario.reason:
        assert errors & OPENSSL_ERRORS[scenario.reason]
    else:
        assert not errors

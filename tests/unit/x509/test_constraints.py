"""Name constraints for mailboxes."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography import x509

from smimegw.errors import CertificateError
from smimegw.limits import DEFAULT_LIMITS
from smimegw.x509.constraints import check_constraints
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, validate
from tests.fakes.pki import CA, NOW, directory_name, make_ca, raw_rfc822

ROOT = make_ca("Constraint Root")


def accepted(authority: CA, address: str) -> bool:
    """The verdict of the whole judgement."""
    issued = authority.issue(address, key="p256", slot="constraints")
    evidence = Evidence(
        trust_anchors=(authority.own_chain[-1],),
        intermediates=(authority.certificate,),
        require_revocation=False,
    )
    try:
        validate(issued.certificate, evidence, purpose=Purpose.SIGNATURE, mailbox=None, now=NOW)
    except CertificateError as exc:
        if exc.reason != "path":
            raise
        return False
    return True


CASES = [
    ("ours.example", "alice@ours.example", True),
    ("ours.example", "alice@OURS.example", True),
    ("OURS.example", "alice@ours.example", True),
    ("ours.example", "alice@sub.ours.example", False),
    ("ours.example", "alice@notours.example", False),
    ("ours.example", "alice@ours.example.evil", False),
    (".ours.example", "alice@sub.ours.example", True),
    (".ours.example", "alice@ours.example", False),
    ("alice@ours.example", "alice@ours.example", True),
    ("alice@ours.example", "bob@ours.example", False),
    ("ours.example", '"@ours.example"@evil.example', False),
    ("ours.example", "jürg@ours.example", True),
    ("ours.example", "jürg@evil.example", False),
    ("juerg@ours.example", "jürg@ours.example", False),
    ("xn--bcher-kva.example", "alice@xn--bcher-kva.example", True),
    ("xn--bcher-kva.example", "jürg@bücher.example", True),
    ("xn--bcher-kva.example", "alice@bcher.example", False),
    ("alice@xn--bcher-kva.example", "alice@xn--bcher-kva.example", True),
]


@pytest.mark.parametrize(("base", "address", "within"), CASES)
def test_permitted_names(base: str, address: str, within: bool) -> None:
    """RFC 5280, 4.2.1.10 for rfc822Name, RFC 9598, 6 for SmtpUTF8Mailbox."""
    authority = make_ca("Permitted", parent=ROOT, permitted=[raw_rfc822(base)])
    assert accepted(authority, address) is within


@pytest.mark.parametrize(("base", "address", "within"), CASES)
def test_excluded_names(base: str, address: str, within: bool) -> None:
    """The same comparison, the other way round."""
    authority = make_ca("Excluded", parent=ROOT, excluded=[raw_rfc822(base)])
    assert accepted(authority, address) is not within


@pytest.mark.parametrize(("base", "address", "within"), CASES)
def test_permitted_names_of_the_anchor(base: str, address: str, within: bool) -> None:
    """A constrained root is constrained (RFC 5937)."""
    authority = make_ca("Permitted Root", permitted=[raw_rfc822(base)])
    assert accepted(authority, address) is within


def test_constraints_of_every_authority_count() -> None:
    """RFC 5280, 6.1.4 (g): permitted names are intersected on the way down."""
    upper = make_ca("Upper", parent=ROOT, permitted=[raw_rfc822(".example")])
    lower = make_ca("Lower", parent=upper, permitted=[raw_rfc822("ours.example")])
    issued = lower.issue("alice@theirs.example", key="p256", slot="constraints")
    with pytest.raises(CertificateError):
        check_constraints((issued.certificate, *lower.own_chain))
    issued = lower.issue("alice@ours.example", key="p256", slot="constraints")
    check_constraints((issued.certificate, *lower.own_chain))


def test_directory_name_constraints_count() -> None:
    """Constraints for other kinds of names are judged too."""
    ours = make_ca(
        "DN", parent=ROOT, permitted=[x509.DirectoryName(x509.Name(list(directory_name("x"))[:1]))]
    )
    assert accepted(ours, "alice@ours.example")
    other = x509.Name([x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Other")])
    theirs = make_ca("DN", parent=ROOT, permitted=[x509.DirectoryName(other)])
    assert not accepted(theirs, "alice@ours.example")


def test_constraints_times_names_are_limited() -> None:
    """The comparison is quadratic, and 65,536 products are plenty."""
    authority = make_ca(
        "Many", parent=ROOT, permitted=[raw_rfc822(f"d{number}.example") for number in range(20)]
    )
    issued = authority.issue(
        san=[raw_rfc822(f"a@d{number}.example") for number in range(20)], key="p256", slot="x"
    )
    path = (issued.certificate, *authority.own_chain)
    check_constraints(path)
    limits = dataclasses.replace(DEFAULT_LIMITS, name_constraint_products=20 * 20)
    with pytest.raises(CertificateError) as caught:
        check_constraints(path, limits=limits)
    assert caught.value.reason == "limits"

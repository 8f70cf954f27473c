"""What a CRL says, and when it says nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from smimegw.limits import Limits
from smimegw.x509 import crl
from smimegw.x509.revocation import RevocationStatus, status
from tests.fakes.pki import CA, DAY, NOW, PAST, make_ca, private_key

GRACE = 72 * 3600
ROOT = make_ca("CRL Root")
ISSUING = make_ca("CRL CA", parent=ROOT)
ALICE = ISSUING.issue("alice@ours.example", key="p256", slot="crl")
BOB = ISSUING.issue("bob@ours.example", key="p256", slot="crl")


def ask(*crls: bytes, now: Any = NOW, issued: Any = ALICE, issuer: CA = ISSUING) -> Any:
    return status(issued.certificate, issuer.certificate, crls, now, GRACE)


def test_absent_from_a_fresh_list_is_good() -> None:
    """RFC 5280, 6.3: a complete, valid list that does not name the certificate."""
    result = ask(ISSUING.crl([BOB]))
    assert result.status is RevocationStatus.GOOD
    assert not result.in_grace
    assert result.this_update == NOW - timedelta(hours=1)


@pytest.mark.parametrize("reason", [None, *x509.ReasonFlags])
def test_every_entry_means_revoked(reason: x509.ReasonFlags | None) -> None:
    """Holds and unspecified reasons too (RFC 5280, 5.3.1; cases F15)."""
    result = ask(ISSUING.crl([ALICE], reason=reason))
    assert result.status is RevocationStatus.REVOKED
    assert result.reason == (reason.value if reason else "")


def test_no_list_is_unknown() -> None:
    """Unknown is neither good nor revoked."""
    assert ask().status is RevocationStatus.UNKNOWN


def test_list_within_grace_is_good_and_says_so() -> None:
    """Usable until nextUpdate + 72 hours (R-05)."""
    crl = ISSUING.crl(this_update=NOW - 9 * DAY, next_update=NOW - DAY)
    result = ask(crl)
    assert result.status is RevocationStatus.GOOD
    assert result.in_grace


def test_list_beyond_grace_is_unknown() -> None:
    """One second more than 72 hours (R-05)."""
    crl = ISSUING.crl(this_update=NOW - 9 * DAY, next_update=NOW - DAY)
    end = NOW - DAY + timedelta(seconds=GRACE)
    assert ask(crl, now=end).status is RevocationStatus.GOOD
    assert ask(crl, now=end + timedelta(seconds=1)).status is RevocationStatus.UNKNOWN


def test_old_list_that_names_the_certificate_still_revokes() -> None:
    """Losing the new lists must not bring a revoked certificate back."""
    crl = ISSUING.crl([ALICE], this_update=NOW - 90 * DAY, next_update=NOW - 80 * DAY)
    assert ask(crl).status is RevocationStatus.REVOKED


def test_list_from_the_future_does_not_count() -> None:
    """thisUpdate must have come (RFC 5280, 6.3.3)."""
    crl = ISSUING.crl(this_update=NOW + timedelta(minutes=5))
    assert ask(crl).status is RevocationStatus.UNKNOWN


def test_newest_list_decides() -> None:
    """A hold that was lifted is gone, whatever the order of the lists."""
    old = ISSUING.crl([ALICE], this_update=PAST, number=1)
    new = ISSUING.crl([], number=2)
    assert ask(old, new).status is RevocationStatus.GOOD
    assert ask(new, old).status is RevocationStatus.GOOD
    assert ask(ISSUING.crl([], this_update=PAST), ISSUING.crl([ALICE])).status == "revoked"


def test_list_of_another_issuer_does_not_count() -> None:
    """Not even when it names the serial number."""
    assert ask(ROOT.crl([ALICE])).status is RevocationStatus.UNKNOWN


def test_forged_list_does_not_count() -> None:
    """Right issuer name, other key."""
    forged = ISSUING.crl([], key=private_key("p256", "forger"))
    assert ask(forged).status is RevocationStatus.UNKNOWN


def test_renamed_list_does_not_count() -> None:
    """Right key, other issuer name."""
    assert ask(ISSUING.crl([], issuer=ROOT.name)).status is RevocationStatus.UNKNOWN


def test_changed_list_does_not_count() -> None:
    """One bit of the signature."""
    crl = bytearray(ISSUING.crl([]))
    crl[-1] ^= 1
    assert ask(bytes(crl)).status is RevocationStatus.UNKNOWN


@pytest.mark.parametrize("octets", [b"", b"\x30", b"\x30\x00", b"not a list", b"\x30\x80\x00\x00"])
def test_garbage_does_not_count(octets: bytes) -> None:
    """A server may send anything; a good list beside it is still used."""
    assert ask(octets).status is RevocationStatus.UNKNOWN
    assert ask(octets, ISSUING.crl()).status is RevocationStatus.GOOD


def test_issuer_without_crl_sign_cannot_speak() -> None:
    """RFC 5280, 4.2.1.3: cRLSign."""
    mute = make_ca("Mute CA", parent=ROOT, usage="sign")
    issued = mute.issue("alice@ours.example", key="p256", slot="crl")
    assert ask(mute.crl(), issued=issued, issuer=mute).status is RevocationStatus.UNKNOWN


@pytest.mark.parametrize("critical", [True, False])
def test_delta_lists_do_not_count(critical: bool) -> None:
    """RFC 5280, 5.2.4: a delta alone proves nothing."""
    crl = ISSUING.crl([], extensions=[(x509.DeltaCRLIndicator(1), critical)])
    assert ask(crl).status is RevocationStatus.UNKNOWN


def test_unknown_critical_extension_makes_a_list_unusable() -> None:
    """RFC 5280, 5.2."""
    extension = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00")
    assert ask(ISSUING.crl([], extensions=[(extension, True)])).status == "unknown"
    assert ask(ISSUING.crl([], extensions=[(extension, False)])).status == "good"


def scope(**what: Any) -> x509.IssuingDistributionPoint:
    values: dict[str, Any] = {
        "full_name": None,
        "relative_name": None,
        "only_contains_user_certs": False,
        "only_contains_ca_certs": False,
        "only_some_reasons": None,
        "indirect_crl": False,
        "only_contains_attribute_certs": False,
    }
    return x509.IssuingDistributionPoint(**(values | what))


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ({"only_contains_user_certs": True}, "good"),
        ({"only_contains_ca_certs": True}, "unknown"),
        ({"only_contains_attribute_certs": True}, "unknown"),
        ({"indirect_crl": True}, "good"),
        ({"only_some_reasons": frozenset([x509.ReasonFlags.key_compromise])}, "unknown"),
        ({"full_name": [x509.UniformResourceIdentifier("http://a.example/1.crl")]}, "unknown"),
    ],
)
def test_scope_of_the_list_must_include_the_certificate(
    what: dict[str, Any], expected: str
) -> None:
    """RFC 5280, 5.2.5: issuingDistributionPoint."""
    assert ask(ISSUING.crl([], extensions=[(scope(**what), True)])).status == expected


def test_list_for_some_reasons_revokes() -> None:
    """Whoever is in it is revoked, whatever other lists say (RFC 5280, 6.3.3; PKITS 4.14.15)."""
    compromise = frozenset([x509.ReasonFlags.key_compromise])
    some = ISSUING.crl([ALICE], extensions=[(scope(only_some_reasons=compromise), True)])
    assert ask(some).status is RevocationStatus.REVOKED
    assert ask(some, ISSUING.crl()).status is RevocationStatus.REVOKED


def test_list_for_some_reasons_is_no_newer_version_of_the_whole() -> None:
    """A hold in the complete list is not lifted by a later list about compromised keys."""
    compromise = frozenset([x509.ReasonFlags.key_compromise])
    some = ISSUING.crl([], extensions=[(scope(only_some_reasons=compromise), True)], number=2)
    whole = ISSUING.crl([ALICE], this_update=NOW - DAY)
    assert ask(some, whole).status is RevocationStatus.REVOKED


def test_partitioned_list_counts_for_its_certificates() -> None:
    """The certificate's distribution point names the same place (RFC 5280, 6.3.3 (b) (2))."""
    place = [x509.UniformResourceIdentifier("http://a.example/1.crl")]
    points = x509.CRLDistributionPoints([x509.DistributionPoint(place, None, None, None)])
    issued = ISSUING.issue("carol@ours.example", key="p256", extensions=[(points, False)])
    crl = ISSUING.crl([], extensions=[(scope(full_name=place), True)])
    assert ask(crl, issued=issued).status is RevocationStatus.GOOD


def named(common_name: str) -> x509.RelativeDistinguishedName:
    return x509.RelativeDistinguishedName(
        [x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)]
    )


@pytest.mark.parametrize(("part", "expected"), [("part 1", "good"), ("part 2", "unknown")])
def test_relative_name_of_a_partition_continues_that_of_the_issuer(
    part: str, expected: str
) -> None:
    """nameRelativeToCRLIssuer (RFC 5280, 4.2.1.13 and 5.2.5; PKITS 4.14.4)."""
    points = x509.CRLDistributionPoints([x509.DistributionPoint(None, named(part), None, None)])
    issued = ISSUING.issue("carol@ours.example", key="p256", extensions=[(points, False)])
    full_name = [x509.DirectoryName(x509.Name([*ISSUING.name.rdns, named("part 1")]))]
    for place in ({"full_name": full_name}, {"relative_name": named("part 1")}):
        crl = ISSUING.crl([], extensions=[(scope(**place), True)])
        assert ask(crl, issued=issued).status == expected


def test_list_longer_than_the_limit_is_not_looked_at() -> None:
    """`Limits.crl_octets`."""
    crl = ISSUING.crl()
    limits = Limits(crl_octets=len(crl) - 1)
    result = status(ALICE.certificate, ISSUING.certificate, [crl], NOW, GRACE, limits=limits)
    assert result.status is RevocationStatus.UNKNOWN


def test_long_lists_are_judged_without_being_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers are the same, only the memory is not used."""
    monkeypatch.setattr(crl, "_REMEMBERED_OCTETS", 0)
    before = crl._remembered.cache_info().currsize
    assert ask(ISSUING.crl([BOB], number=77)).status is RevocationStatus.GOOD
    assert ask(ISSUING.crl([ALICE], number=77)).status is RevocationStatus.REVOKED
    assert crl._remembered.cache_info().currsize == before

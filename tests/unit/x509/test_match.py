"""Whose certificate is it?"""

from __future__ import annotations

from smimegw.addresses import Mailbox
from smimegw.x509.match import matches, matching_mailbox
from tests.fakes.pki import make_ca, raw_rfc822, smtp_utf8

CA = make_ca("Match CA")
CERTIFICATE = CA.issue(
    san=[
        raw_rfc822("Alice@ours.example"),
        raw_rfc822("alice@ours.example"),
        raw_rfc822("sales@xn--bcher-kva.example"),
        smtp_utf8("jürg@bücher.example"),
    ],
    key="p256",
    slot="match",
).certificate


def test_every_alternative_name_matches() -> None:
    """One certificate may serve several addresses."""
    assert matches(CERTIFICATE, Mailbox.parse("sales@xn--bcher-kva.example"))
    assert matches(CERTIFICATE, Mailbox.parse("jürg@xn--bcher-kva.example"))


def test_u_label_in_the_envelope_matches_a_label_in_the_certificate() -> None:
    """Domains are compared as A-labels (cases F26)."""
    assert matches(CERTIFICATE, Mailbox.parse("sales@BÜCHER.example"))


def test_exact_spelling_is_preferred() -> None:
    """The address reported is the one the CA wrote for it."""
    assert matching_mailbox(CERTIFICATE, Mailbox.parse("alice@ours.example")) == Mailbox(
        "alice", "ours.example"
    )
    assert matching_mailbox(CERTIFICATE, Mailbox.parse("ALICE@ours.example")) == Mailbox(
        "Alice", "ours.example"
    )


def test_strict_local_part_compares_case() -> None:
    """RFC 5280, 7.5 compares exactly; the switch is per domain."""
    shouted = Mailbox.parse("SALES@xn--bcher-kva.example")
    assert matches(CERTIFICATE, shouted)
    assert not matches(CERTIFICATE, shouted, strict_local_part=True)


def test_others_do_not_match() -> None:
    """No folding of sub-addresses, no sub-domains, no look-alikes."""
    for other in (
        "bob@ours.example",
        "alice+x@ours.example",
        "alice@sub.ours.example",
        "alice@ours.example.evil",
        "juerg@xn--bcher-kva.example",
        "JÜRG@xn--bcher-kva.example",
        "\u0430lice@ours.example",
    ):
        assert not matches(CERTIFICATE, Mailbox.parse(other)), other

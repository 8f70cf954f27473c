"""What is remembered of judgements, and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError
from smimegw.x509.cache import ValidationCache
from smimegw.x509.evidence import Evidence
from smimegw.x509.path import Purpose, ValidatedCertificate
from tests.fakes.pki import NOW, Issued, make_ca

CA = make_ca("Cache CA")
ALICE = CA.issue("alice@ours.example", key="p256", slot="cache")
EVIDENCE = Evidence(trust_anchors=(CA.certificate,), crls=(CA.crl(),))


def ask(cache: ValidationCache, issued: Issued = ALICE, **how: Any) -> ValidatedCertificate:
    values = {
        "evidence": EVIDENCE,
        "purpose": Purpose.SIGNATURE,
        "mailbox": Mailbox("alice", "ours.example"),
        "now": NOW,
    } | how
    return cache.validate(issued.certificate, **values)


def test_same_question_gets_the_same_proof() -> None:
    """Also when the evidence was gathered again and is only equal."""
    cache = ValidationCache()
    proof = ask(cache)
    assert ask(cache, evidence=replace(EVIDENCE), now=NOW + timedelta(minutes=5)) is proof


@pytest.mark.parametrize(
    "how",
    [
        {"purpose": Purpose.ENCRYPTION},
        {"mailbox": None},
        {"strict_local_part": True},
        {"evidence": replace(EVIDENCE, crls=(CA.crl(number=2),))},
        {"evidence": replace(EVIDENCE, ocsp_responses=(b"x",))},
        {"now": NOW + timedelta(minutes=6)},
        {"now": NOW - timedelta(seconds=1)},
    ],
)
def test_another_question_is_judged_anew(how: dict[str, Any]) -> None:
    """Everything that may change the answer is part of the question."""
    cache = ValidationCache()
    proof = ask(cache)
    assert ask(cache) is proof
    assert ask(cache, **how) is not proof


def test_new_list_that_revokes_is_obeyed_at_once() -> None:
    """A remembered "good" must not outlive the evidence for it."""
    cache = ValidationCache()
    ask(cache)
    with pytest.raises(CertificateError) as caught:
        ask(cache, evidence=replace(EVIDENCE, crls=(CA.crl([ALICE], number=2),)))
    assert caught.value.reason == "revoked"


def test_proof_is_not_used_beyond_its_end() -> None:
    """`valid_until` ends it even within the cache's time."""
    cache = ValidationCache()
    short = CA.issue(key="p256", slot="cache", not_after=NOW + timedelta(minutes=1))
    ask(cache, short)
    with pytest.raises(CertificateError) as caught:
        ask(cache, short, now=NOW + timedelta(minutes=2))
    assert caught.value.reason == "expired"


def test_refusals_are_not_remembered() -> None:
    """The next message may bring the missing intermediate."""
    cache = ValidationCache()
    with pytest.raises(CertificateError):
        ask(cache, evidence=Evidence(trust_anchors=()))
    assert len(cache) == 0


def test_number_of_proofs_is_limited() -> None:
    """The oldest goes first."""
    cache = ValidationCache(size=2)
    first, second, third = (
        CA.issue("alice@ours.example", key="p256", slot=f"cache {number}") for number in range(3)
    )
    proofs = [ask(cache, issued) for issued in (first, second, third)]
    assert len(cache) == 2
    assert ask(cache, third) is proofs[2]
    assert ask(cache, first) is not proofs[0]


def test_old_proofs_are_forgotten() -> None:
    """They would only keep superseded lists in memory."""
    cache = ValidationCache()
    for number in range(3):
        ask(cache, evidence=replace(EVIDENCE, crls=(CA.crl(number=number + 2),)))
    assert len(cache) == 3
    ask(cache, now=NOW + timedelta(minutes=6))
    assert len(cache) == 1

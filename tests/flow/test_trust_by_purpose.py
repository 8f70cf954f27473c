"""A CA may be trusted for one purpose only."""

from __future__ import annotations

from dataclasses import replace

import pytest

from smimegw.mime.entity import Entity
from tests.fakes.company import Company, message, opaque_signed
from tests.fakes.pki import CA, make_ca

ALICE = "alice@ours.example"
BOB = "bob@partner.example"


@pytest.fixture(params=["signature_anchors", "encryption_anchors"])
def purpose(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def partner_ca() -> CA:
    return make_ca("Partner CA")


@pytest.fixture
def company(purpose: str, partner_ca: CA) -> Company:
    """The partner's CA is trusted for *purpose* only."""
    company = Company()
    company.user(ALICE)
    company.world.directory.publish_ca(partner_ca)
    trust = replace(company.settings.trust, **{purpose: (partner_ca.certificate,)})
    company.settings = replace(company.settings, trust=trust)
    company.gateway.settings = company.settings
    return company


def test_certificate_is_encrypted_to_by_an_encryption_anchor_only(
    company: Company, partner_ca: CA, purpose: str
) -> None:
    """An authority that may vouch for signatures decides nothing about our mail."""
    bob = partner_ca.issue(BOB)
    company.world.directory.publish(BOB, bob.certificate)
    reply = company.send("relay", [BOB], message(ALICE, BOB)).reply
    assert reply.code == (250 if purpose == "encryption_anchors" else 550)


def test_signature_passes_by_a_signature_anchor_only(
    company: Company, partner_ca: CA, purpose: str
) -> None:
    """And the reverse (R-43)."""
    octets = opaque_signed(partner_ca.issue(BOB), BOB, ALICE)
    assert company.send("mx", [ALICE], octets, reverse_path=BOB).reply.code == 250
    (result,) = Entity.parse(company.arrived[-1]).header.all("authentication-results")
    word = "smime=pass" if purpose == "signature_anchors" else "smime=policy"
    assert word in result.body.decode()

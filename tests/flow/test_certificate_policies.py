"""Certificate policies that the administrator demands (trust.policies; RFC 5280, 6.1.1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509

from smimegw.mime.entity import Entity
from smimegw.pipeline.admit import Gateway
from smimegw.policy.parse import parse_policy
from tests.fakes.company import POLICY, Company, message
from tests.fakes.pki import Issued, make_ca
from tests.flow.protected import signed

ALICE, BOB = "alice@ours.example", "bob@partner.example"
VALIDATED, OTHER = "2.23.140.1.5.2.2", "2.23.140.1.5.1.2"


def under(*policies: str) -> list[tuple[x509.ExtensionType, bool]]:
    """A certificatePolicies extension."""
    infos = [x509.PolicyInformation(x509.ObjectIdentifier(oid), None) for oid in policies]
    return [(x509.CertificatePolicies(infos), False)]


def demanding(*policies: str) -> Company:
    """A gateway with these in trust.policies."""
    company = Company()
    trust = replace(company.settings.trust, policies=policies)
    company.settings = replace(company.settings, trust=trust)
    rules = parse_policy([("test.toml", POLICY.encode())])
    company.gateway = Gateway(rules, company.world.ports, company.settings)
    company.user(ALICE, extensions=under(VALIDATED))
    return company


def result(company: Company, signer: Issued) -> str:
    content = signed(message(BOB, ALICE), signer)
    assert company.send("mx", [ALICE], content, reverse_path=BOB).reply.code == 250
    (only,) = Entity.parse(company.arrived[-1]).header.all("authentication-results")
    return only.body.decode().partition("; ")[2]


@pytest.mark.parametrize("has", [(), (OTHER,)], ids=["none", "another"])
def test_signature_under_no_wanted_policy_does_not_pass(has: tuple[str, ...]) -> None:
    """A careful CA issues careless certificates, too, and says so (cases F30)."""
    company = demanding(VALIDATED)
    extensions = under(*has) if has else ()
    assert result(company, company.ca.issue(BOB, extensions=extensions)).startswith(
        'smime=policy reason="path"'
    )
    assert result(company, company.ca.issue(BOB, extensions=under(*has, VALIDATED))).startswith(
        "smime=pass"
    )


def test_nothing_is_encrypted_to_a_certificate_under_no_wanted_policy() -> None:
    """It is as unsuitable as a web server's (R-08)."""
    company = demanding(VALIDATED)
    company.partner(BOB, extensions=under(OTHER))
    reply = company.send("relay", [BOB], message(ALICE, BOB)).reply
    assert str(reply) == "550 5.7.6 <bob@partner.example>: certificate not suitable: path (R-08)"
    company.partner(BOB, extensions=under(VALIDATED), slot="careful")
    assert company.send("relay", [BOB], message(ALICE, BOB)).reply.code == 250


def test_policy_has_to_hold_for_every_authority_between() -> None:
    """An intermediate that says another one ends it (RFC 5280, 6.1.3 (d))."""
    company = demanding(VALIDATED)
    for policies, expected in ((OTHER, "smime=policy"), (VALIDATED, "smime=pass")):
        issuing = make_ca(f"Issuing {policies}", parent=company.ca, extensions=under(policies))
        company.world.directory.publish_ca(issuing)
        signer = issuing.issue(BOB, extensions=under(VALIDATED))
        assert result(company, signer).startswith(expected)


def test_any_policy_asks_only_that_there_is_one() -> None:
    """2.5.29.32.0 (RFC 5280, 4.2.1.4)."""
    company = demanding("2.5.29.32.0")
    assert result(company, company.ca.issue(BOB)).startswith("smime=policy")
    assert result(company, company.ca.issue(BOB, extensions=under(OTHER))).startswith("smime=pass")


def test_without_configuration_no_policy_is_asked_for() -> None:
    """Most certificates for e-mail have none or their CA's own."""
    company = Company()
    company.user(ALICE)
    assert result(company, company.ca.issue(BOB)).startswith("smime=pass")

"""Roots and issuing CAs of every kind of key, and a certificate of every profile below them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache

from cryptography import x509

from pki import authority, keys, subjects
from pki.authority import Issuer, Pointers, Validity
from pki.keys import KeyKind, PublicKey
from pki.profiles import SUBSCRIBER, Baseline, Profile
from smimegw.addresses import Mailbox

NOW = datetime.now(UTC).replace(microsecond=0)
SIGNING_KINDS = [kind for kind in KeyKind if kind.signs]
POINTERS = Pointers(
    crl_urls=("http://pki.example.com/issuing.crl",),
    issuer_urls=("http://pki.example.com/issuing.cer",),
    ocsp_urls=("http://pki.example.com/ocsp",),
)


@dataclass(frozen=True, slots=True)
class Chain:
    """A root and an issuing CA for example.com; linters know example.com as a public domain."""

    root: Issuer
    issuing: Issuer


def fits(profile: Profile, kind: KeyKind) -> bool:
    """Whether such a key can do what the profile is for."""
    return (kind.signs or not profile.signs) and (kind.encrypts or not profile.encrypts)


ROWS = [(profile, kind) for profile in SUBSCRIBER for kind in KeyKind if fits(profile, kind)]
"""Every profile of a subscriber with every kind of key that it can have."""


@cache
def private_key(kind: KeyKind) -> keys.PrivateKey:
    """A key of this kind, one per process."""
    return keys.generate(kind)


def public_key(kind: KeyKind) -> PublicKey:
    """Its public half."""
    return private_key(kind).public_key()


@cache
def chain(kind: KeyKind) -> Chain:
    """CAs whose keys are of this kind."""
    now = NOW - timedelta(days=1)
    root_key, issuing_key = keys.generate_signing(kind), keys.generate_signing(kind)
    names = [
        subjects.authority_name(name, organization="Example", country="DE")
        for name in (f"Root {kind}", f"Issuing {kind}")
    ]
    root = authority.sign_root(
        root_key,
        names[0],
        serial=x509.random_serial_number(),
        validity=Validity.starting(now, 7300),
    )
    top = Issuer(certificate=root, key=root_key)
    issuing = authority.sign_issuing(
        issuing_key.public_key(),
        names[1],
        issuer=top,
        serial=x509.random_serial_number(),
        validity=Validity.starting(now, 1825, within=root),
        domains=("example.com",),
        pointers=Pointers(crl_urls=("http://pki.example.com/root.crl",), baseline=Baseline.STRICT),
    )
    return Chain(top, Issuer(certificate=issuing, key=issuing_key))


def mailbox(profile: Profile) -> Mailbox:
    """Whose certificate of this profile may be."""
    return Mailbox.parse(f"{profile.shape.local_part or 'alice'}@example.com")


def compose(
    profile: Profile,
    kind: KeyKind,
    *,
    issuer: Issuer,
    baseline: Baseline = Baseline.STRICT,
    days: int = 730,
) -> x509.CertificateBuilder:
    """What a CA that follows *baseline* puts into such a certificate."""
    whose = mailbox(profile)
    subject = subjects.subject(
        profile,
        whose,
        "Alice Adams",
        organization="Example",
        country="DE",
        organization_identifier="NTRDE-DEF1103R.HRB12345",
        baseline=baseline,
    )
    pointers = Pointers(
        crl_urls=POINTERS.crl_urls,
        issuer_urls=POINTERS.issuer_urls,
        ocsp_urls=POINTERS.ocsp_urls,
        baseline=baseline,
    )
    return authority.compose_mailbox(
        public_key(kind),
        subject,
        whose,
        profile=profile,
        issuer=issuer,
        serial=x509.random_serial_number(),
        validity=Validity.starting(NOW, days, within=issuer.certificate),
        pointers=pointers,
    )


def certificate(
    profile: Profile,
    kind: KeyKind,
    *,
    signed_with: KeyKind = KeyKind.P_256,
    baseline: Baseline = Baseline.STRICT,
) -> x509.Certificate:
    """A certificate of this profile for a key of this kind."""
    issuer = chain(signed_with).issuing
    return issuer.sign_certificate(compose(profile, kind, issuer=issuer, baseline=baseline))

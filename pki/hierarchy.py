"""Makes the CAs themselves: key and request, and the root's signature.

A root may be in the same directory or in one of its own, on a machine without a network.  Then the
request and the certificate are carried, and `pki.installing` takes the answer; either way the same
steps are taken in the same order, so that a crash leaves a key and a request that the next attempt
goes on with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import authority, files, keys, lint, own_keys, signing
from pki.authority import Issuer, Pointers, Validity
from pki.certified import Certified, IssuerName, Reservation
from pki.errors import RequestError
from pki.home import Home
from pki.issuance import certify
from pki.keys import KeyKind, PublicKey
from pki.own_keys import TokenChoice
from pki.places import ROOT
from pki.profiles import Baseline, Profile
from pki.request import parse_request
from pki.settings import Settings
from smimegw import failpoints


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKey:
    """How the key of a new CA is made.

    Attributes:
        token: In this token; None makes an encrypted file.
    """

    kind: KeyKind = KeyKind.RSA_3072
    token: TokenChoice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityRequest:
    """What an issuing CA asks a root to certify: a name, and a key it proved to have."""

    name: x509.Name
    public_key: PublicKey


def make_root(
    home: Home, name: x509.Name, new: NewKey, *, days: int, passphrase: bytes, now: datetime
) -> Certified:
    """Make the root's key and certificate.

    Raises:
        RequestError: A key of this kind cannot sign.
        KeystoreError: The token does not make it.
        LintError: The certificate would break the rules.
    """
    key = own_keys.make(
        home.path / ROOT, new.kind, label=_common_name(name), passphrase=passphrase, token=new.token
    )
    validity = Validity.starting(now, days)
    draft = authority.compose_root(
        key.public_key(), name, serial=x509.random_serial_number(), validity=validity
    )
    return _certify(
        home,
        ROOT,
        signing.draft_certificate(draft, key.public_key()),
        Profile.ROOT,
        lambda serial: authority.sign_root(key, name, serial=serial, validity=validity),
        now=now,
    )


def make_request(
    home: Home, place: IssuerName, name: x509.Name, new: NewKey, *, passphrase: bytes, now: datetime
) -> AuthorityRequest:
    """Make an issuing CA's key and its request to the root, or go on with those that are there.

    Raises:
        RequestError: A key of this kind cannot sign.
        KeystoreError: The token does not make it.
        PassphraseError: The key of an earlier attempt does not open.
    """
    folder = home.path / place
    if own_keys.exists(folder):
        key = own_keys.open_key(folder, passphrase)
    else:
        label = f"{_common_name(name)} {now:%Y-%m-%d}"
        key = own_keys.make(folder, new.kind, label=label, passphrase=passphrase, token=new.token)
    failpoints.reach("authority.key-made")
    builder = x509.CertificateSigningRequestBuilder().subject_name(name)
    request = signing.sign_request(builder, key)
    files.replace(home.request_path(place), request.public_bytes(Encoding.PEM))
    details = {"own": place, "name": name.rfc4514_string()}
    home.register.ledger.append("authority-requested", at=now, details=details)
    return AuthorityRequest(name=name, public_key=key.public_key())


def read_request(octets: bytes) -> AuthorityRequest:
    """Read the request of an issuing CA, PEM or DER.

    Raises:
        RequestError: Not one, its signature does not hold, or its name is empty.
    """
    read = parse_request(octets)
    name = x509.load_der_x509_csr(read.der).subject
    if not keys.kind_of(read.public_key).signs or not list(name):
        raise RequestError(
            "The request is not of an issuing CA: it has no name, or a key that cannot sign. "
            "Make it with `smimegw-ca init --external-root` or `smimegw-ca rollover`."
        )
    return AuthorityRequest(name=name, public_key=read.public_key)


def certify_issuing(
    home: Home,
    issuer: Issuer,
    request: AuthorityRequest,
    *,
    domains: Sequence[str],
    days: int,
    now: datetime,
    place: IssuerName = "",
) -> Certified:
    """Sign an issuing CA with the root of this directory.

    Args:
        home: The root's directory.
        issuer: The root.
        request: Whom to sign.
        domains: The only ones it may issue for; empty means any.
        days: Its validity.
        now: The time.
        place: Where it is in this directory; empty when the request was carried here.

    Raises:
        UsageError: It would outlive the root, or bears the root's key.
        LintError: The certificate would break the rules.
    """
    own = keys.accept_public_key(issuer.certificate.public_key())
    if keys.public_key_octets(request.public_key) == keys.public_key_octets(own):
        raise RequestError("The request bears the root's own key. An issuing CA needs another.")
    validity = Validity.starting(now, days, within=issuer.certificate)
    compose = _composer(home.settings, issuer, request, domains=domains, validity=validity)
    return _certify(
        home,
        place,
        issuer.draft(compose(x509.random_serial_number())),
        Profile.ISSUING,
        lambda serial: issuer.sign_certificate(compose(serial)),
        now=now,
    )


def _composer(
    chosen: Settings,
    issuer: Issuer,
    request: AuthorityRequest,
    *,
    domains: Sequence[str],
    validity: Validity,
) -> Callable[[int], x509.CertificateBuilder]:
    to_the_root = Pointers(
        crl_urls=chosen.root_crl_urls,
        issuer_urls=chosen.root_urls,
        policies=chosen.policies,
        baseline=chosen.baseline,
    )
    return lambda serial: authority.compose_issuing(
        request.public_key,
        request.name,
        issuer=issuer,
        serial=serial,
        validity=validity,
        domains=domains,
        pointers=to_the_root,
    )


def _certify(
    home: Home,
    place: IssuerName,
    draft: x509.Certificate,
    profile: Profile,
    sign: Callable[[int], x509.Certificate],
    *,
    now: datetime,
) -> Certified:
    findings = lint.inspect_draft(draft, profile=profile, baseline=Baseline.NONE)
    reservation = Reservation(
        issuer=ROOT,
        mailbox=None,
        profile=profile,
        name=draft.subject.rfc4514_string(),
        key_held=bool(place),  # the key of a request that was carried here is elsewhere
        own=place,
        findings="\n".join(findings),
    )
    return certify(home, reservation, None, sign, passphrase=b"", now=now)


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()

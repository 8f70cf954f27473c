"""Makes the CAs themselves: key and request, the root's signature, the way back.

A root may be in the same directory or in one of its own, on a machine without a network.  Then the
request and the certificate are carried; either way the same steps are taken in the same order, so
that a crash leaves a key and a request that the next attempt goes on with.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from pki import authority, files, keys, lint, own_keys, places, signing
from pki.authority import Issuer, Pointers, Validity
from pki.errors import RequestError
from pki.home import Home
from pki.issuance import certify, revoked_with
from pki.keys import KeyKind, PublicKey
from pki.own_keys import TokenChoice
from pki.places import ROOT
from pki.profiles import Baseline, Profile
from pki.register import Certified, IssuerName, Reservation, serial_text
from pki.request import parse_request
from pki.revocation import Revocation
from pki.settings import Settings
from smimegw import failpoints
from smimegw.errors import UsageError


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
    findings = _inspected(signing.draft_certificate(draft, key.public_key()), Profile.ROOT)
    return certify(
        home,
        _reservation(ROOT, ROOT, name, Profile.ROOT, key_held=True, findings=findings),
        None,
        lambda serial: authority.sign_root(key, name, serial=serial, validity=validity),
        passphrase=passphrase,
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
    if keys.public_key_octets(request.public_key) == _key_octets(issuer.certificate):
        raise RequestError("The request bears the root's own key. An issuing CA needs another.")
    pointers = _to_the_root(home.settings)
    validity = Validity.starting(now, days, within=issuer.certificate)

    def compose(serial: int) -> x509.CertificateBuilder:
        return authority.compose_issuing(
            request.public_key,
            request.name,
            issuer=issuer,
            serial=serial,
            validity=validity,
            domains=domains,
            pointers=pointers,
        )

    findings = _inspected(issuer.draft(compose(x509.random_serial_number())), Profile.ISSUING)
    reservation = _reservation(
        ROOT, place, request.name, Profile.ISSUING, key_held=bool(place), findings=findings
    )
    return certify(
        home,
        reservation,
        None,
        lambda serial: issuer.sign_certificate(compose(serial)),
        passphrase=b"",
        now=now,
    )


def _to_the_root(chosen: Settings) -> Pointers:
    return Pointers(
        crl_urls=chosen.root_crl_urls,
        issuer_urls=chosen.root_urls,
        policies=chosen.policies,
        baseline=chosen.baseline,
    )


def install(
    home: Home, certificates: Sequence[x509.Certificate], *, passphrase: bytes, now: datetime
) -> IssuerName:
    """Take what the root sent back: our certificate, and with it the root's.

    Returns:
        The place that has its certificate now.

    Raises:
        UsageError: None of them answers a request of ours, or the root is not among them.
        PassphraseError: Our key does not open.
    """
    place, ours = _answered(home, certificates, passphrase)
    _require_authority(ours, now=now)
    roots = [each for each in certificates if each.subject == each.issuer]
    known = [home.authority(ROOT).certificate] if ROOT in home.issuers else []
    for root in (*known, *roots):
        if _is_issued_by(ours, root):
            break
    else:
        raise UsageError(
            "The root that signed this certificate is not among the files. Bring both: "
            "smimegw-ca install issuing.pem root.pem"
        )
    if root not in known:
        if known:
            raise UsageError(
                "The certificate is signed by another root than the one that this CA knows. "
                "A new root makes a new CA: set it up in another directory."
            )
        _take(home, root, ROOT, Profile.ROOT, now=now)
    _take(home, ours, place, Profile.ISSUING, now=now)
    return place


def waiting(home: Home) -> tuple[IssuerName, ...]:
    """Return the places whose requests the root has not answered yet."""
    asked = [path.parent.name for path in sorted(home.path.glob("*/request.pem"))]
    return tuple(name for name in asked if places.is_place(name) and name not in home.issuers)


def install_crl(home: Home, crl: x509.CertificateRevocationList, *, now: datetime) -> int:
    """Take a newer CRL of a root that is elsewhere; return its number.

    Raises:
        UsageError: It is not the root's, damaged, or not newer than ours.
    """
    root = home.authority(ROOT)
    public = root.certificate.public_key()
    if crl.issuer != root.certificate.subject or not crl.is_signature_valid(public):  # type: ignore[arg-type]
        raise UsageError("This CRL is not signed by the root of this CA; nothing was changed.")
    number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    last = home.register.last_crl(ROOT)
    if last and number <= last.number:
        raise UsageError(
            f"CRL {number} of the root is not newer than number {last.number}, which is here."
        )
    home.register.record_crl(ROOT, number, crl, now=now)
    failpoints.reach("authority.crl-recorded")
    files.make_directory(home.path / ROOT)
    files.replace(home.crl_path(ROOT), crl.public_bytes(Encoding.DER))
    _note_revoked(home, crl)
    return number


def _note_revoked(home: Home, crl: x509.CertificateRevocationList) -> None:
    """Know of our own CAs what the root says of them, and end their cross certificates."""
    for name in home.issuers:
        own = home.authority(name)
        entry = crl.get_revoked_certificate_by_serial_number(own.serial)
        if entry is None or own.revocation:
            continue
        reason = x509.ReasonFlags.unspecified
        with contextlib.suppress(x509.ExtensionNotFound):
            reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
        revocation = Revocation(revoked_at=entry.revocation_date_utc, reason=reason.value)
        for serial in (*revoked_with(home, own, revocation.reason), own.serial):
            home.register.record_revoked(serial, revocation)


def _answered(
    home: Home, certificates: Sequence[x509.Certificate], passphrase: bytes
) -> tuple[IssuerName, x509.Certificate]:
    open_places = waiting(home)
    for name in open_places:
        wanted = keys.public_key_octets(
            own_keys.open_key(home.path / name, passphrase).public_key()
        )
        for certificate in certificates:
            if _key_octets(certificate) == wanted:
                return name, certificate
    which = f": {', '.join(open_places)}" if open_places else ""
    raise UsageError(
        f"None of these certificates is for a key of this CA that waits for one{which}. "
        "Bring the answer to our own request."
    )


def _require_authority(certificate: x509.Certificate, *, now: datetime) -> None:
    # Another program may have signed it, and its operator may have picked another profile.
    try:
        found = certificate.extensions
        constraints = found.get_extension_for_class(x509.BasicConstraints).value
        usage = found.get_extension_for_class(x509.KeyUsage).value
        found.get_extension_for_class(x509.SubjectKeyIdentifier)
        fit = constraints.ca and usage.key_cert_sign and usage.crl_sign
    except x509.ExtensionNotFound:
        fit = False
    if not fit:
        raise UsageError(
            "The root's answer is no certificate of a CA: it lacks basicConstraints, the key "
            "usages keyCertSign and cRLSign, or a subjectKeyIdentifier (RFC 5280, 4.2.1). Have it "
            "signed as an issuing CA."
        )
    if certificate.not_valid_after_utc < now:
        raise UsageError(f"The certificate ended on {certificate.not_valid_after_utc:%Y-%m-%d}.")


def _take(
    home: Home, certificate: x509.Certificate, place: IssuerName, profile: Profile, *, now: datetime
) -> None:
    # Reserved and recorded like our own, so that the serial number is never used again here.
    serial = certificate.serial_number
    if serial_text(serial) in home.register.history.serials:
        raise UsageError(f"The certificate {serial_text(serial)} was installed before.")
    reservation = _reservation(ROOT, place, certificate.subject, profile, key_held=place != ROOT)
    certify(
        home,
        reservation,
        None,
        lambda _: certificate,
        passphrase=b"",
        now=now,
        draw_serial=lambda: serial,
    )


def _reservation(
    issuer: IssuerName,
    place: IssuerName,
    name: x509.Name,
    profile: Profile,
    *,
    key_held: bool,
    findings: tuple[str, ...] = (),
) -> Reservation:
    return Reservation(
        issuer=issuer,
        mailbox=None,
        profile=profile,
        name=name.rfc4514_string(),
        key_held=key_held,
        own=place,
        findings="\n".join(findings),
    )


def _inspected(draft: x509.Certificate, profile: Profile) -> tuple[str, ...]:
    return lint.inspect_draft(draft, profile=profile, baseline=Baseline.NONE)


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _key_octets(certificate: x509.Certificate) -> bytes:
    return keys.public_key_octets(keys.accept_public_key(certificate.public_key()))


def _common_name(name: x509.Name) -> str:
    found = name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if found else name.rfc4514_string()

"""Shapes of certification paths after x509-limbo (C2SP), made anew with our own authorities.

The suite is about web servers; these are its cases that have a meaning for mail, each named as
there; ``own::`` are more of the kind.  The verdicts are in the table of `test_limbo.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Purposes

from smimegw.addresses import Mailbox
from smimegw.x509.certificate import Certificate
from tests.fakes.pki import CA, DAY, NOW, directory_name, make_ca, raw_rfc822

USER = "user@limbo.example"
MAILBOX = Mailbox.parse(USER)
ROOT = make_ca("Limbo Root")


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What `validate` is given."""

    certificate: Certificate
    anchors: tuple[Certificate, ...] = (ROOT.certificate,)
    others: tuple[Certificate, ...] = ()


SHAPES: dict[str, Callable[[], Shape]] = {}


def shape(name: str) -> Callable[[Callable[[], Shape]], Callable[[], Shape]]:
    """Register a maker under the suite's name."""

    def register(maker: Callable[[], Shape]) -> Callable[[], Shape]:
        assert name not in SHAPES
        SHAPES[name] = maker
        return maker

    return register


def leaf(authority: CA = ROOT, **changes: object) -> Shape:
    """An ordinary end-entity with *changes*; the anchor is the last of its path."""
    options: dict[str, object] = {"key": "p256", "slot": "limbo leaf", "mailbox": USER, **changes}
    issued = authority.issue(**options)  # type: ignore[arg-type]
    return Shape(
        certificate=issued.certificate, anchors=(issued.chain[-1],), others=issued.chain[:-1]
    )


def constrained(
    permitted: list[x509.GeneralName] | None = None,
    excluded: list[x509.GeneralName] | None = None,
    **changes: object,
) -> Shape:
    """An ordinary end-entity under an anchor with name constraints."""
    return leaf(
        make_ca("Constrained", permitted=permitted or (), excluded=excluded or ()), **changes
    )


def extension(*, critical: bool) -> list[tuple[x509.ExtensionType, bool]]:
    """An extension that nobody knows."""
    unknown = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55738.666.1"), b"")
    return [(unknown, critical)]


def usage(*bits: str, critical: bool = True) -> list[tuple[x509.ExtensionType, bool]]:
    """A KeyUsage extension with these bits."""
    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment")
    names += ("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return [(x509.KeyUsage(**{name: name in bits for name in names}), critical)]


# --- smime ---------------------------------------------------------------------------------------

for _name, _changes in {
    "smime::san::exact-rfc822-san": {},
    "smime::san::no-san": {"san": (), "common_name": USER},
    "smime::san::san-without-rfc822name": {"san": [x509.DNSName("limbo.example")]},
    "smime::san::mismatch-rfc822-san": {"mailbox": "other@limbo.example"},
    "smime::san::mismatch-domain-rfc822-san": {"mailbox": "user@limbo.test"},
    "smime::san::multiple-rfc822-sans": {
        "san": [raw_rfc822("other@limbo.example"), raw_rfc822(USER)]
    },
    "smime::san::san-critical-with-nonempty-subject": {
        "san": (),
        "extensions": [(x509.SubjectAlternativeName([raw_rfc822(USER)]), True)],
    },
    "smime::san::san-critical-with-empty-subject": {
        "subject": x509.Name([]),
        "san": (),
        "extensions": [(x509.SubjectAlternativeName([raw_rfc822(USER)]), True)],
    },
    "smime::eku::ee-email-protection": {},
    "smime::eku::ee-missing-email-protection": {"eku": (Purposes.CLIENT_AUTH,)},
    "smime::eku::ee-without-eku": {"eku": ()},
    "smime::eku::ee-has-server-auth": {"eku": (Purposes.EMAIL_PROTECTION, Purposes.SERVER_AUTH)},
    "smime::eku::ee-has-code-signing": {"eku": (Purposes.EMAIL_PROTECTION, Purposes.CODE_SIGNING)},
    "smime::eku::ee-has-time-stamping": {
        "eku": (Purposes.EMAIL_PROTECTION, Purposes.TIME_STAMPING)
    },
    "smime::eku::ee-has-any-eku": {
        "eku": (Purposes.EMAIL_PROTECTION, Purposes.ANY_EXTENDED_KEY_USAGE)
    },
    "smime::ku::signing-only-rsa-digital-signature": {"key": "rsa", "usage": "sign"},
    "smime::ku::signing-only-rsa-with-nonrepudiation": {
        "key": "rsa",
        "usage": None,
        "extensions": usage("digital_signature", "content_commitment"),
    },
    "smime::ku::ee-key-usage-not-critical": {
        "usage": None,
        "extensions": usage("digital_signature", critical=False),
    },
    "smime::ku::signing-only-ec": {"usage": "sign"},
    "smime::ku::dual-use-rsa": {"key": "rsa", "usage": "both"},
    "smime::ku::key-management-only-rsa": {"key": "rsa", "usage": "encrypt"},
    "smime::ku::key-management-only-ec": {"usage": "encrypt"},
    "smime::ku::ee-key-cert-sign": {"usage": "ca"},
    "smime::ku::ee-missing-key-usage": {"usage": None},
    "rfc5280::unknown-critical-extension-ee": {"extensions": extension(critical=True)},
    "own::unknown-noncritical-extension-ee": {"extensions": extension(critical=False)},
    "rfc5280::nc::not-allowed-in-ee-critical": {
        "extensions": [(x509.NameConstraints([raw_rfc822("limbo.example")], None), True)]
    },
    "rfc5280::nc::not-allowed-in-ee-noncritical": {
        "extensions": [(x509.NameConstraints([raw_rfc822("limbo.example")], None), False)]
    },
    "rfc5280::validity::expired-leaf": {"not_after": NOW - timedelta(minutes=1)},
    "rfc5280::validity::notyetvalid-leaf": {"not_before": NOW + timedelta(minutes=1)},
}.items():
    shape(_name)(lambda changes=_changes: leaf(**changes))

for _name, _eku in {
    "missing-email-protection": (Purposes.SERVER_AUTH,),
    "has-server-auth": (Purposes.EMAIL_PROTECTION, Purposes.SERVER_AUTH),
    "has-any-eku": (Purposes.EMAIL_PROTECTION, Purposes.ANY_EXTENDED_KEY_USAGE),
    "has-code-signing": (Purposes.EMAIL_PROTECTION, Purposes.CODE_SIGNING),
    "has-time-stamping": (Purposes.EMAIL_PROTECTION, Purposes.TIME_STAMPING),
}.items():
    shape(f"smime::eku::intermediate-{_name}")(
        lambda eku=_eku: leaf(make_ca("Intermediate", parent=ROOT, eku=eku))
    )

shape("smime::eku::root-has-eku")(
    lambda: leaf(make_ca("Mail Root", eku=(Purposes.EMAIL_PROTECTION,)))
)
shape("smime::ku::intermediate-missing-key-cert-sign")(
    lambda: leaf(make_ca("Intermediate", parent=ROOT, usage="sign"))
)
shape("smime::ku::intermediate-missing-crl-sign")(
    lambda: leaf(
        make_ca("Intermediate", parent=ROOT, usage=None, extensions=usage("key_cert_sign"))
    )
)


# --- RFC 5280: authorities -----------------------------------------------------------------------

for _name, _options in {
    "rfc5280::unknown-critical-extension-intermediate": {"extensions": extension(critical=True)},
    "own::intermediate-without-ca-bit": {"ca": False},
    "rfc5280::validity::expired-intermediate": {"not_after": NOW - timedelta(minutes=1)},
    "rfc5280::validity::notyetvalid-intermediate": {"not_before": NOW + timedelta(minutes=1)},
}.items():
    shape(_name)(lambda options=_options: leaf(make_ca("Intermediate", parent=ROOT, **options)))

for _name, _options in {
    "rfc5280::unknown-critical-extension-root": {"extensions": extension(critical=True)},
    "rfc5280::root-missing-basic-constraints": {"ca": False},
    "rfc5280::validity::expired-root": {"not_after": NOW - timedelta(minutes=1)},
    "rfc5280::validity::notyetvalid-root": {"not_before": NOW + timedelta(minutes=1)},
}.items():
    shape(_name)(lambda options=_options: leaf(make_ca("Own Root", **options)))


@shape("pathlen::ee-with-intermediate-pathlen-0")
def _pathlen_0() -> Shape:
    return leaf(make_ca("Intermediate", parent=ROOT, path_length=0))


@shape("pathlen::intermediate-violates-pathlen-0")
def _pathlen_violated() -> Shape:
    return leaf(make_ca("Lower", parent=make_ca("Upper", parent=ROOT, path_length=0)))


@shape("pathlen::intermediate-pathlen-may-increase")
def _pathlen_increases() -> Shape:
    upper = make_ca("Upper", parent=ROOT, path_length=1)
    return leaf(make_ca("Lower", parent=upper, path_length=5))


@shape("pathlen::intermediate-pathlen-too-long")
def _pathlen_too_long() -> Shape:
    upper = make_ca("Upper", parent=ROOT, path_length=1)
    middle = make_ca("Middle", parent=upper, path_length=5)
    return leaf(make_ca("Lower", parent=middle, path_length=5))


@shape("pathlen::self-issued-certs-pathlen")
def _pathlen_self_issued() -> Shape:
    first = make_ca("Renewed", parent=ROOT, path_length=0)
    return leaf(make_ca("Renewed", parent=first, slot="renewed"))


# --- RFC 5280: name constraints ------------------------------------------------------------------

_NC = "rfc5280::nc::"
for _name, _permitted, _excluded in (
    ("nc-permits-email-exact", [USER], []),
    ("nc-permits-email-domain", ["limbo.example"], []),
    ("own::nc-permits-email-subdomains", [".example"], []),
    ("own::nc-permits-other-email", ["other@limbo.example"], []),
    ("own::nc-permits-other-domain", ["limbo.test"], []),
    ("own::nc-permits-subdomains-of-the-domain-only", [".limbo.example"], []),
    ("own::nc-permits-empty", [""], []),
    ("own::nc-forbids-email-exact", [], [USER]),
    ("own::nc-forbids-email-domain", [], ["limbo.example"]),
    ("own::nc-forbids-email-subdomains", [], [".example"]),
    ("own::nc-forbids-other-domain", [], ["limbo.test"]),
    ("excluded-match-permitted-and-excluded", ["limbo.example"], [USER]),
    ("invalid-email-address", ["invalid@invalid@limbo.example"], []),
    ("own::invalid-email-address-excluded", [], ["invalid@invalid@limbo.example"]),
):
    shape(_name if _name.startswith("own::") else _NC + _name)(
        lambda permitted=_permitted, excluded=_excluded: constrained(
            [raw_rfc822(base) for base in permitted], [raw_rfc822(base) for base in excluded]
        )
    )

shape(_NC + "permitted-different-constraint-type")(
    lambda: constrained([x509.DNSName("limbo.test")])
)
shape(_NC + "excluded-different-constraint-type")(
    lambda: constrained(None, [x509.DNSName("limbo.example")])
)
shape(_NC + "permitted-dn-match")(
    lambda: constrained([x509.DirectoryName(directory_name(USER))], common_name=USER)
)
shape(_NC + "permitted-dn-mismatch")(
    lambda: constrained([x509.DirectoryName(directory_name("foo"))], common_name="not-foo")
)
shape(_NC + "excluded-dn-match")(
    lambda: constrained(None, [x509.DirectoryName(directory_name("foo"))], common_name="foo")
)
shape(_NC + "permitted-dn-match-sub-mismatch")(
    lambda: constrained(
        [x509.DirectoryName(directory_name("foo"))],
        common_name="not-foo",
        san=[raw_rfc822(USER), x509.DirectoryName(directory_name("foo"))],
    )
)
shape(_NC + "excluded-dn-match-sub-mismatch")(
    lambda: constrained(
        None,
        [x509.DirectoryName(directory_name("foo"))],
        common_name="foo",
        san=[raw_rfc822(USER), x509.DirectoryName(directory_name("not-foo"))],
    )
)


@shape(_NC + "permitted-self-issued")
def _permitted_self_issued() -> Shape:
    anchor = make_ca("Rolled Over", permitted=[raw_rfc822("limbo.example")])
    names = x509.SubjectAlternativeName([raw_rfc822("ca@elsewhere.example")])
    newer = make_ca("Rolled Over", parent=anchor, slot="newer", extensions=[(names, False)])
    return leaf(newer)


@shape(_NC + "excluded-self-issued-leaf")
def _excluded_self_issued_leaf() -> Shape:
    anchor = make_ca("Permitting", permitted=[raw_rfc822("elsewhere.example")])
    lower = make_ca("Self-Issued", parent=anchor)
    return leaf(lower, subject=lower.name)


@shape("own::intermediate-outside-of-its-constraints")
def _intermediate_outside() -> Shape:
    anchor = make_ca("Permitting", permitted=[raw_rfc822("limbo.example")])
    names = x509.SubjectAlternativeName([raw_rfc822("ca@elsewhere.example")])
    return leaf(make_ca("Other", parent=anchor, extensions=[(names, False)]))


# --- pathological --------------------------------------------------------------------------------


def crossed(first: CA, second: CA) -> tuple[Certificate, Certificate]:
    """Certificates by which two authorities vouch for each other, and nobody else for them."""

    def vouch(subject: CA, issuer: CA) -> Certificate:
        made = make_ca(subject.certificate.parsed.subject.get_attributes_for_oid(
            x509.NameOID.COMMON_NAME)[0].value, parent=issuer, key=subject.key)  # fmt: skip
        return made.certificate

    return vouch(first, second), vouch(second, first)


@shape("pathological::multiple-chains-expired-intermediate")
def _chain_of_pain() -> Shape:
    older = make_ca("Older Root")
    expired = make_ca("Limbo Root", parent=older, key=ROOT.key, not_after=NOW - DAY)
    issued = ROOT.issue(USER, key="p256", slot="limbo leaf")
    return Shape(
        certificate=issued.certificate,
        anchors=(ROOT.certificate, older.certificate),
        others=(expired.certificate,),
    )


@shape("pathological::intermediate-cycle-distinct-cas")
def _cycle_of_two() -> Shape:
    first, second = make_ca("Cycle 1"), make_ca("Cycle 2")
    issued = first.issue(USER, key="p256", slot="limbo leaf")
    return Shape(certificate=issued.certificate, others=crossed(first, second))


@shape("pathological::intermediate-cycle-same-logical-ca")
def _cycle_of_one() -> Shape:
    first, second = make_ca("Cycle"), make_ca("Cycle", slot="other key")
    issued = first.issue(USER, key="p256", slot="limbo leaf")
    return Shape(certificate=issued.certificate, others=crossed(first, second))


@shape("own::everybody-vouches-for-everybody")
def _clique() -> Shape:
    authorities = [make_ca(f"Clique {number}") for number in range(12)]
    issued = authorities[0].issue(USER, key="p256", slot="limbo leaf")
    others = [
        certificate
        for position, first in enumerate(authorities)
        for second in authorities[:position]
        for certificate in crossed(first, second)
    ]
    return Shape(certificate=issued.certificate, others=tuple(others))


@shape("own::long-chain")
def _long_chain() -> Shape:
    authority = ROOT
    for number in range(64):
        authority = make_ca(f"Link {number}", parent=authority, slot="link")
    return leaf(authority)


def many(constraints: int, names: int, *, excluded: bool = False) -> Shape:
    """So many constraints, and so many names that they do not match before the last."""
    bases = [raw_rfc822(f"d{number}.example") for number in range(constraints)]
    bases.append(raw_rfc822("nowhere.example" if excluded else "limbo.example"))
    san = [raw_rfc822(f"user@n{number}.limbo.example") for number in range(names - 1)]
    if not excluded:
        san = [raw_rfc822(f"u{number}@limbo.example") for number in range(names - 1)]
    san.append(raw_rfc822(USER))
    return constrained(None if excluded else bases, bases if excluded else None, san=san)


shape("own::nc-dos-within-limits")(lambda: many(200, 200))
shape("pathological::nc-dos-1")(lambda: many(2048, 2048))
shape("pathological::nc-dos-2")(lambda: many(2048, 2048, excluded=True))
shape("pathological::nc-dos-3")(lambda: many(2048, 255))

"""An offline root and its issuing CA: what is carried between them, and what is refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import (
    authority,
    crl,
    founding,
    hierarchy,
    installing,
    issuance,
    keys,
    opening,
    rollover,
)
from pki.errors import PassphraseError, RequestError
from pki.founding import Founding
from pki.home import Home
from pki.keys import KeyKind
from pki.places import FIRST, ROOT
from pki.profiles import Profile
from pki.settings import Settings
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError
from tests.unit.pki.steps import NOW, PASSPHRASE, issue

ROOT_PASSPHRASE = b"another horse staple"
YESTERDAY = NOW - timedelta(days=1)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Home]:
    """A root in a directory of its own."""
    plan = Founding(
        name="Corp Root",
        settings=Settings(
            root_crl_urls=("http://pki.corp.example/root.crl",),
            root_urls=("http://pki.corp.example/root.cer",),
        ),
        key_kind=KeyKind.P_384,
    )
    founding.initialise_root(tmp_path / "root", plan, passphrase=ROOT_PASSPHRASE, now=YESTERDAY)
    with opening.changing(tmp_path / "root", now=NOW) as opened:
        yield opened


@pytest.fixture
def ca(tmp_path: Path) -> Iterator[Home]:
    """An issuing CA that waits for the root's answer."""
    plan = Founding(
        name="Corp Mail CA",
        settings=Settings(domains=("corp.example",)),
        key_kind=KeyKind.P_256,
    )
    founding.initialise_issuing(tmp_path / "ca", plan, passphrase=PASSPHRASE, now=YESTERDAY)
    with opening.changing(tmp_path / "ca", now=NOW) as opened:
        yield opened


def _sign(root: Home, ca: Home, place: str = FIRST, days: int = 1000) -> x509.Certificate:
    request = hierarchy.read_request(ca.request_path(place).read_bytes())
    issuer = root.issuer(ROOT, ROOT_PASSPHRASE)
    return hierarchy.certify_issuing(
        root, issuer, request, domains=("corp.example",), days=days, now=NOW
    ).certificate


def _install(root: Home, ca: Home, place: str = FIRST) -> str:
    both = [_sign(root, ca, place), root.authority(ROOT).certificate]
    return installing.install(ca, both, passphrase=PASSPHRASE, now=NOW)


def test_the_answer_makes_a_working_ca(root: Home, ca: Home, now: datetime) -> None:
    """Request out, certificate back; then it issues, under the root that is elsewhere."""
    rollover.finish(ca, _install(root, ca), passphrase=PASSPHRASE, now=now)
    certified = issue(ca, now)
    issuing = ca.authority(FIRST).certificate
    certified.certificate.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(ca.authority(ROOT).certificate)
    assert authority.permitted_domains(issuing) == ("corp.example",)
    assert ca.register.last_crl(FIRST) is not None


def test_the_roots_key_is_nowhere_else(root: Home, ca: Home) -> None:
    """Neither directory holds the other's key (T-29)."""
    _install(root, ca)
    assert [path.parent.name for path in root.path.rglob("key.pem")] == [ROOT]
    assert [path.parent.name for path in ca.path.rglob("key.pem")] == [FIRST]
    assert not ca.holds_key(ROOT)
    with pytest.raises(PassphraseError, match="offline key has to be brought back"):
        ca.issuer(ROOT, PASSPHRASE)


def test_before_the_answer_the_ca_says_what_it_waits_for(ca: Home, now: datetime) -> None:
    """The text names the request and the two commands."""
    with pytest.raises(UsageError, match=r"root sign.*install"):
        issue(ca, now)


def test_a_root_alone_issues_for_nobody(root: Home, now: datetime) -> None:
    """Mailboxes are the issuing CA's business."""
    with pytest.raises(UsageError, match="no issuing CA in this directory"):
        issue(root, now)


def test_the_answer_to_somebody_elses_request_is_refused(root: Home, ca: Home) -> None:
    """A certificate for another key is of no use here."""
    other = keys.generate_signing(KeyKind.P_256)
    name = authority.authority_name("Other", organization="", country="")
    request = hierarchy.AuthorityRequest(name=name, public_key=other.public_key())
    issuer = root.issuer(ROOT, ROOT_PASSPHRASE)
    made = hierarchy.certify_issuing(root, issuer, request, domains=(), days=10, now=NOW)
    with pytest.raises(UsageError, match="None of these certificates"):
        installing.install(
            ca, [made.certificate, issuer.certificate], passphrase=PASSPHRASE, now=NOW
        )


def test_an_answer_without_its_root_is_refused(root: Home, ca: Home) -> None:
    """Whom to trust must come with it."""
    with pytest.raises(UsageError, match="is not among the files"):
        installing.install(ca, [_sign(root, ca)], passphrase=PASSPHRASE, now=NOW)


def test_an_answer_with_another_root_is_refused(root: Home, ca: Home, tmp_path: Path) -> None:
    """The same name and another key is another root."""
    plan = Founding(name="Corp Root", settings=Settings(), key_kind=KeyKind.P_384)
    founding.initialise_root(tmp_path / "other", plan, passphrase=PASSPHRASE, now=YESTERDAY)
    with opening.reading(tmp_path / "other") as opened:
        other = opened.authority(ROOT).certificate
    with pytest.raises(UsageError, match="is not among the files"):
        installing.install(ca, [_sign(root, ca), other], passphrase=PASSPHRASE, now=NOW)


def test_an_answer_that_makes_no_ca_is_refused(root: Home, ca: Home) -> None:
    """The operator of another program picked the wrong profile (RFC 5280, 4.2.1.9)."""
    key = hierarchy.read_request(ca.request_path(FIRST).read_bytes()).public_key
    issuer = root.issuer(ROOT, ROOT_PASSPHRASE)
    mailbox = Mailbox.parse("a@corp.example")
    made = authority.sign_mailbox(
        key,
        authority.authority_name("Corp Mail CA", organization="", country=""),
        mailbox,
        profile=Profile.BOTH,
        issuer=issuer,
        serial=x509.random_serial_number(),
        validity=authority.Validity.starting(NOW, 100),
        pointers=authority.Pointers(),
    )
    with pytest.raises(UsageError, match="no certificate of a CA"):
        installing.install(ca, [made, issuer.certificate], passphrase=PASSPHRASE, now=NOW)
    assert ca.issuers == ()


def test_an_answer_is_taken_once(root: Home, ca: Home) -> None:
    """Nothing waits for it any more."""
    both = [_sign(root, ca), root.authority(ROOT).certificate]
    installing.install(ca, both, passphrase=PASSPHRASE, now=NOW)
    with pytest.raises(UsageError, match="None of these certificates"):
        installing.install(ca, both, passphrase=PASSPHRASE, now=NOW)


def test_the_root_lists_its_issuing_cas(root: Home, ca: Home) -> None:
    """What it signed is in its ledger, and revoking it is its business (RFC 5280, 5)."""
    made = _sign(root, ca)
    certified = root.register.find(f"{made.serial_number:X}")
    issuance.revoke(root, certified, "cACompromise", now=NOW)
    made_crl = crl.make(root, ROOT, root.issuer(ROOT, ROOT_PASSPHRASE), now=NOW)
    entry = made_crl.crl.get_revoked_certificate_by_serial_number(made.serial_number)
    assert entry is not None


def test_the_roots_crl_is_carried_too(root: Home, ca: Home) -> None:
    """Readers fetch it where the issuing CA publishes."""
    _install(root, ca)
    made = crl.make(root, ROOT, root.issuer(ROOT, ROOT_PASSPHRASE), now=NOW)
    assert installing.install_crl(ca, made.crl, now=NOW) == made.number
    assert ca.crl_path(ROOT).read_bytes() == made.der


def test_a_ca_that_the_root_revoked_knows_it(root: Home, ca: Home, now: datetime) -> None:
    """It issues no more, and cross certificates end with it (T-29)."""
    rollover.finish(ca, _install(root, ca), passphrase=PASSPHRASE, now=now)
    place, _ = rollover.begin(
        ca, hierarchy.NewKey(kind=KeyKind.P_256), passphrase=PASSPHRASE, now=now
    )
    installing.install(ca, [_sign(root, ca, place)], passphrase=PASSPHRASE, now=now)
    rollover.finish(ca, place, passphrase=PASSPHRASE, now=now)
    pair = rollover.cross_pairs(ca)[0]
    new = root.register.find(f"{ca.authority(place).serial:X}")
    issuance.revoke(root, new, "cACompromise", now=now)
    made = crl.make(root, ROOT, root.issuer(ROOT, ROOT_PASSPHRASE), now=now)
    installing.install_crl(ca, made.crl, now=now)
    assert ca.register.find(f"{pair.new_with_old.serial:X}").revocation is not None
    assert ca.register.find(f"{pair.old_with_new.serial:X}").revocation is None
    with pytest.raises(UsageError, match=r"revoked \(cACompromise\).*rollover"):
        issue(ca, now)


def test_what_only_the_root_can_revoke_is_refused_here(root: Home, ca: Home) -> None:
    """The issuing CA has no say in its own certificate when the root is elsewhere."""
    _install(root, ca)
    with pytest.raises(UsageError, match="root of this CA is elsewhere"):
        issuance.revoke(ca, ca.authority(FIRST), "superseded", now=NOW)


def test_an_older_crl_of_the_root_is_refused(root: Home, ca: Home) -> None:
    """Numbers only grow (RFC 5280, 5.2.3)."""
    _install(root, ca)
    made = crl.make(root, ROOT, root.issuer(ROOT, ROOT_PASSPHRASE), now=NOW)
    installing.install_crl(ca, made.crl, now=NOW)
    with pytest.raises(UsageError, match="not newer"):
        installing.install_crl(ca, made.crl, now=NOW)


def test_a_crl_of_somebody_else_is_refused(root: Home, ca: Home, tmp_path: Path) -> None:
    """The root's name alone is not enough: its signature has to hold."""
    _install(root, ca)
    plan = Founding(name="Corp Root", settings=Settings(), key_kind=KeyKind.P_384)
    founding.initialise_root(tmp_path / "other", plan, passphrase=PASSPHRASE, now=YESTERDAY)
    with opening.reading(tmp_path / "other") as opened:
        forged = opened.register.last_crl(ROOT)
    assert forged is not None
    with pytest.raises(UsageError, match="not signed by the root"):
        installing.install_crl(ca, forged.crl, now=NOW)


def test_the_roots_own_key_is_not_certified_again(root: Home) -> None:
    """An issuing CA with the root's key would be the root without its limits."""
    issuer = root.issuer(ROOT, ROOT_PASSPHRASE)
    name = authority.authority_name("Copy", organization="", country="")
    request = hierarchy.AuthorityRequest(name=name, public_key=issuer.key.public_key())
    with pytest.raises(RequestError, match="root's own key"):
        hierarchy.certify_issuing(root, issuer, request, domains=(), days=10, now=NOW)


def test_a_mailboxs_request_is_no_cas_request() -> None:
    """A CA needs a name."""
    key = keys.generate_signing(KeyKind.P_256)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    octets = builder.sign(key, authority.signature_digest(key)).public_bytes(Encoding.PEM)
    with pytest.raises(RequestError, match="not of an issuing CA"):
        hierarchy.read_request(octets)


def test_an_issuing_ca_ends_before_its_root(root: Home, ca: Home) -> None:
    """No reader would accept what outlives its issuer."""
    with pytest.raises(UsageError, match="outlive"):
        _sign(root, ca, days=7300)


def test_a_rollover_is_certified_by_the_root_elsewhere(root: Home, ca: Home, now: datetime) -> None:
    """The second answer needs no second root, and is crossed with the first key."""
    rollover.finish(ca, _install(root, ca), passphrase=PASSPHRASE, now=now)
    new = hierarchy.NewKey(kind=KeyKind.P_256)
    place, _ = rollover.begin(ca, new, passphrase=PASSPHRASE, now=now)
    answer = [_sign(root, ca, place)]
    assert installing.install(ca, answer, passphrase=PASSPHRASE, now=now) == place
    assert len(rollover.finish(ca, place, passphrase=PASSPHRASE, now=now)) == 2
    assert ca.issuing == place


def test_what_another_root_signed_does_not_replace_ours(
    root: Home, ca: Home, tmp_path: Path, now: datetime
) -> None:
    """A new root makes a new CA."""
    rollover.finish(ca, _install(root, ca), passphrase=PASSPHRASE, now=now)
    new = hierarchy.NewKey(kind=KeyKind.P_256)
    place, request = rollover.begin(ca, new, passphrase=PASSPHRASE, now=now)
    plan = Founding(name="Evil Root", settings=Settings(), key_kind=KeyKind.P_256)
    founding.initialise_root(tmp_path / "evil", plan, passphrase=PASSPHRASE, now=YESTERDAY)
    with opening.changing(tmp_path / "evil", now=NOW) as evil:
        issuer = evil.issuer(ROOT, PASSPHRASE)
        made = hierarchy.certify_issuing(evil, issuer, request, domains=(), days=10, now=NOW)
    both = [made.certificate, issuer.certificate]
    with pytest.raises(UsageError, match="another root"):
        installing.install(ca, both, passphrase=PASSPHRASE, now=now)
    assert place not in ca.issuers

"""Makes a new CA: a root, an issuing CA below it, their first CRLs and an empty ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from pki import authority, files, keys, settings, subjects
from pki.authority import Issuer, Pointers, Validity
from pki.home import Home, locked
from pki.issuance import certify, make_crl
from pki.keys import KeyKind
from pki.ledger import Ledger
from pki.places import FIRST, ROOT
from pki.profiles import Profile
from pki.register import IssuerName, Register, Reservation
from pki.settings import Settings
from smimegw.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """What `initialise` needs to know."""

    name: str
    settings: Settings
    key_kind: KeyKind = KeyKind.RSA_3072
    root_days: int = 7300
    issuing_days: int = 1825


def initialise(path: Path, founding: Founding, *, passphrase: bytes, now: datetime) -> None:
    """Make a root and an issuing CA in *path*.

    Raises:
        UsageError: Something is there already, or a name is not fit.
    """
    name = subjects.clean_name(founding.name)
    subjects.clean_name(f"{name} Root")
    if founding.issuing_days > founding.root_days:
        raise UsageError("The issuing CA cannot live longer than the root. Make it shorter.")
    refuse_second(path)
    files.make_directory(path)
    with locked(path):
        refuse_second(path)
        for place in (ROOT, FIRST, "issued"):
            files.make_directory(path / place)
        with Ledger.create(path / "ledger.db") as ledger:
            ledger.append("initialised", at=now, details={"name": name})
            home = Home(path=path, settings=founding.settings, register=Register(ledger))
            _found(home, founding, name, passphrase=passphrase, now=now)
        files.write_new(
            path / settings.FILE_NAME, settings.write(founding.settings).encode(), mode=0o600
        )


def refuse_second(path: Path) -> None:
    """Make sure that there is no CA in *path* yet.

    Raises:
        UsageError: There is one, whole or half.
    """
    if (path / settings.FILE_NAME).exists():
        raise UsageError(
            f"{path}: there is a certificate authority already; it was left as it is. "
            "Give another --directory, or look at it with: smimegw-ca status"
        )
    if any((path / name).exists() for name in (ROOT, FIRST, "ledger.db")):
        raise UsageError(
            f"{path}: an earlier init did not finish there; it issued nothing to anybody. "
            "Empty the directory and run init again."
        )


def _found(home: Home, founding: Founding, name: str, *, passphrase: bytes, now: datetime) -> None:
    chosen = home.settings
    root_name, issuing_name = (
        authority.authority_name(text, organization=chosen.organization, country=chosen.country)
        for text in (f"{name} Root", name)
    )
    root_key = keys.generate_signing(founding.key_kind)
    issuing_key = keys.generate_signing(founding.key_kind)
    root_validity = Validity.starting(now, founding.root_days)
    root = certify(
        home,
        _own(ROOT, ROOT, root_name),
        root_key,
        lambda serial: authority.sign_root(
            root_key, root_name, serial=serial, validity=root_validity
        ),
        passphrase=passphrase,
        now=now,
    )
    issuer = Issuer(certificate=root.certificate, key=root_key)
    issuing = certify(
        home,
        _own(ROOT, FIRST, issuing_name),
        issuing_key,
        lambda serial: authority.sign_issuing(
            issuing_key.public_key(),
            issuing_name,
            issuer=issuer,
            serial=serial,
            validity=Validity.starting(now, founding.issuing_days, within=root.certificate),
            domains=chosen.domains,
            pointers=Pointers(
                crl_urls=chosen.root_crl_urls,
                issuer_urls=chosen.root_urls,
                policies=chosen.policies,
            ),
        ),
        passphrase=passphrase,
        now=now,
    )
    make_crl(home, "root", issuer, now=now)
    make_crl(home, "issuing", Issuer(certificate=issuing.certificate, key=issuing_key), now=now)


def _own(issuer: IssuerName, place: IssuerName, name: x509.Name) -> Reservation:
    return Reservation(
        issuer=issuer,
        mailbox=None,
        profile=Profile.ROOT if place == ROOT else Profile.ISSUING,
        name=name.rfc4514_string(),
        key_held=True,
        own=place,
    )

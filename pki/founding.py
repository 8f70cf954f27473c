"""Makes a new CA directory: root and issuing CA, a root alone, or an issuing CA alone."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from pki import authority, files, hierarchy, settings, subjects
from pki.hierarchy import NewKey
from pki.home import Home
from pki.issuance import make_crl
from pki.keys import KeyKind
from pki.ledger import Ledger
from pki.opening import locked
from pki.own_keys import TokenChoice
from pki.places import FIRST, ROOT
from pki.register import Register
from pki.settings import Settings
from smimegw.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Founding:
    """What a new CA is to be.

    Attributes:
        name: Of the issuing CA; of the root, when it is founded alone.
        token: Keys are made in this token; None makes encrypted files.
    """

    name: str
    settings: Settings
    key_kind: KeyKind = KeyKind.RSA_3072
    root_days: int = 7300
    issuing_days: int = 1825
    token: TokenChoice | None = None


def initialise(path: Path, founding: Founding, *, passphrase: bytes, now: datetime) -> None:
    """Make a root and an issuing CA in *path*.

    Raises:
        UsageError: Something is there already, or a name is not fit.
    """
    name = subjects.clean_name(founding.name)
    subjects.clean_name(f"{name} Root")
    if founding.issuing_days > founding.root_days:
        raise UsageError("The issuing CA cannot live longer than the root. Make it shorter.")
    with _begun(path, founding, now=now) as home:
        root_name = _name(founding, f"{name} Root")
        _make_root(home, founding, root_name, passphrase=passphrase, now=now)
        root = home.issuer(ROOT, passphrase)
        request = hierarchy.make_request(
            home, FIRST, _name(founding, name), _new(founding), passphrase=passphrase, now=now
        )
        hierarchy.certify_issuing(
            home,
            root,
            request,
            domains=founding.settings.domains,
            days=founding.issuing_days,
            now=now,
            place=FIRST,
        )
        make_crl(home, ROOT, root, now=now)
        make_crl(home, FIRST, home.issuer(FIRST, passphrase), now=now)


def initialise_root(path: Path, founding: Founding, *, passphrase: bytes, now: datetime) -> None:
    """Make a root alone in *path*, for a machine without a network.

    Raises:
        UsageError: Something is there already, or the name is not fit.
    """
    name = _name(founding, subjects.clean_name(founding.name))
    with _begun(path, founding, now=now) as home:
        _make_root(home, founding, name, passphrase=passphrase, now=now)
        make_crl(home, ROOT, home.issuer(ROOT, passphrase), now=now)


def initialise_issuing(path: Path, founding: Founding, *, passphrase: bytes, now: datetime) -> None:
    """Make an issuing CA in *path* that has a key and a request, and waits for the root's answer.

    Raises:
        UsageError: Something is there already, or the name is not fit.
    """
    name = _name(founding, subjects.clean_name(founding.name))
    with _begun(path, founding, now=now) as home:
        hierarchy.make_request(home, FIRST, name, _new(founding), passphrase=passphrase, now=now)


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


@contextlib.contextmanager
def _begun(path: Path, founding: Founding, *, now: datetime) -> Iterator[Home]:
    refuse_second(path)
    files.make_directory(path)
    with locked(path):
        refuse_second(path)
        files.make_directory(path / "issued")
        with Ledger.create(path / "ledger.db") as ledger:
            ledger.append("initialised", at=now, details={"name": founding.name})
            yield Home(path=path, settings=founding.settings, register=Register(ledger))
        files.write_new(
            path / settings.FILE_NAME, settings.write(founding.settings).encode(), mode=0o600
        )


def _make_root(
    home: Home, founding: Founding, name: x509.Name, *, passphrase: bytes, now: datetime
) -> None:
    hierarchy.make_root(
        home, name, _new(founding), days=founding.root_days, passphrase=passphrase, now=now
    )


def _new(founding: Founding) -> NewKey:
    return NewKey(kind=founding.key_kind, token=founding.token)


def _name(founding: Founding, common_name: str) -> x509.Name:
    chosen = founding.settings
    return authority.authority_name(
        common_name, organization=chosen.organization, country=chosen.country
    )

"""Processes that make keys: what they give back, and what becomes of them."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from datetime import datetime

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key, pkcs12

from pki import export, orders
from pki.errors import BusyError
from pki.home import Home
from pki.keys import KeyKind
from pki.profiles import Profile
from pki.workbench import Blank, Made, Parcel, Workbench
from tests.unit.pki.steps import PASSPHRASE, issue, order


@pytest.fixture
def bench(ca: Home) -> Iterator[Workbench]:
    certificate = ca.authority(ca.issuing).certificate
    with Workbench(certificate, passphrase=PASSPHRASE, processes=1) as opened:
        yield opened


def _blank(ca: Home, now: datetime, **changes: object) -> Blank:
    wanted = order(**changes)
    issuer = ca.issuer(ca.issuing, PASSPHRASE)
    return Blank(
        order=wanted,
        settings=ca.settings,
        validity=orders.validity(ca, issuer, wanted, now=now),
        pointers=ca.pointers(ca.issuing),
    )


def test_keys_come_back_encrypted_and_in_order(ca: Home, now: datetime, bench: Workbench) -> None:
    """One for each order, under the CA's passphrase."""
    blanks = [_blank(ca, now, address=f"p{index}@corp.example") for index in range(3)]
    made = [*bench.make(blanks)]
    assert [item.order for item in made if isinstance(item, Made)] == [
        blank.order for blank in blanks
    ]
    for item in made:
        assert isinstance(item, Made)
        assert item.sealed.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
        key = load_pem_private_key(item.sealed, PASSPHRASE)
        assert key.public_key() == item.public_key
        assert "sealed" not in repr(item)


def test_a_key_that_does_not_fit_is_named(ca: Home, now: datetime, bench: Workbench) -> None:
    """And the others are made."""
    unfit = _blank(ca, now, key_kind=KeyKind.ED25519, profile=Profile.ENCRYPT)
    refused, made = bench.make([unfit, _blank(ca, now)])
    assert isinstance(refused, tuple)
    assert "encrypt to a key of kind ed25519" in refused[1]
    assert isinstance(made, Made)


def test_files_are_packed_with_key_and_chain(ca: Home, now: datetime, bench: Workbench) -> None:
    """As `export` packs them."""
    certified = issue(ca, now)
    parcel = Parcel(
        name="alice@corp.example",
        sealed=ca.key_path(certified.serial).read_bytes(),
        certificate=certified.der,
        above=(ca.authority(ca.issuing).der,),
        passphrase=b"one-time",
        legacy=False,
        one_time=True,
    )
    (octets,) = bench.pack([parcel])
    key, certificate, above = pkcs12.load_key_and_certificates(octets, b"one-time")
    assert key is not None
    assert certificate == certified.certificate
    assert above == [*export.issuers(ca, certified)][:1]


def test_a_process_that_was_killed_is_said(ca: Home, now: datetime, bench: Workbench) -> None:
    """What the kernel does when there is no memory left."""
    made = bench.make(_blank(ca, now) for _ in range(100))
    next(made)
    for process in multiprocessing.active_children():
        os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(BusyError, match="do it again"):
        list(made)

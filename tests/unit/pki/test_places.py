"""Which of the CA's certificates is in which place."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from pki import places, rollover
from pki.hierarchy import NewKey
from pki.home import Home
from pki.keys import KeyKind
from pki.places import FIRST, ROOT
from tests.unit.pki.steps import PASSPHRASE


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("root", True),
        ("issuing", True),
        ("issuing-2", True),
        ("issuing-17", True),
        ("issuing-0", False),
        ("issuing-", False),
        ("root-2", False),
        ("issued", False),
        ("../root", False),
        ("issuing-99999", False),
    ],
)
def test_places_have_names(text: str, good: bool) -> None:
    """A name from outside is part of a path only when it is one of these."""
    assert places.is_place(text) is good


def test_places_follow_each_other() -> None:
    """The tenth comes after the ninth."""
    name, names = FIRST, [FIRST]
    for _ in range(9):
        name = places.successor(name)
        names.append(name)
    assert names[-2:] == ["issuing-9", "issuing-10"]
    assert sorted(names, key=places.number) == names


def test_a_ca_of_the_first_release_is_rolled_over(ca: Home, now: datetime) -> None:
    """It did not write down which certificate is where: root first, issuing CA next."""
    place, request = rollover.begin(ca, NewKey(kind=KeyKind.P_256), passphrase=PASSPHRASE, now=now)
    rollover.certify_here(ca, place, request, days=100, passphrase=PASSPHRASE, now=now)
    root, issuing, *newer = ca.register.own_certificates()
    old = (replace(root, own="", profile=None), replace(issuing, own="", profile=None))
    assert places.assigned(old) == {ROOT: old[0], FIRST: old[1]}
    assert list(places.assigned((*old, *newer))) == [ROOT, FIRST, "issuing-2"]


@pytest.mark.parametrize(
    ("url", "wanted"),
    [
        ("http://pki.corp.example/crl/issuing.crl", "http://pki.corp.example/crl/issuing-2.crl"),
        ("http://pki.corp.example/ca", "http://pki.corp.example/ca-2"),
        ("http://pki.corp.example/", "http://pki.corp.example/"),
        ("ldap://ldap.corp.example/cn=CA?x", "ldap://ldap.corp.example/cn=CA?x"),
    ],
)
def test_a_second_key_has_addresses_of_its_own(url: str, wanted: str) -> None:
    """One file holds one list; an LDAP entry holds several."""
    assert places.located(url, "issuing-2") == wanted
    assert places.located(url, FIRST) == url

"""The table of algorithms and programs claims nothing that no test does."""

from __future__ import annotations

import pytest

from smimegw.cms.algorithms import DigestAlgorithm, KeyEncryption, KeyWrap, SignatureScheme
from smimegw.cms.content_ciphers import ContentCipher, LegacyCipher
from tests.interop import programs
from tests.interop.matrix import GROUPS, Encryption, Signature, Way
from tests.interop.programs import PEERS, Limit, cell, cells
from tests.make import documents, interop

ROWS = [row for rows in GROUPS.values() for row in rows]
ENCRYPTIONS = [row for row in ROWS if isinstance(row, Encryption)]


def test_every_algorithm_that_we_know_has_a_row() -> None:
    """A new one is not forgotten."""
    signatures = [row for row in ROWS if isinstance(row, Signature)]
    assert {row.scheme for row in signatures} == set(SignatureScheme)
    assert {row.digest for row in signatures} == set(DigestAlgorithm) - {DigestAlgorithm.SHA1}
    assert {row.cipher for row in ENCRYPTIONS} == {*ContentCipher, *LegacyCipher}
    assert {row.key_encryption for row in ENCRYPTIONS} == set(KeyEncryption)
    assert {row.wrap for row in ENCRYPTIONS} == set(KeyWrap)


def test_names_of_rows_are_unique() -> None:
    """Limits go by them."""
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("peer", PEERS)
def test_every_arrow_is_a_test(peer: str) -> None:
    """An arrow comes from a case that runs, or names the test that stands for it."""
    run = {(each.algorithm.name, each.way) for each in cells(peer) if each.works}
    for row in ROWS:
        for way in (Way.OURS, Way.THEIRS) if row.written else (Way.THEIRS,):
            each = cell(peer, row, way)
            shown = each.limit is None or each.limit.parts
            named = each.limit is not None and each.limit.test != ""
            assert shown is ((row.name, way) in run or named)


def test_test_that_is_gone_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The table leans on tests of other modules."""
    gone = Limit(peer="nss", names="zlib", why="why", test="tests/test_x.py::test_y", parts=True)
    monkeypatch.setattr(programs, "LIMITS", (gone, *programs.LIMITS))
    monkeypatch.setattr(interop, "LIMITS", (gone, *programs.LIMITS))
    assert any("there is no test file tests/test_x.py" in p for p in documents.interop_problems())


def test_limit_about_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It could be wrong and nobody would see it."""
    idle = Limit(peer="nss", names="rot13", why="why")
    monkeypatch.setattr(interop, "LIMITS", (idle, *programs.LIMITS))
    assert [p for p in documents.interop_problems() if "nss rot13 is about no algorithm" in p]

"""Whatever order signatures and encryption stand in: encrypted, signed and good are told truly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from smimegw.mime.entity import Entity
from tests.attacks.nesting import ALICE, BOB, DIGESTS, TOKEN, Case, Expected, Forge, expected, table
from tests.fakes.company import Company

TABLE = tuple(table())


@pytest.fixture(scope="module")
def forge(tmp_path_factory: pytest.TempPathFactory) -> Forge:
    return Forge(Company(), Path(tmp_path_factory.mktemp("nesting")))


def _told(arrived: bytes) -> Expected:
    """What the result fields of a delivered message say."""
    header = Entity.parse(arrived).header
    (results,) = header.all("authentication-results")
    (status,) = header.all("x-smimegw-status")
    found = re.search(rb"smime=(\w+)(?: \([^)]*\))?(?:\s+reason=\"([^\"]*)\")?", results.body)
    words = dict(word.strip().split("=") for word in status.body.decode().split(";"))
    assert found is not None
    assert found[1].decode() == words["signed"]
    return Expected(
        signed=words["signed"],
        reason=(found[2] or b"").decode(),
        encrypted=words["encrypted"],
        integrity=words["integrity"],
        readable=TOKEN in arrived,
    )


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_nesting_is_told_truly(case: Case, forge: Forge) -> None:
    """Order x form x cipher x digest x defect (RFC 2634, 1.1; R-42 to R-51; cases I30)."""
    outcome = forge.company.send("mx", (ALICE,), forge.message(case), reverse_path=BOB)
    assert outcome.reply.code == 250
    assert _told(forge.company.arrived[-1]) == expected(case)


def test_table_is_large_and_has_every_answer() -> None:
    """No line twice, and each answer is expected of some line."""
    answers = [expected(case) for case in TABLE]
    assert len(TABLE) >= 120
    assert len(set(TABLE)) == len(TABLE)
    assert {answer.signed for answer in answers} == {"pass", "fail", "policy", "none", "permerror"}
    assert {answer.encrypted for answer in answers} == {"no", "yes", "not-decrypted"}
    assert {answer.integrity for answer in answers} == {"signed", "authenticated", "none"}
    assert {case.digest for case in TABLE} == set(DIGESTS)


def test_a_defect_is_good_only_where_no_signature_that_was_opened_has_it() -> None:
    """An IV changed around a signature, or what an intact signature covers and nobody opened."""
    for case in TABLE:
        if case.defect and expected(case).is_good:
            in_cipher = case.layers[case.at] in {"cbc", "gcm"}
            assert in_cipher or expected(case).encrypted == "not-decrypted"

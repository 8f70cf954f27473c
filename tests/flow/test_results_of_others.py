"""Whose Authentication-Results mail from outside may bring (delivery: strip, RFC 8601, 5)."""

from __future__ import annotations

from dataclasses import replace

from smimegw.mime.entity import Entity
from smimegw.pipeline.strip import Claims
from tests.fakes.company import Company, message

ALICE = "alice@ours.example"
BOB = "bob@partner.example"


def left(claims: Claims, *names: str) -> list[str]:
    """Which of *names* may still stand as authserv-id in what arrives."""
    company = Company()
    company.user(ALICE)
    settings = replace(company.settings, claims={"mx": claims})
    company.gateway.settings = settings
    fields = "".join(f"Authentication-Results: {name}; spf=pass\r\n" for name in names)
    octets = fields.encode() + message(BOB, ALICE)
    assert company.send("mx", [ALICE], octets, reverse_path=BOB).reply.code == 250
    found = Entity.parse(company.arrived[-1]).header.all("authentication-results")
    written = [entry.body.decode().split(";")[0].strip() for entry in found]
    return [name for name in names if name in written]


def test_results_in_the_name_of_a_filter_inside_are_removed() -> None:
    """A stranger cannot speak for the spam filter behind us, however he spells it (K03)."""
    claims = Claims(internal=frozenset({"filter.ours.example"}))
    names = [
        "filter.ours.example",
        "FILTER.ours.example.",
        '"filter.ours.example"',
        "mx.other.example",
    ]
    assert left(claims, *names) == ["mx.other.example"]


def test_results_of_the_edge_stay_where_mail_comes_through_it() -> None:
    """The edge filter in front of this listener is believed."""
    edge = frozenset({"edge.ours.example"})
    assert left(Claims(internal=edge, kept=edge), "edge.ours.example") == ["edge.ours.example"]
    assert left(Claims(internal=edge), "edge.ours.example") == []


def test_all_results_can_be_removed() -> None:
    """Those of the edge stay."""
    claims = Claims(every=True, kept=frozenset({"edge.ours.example"}))
    names = ["mx.other.example", "edge.ours.example"]
    assert left(claims, *names) == ["edge.ours.example"]


def test_own_results_never_come_from_outside() -> None:
    """Not even through the edge (K03)."""
    claims = Claims(kept=frozenset({"gw.ours.example"}))
    assert left(claims, "gw.ours.example; smime=pass") == []

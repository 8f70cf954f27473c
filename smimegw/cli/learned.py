"""What mail taught about a correspondent, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence

from smimegw.config.choices import Harvest
from smimegw.directories import ACTIVE_STATES
from smimegw.memory import Candidate, CandidateState, Correspondent

MEANINGS = {
    CandidateState.CANDIDATE: "candidate, not used",
    CandidateState.VERIFIED: "came again later",
    CandidateState.SUCCESSOR: "follows a known one of the same CA",
    CandidateState.ACCEPTED: "accepted, used",
    CandidateState.REFUSED: "refused, never used",
}
"""What the states mean."""


def reads(person: Correspondent | None) -> str:
    """Which algorithms somebody's software reads."""
    if person is None or person.capabilities is None:
        return "reads: not known"
    capabilities = person.capabilities
    names = [cipher.label for cipher in capabilities.ciphers] or ["nothing we write"]
    names += ["oaep"] if capabilities.reads_oaep else []
    return "reads: " + " ".join(names)


def lines_of(
    person: Correspondent | None, learned: Sequence[Candidate], harvest: Harvest
) -> list[str]:
    """What is known of one correspondent, for people."""
    if person is None and not learned:
        return ["none: no verified mail of this address has taught anything yet"]
    lines = [reads(person)]
    if person is not None:
        lines.append(f"  said {person.learned_at:%Y-%m-%d %H:%MZ}, {person.fingerprint[:23]}")
    for entry in learned:
        certificate = entry.certificate
        lines.append(f"{certificate.fingerprint}  {certificate.subject_text}")
        lines.append(f"  {_meaning(entry, harvest)}; first seen {entry.first_seen:%Y-%m-%d %H:%MZ}")
        issuer = certificate.parsed.issuer.rfc4514_string()
        issuer = "".join(letter if letter.isprintable() else "?" for letter in issuer)
        dates = f"valid {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}"
        lines.append(f"  {dates}; issuer {issuer}")
        if entry.was:
            lines.append(f"  known before: {entry.was[:23]}")
    return lines


def state_of(entry: Candidate) -> str:
    """In one word."""
    return "conflict" if entry.is_conflict else entry.state.value


def _meaning(entry: Candidate, harvest: Harvest) -> str:
    if entry.is_conflict:
        return "contradicts what was known, not used: accept or refuse it"
    meaning = MEANINGS[entry.state]
    if entry.state not in (CandidateState.SUCCESSOR, CandidateState.VERIFIED):
        return meaning
    if entry.state in ACTIVE_STATES[harvest]:
        return f"{meaning}, used"
    return f'{meaning}, not used: memory.harvest is "{harvest.value}"'


def values_of(
    key: str, person: Correspondent | None, learned: Sequence[Candidate]
) -> dict[str, object]:
    """The same for programs."""
    capabilities = person.capabilities if person else None
    return {
        "address": key,
        "ciphers": [cipher.label for cipher in capabilities.ciphers] if capabilities else [],
        "oaep": bool(capabilities and capabilities.reads_oaep),
        "said_at": person.learned_at.isoformat() if person else "",
        "certificates": [
            {
                "sha256": entry.certificate.fingerprint.removeprefix("sha256:"),
                "subject": entry.certificate.subject_text,
                "state": entry.state.value,
                "conflict": entry.is_conflict,
                "first_seen": entry.first_seen.isoformat(),
                "not_before": entry.certificate.not_before.isoformat(),
                "not_after": entry.certificate.not_after.isoformat(),
                "was": entry.was.removeprefix("sha256:"),
            }
            for entry in learned
        ],
    }

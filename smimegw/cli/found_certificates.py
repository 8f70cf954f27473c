"""What was found for a mailbox, for people and for programs: sources, certificates, reasons."""

from __future__ import annotations

from smimegw.pipeline.recipient_evidence import JudgedCertificate, RecipientEvidence
from smimegw.pipeline.select import Verdict, evidence_values, recipient_facts, verdicts
from smimegw.sources import Said, SourceAnswer

_HINTS = {
    "untrusted-ca": "to trust its CA, put the root certificate into trust.anchors",
    "revocation-unknown": (
        "no current CRL of its CA was found: publish one beside the CA's certificate, name a file"
        " in trust.crls, or the CA's server in revocation.allow_hosts"
    ),
    "ambiguous": "two people have this address: correct the directory",
    "revoked-key": "another certificate of the same key was revoked",
    "same-key": "a newer certificate of the same key is used",
    "surplus": "newer ones are used",
}


def certificate_lines(evidence: RecipientEvidence) -> list[str]:
    """What was found, one certificate after the other, for people."""
    lines = []
    if evidence.trouble:
        lines.append(f"directory could not answer: {evidence.trouble}")
    elif not evidence.judged:
        lines.append("none: the directories know no certificate of this address")
    for entry, verdict in zip(evidence.judged, verdicts(evidence), strict=True):
        lines += _lines(entry, verdict)
    return lines


def source_lines(evidence: RecipientEvidence) -> list[str]:
    """What each source said, in the order in which they were asked."""
    return [f"asked      {answer.source}: {_said(answer)}" for answer in evidence.said]


def _said(answer: SourceAnswer) -> str:
    what = {Said.FOUND: f"{answer.count} found", Said.NONE: "none", Said.FAILED: "no answer"}
    age = f", {answer.age_seconds} s old" if answer.age_seconds else ""
    return what[answer.said] + age + (f" ({answer.text})" if answer.text else "")


def _lines(entry: JudgedCertificate, verdict: Verdict) -> list[str]:
    certificate, found = entry.found.certificate, entry.found
    age = f", cached {found.cached_seconds} s" if found.cached_seconds else ""
    age += ", stale" if found.stale else ""
    head = f"{certificate.fingerprint[:19]}  {certificate.subject_text}  from {found.source}{age}"
    valid = f"valid {certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}"
    if entry.validated and verdict.is_used:
        status = f"{entry.validated.revocation.value}, {entry.validated.evidence}"
        if entry.validated.evidence == "dnssec":
            status = "its domain's signed word (DNSSEC)"
        path = " < ".join(c.subject_text for c in entry.validated.path)
        return [head, f"  usable: {valid}; status {status}", f"  path: {path}"]
    hint = _HINTS.get(verdict.reason)
    return [head, f"  not used: {verdict.reason}; {valid}", *([f"  {hint}"] if hint else [])]


def found_values(evidence: RecipientEvidence) -> dict[str, object]:
    """The same for programs."""
    facts = recipient_facts(evidence)
    return {
        "address": evidence.mailbox.address,
        "answer": facts.certificate.value,
        "detail": facts.detail,
        "sources": evidence_values(evidence)["sources"],
        "certificates": [
            {
                "sha256": verdict.found.certificate.fingerprint.removeprefix("sha256:"),
                "subject": verdict.found.certificate.subject_text,
                "source": verdict.found.source,
                "stale": verdict.found.stale,
                "not_before": verdict.found.certificate.not_before.isoformat(),
                "not_after": verdict.found.certificate.not_after.isoformat(),
                "usable": verdict.is_used,
                "reason": verdict.reason,
            }
            for verdict in verdicts(evidence)
        ],
    }

"""Choose among judged certificates: one answer for the policy, and the certificates to use."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime

from smimegw.cms.capabilities import NOTHING_KNOWN, Capabilities, certificate_capabilities
from smimegw.pipeline.recipient_evidence import JudgedCertificate, RecipientEvidence
from smimegw.policy.answers import CertificateAnswer
from smimegw.policy.facts import RecipientFacts
from smimegw.ports import FoundCertificate
from smimegw.sources import Said
from smimegw.x509.certificate import Certificate
from smimegw.x509.lint import security_bits
from smimegw.x509.path import ValidatedCertificate

MAX_CERTIFICATES = 3  # during roll-over a copy is encrypted to old and new

# Why a certificate that was judged good is not used all the same.
AMBIGUOUS = "ambiguous"  # two people have the address
REVOKED_KEY = "revoked-key"  # another certificate of the same key was revoked
SAME_KEY = "same-key"  # a newer certificate of the same key is used
SURPLUS = "surplus"  # more are newer than there may be


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of one certificate that was found: used, or the reason why not."""

    found: FoundCertificate
    reason: str = ""

    @property
    def is_used(self) -> bool:
        """Mail would be encrypted to it."""
        return not self.reason


# When nothing is usable, the answer that tells the sender most, in this order.
_ANSWERS = (
    ("revocation-unknown", CertificateAnswer.REVOCATION_UNKNOWN),
    ("revoked", CertificateAnswer.REVOKED),
    ("expired", CertificateAnswer.EXPIRED),
    ("not-yet-valid", CertificateAnswer.EXPIRED),
)


def recipient_facts(evidence: RecipientEvidence) -> RecipientFacts:
    """Say in one word what the look-up came to."""
    answer, detail = _answer(evidence)
    return RecipientFacts(mailbox=evidence.mailbox, certificate=answer, detail=detail)


def _answer(evidence: RecipientEvidence) -> tuple[CertificateAnswer, str]:
    if evidence.trouble:
        return CertificateAnswer.UNAVAILABLE, evidence.trouble
    is_ambiguous = len(_people(evidence)) > 1
    if not is_ambiguous and _usable(evidence):
        return CertificateAnswer.USABLE, ""
    if missing := _not_answered(evidence):
        return CertificateAnswer.UNAVAILABLE, missing
    if is_ambiguous:
        return CertificateAnswer.AMBIGUOUS, "two entries with this address"
    # a certificate for another address is as good as none.
    rest = [entry for entry in evidence.judged if entry.reason != "address-mismatch"]
    if not rest:
        return CertificateAnswer.NONE, ""
    # A signing certificate beside is normal and says nothing about encryption.
    telling = [entry for entry in rest if entry.reason != "key-usage"] or rest
    for reason, answer in _ANSWERS:
        matching = [entry for entry in telling if entry.reason == reason]
        if matching:
            return answer, _date(matching) if answer is CertificateAnswer.EXPIRED else ""
    return CertificateAnswer.UNSUITABLE, telling[0].reason


def _not_answered(evidence: RecipientEvidence) -> str:
    """Which sources might have had something better, had they answered: they may do so later."""
    silent = [answer.source for answer in evidence.said if answer.said is Said.FAILED]
    silent += [entry.found.source for entry in evidence.judged if entry.found.stale]
    return f"no answer now from {', '.join(dict.fromkeys(silent))}" if silent else ""


def _usable(evidence: RecipientEvidence) -> list[ValidatedCertificate]:
    revoked = _revoked_keys(evidence)
    return [
        entry.validated
        for entry in evidence.judged
        if entry.validated and entry.validated.certificate.subject_public_key_info not in revoked
    ]


def _revoked_keys(evidence: RecipientEvidence) -> set[bytes]:
    # a key whose certificate was revoked is not used through another certificate of it.
    return {
        entry.found.certificate.subject_public_key_info
        for entry in evidence.judged
        if entry.reason == "revoked"
    }


def known_of(evidence: RecipientEvidence, certificate: Certificate) -> Capabilities:
    """What the software behind *certificate* is known to read.

    Its mail says so most freshly, then its owner in the directory, then the CA (RFC 4262).
    """
    own_words = (
        entry.found.capabilities
        for entry in evidence.judged
        if entry.found.certificate == certificate
    )
    for known in (evidence.capabilities, *own_words):
        if known.algorithms:
            return known
    return certificate_capabilities(certificate) or NOTHING_KNOWN


def _people(evidence: RecipientEvidence) -> set[bytes]:
    """Subjects of those certificates that carry the address, if different owners hold them."""
    entries = [entry for entry in evidence.judged if entry.reason != "address-mismatch"]
    if len({(entry.found.source, entry.found.owner) for entry in entries}) < 2:
        return set()
    return {entry.found.certificate.subject_der for entry in entries}


def _date(entries: list[JudgedCertificate]) -> str:
    latest = max(entry.found.certificate.not_after for entry in entries)
    return latest.date().isoformat()


def chosen(evidence: RecipientEvidence) -> tuple[ValidatedCertificate, ...]:
    """The certificates to encrypt to: newest first, one per key, at most three (R-09)."""
    by_key: dict[bytes, ValidatedCertificate] = {}
    for entry in sorted(_usable(evidence), key=_rank, reverse=True):
        by_key.setdefault(entry.certificate.subject_public_key_info, entry)
    return tuple(by_key.values())[:MAX_CERTIFICATES]


def _rank(entry: ValidatedCertificate) -> tuple[date, int, datetime]:
    """The newer is better, and of one day the stronger: a CA may issue one of each kind."""
    certificate = entry.certificate
    begins = certificate.not_before
    return begins.date(), security_bits(certificate), begins


def verdicts(evidence: RecipientEvidence) -> tuple[Verdict, ...]:
    """What becomes of each certificate that was found, in the order of the directories."""
    used = {entry.certificate for entry in chosen(evidence)}
    used_keys = {certificate.subject_public_key_info for certificate in used}
    revoked = _revoked_keys(evidence)
    is_ambiguous = len(_people(evidence)) > 1

    def reason(entry: JudgedCertificate) -> str:
        certificate = entry.found.certificate
        key = certificate.subject_public_key_info
        if not entry.validated:
            return entry.reason
        if is_ambiguous:
            return AMBIGUOUS
        if key in revoked:
            return REVOKED_KEY
        if certificate in used:
            return ""
        return SAME_KEY if key in used_keys else SURPLUS

    return tuple(Verdict(entry.found, reason(entry)) for entry in evidence.judged)


def evidence_values(evidence: RecipientEvidence) -> dict[str, object]:
    """For records: what each source said, and of each certificate whether it is used or why not."""
    return {
        "sources": [
            {
                "source": answer.source,
                "said": answer.said.value,
                **({"count": answer.count} if answer.count else {}),
                **({"age": answer.age_seconds} if answer.age_seconds else {}),
                **({"text": answer.text} if answer.text else {}),
            }
            for answer in evidence.said
        ],
        "not_used": [
            {
                "sha256": verdict.found.certificate.fingerprint.removeprefix("sha256:"),
                "source": verdict.found.source,
                "reason": verdict.reason,
            }
            for verdict in verdicts(evidence)
            if not verdict.is_used
        ],
    }

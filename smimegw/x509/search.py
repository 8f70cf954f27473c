"""Finds candidate paths from an end-entity to a trust anchor within a fixed amount of work.

Whoever sends a message chooses the certificates in it, and a few dozen that sign each other in
circles make the number of paths exponential (cases H03).  So every step costs one of
`Limits.path_signatures`, and the likely candidates come first.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime

from smimegw.errors import CertificateError
from smimegw.limits import Limits
from smimegw.x509.certificate import Certificate
from smimegw.x509.evidence import Evidence
from smimegw.x509.issuer import is_issued_by as _is_issued_by


class PathSearch:
    """One search; its budget is shared with whoever judges the paths found."""

    def __init__(self, evidence: Evidence, *, now: datetime, limits: Limits) -> None:
        """Index *evidence* by subject, each certificate once."""
        self._now = now
        self._limits = limits
        self._left = limits.path_signatures
        self._anchors = frozenset(evidence.trust_anchors)
        self._by_subject: defaultdict[bytes, list[Certificate]] = defaultdict(list)
        for certificate in dict.fromkeys((*evidence.trust_anchors, *evidence.intermediates)):
            self._by_subject[certificate.subject_der].append(certificate)
        self.was_cut = False  # a path longer than the limit was given up

    def spend(self, signatures: int = 1) -> None:
        """Take *signatures* from the budget.

        Raises:
            CertificateError: ``limits``: nothing is left.
        """
        self._left -= signatures
        if self._left < 0:
            raise CertificateError(
                "limits", f"no path within {self._limits.path_signatures} signature checks"
            )

    def paths(self, certificate: Certificate) -> Iterator[tuple[Certificate, ...]]:
        """Yield paths *certificate* … trust anchor whose signatures hold, depth first.

        Raises:
            CertificateError: ``limits``: the budget is spent.
        """
        path = [certificate]
        branches = [iter(self._issuers(certificate))]
        while branches:
            issuer = next(branches[-1], None)
            if issuer is None:
                branches.pop()
                path.pop()
                continue
            if issuer in path:
                continue
            self.spend()
            if not _is_issued_by(path[-1], issuer, self._limits):
                continue
            if len(path) >= self._limits.path_depth:
                self.was_cut = True
            elif issuer in self._anchors:
                yield (*path, issuer)
            else:
                path.append(issuer)
                branches.append(iter(self._issuers(issuer)))

    def _issuers(self, certificate: Certificate) -> list[Certificate]:
        identifier = certificate.authority_key_identifier

        def unlikeliness(candidate: Certificate) -> tuple[bool, bool, bool, bool, float]:
            return (
                identifier is not None and candidate.subject_key_identifier != identifier,
                candidate not in self._anchors,
                not candidate.is_ca,
                not candidate.not_before <= self._now <= candidate.not_after,
                -candidate.not_before.timestamp(),
            )

        return sorted(self._by_subject.get(certificate.issuer_der, ()), key=unlikeliness)

"""Remove from outside mail every header field that only we may write (T-01)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from smimegw.mime.headers import HeaderField, HeaderSection
from smimegw.mime.marked_subject import without_marks
from smimegw.smtp.authserv_id import authserv_id, comparable

OUR_PREFIX = "x-smimegw-"
# Fields by which other gateways tell results; a client rule may still trust them.
VENDOR_PREFIXES = ("x-ciphermail-", "x-djigzo-", "x-smime-", "x-seppmail-", "x-nospamproxy-")
_RESULT_FIELDS = frozenset({"authentication-results", "arc-authentication-results"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """In whose name mail from outside may not bring results, all in comparison form.

    Attributes:
        internal: Authserv-ids of filters inside, besides our own.
        kept: Those of the edge filter that this mail came through; they are believed.
        every: Nobody else's either.
    """

    internal: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    every: bool = False

    def forbid(self, claimed: str) -> bool:
        """A field with results of *claimed* cannot stay."""
        return claimed not in self.kept and (self.every or claimed in self.internal)


@dataclass(frozen=True, slots=True)
class Stripped:
    """A header section that holds nothing of ours, and the names that were removed."""

    header: HeaderSection
    removed: tuple[str, ...] = ()


_ONLY_OURS = Claims()


def strip_results(
    header: HeaderSection,
    hostname: str,
    subject_marks: Sequence[str] = (),
    claims: Claims = _ONLY_OURS,
) -> Stripped:
    """Remove results in our name, or in a form that a reader might take for it.

    An Authentication-Results field goes when its authserv-id equals *hostname* in comparison
    form, cannot be parsed (RFC 8601, 5), or *claims* forbid it; a field with our or a known
    vendor's prefix always.  *subject_marks* are taken out of the Subject (cases K09).
    """
    unmarked = without_marks(header, subject_marks)
    marked = () if unmarked is header else ("subject",)
    own = comparable(hostname)
    removed = tuple(entry for entry in unmarked if _is_forgeable(entry, own, claims))
    if not removed:
        return Stripped(unmarked, marked)
    gone = {id(entry) for entry in removed}
    return Stripped(
        unmarked.without(lambda entry: id(entry) in gone),
        (*marked, *(entry.lower_name or "(malformed)" for entry in removed)),
    )


def _is_forgeable(entry: HeaderField, own: str | None, claims: Claims) -> bool:
    if entry.raw[:1] in (b" ", b"\t"):
        return True  # the first line: it would continue the field that we put above
    name = _folded_name(entry)
    if name.startswith((OUR_PREFIX, *VENDOR_PREFIXES)):
        return True
    if name not in _RESULT_FIELDS:
        return False
    if entry.flaw:
        return True
    claimed = authserv_id(entry.body)
    return claimed is None or claimed == own or claims.forbid(claimed)


def _folded_name(entry: HeaderField) -> str:
    """The name as a careless reader may see it: also from a line that is no proper field."""
    if entry.lower_name:
        return entry.lower_name
    start = entry.raw.partition(b":")[0]
    return "".join(c for c in start.decode("latin-1").lower() if "!" <= c <= "~")

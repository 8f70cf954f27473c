"""Every error family of the gateway and the CA, ordered by who is at fault.

A class exists here when a caller acts on it.  Names end in *Error*.  Texts are written for an
administrator: what happened, why, what to do; they never hold content, subject or key material.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


class SmimegwError(Exception):
    """Root of everything this project raises on purpose."""


# --- the message or the peer is at fault -------------------------------------------------------


class MessageError(SmimegwError):
    """The bytes somebody sent are not what the format demands."""


class AddressError(MessageError, ValueError):
    """The text is not one mailbox (RFC 5321, 4.1.2; RFC 5322, 3.4)."""


class CommandError(MessageError):
    """An SMTP command's arguments are malformed; answer *code*, *enhanced* and the text."""

    def __init__(self, code: int, enhanced: str, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.enhanced = enhanced


class MIMEError(MessageError):
    """A header section or MIME structure is malformed or ambiguous."""


class CMSError(MessageError):
    """A CMS structure is malformed: truncated, wrong tags, trailing octets, too deep."""


class UnsupportedAlgorithmError(CMSError):
    """The structure is well-formed and names an algorithm or parameters that we do not accept."""


class LimitError(MessageError):
    """Something is larger, deeper or more than we take; *limit* names what, as `limits.py` does."""

    def __init__(self, limit: str, detail: str = "") -> None:
        super().__init__(f"{limit}: {detail}" if detail else limit)
        self.limit = limit


class SignatureError(MessageError):
    """A signature does not hold; *reason* is one word of a closed vocabulary.

    Reasons: ``digest`` (content changed), ``signature`` (mathematics), ``attributes`` (signed
    attributes missing, doubled or contradictory), ``algorithm``, ``no-certificate``.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason


class VerificationError(MessageError):
    """A signed layer does not count as signed by the originator.

    Attributes:
        result: ``fail``, ``policy``, ``temperror``, ``permerror``, ``neutral`` or ``none``
            (RFC 8601, 2.7).
        reason: One word for result fields, such as ``digest`` or ``from-mismatch``.
        detail: For the log.
        labels: What is known of the signer, as far as judging came: ``signer``, ``fingerprint``,
            ``algorithm``, ``serial``, ``issuer``; of several signers ``signers``.
    """

    def __init__(
        self, result: str, reason: str, detail: str = "", *, labels: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(f"{result} {reason}: {detail}" if detail else f"{result} {reason}")
        self.result = result
        self.reason = reason
        self.detail = detail
        self.labels = dict(labels or {})


class NoMatchingKeyError(MessageError):
    """No RecipientInfo names a certificate whose key was offered."""


class DecryptionError(MessageError):
    """Decryption failed.  Carries no detail, so that no caller can become an oracle."""

    def __init__(self) -> None:
        super().__init__("decryption failed")


# --- a certificate is at fault -----------------------------------------------------------------


class CertificateError(SmimegwError):
    """A certificate cannot be used; *reason* is one word of a closed vocabulary.

    Reasons: ``malformed``, ``void`` (address with NUL or control characters), ``expired``,
    ``not-yet-valid``, ``revoked``, ``revocation-unknown``, ``untrusted-ca``, ``path``, ``limits``,
    ``address-mismatch``, ``key-usage``, ``extended-key-usage``, ``weak-key``, ``weak-signature``.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


# --- something around us is at fault -----------------------------------------------------------


class DependencyError(SmimegwError):
    """A directory, keystore, database or next hop did not do its part."""

    def __init__(self, message: str, *, server: str = "", retryable: bool = True) -> None:
        super().__init__(message)
        self.server = server
        self.retryable = retryable


class DirectoryError(DependencyError):
    """The directory could not answer.  That is not the same as "no entry"."""


class RevocationError(DependencyError):
    """A server of CRLs or OCSP answers could not be asked, or what it sent cannot be used."""


class DatabaseError(DependencyError):
    """The gateway's own database could not answer, so what must be remembered is not (R-22)."""


class KeystoreError(DependencyError):
    """The keystore could not give or use a key; *locked* when its key-encryption key is missing."""

    def __init__(
        self, message: str, *, server: str = "", retryable: bool = True, locked: bool = False
    ) -> None:
        super().__init__(message, server=server, retryable=retryable)
        self.locked = locked


class EnrolmentError(DependencyError):
    """The certificate authority gave no certificate: unreachable, refused, or not yet approved."""


class NextHopError(DependencyError):
    """The next hop is unreachable, broke off or spoke nonsense (no SMTP reply to pass on).

    *in_doubt* is true only after a final dot was sent and no reply came.
    """

    def __init__(self, message: str, *, server: str = "", in_doubt: bool = False) -> None:
        super().__init__(message, server=server, retryable=True)
        self.in_doubt = in_doubt


class NextHopTLSError(NextHopError):
    """The next hop's TLS is not what the configuration demands (case B07)."""


class AuthenticationError(DependencyError):
    """The next hop refused a login; the user or password is wrong."""


class RecordError(DependencyError):
    """The decision record could not be written to any sink."""


class SpoolError(DependencyError):
    """The spool, where large messages are kept while they are worked on, has no room (R-21)."""


class LedgerError(DependencyError):
    """The ledger of accepted recipients could not be asked or written (R-22)."""


class LedgerBusyError(LedgerError):
    """Another transaction is delivering the same message, or has taken this one over."""


class JournalError(DependencyError):
    """The journal of final dots could not be written.

    *fatal* when the disk failed: nothing that was written may be believed, the process must end.
    """

    def __init__(self, message: str, *, fatal: bool = False) -> None:
        super().__init__(message, retryable=not fatal)
        self.fatal = fatal


class WorkersError(SmimegwError):
    """The worker processes cannot run; *code* is the exit code of the one that said why."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


# --- the administrator is at fault -------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One mistake in a file that an administrator wrote."""

    file: str
    line: int | None
    key: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line is not None else self.file
        return f"{place}: {self.key} – {self.message}" if self.key else f"{place}: {self.message}"


class ConfigurationError(SmimegwError):
    """A configuration or policy file holds mistakes; *problems* lists every one."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


class UsageError(SmimegwError):
    """A command was asked for something impossible; the text says what to do instead."""


class PasswordError(UsageError):
    """A password does not open what it was given for."""

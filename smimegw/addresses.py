"""The one address parser: SMTP paths, From fields and certificate names all come through here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A local part and a domain (RFC 5321, 4.1.2; RFC 6531, 3.3).

    Attributes:
        local_part: Unquoted, as given (case kept), NFC.
        domain: A-label form, lower case, no trailing dot; or an address literal in brackets.
    """

    local_part: str
    domain: str

    @classmethod
    def parse(cls, text: str | bytes) -> Mailbox:
        """Read one addr-spec such as ``alice@corp.example`` or ``"a b"@corp.example``.

        Raises:
            AddressError: Not exactly one mailbox, or comments, routes, NUL, control characters.
        """
        raise NotImplementedError

    @property
    def address(self) -> str:
        """The addr-spec, local part quoted where needed; what SMTP, fields and people see."""
        raise NotImplementedError

    @property
    def key(self) -> str:
        """Comparison form: ASCII local parts in lower case, others exact (NFC); domain A-label."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self.address


@dataclass(frozen=True, slots=True)
class NamedMailbox:
    """A mailbox with the display name that stood before it (decoded, empty when absent)."""

    display_name: str
    mailbox: Mailbox

"""Certificates that domains publish in DNS under DNSSEC (SMIMEA, RFC 8162)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from enum import IntEnum

import dns.rdata
from dns.rdtypes.ANY.SMIMEA import SMIMEA

from smimegw.adapters.dns.resolver import Answer, ValidatingResolver
from smimegw.addresses import Mailbox
from smimegw.errors import CertificateError
from smimegw.ports import FoundCertificate
from smimegw.x509.certificate import Certificate

_HASH_OCTETS = 28  # RFC 8162, 3: SHA2-256, truncated
_LABEL = "_smimecert"


class Usage(IntEnum):
    """What a record says its certificate is (RFC 6698, 2.1.1, with the names of RFC 7218)."""

    PKIX_TA = 0  # an authority under which a path must lead, besides being trusted
    PKIX_EE = 1  # the certificate to use, which must be trusted as any other
    DANE_TA = 2  # an authority that is to be trusted
    DANE_EE = 3  # the certificate to use, by the domain's own word


def owner_name(mailbox: Mailbox, *, lower: bool = False) -> str:
    """Where the records of *mailbox* stand (RFC 8162, 3).

    Args:
        mailbox: Its local part is unquoted, UTF-8 and NFC already.
        lower: Take the local part in lower case.
    """
    local_part = mailbox.local_part.lower() if lower else mailbox.local_part
    label = hashlib.sha256(local_part.encode()).digest()[:_HASH_OCTETS].hex()
    return f"{label}.{_LABEL}.{mailbox.domain}"


class SMIMEADirectory:
    """Implements `CertificateDirectory`.

    A record counts when DNSSEC vouches for it and it holds the whole certificate of its owner:
    usage PKIX-EE or DANE-EE, selector 0, matching type 0.  A digest names a certificate without
    giving it, and an authority in DNS is not one that the administrator chose.

    Args:
        resolver: Who is asked.
        name: As in the configuration; appears in logs as ``smimea:name``.
        deadline_seconds: For one question.
        ignored: Told of answers that hold nothing that counts: the mailbox, and why.
    """

    def __init__(
        self,
        resolver: ValidatingResolver,
        *,
        name: str = "dns",
        deadline_seconds: float = 3.0,
        ignored: Callable[[Mailbox, str], None] = lambda _mailbox, _text: None,
    ) -> None:
        self._resolver = resolver
        self._name = name
        self._deadline_seconds = deadline_seconds
        self._ignored = ignored

    @property
    def name(self) -> str:
        """``smimea:name``."""
        return f"smimea:{self._name}"

    async def find(self, mailbox: Mailbox) -> tuple[FoundCertificate, ...]:
        """Return every certificate that the domain of *mailbox* vouches for, unvalidated.

        The local part is asked for as it is written, which is what the hash demands, and where
        that is not there, in lower case.

        Raises:
            DirectoryError: The resolver could not tell, or DNSSEC contradicts the answer.
        """
        if mailbox.domain.startswith("["):
            return ()  # an address literal has no zone
        for place in dict.fromkeys((owner_name(mailbox), owner_name(mailbox, lower=True))):
            answer = await self._resolver.ask(place, "SMIMEA", seconds=self._deadline_seconds / 2)
            if answer.records:
                return tuple(self._found(mailbox, place, answer))
        return ()

    async def flush(self, mailbox: Mailbox | None = None) -> None:
        """Nothing is cached here."""

    async def close(self) -> None:
        """Nothing is kept open."""

    def _found(self, mailbox: Mailbox, place: str, answer: Answer) -> Iterator[FoundCertificate]:
        if not answer.is_validated:
            text = f"SMIMEA records of {mailbox.domain} are not signed (DNSSEC), so they are not"
            self._ignored(mailbox, f"{text} used; is the resolver a validating one?")
            return
        flaws: list[str] = []
        for record in answer.records:
            try:
                usage, certificate = _read(record)
            except ValueError as exc:
                flaws.append(str(exc))
                continue
            yield FoundCertificate(
                certificate=certificate,
                source=self.name,
                owner=place,
                vouched=usage is Usage.DANE_EE,
            )
        if flaws:
            self._ignored(mailbox, "; ".join(dict.fromkeys(flaws)))


def _read(record: dns.rdata.Rdata) -> tuple[Usage, Certificate]:
    if not isinstance(record, SMIMEA):
        raise ValueError("a record of another type")  # noqa: TRY004 – said of the answer
    form = f"SMIMEA record {record.usage} {record.selector} {record.mtype}"
    if record.usage not in (Usage.PKIX_EE, Usage.DANE_EE):
        raise ValueError(f"{form} names an authority, not its owner's certificate")
    if record.selector != 0 or record.mtype != 0:
        raise ValueError(f"{form} does not hold the certificate itself, only 3 0 0 and 1 0 0 do")
    try:
        return Usage(record.usage), Certificate.parse(record.cert)
    except CertificateError as exc:
        raise ValueError(f"{form} holds no certificate that can be read") from exc

"""The table [enrolment]: where senders without a certificate get one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

from smimegw.config.values import Secret
from smimegw.toml.structure import Fault, show

_PATH = "/.well-known/est"


class EnrolmentKeyKind(StrEnum):
    """Kinds of keys that the gateway makes for a sender."""

    RSA_3072 = "rsa-3072"
    P_256 = "p-256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Certificates for senders who have none, from an EST server (RFC 7030) such as smimegw-ca est.

    Only rules with enrol = true ask for them.

    Attributes:
        url: The server; a label behind the path names the profile, as in
            "https://localhost:8443/.well-known/est/mailbox-both". Empty enrols nobody.
        ca: PEM file of the authority that issued the server's TLS certificate; default is the
            system's list.
        certificate: PEM file of our own certificate, by which the server knows us.
        key: Its private key, PEM without passphrase; a file or a credential.
        key_kind: Keys that are made for senders: rsa-3072 or p-256.
        pause: How long nobody asks again for a sender after the server refused.
        renew_before: A sender's certificate that ends within that time, and within the last third
            of its own, is renewed when he sends; his mail does not wait for it.
    """

    url: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Secret | None = None
    key_kind: EnrolmentKeyKind = EnrolmentKeyKind.RSA_3072
    pause: timedelta = timedelta(minutes=15)
    renew_before: timedelta = timedelta(days=30)


def enrolment_faults(enrolment: Enrolment, *, keys_elsewhere: bool) -> Iterator[Fault]:
    """Yield what contradicts itself.

    Args:
        enrolment: The table.
        keys_elsewhere: Another process holds the keystore, and takes no new keys from us.
    """
    if not enrolment.url:
        return
    if keys_elsewhere:
        message = "not possible with keystore.agent: the agent takes no new keys from the gateway"
        yield Fault(("enrolment", "url"), message)
    if not _is_est(enrolment.url):
        message = (
            f"{show(enrolment.url)} is not an EST server.  Write"
            f' "https://localhost:8443{_PATH}/mailbox-both"'
        )
        yield Fault(("enrolment", "url"), message)
    for name, given in (("certificate", enrolment.certificate), ("key", enrolment.key)):
        if given is None:
            message = "missing: the server must know who asks.  Write the file's name"
            yield Fault(("enrolment", name), message)
    if enrolment.key is not None and enrolment.key.path is None:
        yield Fault(("enrolment", "key"), "TLS reads its key from a file.  Write { file = … }")
    if enrolment.pause.total_seconds() <= 0:
        yield Fault(("enrolment", "pause"), 'must be longer than nothing.  Write "15m"')
    if enrolment.renew_before.total_seconds() <= 0:
        yield Fault(("enrolment", "renew_before"), 'must be longer than nothing.  Write "30d"')


def _is_est(url: str) -> bool:
    try:
        parts = urlsplit(url)
        odd = parts.query or parts.fragment or "@" in parts.netloc or parts.port == 0
    except ValueError:
        return False
    known = parts.path == _PATH or parts.path.startswith(f"{_PATH}/")
    return parts.scheme == "https" and bool(parts.hostname) and known and not odd

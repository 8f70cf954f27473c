"""Says what in a valid configuration will probably not do what its writer wants."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from smimegw.config.model import Configuration
from smimegw.regular_files import CERTIFICATES_OCTETS, read_regular
from smimegw.x509.certificate import PARSE_ERRORS, Certificate

_SOON = timedelta(days=14)


def advice(
    configuration: Configuration, anchors: Sequence[Certificate], *, now: datetime
) -> tuple[str, ...]:
    """One sentence for each thing to look at; nothing of it keeps the gateway from starting.

    Args:
        configuration: Loaded without a problem.
        anchors: What `trust.anchors` holds.
        now: Aware.
    """
    return (
        *_shadow(configuration),
        *_trust(configuration, anchors, now),
        *_keys(configuration),
        *_tls(configuration, now),
        *_state_directory(configuration.gateway.state_directory),
    )


def _shadow(configuration: Configuration) -> Iterator[str]:
    if configuration.gateway.shadow:
        yield (
            "gateway.shadow is on: mail is handed on unchanged, nothing is protected and nothing is"
            " opened; see what would be with: smimegw trace, smimegw policy diff"
        )


def _trust(
    configuration: Configuration, anchors: Sequence[Certificate], now: datetime
) -> Iterator[str]:
    if not anchors:
        places = ", ".join(str(path) for path in configuration.trust.anchors) or "nothing"
        yield (
            f"trust.anchors holds no certificate ({places}): no signature will be trusted and"
            " nothing can be encrypted; put the root certificates of your CAs there"
        )
    for anchor in anchors:
        if anchor.not_after < now:
            yield (
                f"trust.anchors: {anchor.subject_text} ended on"
                f" {anchor.not_after:%Y-%m-%d}; certificates below it are not trusted any more"
            )


def _keys(configuration: Configuration) -> Iterator[str]:
    keystore = configuration.keystore
    in_token = keystore.token is not None and keystore.token.key_encryption_key
    if keystore.key_encryption_key is None and keystore.agent is None and not in_token:
        yield (
            "keystore.key_encryption_key is not set: the keystore stays locked and mail that needs"
            " a key waits; make one with: smimegw key generate-kek FILE"
        )


def _tls(configuration: Configuration, now: datetime) -> Iterator[str]:
    for name, listener in configuration.listener.items():
        if listener.tls is None:
            continue
        path = listener.tls.certificate
        try:
            first = x509.load_pem_x509_certificates(read_regular(path, CERTIFICATES_OCTETS))[0]
        except (OSError, *PARSE_ERRORS):
            continue  # loading has its own words for that
        end = first.not_valid_after_utc
        if end < now + _SOON:
            yield (
                f"listener.{name}.tls.certificate: {path}"
                f" {'ended' if end < now else 'ends'} on {end:%Y-%m-%d}; clients refuse it then."
                " Renew it and restart the gateway"
            )


def _state_directory(path: Path) -> Iterator[str]:
    nearest = next(each for each in (path, *path.parents) if each.exists())
    if not os.access(nearest, os.W_OK | os.X_OK):
        what = "cannot be written to" if nearest == path else "is not there and cannot be made"
        yield (
            f"gateway.state_directory: {path} {what} by this user (uid {os.geteuid()}); run this"
            " as the gateway's user, and make the directory his"
        )

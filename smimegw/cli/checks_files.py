"""What ``smimegw doctor`` looks at in files: who else can read the state and the secrets."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from smimegw.app import Assembled
from smimegw.cli.finding import Finding, Health
from smimegw.config.directories import LDAPDirectory
from smimegw.config.model import Configuration
from smimegw.config.values import Secret

_LISTED = 3


async def files(assembled: Assembled) -> Iterable[Finding]:
    """Owner and mode of the state directory and of files with secrets."""
    directory = assembled.configuration.gateway.state_directory
    found = [*_state(directory), *_secrets(assembled.configuration)]
    return found or [Finding(area="files", what="owner and mode", detail=str(directory))]


def _state(directory: Path) -> Iterator[Finding]:
    try:
        status = directory.stat()
        entries = list(directory.iterdir())
        others = [entry for entry in entries if entry.stat().st_uid != status.st_uid]
    except OSError as error:
        yield Finding(
            area="files",
            what=str(directory),
            health=Health.FAIL,
            detail=str(error.strerror),
            remedy="make it, owned by the gateway's user; run the doctor as that user",
        )
        return
    if stat.S_IMODE(status.st_mode) & 0o077:
        yield Finding(
            area="files",
            what=str(directory),
            health=Health.WARN,
            detail=f"mode {stat.S_IMODE(status.st_mode):04o}: others can look into it",
            remedy=f"chmod 0700 {directory}",
        )
    if others:
        names = ", ".join(sorted(entry.name for entry in others)[:_LISTED])
        yield Finding(
            area="files",
            what=str(directory),
            health=Health.WARN,
            detail=f"{len(others)} files belong to another user than the directory: {names}",
            remedy=f"run commands as the gateway's user; chown -R {status.st_uid} {directory}",
        )


def _secrets(configuration: Configuration) -> Iterator[Finding]:
    for key, secret in _named_secrets(configuration):
        path = secret.path if secret is not None else None
        if path is None or not path.exists():
            continue
        if stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding(
                area="files",
                what=key,
                health=Health.WARN,
                detail=f"others can read {path}",
                remedy=f"chmod 0600 {path}",
            )


def _named_secrets(configuration: Configuration) -> Iterator[tuple[str, Secret | None]]:
    yield "keystore.key_encryption_key", configuration.keystore.key_encryption_key
    yield "keystore.passphrase", configuration.keystore.passphrase
    for index, secret in enumerate(configuration.keystore.previous_key_encryption_keys):
        yield f"keystore.previous_key_encryption_keys.{index}", secret
    if configuration.keystore.token is not None:
        yield "keystore.token.pin", configuration.keystore.token.pin
    yield "database.password", configuration.database.password
    for name, listener in configuration.listener.items():
        yield f"listener.{name}.tls.key", listener.tls.key if listener.tls else None
    for entry in configuration.directory:
        if isinstance(entry, LDAPDirectory) and entry.bind:
            yield f"directory {entry.name} bind.password", entry.bind.password

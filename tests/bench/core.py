"""Sign and encrypt, decrypt and verify: ours beside OpenSSL in process and `openssl cms` forked."""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.bench.cast import KEYS, SIZES, cast_of, entity
from tests.bench.openssl import compiled, last_core, rate

CIPHERS = ("aes-256-cbc", "aes-256-gcm")
_FORKED = {"5 KB", "50 KB"}  # what a script around `openssl cms` could be asked to do


def measure(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """One row per operation, size, key and cipher; in each round all programs take turns."""
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        program = compiled(place)
        return [_row(case, place, program, rounds, seconds) for case in _cases()]


def _cases() -> Iterator[tuple[str, str, str, str]]:
    for operation in ("protect", "open"):
        for key in KEYS:
            for cipher in CIPHERS:
                if cipher == CIPHERS[1] and key != "RSA-2048":
                    continue  # the cipher's share does not depend on the key
                for size in SIZES:
                    yield operation, size, key, cipher


def _row(
    case: tuple[str, str, str, str],
    place: Path,
    program: Path,
    rounds: int,
    seconds: float,
) -> dict[str, Any]:
    operation, size, key, cipher = case
    files = cast_of(key).write(place)
    message = place / "message"
    message.write_bytes(entity(SIZES[size]))
    theirs = [program, operation, message, str(seconds), cipher, *files]
    ours = [sys.executable, "-m", "tests.bench.core_worker", operation, str(SIZES[size])]
    ours += [str(seconds), cipher, key]
    rates: dict[str, list[float]] = {"smimegw": [], "openssl": [], "forked": []}
    for _ in range(rounds):
        rates["openssl"].append(rate(list(map(str, theirs))))
        rates["smimegw"].append(rate(ours))
        if size in _FORKED and cipher == CIPHERS[0]:
            rates["forked"].append(_forked(operation, message, cipher, files))
    medians = {name: statistics.median(found) for name, found in rates.items() if found}
    row = {"operation": operation, "size": size, "key": key, "cipher": cipher, **medians}
    print(json.dumps(row), flush=True)
    return row


def _forked(operation: str, message: Path, cipher: str, files: list[Path]) -> float:
    """What a shell script around `openssl cms` reaches: two programs for each message."""
    signer, signer_key, reader, reader_key, authorities = map(str, files)
    place = message.parent
    openssl = ["taskset", "-c", last_core(), shutil.which("openssl") or "openssl", "cms"]
    streamed = ["-binary", "-stream", "-crlfeol"]
    pipeline = {
        "protect": [
            [*openssl, "-sign", *streamed, "-signer", signer, "-inkey", signer_key],
            [*openssl, "-encrypt", *streamed, f"-{cipher}", reader],
        ],
        "open": [
            [*openssl, "-decrypt", "-recip", reader, "-inkey", reader_key],
            [*openssl, "-verify", "-CAfile", authorities],
        ],
    }
    if operation == "open":
        _through(pipeline["protect"], message, place / "protected")
        message = place / "protected"
    count, began = 0, time.monotonic()
    while count < 10:
        _through(pipeline[operation], message, place / "out")
        count += 1
    return count / (time.monotonic() - began)


def _through(commands: list[list[str]], source: Path, target: Path) -> None:
    octets = source.read_bytes()
    for command in commands:
        octets = subprocess.run(command, input=octets, capture_output=True, check=True).stdout
    target.write_bytes(octets)

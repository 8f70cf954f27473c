"""OpenSSL's CMS in one process, on one core: what the cryptography alone takes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

_SOURCE = Path(__file__).with_name("openssl_cms.c")


def compiled(place: Path) -> Path:
    """The program, made in *place*."""
    program = place / "openssl_cms"
    subprocess.run(["cc", "-O2", "-o", program, _SOURCE, "-lcrypto"], check=True, timeout=120)
    return program


def last_core() -> str:
    """Where everything that is measured in one process runs."""
    return str(max(os.sched_getaffinity(0)))


def rate(command: list[str]) -> float:
    """Messages per second of processor time, of a program that prints how many, and in how long."""
    pinned = ["taskset", "-c", last_core(), *command]
    done = subprocess.run(pinned, capture_output=True, text=True, check=True, timeout=600)
    count, cpu, _ = map(float, done.stdout.split())
    return count / cpu

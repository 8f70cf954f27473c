"""The lists that `smimegw-ca serve` hands out are fetched and believed by GnuPG."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests.peers.ca_services import ServedCA


@dataclass(frozen=True)
class Served:
    """A running CA and two certificates: a good one, a revoked one."""

    ca: ServedCA
    serials: list[str]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    # QUIRK GnuPG before 2.4.0: dirmngr does not verify lists that are signed with ECDSA ("Provided
    # object is too short"), name constraints ignored or not
    ca = ServedCA(tmp_path_factory.mktemp("served"), key="rsa-3072")
    serials = [ca.issue(f"{name}@ours.example") for name in ("good", "revoked")]
    ca.run("revoke", serials[1], "--reason", "keyCompromise", "--yes")
    ca.run("crl", "make")
    with ca.status():
        yield Served(ca, serials)


@pytest.fixture(scope="module")
def gnupg(served: Served) -> Iterator[dict[str, str]]:
    """The environment of a GnuPG that trusts the root and looks at lists."""
    directory = Path(tempfile.mkdtemp(prefix="gpg", dir="/tmp"))  # sockets want short paths
    # QUIRK GnuPG 2.2: knows no name constraints, and has to be told to accept them
    for program in ("gpgsm", "dirmngr"):
        (directory / f"{program}.conf").write_text("ignore-cert-extension 2.5.29.30\n")
    root = x509.load_pem_x509_certificate(served.ca.certificate("root").read_bytes())
    digest = root.fingerprint(hashes.SHA1()).hex(":").upper()
    (directory / "trustlist.txt").write_text(f"{digest} S relax\n")
    environment = {**os.environ, "GNUPGHOME": str(directory)}
    for owner in ("root", "issuing", *served.serials):
        command = ["gpgsm", "--batch", "--import", str(served.ca.certificate(owner))]
        subprocess.run(command, env=environment, check=True, capture_output=True, timeout=60)
    yield environment
    ended = ["gpgconf", "--kill", "all"]
    subprocess.run(ended, env=environment, check=False, capture_output=True, timeout=60)
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.parametrize(
    ("wanted", "expected"), [("good", "[certificate is good]"), ("revoked", "has been revoked")]
)
def test_gnupg_fetches_the_lists(
    served: Served, gnupg: dict[str, str], wanted: str, expected: str
) -> None:
    """`dirmngr` finds those of both CAs by the distribution points (RFC 5280, 4.2.1.13)."""
    done = subprocess.run(
        ["gpgsm", "--batch", "--with-validation", "--list-keys", f"{wanted}@ours.example"],
        env=gnupg, capture_output=True, timeout=60, check=False, text=True,
    )  # fmt: skip
    assert expected in done.stdout + done.stderr, done.stdout + done.stderr

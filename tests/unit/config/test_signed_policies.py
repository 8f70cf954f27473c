"""Policies count as they were signed, with the tools that an administrator has."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from smimegw.config.policies import PolicyFolder
from smimegw.errors import ConfigurationError
from tests.fakes.pki import CA, make_ca

RULE = '[[rule]]\nname = "{}"\nwhy = "x"\nthen = {{ protect = "sign" }}\n'


class Signed:
    """A folder of policies and two people with certificates, of whom one may sign."""

    def __init__(self, here: Path, ca: CA) -> None:
        self.folder, self._here = here / "policies", here
        self.folder.mkdir()
        self.write("a", "b")
        for name in ("admin", "other"):
            issued = ca.issue(f"{name}@corp.example", key="p256")
            pem = issued.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            (here / f"{name}.key").write_bytes(pem)
            certificate = issued.certificate.parsed.public_bytes(Encoding.PEM)
            (here / f"{name}.pem").write_bytes(certificate)

    def write(self, *names: str) -> None:
        for name in names:
            (self.folder / f"{name}.toml").write_text(RULE.format(name))

    def run(self, command: str) -> None:
        subprocess.run(command, shell=True, check=True, cwd=self.folder, capture_output=True)

    def sign(self, who: str = "admin", options: str = "") -> None:
        self.run("sha256sum *.toml > SHA256SUMS")
        self.run(
            f"openssl cms -sign -binary -in SHA256SUMS -signer ../{who}.pem -inkey ../{who}.key"
            f" {options} -outform DER -out SHA256SUMS.p7s"
        )

    def open(self) -> PolicyFolder:
        return PolicyFolder(self.folder, signed_by=self._here / "admin.pem")


@pytest.fixture(scope="module")
def ca() -> CA:
    return make_ca("Policy CA")


@pytest.fixture
def signed(tmp_path: Path, ca: CA) -> Signed:
    found = Signed(tmp_path, ca)
    found.sign()
    return found


@pytest.mark.parametrize("options", ["", "-nocerts", "-noattr"])
def test_signed_policy_counts(signed: Signed, options: str) -> None:
    """In whatever form OpenSSL makes the signature (E16)."""
    signed.sign(options=options)
    assert [rule.name for rule in signed.open().load().rules] == ["a", "b"]


_CHANGES: dict[str, tuple[Callable[[Signed], object], str]] = {
    "changed": (lambda s: (s.folder / "a.toml").write_text(RULE.format("evil")), "was changed"),
    "added": (lambda s: s.write("c"), "is not in the signed"),
    "removed": (lambda s: (s.folder / "b.toml").unlink(), "and missing"),
    "list changed": (lambda s: s.run("sha256sum a.toml > SHA256SUMS"), "no signature that counts"),
    "by another": (lambda s: s.sign("other"), "not at hand|does not name"),
    "no list": (lambda s: (s.folder / "SHA256SUMS").unlink(), "cannot be read"),
    "no signature": (lambda s: (s.folder / "SHA256SUMS.p7s").unlink(), "cannot be read"),
    "rubbish": (lambda s: (s.folder / "SHA256SUMS.p7s").write_bytes(b"x"), "no signature that"),
    "two signers": (
        lambda s: s.sign(options="-signer ../other.pem -inkey ../other.key"),
        "2 signers",
    ),
    "another list": (
        lambda s: s.run(
            "echo hello > SHA256SUMS; openssl cms -sign -binary -in SHA256SUMS -signer"
            " ../admin.pem -inkey ../admin.key -outform DER -out SHA256SUMS.p7s"
        ),
        "none of sha256sum",
    ),
}


@pytest.mark.parametrize("change", _CHANGES)
def test_what_was_not_signed_does_not_count(signed: Signed, change: str) -> None:
    """The last good policy stays, and the problem names the file (E16, T-16)."""
    policies = signed.open()
    good = policies.load()
    make, text = _CHANGES[change]
    make(signed)
    policy, problems = policies.reload()
    assert policy is good
    assert problems
    with pytest.raises(ConfigurationError, match=text):
        signed.open().load()


def test_folder_without_signature_counts_where_none_is_asked_for(signed: Signed) -> None:
    """Drafts are checked before they are signed."""
    signed.write("c")
    assert len(PolicyFolder(signed.folder).load().rules) == 3

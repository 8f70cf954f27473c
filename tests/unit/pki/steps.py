"""Short ways to do what most tests of the CA begin with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from pki import issuance
from pki.certified import Certified
from pki.cli import main
from pki.home import Home
from pki.issuance import Order
from pki.keys import KeyKind
from pki.profiles import Profile
from smimegw.addresses import Mailbox

NOW = datetime.now(UTC).replace(microsecond=0)
"""When this process began; the command line under test asks the real clock, too."""
PASSPHRASE = b"correct horse battery"


def order(address: str = "alice@corp.example", **changes: Any) -> Order:
    """An order for a P-256 certificate."""
    values: dict[str, Any] = {"profile": Profile.BOTH, "key_kind": KeyKind.P_256, **changes}
    return Order(mailbox=Mailbox.parse(address), **values)


def issue(
    ca: Home, now: datetime, address: str = "alice@corp.example", **changes: Any
) -> Certified:
    """Issue a certificate."""
    issuer = ca.issuer(ca.issuing, PASSPHRASE)
    return issuance.issue(ca, issuer, order(address, **changes), passphrase=PASSPHRASE, now=now)


def revoke_and_list(ca: Home, certified: Certified, now: datetime, reason: str) -> None:
    """Revoke a certificate and make the CRL that says so."""
    issuance.revoke(ca, certified, reason, now=now)
    issuance.make_crl(ca, "issuing", ca.issuer("issuing", PASSPHRASE), now=now)


@dataclass(frozen=True)
class Operator:
    """Somebody with a name who types commands."""

    directory: Path
    passphrase: Path

    def type(self, *words: str | Path, name: str = "rita") -> Result:
        environment = {
            "SMIMEGW_CA_DIRECTORY": str(self.directory),
            "SMIMEGW_CA_PASSPHRASE_FILE": str(self.passphrase),
            "SMIMEGW_CA_OPERATOR": name,
        }
        command = [str(word) for word in words] + ["--no-input"]
        return CliRunner().invoke(main, command, "", environment)

    def succeed(self, *words: str | Path, name: str = "rita") -> Result:
        result = self.type(*words, name=name)
        assert result.exit_code == 0, result.stderr
        return result

    def json(self, *words: str | Path, name: str = "rita") -> list[dict[str, object]]:
        lines = self.succeed(*words, "--json", name=name).stdout.splitlines()
        return [json.loads(line) for line in lines]

    def set(self, text: str) -> None:
        """Change a line of ca.toml."""
        path = self.directory / "ca.toml"
        key = text.partition(" =")[0]
        lines = path.read_text().splitlines()
        path.write_text("\n".join(text if line.startswith(f"{key} =") else line for line in lines))

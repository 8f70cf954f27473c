"""Short ways to do what most tests of the CA begin with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pki import issuance
from pki.home import Home
from pki.issuance import Order
from pki.keys import KeyKind
from pki.profiles import Profile
from pki.register import Certified
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

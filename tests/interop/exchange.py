"""A company that exchanges mail with one partner, who uses another program.

company = Exchange({"clear": 'protect = "sign"', "sealed": 'protect = "sign-then-encrypt"'})
mail = company.write("sealed", octets)                # what leaves for bob@sealed.example
seen = company.read(mail)                             # what alice gets of a mail from bob
assert seen.result == "pass" and seen.shown == shown(octets)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from email import message_from_bytes, policy

from tests.fakes.company import Company
from tests.fakes.pki import Issued, raw_rfc822
from tests.interop.readers import Shown, shown, signed_part

ALICE = "alice@ours.example"
BOB = "bob@partner.example"


@dataclass(frozen=True)
class Seen:
    """What arrived, as the recipient's program finds it.

    Attributes:
        content: Everything.
        entity: What Bob wrote: what is below a clear signature, or the whole body.
    """

    content: bytes
    entity: bytes

    @property
    def result(self) -> str:
        """Of the signature: ``pass``, ``fail``, ``none`` …"""
        return self.field("Authentication-Results").partition("smime=")[2].split()[0].rstrip(";")

    @property
    def shown(self) -> Shown:
        """What a person reads and saves."""
        return shown(self.entity)

    def field(self, name: str) -> str:
        """The only field *name*, unfolded; nothing when there is none."""
        values = message_from_bytes(self.content, policy=policy.default).get_all(name, [""])
        assert len(values) == 1, values
        return str(values[0])


class Exchange:
    """A gateway with Alice inside and Bob outside; rules by the first label of Bob's domain.

    Args:
        rules: Label to what its rule does.
        bob: Kind of his key.
        alice: Kind of hers.
    """

    def __init__(self, rules: Mapping[str, str], *, bob: str = "rsa", alice: str = "rsa") -> None:
        self.company = Company(policy=_policy(rules))
        self.alice = self.company.user(ALICE, key=alice)
        addresses = [BOB, *(f"bob@{label}.example" for label in rules)]
        self.bob: Issued = self.company.ca.issue(
            BOB, key=bob, san=[raw_rfc822(address) for address in addresses]
        )
        for address in addresses:
            self.company.world.directory.publish(address, self.bob.certificate)

    def write(self, label: str, octets: bytes) -> bytes:
        """What leaves when Alice sends *octets* to Bob."""
        outcome = self.company.send("relay", [f"bob@{label}.example"], octets)
        assert outcome.reply.code == 250, outcome
        return self.company.arrived[-1]

    def read(self, octets: bytes) -> Seen:
        """What Alice gets of *octets* from Bob."""
        outcome = self.company.send("mx", [ALICE], octets, reverse_path=BOB)
        assert outcome.reply.code == 250, outcome
        content = self.company.arrived[-1]
        signed = signed_part(content) if b"multipart/signed" in content else None
        return Seen(content, content if signed is None else signed)


def _policy(rules: Mapping[str, str]) -> str:
    named = {
        f'direction = "outbound", recipient_domain = ["{label}.example"]': then
        for label, then in rules.items()
    }
    all_rules = {
        **named,
        'direction = "outbound"': 'protect = "none"',
        'direction = "inbound"': 'require = "none"',
    }
    return "".join(
        f"""
[[rule]]
name = "rule {number}"
why = "test"
when = {{ {when} }}
then = {{ {then} }}
"""
        for number, (when, then) in enumerate(all_rules.items())
    )

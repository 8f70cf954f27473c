"""Measures publishing for a whole company: rate, memory, and what the server was asked.

    python -m tests.bench.publish --people 13000

The people are in the directory already, without certificates, as after years of staff.  The
certificates are made here; everything behind the ledger is the real thing: plan, bundles, the
publisher, a slapd of its own.  One run publishes everybody, one has nothing to do, one meets a
tenth renewed and a tenth revoked.  The same goes into an SQLite file.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from pki.bundles import CertificatesOnly
from pki.certified import Certified
from pki.plan import Plan
from pki.profiles import Profile
from pki.publish import Outcome, Target, carry_out
from pki.targets import EmbeddedTarget, LDAPTarget
from smimegw.addresses import Mailbox
from tests.contract.conftest import publishing_target
from tests.peers.slapd import Slapd

_KIB = 1024
_NOW = datetime.now(UTC).replace(microsecond=0)


def main() -> None:
    """Publish to LDAP and to SQLite; print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=13_000)
    print(json.dumps(_figures(parser.parse_args().people), indent=2))


def measure(people: int) -> list[dict[str, Any]]:
    """One row for each target and run."""
    figures = _figures(people)
    rows = [
        {"target": target, "run": run} | found
        for target in ("ldap", "sqlite")
        for run, found in figures[target].items()
    ]
    print(json.dumps(rows), flush=True)
    return rows


def _figures(people: int) -> dict[str, Any]:
    first, second = _plans(people)
    figures: dict[str, Any] = {"people": people, "ldap": _to_ldap(people, first, second)}
    with tempfile.TemporaryDirectory(prefix="publish-") as folder:
        place = str(Path(folder) / "smimegw.db")
        figures["sqlite"] = _runs(
            lambda: EmbeddedTarget.open(place, now=_NOW), first, second, lambda: 0
        )
    figures["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // _KIB
    return figures


def _to_ldap(people: int, first: Plan, second: Plan) -> dict[str, object]:
    bundles = CertificatesOnly(authorities=first.authorities)
    with Slapd(database_octets=2**30) as server:
        server.load("\n".join(_entries(server, people)))
        return _runs(
            lambda: LDAPTarget(publishing_target(server), bundle=bundles.bundle),
            first,
            second,
            lambda: server.log.count("SRCH base="),
        )


def _runs(
    target: Callable[[], Target], first: Plan, second: Plan, searches: Callable[[], int]
) -> dict[str, object]:
    figures: dict[str, object] = {}
    for name, plan in (("everybody", first), ("nothing to do", first), ("a tenth", second)):
        before, memory = searches(), _resident_mib()
        began, busy = time.monotonic(), time.process_time()
        opened = target()
        outcome = carry_out(plan, opened)
        opened.close()
        figures[name] = _row(outcome, time.monotonic() - began, plan) | {
            "processor_seconds": round(time.process_time() - busy, 1),
            "searches": searches() - before,
            "grown_mib": _resident_mib() - memory,
        }
    return figures


def _row(outcome: Outcome, seconds: float, plan: Plan) -> dict[str, object]:
    looked_at = len(plan.publish) + len(plan.withdraw)
    return {
        "published": outcome.published,
        "withdrawn": outcome.withdrawn,
        "refused": len(outcome.refused),
        "seconds": round(seconds, 1),
        "certificates_a_second": round(looked_at / seconds),
    }


def _resident_mib() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) // _KIB


# --- who is published ----------------------------------------------------------------------------


def _plans(people: int) -> tuple[Plan, Plan]:
    """Everybody; then a tenth renewed and another tenth revoked."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = _authority(key)
    everybody = tuple(_person(number, key) for number in range(people))
    tenth = people // 10
    renewed = tuple(_person(number, key) for number in range(tenth))
    return (
        Plan(authorities=(authority,), publish=everybody),
        Plan(
            authorities=(authority,),
            publish=everybody[: people - tenth] + renewed,
            withdraw=everybody[people - tenth :],
        ),
    )


def _entries(server: Slapd, people: int) -> Iterator[str]:
    for number in range(people):
        address = _address(number)
        yield (
            f"dn: mail={address},{server.people_base}\nobjectClass: inetOrgPerson\n"
            f"cn: Person {number}\nsn: {number}\nmail: {address}\n"
        )


def _address(number: int) -> str:
    return f"person{number}@corp.example"


def _authority(key: ec.EllipticCurvePrivateKey) -> Certified:
    builder = _builder(_NAME, key).add_extension(x509.BasicConstraints(True, 0), critical=True)
    return _certified(builder.sign(key, hashes.SHA256()), None, "Bench CA")


def _person(number: int, key: ec.EllipticCurvePrivateKey) -> Certified:
    address = _address(number)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"Person {number}")])
    names = x509.SubjectAlternativeName([x509.RFC822Name(address)])
    builder = _builder(subject, key).add_extension(names, critical=False)
    return _certified(builder.sign(key, hashes.SHA256()), Mailbox.parse(address), f"P {number}")


_NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Bench CA")])


def _builder(subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_NAME)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - timedelta(days=1))
        .not_valid_after(_NOW + timedelta(days=700))
        .add_extension(identifier, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier),
            critical=False,
        )
    )


def _certified(certificate: x509.Certificate, mailbox: Mailbox | None, name: str) -> Certified:
    return Certified(
        serial=certificate.serial_number,
        issuer="issuing",
        mailbox=mailbox,
        profile=Profile.BOTH if mailbox else None,
        name=name,
        key_held=False,
        renews=None,
        certificate=certificate,
        der=certificate.public_bytes(Encoding.DER),
    )


if __name__ == "__main__":
    main()

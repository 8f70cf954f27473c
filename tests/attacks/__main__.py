"""Attacks an S/MIME gateway with forged mail and says what got through.

    python -m tests.attacks --list
    python -m tests.attacks --write DIR --to alice@ours.example --recipient-certificate alice.pem
    python -m tests.attacks --send DIR --port 2525
    python -m tests.attacks --judge delivered/*.eml

Writing makes a CA for this one run; its keys are in memory only.  Let the gateway trust DIR/ca.pem
for e-mail, give it DIR/ca.crl, and send within a week.  Then judge what arrived in the recipient's
mailbox.  The exit status is 0 when no attack got through and every honest message passed.
"""

from __future__ import annotations

import argparse
import ipaddress
import re
import smtplib
import sys
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from smimegw.x509.certificate import Certificate
from tests.attacks.cast import EVE, Cast
from tests.attacks.catalogue import CONTROL, GROUPS, attacks
from tests.attacks.judge import Verdict, judge


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the tool; return its exit status."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.list:
        return _list(_cast(options))
    if options.write:
        return _write(_cast(options), options.write, options.only)
    if options.send:
        if not (options.i_own_this_host or _is_loopback(options.host)):
            parser.error(
                f"{options.host} is not this machine: say --i-own-this-host if it is yours"
            )
        return _send(options.send, options.host, options.port)
    return _judge(
        options.judge, options.authserv_id if options.own_results_only else "", options.mark
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.attacks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--list", action="store_true", help="say what there is")
    what.add_argument(
        "--write", type=Path, metavar="DIR", help="write messages, CA and CRL; no network"
    )
    what.add_argument("--send", type=Path, metavar="DIR", help="send what was written")
    what.add_argument(
        "--judge", type=Path, nargs="+", metavar="FILE", help="read delivered messages"
    )
    cast = Cast()
    parser.add_argument("--to", default=cast.recipient, metavar="ADDRESS", help="attacked mailbox")
    parser.add_argument("--from", dest="bob", default=cast.bob, metavar="ADDRESS",
                        help="whom the messages claim to be from")  # fmt: skip
    parser.add_argument("--recipient-certificate", type=Path, metavar="FILE",
                        help="PEM; without it nothing that is encrypted can be opened")  # fmt: skip
    parser.add_argument("--authserv-id", default=cast.authserv_id, metavar="NAME",
                        help="the gateway's name in Authentication-Results")  # fmt: skip
    parser.add_argument("--own-results-only", action="store_true",
                        help="judge only Authentication-Results with that name")  # fmt: skip
    parser.add_argument("--mark", action="append", default=[], metavar="REGEX",
                        help="a mark of this gateway, as in 'subject: .*\\[signed'")  # fmt: skip
    parser.add_argument("--only", choices=sorted(GROUPS), action="append", default=[],
                        metavar="GROUP", help="write these groups (controls always)")  # fmt: skip
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=25)
    parser.add_argument("--i-own-this-host", action="store_true", help="send beyond this machine")
    return parser


def _cast(options: argparse.Namespace) -> Cast:
    certificate = None
    if options.recipient_certificate:
        read = x509.load_pem_x509_certificate(options.recipient_certificate.read_bytes())
        certificate = Certificate.parse(read.public_bytes(Encoding.DER))
    return Cast(
        recipient=options.to,
        bob=options.bob,
        authserv_id=options.authserv_id,
        certificate=certificate,
    )


def _list(cast: Cast) -> int:
    made = attacks(cast)
    for group, about in GROUPS.items():
        names = [attack.name for attack in made if attack.group == group]
        print(f"{group}: {about} ({len(names)})")
        print("\n".join(f"    {name}" for name in names))
    return 0


def _write(cast: Cast, directory: Path, only: Sequence[str]) -> int:
    directory.mkdir(parents=True, exist_ok=True)
    if any(directory.glob("*.eml")):
        print(f"{directory} holds messages of another CA already; name an empty directory")
        return 2
    made = [a for a in attacks(cast) if not only or a.group in (*only, CONTROL)]
    for attack in made:
        (directory / f"{attack.group}.{attack.name}.eml").write_bytes(attack.message(cast))
    (directory / "ca.pem").write_bytes(cast.ca.pem)
    (directory / "ca.crl").write_bytes(cast.ca.crl(revoked=cast.revoked))
    print(f"{len(made)} messages for {cast.recipient}. Let the gateway trust {directory}/ca.pem,")
    print(f"give it {directory}/ca.crl, and send them with --send {directory}")
    if cast.certificate is None:
        print("without --recipient-certificate what is encrypted is for nobody's key")
    return 0


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _send(directory: Path, host: str, port: int) -> int:
    """Refusals are fine: what is not delivered deceives nobody."""
    sent = refused = 0
    for path in sorted(directory.glob("*.eml")):
        octets = path.read_bytes()
        to = re.search(rb"^To: (\S+)\r\n(?=Message-ID:)", octets, re.MULTILINE)
        if to is None:
            print(f"{path.name}: not written by this tool")
            return 2
        try:
            with smtplib.SMTP(host, port, timeout=60) as client:
                client.sendmail(EVE, [to[1].decode()], octets)
        except smtplib.SMTPRecipientsRefused as exc:
            ((code, text),) = exc.recipients.values()
        except smtplib.SMTPResponseException as exc:
            code, text = exc.smtp_code, exc.smtp_error
        else:
            sent += 1
            continue
        refused += 1
        print(f"{path.name}: refused, {code} {_text(text)}")
    print(f"{sent} accepted, {refused} refused")
    return 0 if sent else 2


def _text(reply: bytes | str) -> str:
    return reply.decode(errors="replace") if isinstance(reply, bytes) else reply


def _judge(paths: Sequence[Path], authserv_id: str, marks: Sequence[str]) -> int:
    judged = [judge(path.read_bytes(), authserv_id=authserv_id, marks=marks) for path in paths]
    verdicts: list[Verdict] = [verdict for verdict in judged if verdict is not None]
    controls = [verdict for verdict in verdicts if verdict.name.startswith(f"{CONTROL}.")]
    for verdict in verdicts:
        if verdict.trouble:
            print(f"{verdict.name}: {verdict.trouble}")
    troubles = sum(bool(verdict.trouble) for verdict in verdicts)
    print(f"{len(verdicts)} delivered messages, {len(controls)} honest ones, {troubles} in trouble")
    if not controls:
        print("no honest message among them: a gateway that passes nothing proves nothing")
        return 2
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main())

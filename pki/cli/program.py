"""The `smimegw-ca` command: its group, its exit codes, and errors without tracebacks."""

from __future__ import annotations

import errno
import importlib
import os
import sys
import tempfile
import traceback
from pathlib import Path
from typing import IO, Any

import click

from pki.cli.shell import Shell, common_options, examples, passphrase_option
from pki.errors import LedgerError, PassphraseError, UnknownSerialError
from smimegw import __version__
from smimegw.adapters.host.standard_streams import settle_standard_streams
from smimegw.adapters.host.termination import ended_cleanly
from smimegw.errors import DependencyError, SmimegwError

NO, USAGE, WARNINGS, AGAIN, NOT_ALLOWED, BUG, INTERRUPTED = 1, 2, 3, 4, 5, 70, 130

_AGAIN_ERRNO = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE}
_PERMISSION_ERRNO = {errno.EACCES, errno.EPERM}


# Only the module of the command asked for is imported: LDAP and SQL are for `publish` alone.
_COMMANDS = {
    "init": "founding.init",
    "root": "root.root",
    "install": "hierarchy.install",
    "rollover": "hierarchy.rollover_command",
    "settings": "settings.settings_command",
    "status": "lifecycle.status",
    "ledger": "lifecycle.ledger",
    "issue": "certificates.issue",
    "renew": "renewing.renew",
    "rekey": "renewing.rekey",
    "request": "requesting.request",
    "revoke": "revoking.revoke",
    "hold": "revoking.hold",
    "release": "revoking.release",
    "crl": "crl.crl",
    "ocsp": "status_service.ocsp",
    "serve": "status_service.serve",
    "est": "enrolment.est",
    "list": "showing.list_command",
    "show": "showing.show",
    "export": "exporting.export",
    "publish": "publishing.publish",
}


class Refusal(click.ClickException):
    """An error that the command line shows as one text, with its exit code."""

    def __init__(self, text: str, exit_code: int) -> None:
        super().__init__(text)
        self.exit_code = exit_code  # type: ignore[misc]  # click has a class variable

    def show(self, file: IO[Any] | None = None) -> None:
        """Write it to stderr."""
        click.echo(f"smimegw-ca: {self.message}", file=file, err=file is None)


class Program(click.Group):
    """A group whose commands end in the documented exit codes."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run as a program: whatever the streams are, there is no traceback."""
        settle_standard_streams()
        named = kwargs.get("args") or (args[0] if args else None) or sys.argv[1:]
        with ended_cleanly(named, services=("serve", "est")):
            return super().main(*args, **kwargs)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Their names, in alphabetical order as click has them."""
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command *cmd_name*."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name].partition(".")
        command: click.Command = getattr(importlib.import_module(f"pki.cli.{module}"), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; turn what it raises into text and exit code."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, BrokenPipeError):
            raise
        except (KeyboardInterrupt, click.Abort):
            raise Refusal("interrupted; nothing half-done is left.", INTERRUPTED) from None
        except Exception as error:  # noqa: BLE001 - the last one who can
            shell = ctx.ensure_object(Shell)
            text, code = _explain(error)
            if code == BUG or shell.debug:
                text += f"\nA report is in {_report()}"
            raise Refusal(text, code) from None


def _explain(error: Exception) -> tuple[str, int]:
    match error:
        case UnknownSerialError():
            return str(error), NO
        case PassphraseError() | LedgerError():
            return str(error), NOT_ALLOWED
        case DependencyError():
            return str(error), AGAIN if error.retryable else USAGE
        case SmimegwError():
            return str(error), USAGE
        case OSError():
            return _explain_disk(error)
        case _:
            text = f"this should not happen ({type(error).__name__}); please report it."
            return text, BUG


def _explain_disk(error: OSError) -> tuple[str, int]:
    place = error.filename2 or error.filename
    text = f"{place}: {error.strerror}." if place else f"{error.strerror}."
    if error.errno in _PERMISSION_ERRNO:
        return f"{text} Run it as the CA's own user, who owns the directory.", NOT_ALLOWED
    if error.errno == errno.EEXIST:
        return f"{text} It is never overwritten; give another name or move it away.", USAGE
    if error.errno in _AGAIN_ERRNO:
        advice = "What the ledger did not record was not issued; mend the disk, then do it again."
        return f"{text} {advice}", AGAIN
    return text, USAGE


def _report() -> Path:
    descriptor, name = tempfile.mkstemp(prefix="smimegw-ca-", suffix=".txt")
    with os.fdopen(descriptor, "w") as stream:
        stream.write(f"smimegw-ca {__version__}\n")
        traceback.print_exc(file=stream)
    return Path(name)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        'smimegw-ca init --name "Corp Mail CA" --domain corp.example',
        "smimegw-ca issue alice@corp.example --profile pair",
    ),
)
@click.version_option(__version__, prog_name="smimegw-ca")
@common_options
@passphrase_option
def main() -> None:
    """Run the certificate authority that makes certificates for the mail gateway.

    Answers go to stdout, talk to stderr.  Exit codes: 0 done, 1 the answer is no, 2 usage or
    configuration, 3 done with warnings, 4 try again later, 5 not allowed, 70 our bug.
    """

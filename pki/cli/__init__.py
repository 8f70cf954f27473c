"""The `smimegw-ca` command line; `main` is the entry point."""

from __future__ import annotations

from pki.cli import certificates, lifecycle, publishing, revoking, showing
from pki.cli.program import main

for _command in (
    lifecycle.init,
    lifecycle.status,
    lifecycle.ledger,
    certificates.issue,
    certificates.renew,
    revoking.revoke,
    revoking.crl,
    showing.list_command,
    showing.show,
    showing.export,
    publishing.publish,
):
    main.add_command(_command)

__all__ = ["main"]

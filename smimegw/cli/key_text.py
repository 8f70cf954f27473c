"""How ``smimegw key`` shows a key to people; never the key itself."""

from __future__ import annotations

import click

from smimegw.adapters.keys.key_object import KeyObject

SHORT = 12
"""Letters of a fingerprint on screens for people."""


def print_key(item: KeyObject, title: str) -> None:
    """Several lines about *item*, below *title*."""
    certificate = item.certificate
    names = ", ".join(f"<{mailbox.address}>" for mailbox in item.mailboxes)
    above = "".join(f" ← {issuer.subject_text}" for issuer in item.chain)
    click.echo(f"{title}  {names}")
    click.echo(f"  id       {item.identifier}")
    click.echo(f"  for      {item.purpose.value}")
    click.echo(f"  path     {certificate.subject_text}{above}")
    click.echo(f"  valid    {certificate.not_before:%Y-%m-%d} … {certificate.not_after:%Y-%m-%d}")
    click.echo(f"  kept in  {item.holder.value}, sealed with {item.secret.key_identifier}")

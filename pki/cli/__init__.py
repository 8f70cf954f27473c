"""The `smimegw-ca` command line; `main` is the entry point."""

from __future__ import annotations

from pki.cli.program import main

__all__ = ["main"]

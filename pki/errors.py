"""The errors that only the CA knows; a class exists where the command line acts on it."""

from __future__ import annotations

from smimegw.errors import DependencyError, SmimegwError, UsageError


class UnknownSerialError(UsageError):
    """No certificate of this CA answers to the serial number or address that was given."""


class RequestError(UsageError):
    """A certification request, or the key in it, is not fit for a certificate."""


class LintError(UsageError):
    """A certificate or CRL was about to be signed that breaks the rules; the text names them."""


class PassphraseError(SmimegwError):
    """A private key file could not be opened with the passphrase that was given."""


class LedgerError(SmimegwError):
    """The ledger contradicts itself or the files beside it: tampering, damage or an old copy."""


class BusyError(DependencyError):
    """Another process works with the same CA directory, or the disk does not take our writes."""

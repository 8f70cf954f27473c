"""Checks every file that the configuration names: there, readable, and what it should be."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR

from cryptography import x509

from smimegw.config.directories import FoundLDAPDirectory, LDAPDirectory
from smimegw.config.enrolment import Enrolment
from smimegw.config.keys import Keystore
from smimegw.config.logins import LDAPLogins
from smimegw.config.model import Configuration
from smimegw.config.values import Secret
from smimegw.errors import ConfigurationError
from smimegw.regular_files import CERTIFICATES_OCTETS, read_regular, require_regular
from smimegw.toml.lines import KeyPath
from smimegw.toml.structure import Fault
from smimegw.x509.certificate import PARSE_ERRORS

_KEY_OCTETS = 32


def file_faults(configuration: Configuration) -> Iterator[Fault]:
    """Yield every named file that is missing, unreadable or not what it should be."""
    yield from _connection_faults(configuration)
    yield from _directory_faults(configuration)
    for key in ("anchors", "signature_anchors", "encryption_anchors", "intermediates", "crls"):
        for index, place in enumerate(getattr(configuration.trust, key)):
            yield from _unreadable(place, ("trust", key, index), directory=True)
    yield from _keystore_faults(configuration.keystore)
    yield from _enrolment_faults(configuration.enrolment)
    if configuration.database.password is not None:
        yield from _secret_faults(configuration.database.password, ("database", "password"))
    second = configuration.records.second_directory
    if second is not None and not (_is_directory(second) and os.access(second, os.W_OK | os.X_OK)):
        message = f"{second} is no directory that this user can write to"
        yield Fault(("records", "second_directory"), message)
    if configuration.policies.signed_by is not None:
        yield from _authority_faults(configuration.policies.signed_by, ("policies", "signed_by"))
    if not _is_directory(configuration.policies.path):
        message = f"there is no directory {configuration.policies.path}"
        yield Fault(("policies", "path"), message)


def _connection_faults(configuration: Configuration) -> Iterator[Fault]:
    for name, listener in configuration.listener.items():
        path = ("listener", name)
        if listener.tls is not None:
            yield from _tls_faults(listener.tls.certificate, listener.tls.key, (*path, "tls"))
            if listener.tls.client_ca is not None:
                yield from _authority_faults(listener.tls.client_ca, (*path, "tls", "client_ca"))
        if listener.ldap is not None:
            yield from _ldap_faults(listener.ldap, (*path, "ldap"))
        if listener.imap is not None and listener.imap.ca is not None:
            yield from _authority_faults(listener.imap.ca, (*path, "imap", "ca"))
        if listener.senders is not None:
            yield from _unreadable(listener.senders, (*path, "senders"))
    for name, next_hop in configuration.next_hop.items():
        tls, path = next_hop.tls, ("next_hop", name)
        if tls.ca is not None:
            yield from _authority_faults(tls.ca, (*path, "tls", "ca"))
        if tls.certificate is not None and tls.key is not None:
            yield from _tls_faults(tls.certificate, tls.key, (*path, "tls"))


def _directory_faults(configuration: Configuration) -> Iterator[Fault]:
    for index, directory in enumerate(configuration.directory):
        path = ("directory", index)
        if isinstance(directory, LDAPDirectory):
            yield from _ldap_faults(directory, path)
        elif isinstance(directory, FoundLDAPDirectory) and directory.ca is not None:
            yield from _authority_faults(directory.ca, (*path, "ca"))
    if configuration.dns.ca is not None:
        yield from _authority_faults(configuration.dns.ca, ("dns", "ca"))


def _enrolment_faults(enrolment: Enrolment) -> Iterator[Fault]:
    if enrolment.ca is not None:
        yield from _authority_faults(enrolment.ca, ("enrolment", "ca"))
    if enrolment.certificate is not None and enrolment.key is not None:
        yield from _tls_faults(enrolment.certificate, enrolment.key, ("enrolment",))


def _ldap_faults(directory: LDAPDirectory | LDAPLogins, path: KeyPath) -> Iterator[Fault]:
    if directory.ca is not None:
        yield from _authority_faults(directory.ca, (*path, "ca"))
    if directory.bind is not None:
        yield from _secret_faults(directory.bind.password, (*path, "bind", "password"))


def _unreadable(place: Path, path: KeyPath, *, directory: bool = False) -> Iterator[Fault]:
    try:
        is_directory = S_ISDIR(place.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        yield Fault(path, f"there is no file {place}")
        return
    except OSError as error:  # such as a directory above it that is not for this user
        yield Fault(path, f"{place} cannot be reached: {error.strerror}")
        return
    if is_directory and not directory:
        yield Fault(path, f"{place} is a directory, a file is needed")
    elif not os.access(place, os.R_OK):
        yield Fault(path, f"{place} is not readable for this user (permissions)")
    elif not is_directory:
        try:
            require_regular(place, CERTIFICATES_OCTETS)
        except OSError as error:
            yield Fault(path, f"{place} cannot be used: {error.strerror}")


def _is_directory(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError:
        return False


def _secret_faults(secret: Secret, path: KeyPath) -> Iterator[Fault]:
    try:
        secret.read()
    except ConfigurationError as error:
        yield Fault(path, str(error))


def _key_encryption_key_faults(
    secret: Secret, path: KeyPath, *, passphrase: Secret | None
) -> Iterator[Fault]:
    try:
        octets = secret.read()
    except ConfigurationError as error:
        yield Fault(path, str(error))
        return
    if len(octets) != _KEY_OCTETS and octets.lstrip().startswith(b"{"):
        if passphrase is None:
            message = "is under a passphrase, and keystore.passphrase does not name that"
            yield Fault(path, f"{message}  (secret {secret})")
        return  # the keystore says more when it opens it
    try:
        decoded = base64.b64decode(octets.strip(), validate=True)
    except binascii.Error:
        decoded = octets
    if _KEY_OCTETS not in (len(octets), len(decoded)):
        yield Fault(path, f"is not {_KEY_OCTETS} octets, raw or in base64  (secret {secret})")


def _keystore_faults(keystore: Keystore) -> Iterator[Fault]:
    if keystore.agent is not None:
        return  # its secrets are the agent's, and not for this user
    named = [keystore.key_encryption_key, *keystore.previous_key_encryption_keys]
    for index, secret in enumerate(named):
        path: KeyPath = ("keystore", "key_encryption_key")
        if index:
            path = ("keystore", "previous_key_encryption_keys", index - 1)
        if secret is not None:
            yield from _key_encryption_key_faults(secret, path, passphrase=keystore.passphrase)
    if keystore.passphrase is not None:
        yield from _secret_faults(keystore.passphrase, ("keystore", "passphrase"))
    if keystore.recovery_certificate is not None:
        path = ("keystore", "recovery_certificate")
        yield from _authority_faults(keystore.recovery_certificate, path)
    if keystore.token is not None:
        yield from _unreadable(keystore.token.module, ("keystore", "token", "module"))
        yield from _secret_faults(keystore.token.pin, ("keystore", "token", "pin"))


def _tls_faults(certificate: Path, key: Secret, path: KeyPath) -> Iterator[Fault]:
    faults = [*_unreadable(certificate, (*path, "certificate"))]
    faults += _secret_faults(key, (*path, "key"))
    yield from faults
    key_path = key.path
    if faults or key_path is None:
        return
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key_path, password="")
    except (ssl.SSLError, OSError) as error:
        reason = getattr(error, "reason", None) or error
        message = f"{certificate} and its key cannot be used together: {reason}"
        yield Fault((*path, "certificate"), message)


def _authority_faults(place: Path, path: KeyPath) -> Iterator[Fault]:
    unreadable = [*_unreadable(place, path)]
    yield from unreadable
    if unreadable:
        return
    try:
        x509.load_pem_x509_certificates(read_regular(place, CERTIFICATES_OCTETS))
    except PARSE_ERRORS:
        yield Fault(path, f"{place} holds no PEM certificate")

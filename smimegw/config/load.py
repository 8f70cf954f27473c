"""Reads smimegw.toml and its drop-ins into a `Configuration`, or reports every mistake."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from smimegw.config import hosts, values
from smimegw.config.checks import consistency_faults
from smimegw.config.database import DatabaseLocation, database_location
from smimegw.config.describe import describe_key
from smimegw.config.directories import (
    Directory,
    EmbeddedDirectory,
    FoundLDAPDirectory,
    LDAPDirectory,
    SMIMEADirectory,
)
from smimegw.config.files import file_faults
from smimegw.config.merge import merge
from smimegw.config.model import Configuration
from smimegw.config.sessions import EVERYBODY
from smimegw.errors import ConfigurationError, Problem
from smimegw.regular_files import TEXT_OCTETS, read_given, read_regular
from smimegw.smtp.roles import ListenerRole
from smimegw.toml.document import Document, dotted
from smimegw.toml.lines import KeyPath
from smimegw.toml.structure import Fault, FaultError, Structurer, did_you_mean, show

DEFAULT_PATH = Path("/etc/smimegw/smimegw.toml")
_ROLES = tuple(role.value for role in ListenerRole)
_KINDS: dict[str, type[Directory]] = {
    "ldap": LDAPDirectory,
    "ldap-srv": FoundLDAPDirectory,
    "smimea": SMIMEADirectory,
    "embedded": EmbeddedDirectory,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration and where each of its keys was written.

    Attributes:
        configuration: The values.
        origins: ``file:line`` of every key that a file sets; the others are defaults.
    """

    configuration: Configuration
    origins: Mapping[KeyPath, str]


def load(path: Path, *, check_files: bool = True) -> Configuration:
    """Read the configuration at *path* and its drop-ins.

    Args:
        path: The main file; ``PATH.d/*.toml`` beside it are read after it, in name order.
        check_files: Also see that every file the configuration names is there and readable.

    Raises:
        ConfigurationError: With every problem found.
    """
    return load_with_origins(path, check_files=check_files).configuration


def load_with_origins(path: Path, *, check_files: bool = True) -> Loaded:
    """As `load`, with the place of each key.

    Raises:
        ConfigurationError: With every problem found.
    """
    merged = merge(_documents(path))
    structurer = _structurer(path.absolute().parent)
    data = _with_role_defaults(merged.values)
    configuration, faults = structurer.structure(data)
    judged = configuration or structurer.structure(_without(data, faults))[0]
    if judged is not None:
        faults = _joined(faults, consistency_faults(judged))
        faults = _joined(faults, file_faults(judged)) if check_files else faults
    if faults or configuration is None:
        problems = (merged.problem(f.path, _with_example(f)) for f in faults)
        raise ConfigurationError(_sorted(problems))
    return Loaded(configuration=configuration, origins=merged.origins())


def _documents(path: Path) -> list[Document]:
    drop_ins = (path.parent / f"{path.name}.d").glob("*.toml")
    # Editors leave files such as .#name.toml behind while they have one open.
    files = [path, *sorted(file for file in drop_ins if not file.name.startswith("."))]
    documents, problems = [], []
    for file in files:
        try:
            read = read_given if file == path else read_regular
            documents.append(Document.parse(str(file), read(file, TEXT_OCTETS)))
        except OSError as error:
            advice = "  Name the file with -c or SMIMEGW_CONFIG" if file == path else ""
            message = f"cannot be read: {error.strerror}.{advice}"
            problems.append(Problem(file=str(file), line=None, key="", message=message))
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(tuple(problems))
    return documents


def _structurer(folder: Path) -> Structurer[Configuration]:
    def path_of(value: Any, _: Any) -> Path:
        if not isinstance(value, str) or not value or "\0" in value:
            raise FaultError(f'{show(value)} is not a path.  Write "/path/to/file"')
        return folder / value

    def secret_of(value: Any, _: Any) -> values.Secret:
        secret = values.secret(value)
        if secret.kind != "file":
            return secret
        return values.Secret("file", str(folder / secret.name))

    def directory_of(value: Any, _: Any) -> Directory:
        kind = value.get("kind") if isinstance(value, dict) else None
        if not isinstance(kind, str) or kind not in _KINDS:
            hint = did_you_mean(kind, _KINDS) if isinstance(kind, str) else ""
            what = f"{show(kind)} is not allowed." if kind is not None else "missing."
            raise FaultError(f"{what}{hint}  Allowed: {', '.join(_KINDS)}", ("kind",))
        found: Directory = structurer.part(value, _KINDS[kind])
        return found

    structurer = Structurer(
        Configuration,
        hooks=(
            (Path, path_of),
            (values.Secret, secret_of),
            (values.Endpoint, values.endpoint),
            (DatabaseLocation, lambda value, _: database_location(value, folder)),
            (hosts.HostRule, hosts.host_rule),
            (hosts.DomainRule, hosts.domain_rule),
            (hosts.ProxyURL, hosts.proxy_url),
            (values.IPNetwork, values.network),
            (values.Domain, values.domain),
            (values.SHA256, values.sha256),
            (timedelta, values.duration),
            (Directory, directory_of),
        ),
    )
    return structurer


def _with_role_defaults(data: Mapping[str, Any]) -> dict[str, Any]:
    """Fill what a listener's role implies; a listener named after a role has that role."""
    listeners = data.get("listener")
    if not isinstance(listeners, dict):
        return dict(data)
    filled = {
        name: _with_role(name, listener) if isinstance(listener, dict) else listener
        for name, listener in listeners.items()
    }
    return {**data, "listener": filled}


def _with_role(name: str, listener: Mapping[str, Any]) -> dict[str, Any]:
    role = listener.get("role", name)
    if role not in _ROLES:
        return dict(listener)
    defaults: dict[str, Any] = {"role": role, "next_hop": "in" if role == "mx" else "out"}
    if role != "relay":
        defaults["peers"] = [str(each) for each in EVERYBODY]
    if role == "submission":
        defaults["auth"] = "next-hop"
    return {**defaults, **listener}


def _without(data: Any, faults: Iterable[Fault]) -> Any:
    """A copy without the faulty keys, so that the rest can be judged as well."""
    bad = {fault.path for fault in faults}

    def copy(value: Any, path: KeyPath) -> Any:
        if isinstance(value, dict):
            return {k: copy(v, (*path, k)) for k, v in value.items() if (*path, k) not in bad}
        if isinstance(value, list):
            kept = [i for i in range(len(value)) if (*path, i) not in bad]
            return [copy(value[i], (*path, i)) for i in kept]
        return value

    return copy(data, ())


def _joined(faults: tuple[Fault, ...], more: Iterable[Fault]) -> tuple[Fault, ...]:
    return (*faults, *(fault for fault in more if not _follows_from(fault, faults)))


def _follows_from(fault: Fault, earlier: Iterable[Fault]) -> bool:
    """A second complaint about the same place would only confuse."""
    return any(
        fault.path[: len(other.path)] == other.path or other.path[: len(fault.path)] == fault.path
        for other in earlier
    )


def _with_example(fault: Fault) -> str:
    """Show what to write where nothing was written."""
    if fault.message != "missing.":
        return fault.message
    try:
        example = describe_key(dotted(fault.path)).example
    except KeyError:
        example = ""
    advice = f"Write {fault.path[-1]} = {example}" if example else "This key must be there"
    return f"missing.  {advice}"


def _sorted(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    return tuple(sorted(problems, key=lambda problem: (problem.file, problem.line or 0)))

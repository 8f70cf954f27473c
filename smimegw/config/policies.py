"""Reads the folder of policy files; a broken edit never replaces the policy in use (R-15)."""

from __future__ import annotations

from pathlib import Path

from smimegw.config.model import Policies
from smimegw.config.signed_policies import signature_problems
from smimegw.errors import ConfigurationError, Problem
from smimegw.policy.cases import run_cases
from smimegw.policy.model import Policy
from smimegw.policy.parse import parse_policy
from smimegw.regular_files import TEXT_OCTETS, read_regular


class PolicyFolder:
    """A folder of ``*.toml`` files, read in name order; also a single file.

    Args:
        path: Where they are.
        signed_by: PEM file of who must have signed them; None asks for no signature.
    """

    def __init__(self, path: Path, *, signed_by: Path | None = None) -> None:
        self._path = path
        self._signed_by = signed_by
        self._policy: Policy | None = None

    @classmethod
    def configured(cls, policies: Policies) -> PolicyFolder:
        """The one that the configuration names."""
        return cls(policies.path, signed_by=policies.signed_by)

    @property
    def policy(self) -> Policy:
        """The policy in use: the last one that loaded.

        Raises:
            LookupError: Nothing was loaded yet.
        """
        if self._policy is None:
            raise LookupError("no policy was loaded yet")
        return self._policy

    def load(self) -> Policy:
        """Read the folder and take it into use.

        Raises:
            ConfigurationError: Every problem in every file, cases that fail included; the policy
                in use stays.
        """
        policy = self.parse()
        problems = _failed_cases(policy)
        if problems:
            raise ConfigurationError(problems)
        self._policy = policy
        return policy

    def reload(self) -> tuple[Policy, tuple[Problem, ...]]:
        """Read the folder again; with problems, the old policy and what is wrong."""
        try:
            return self.load(), ()
        except ConfigurationError as error:
            return self.policy, error.problems

    def parse(self) -> Policy:
        """Read the folder without running its cases and without taking it into use.

        Raises:
            ConfigurationError: Every problem in every file.
        """
        return parse_policy(self._files())

    def _files(self) -> list[tuple[str, bytes]]:
        try:
            if self._path.is_dir():
                next(self._path.iterdir(), None)  # glob passes over what it may not see
                found = (p for p in self._path.glob("*.toml") if not p.name.startswith("."))
                paths = sorted(found, key=lambda path: path.name)
            else:
                paths = [self._path]
            files = [(str(path), read_regular(path, TEXT_OCTETS)) for path in paths]
        except OSError as error:
            message = f"cannot be read: {error.strerror}"
            raise ConfigurationError((_problem(str(error.filename), message),)) from error
        if self._signed_by is not None:
            folder = self._path if self._path.is_dir() else self._path.parent
            problems = tuple(signature_problems(folder, files, self._signed_by))
            if problems:
                raise ConfigurationError(problems)
        if not files:
            message = "holds no *.toml file; without rules no mail is taken"
            raise ConfigurationError((_problem(str(self._path), message),))
        return files


def _problem(file: str, message: str) -> Problem:
    return Problem(file=file, line=None, key="", message=message)


def _failed_cases(policy: Policy) -> tuple[Problem, ...]:
    problems = []
    for result in run_cases(policy):
        file, _, line = result.case.source.rpartition(":")
        problems += [
            Problem(file=file, line=int(line), key=f'case "{result.case.name}"', message=difference)
            for difference in result.differences
        ]
    return tuple(problems)

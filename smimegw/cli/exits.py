"""Exit codes of every command, and the one line that an error becomes."""

from __future__ import annotations

import functools
import traceback
from collections.abc import Callable
from enum import IntEnum
from pathlib import Path
from typing import ParamSpec

import click

from smimegw.errors import (
    DependencyError,
    KeystoreError,
    PasswordError,
    SmimegwError,
    WorkersError,
)

P = ParamSpec("P")


class Exit(IntEnum):
    """What a script learns from a command."""

    YES = 0  # done, or the answer is yes
    NO = 1  # the answer is no
    USAGE = 2  # usage or configuration
    WARNINGS = 3  # done, and something is to be looked at
    CANNOT_TELL = 4  # try again later
    NOT_ALLOWED = 5  # locked, or a wrong password
    BUG = 70  # ours
    INTERRUPTED = 130  # nothing half-done is left


class Failure(click.ClickException):
    """Ends a command with one line on standard error and an exit code."""

    def __init__(self, message: str, code: Exit) -> None:
        super().__init__(message)
        self.code = code

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click has a class variable
        """What click ends the program with."""
        return int(self.code)


def exits(command: Callable[P, Exit | None]) -> Callable[P, None]:
    """Turn the result of *command* into the exit code and errors into one line and a code."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            code = command(*args, **kwargs)
        except SmimegwError as exc:
            raise Failure(str(exc), exit_code_of(exc)) from exc
        except OSError as exc:
            place = f"{exc.filename}: " if exc.filename else ""
            raise Failure(f"{place}{exc.strerror or exc}", Exit.USAGE) from exc
        except KeyboardInterrupt:
            raise Failure("interrupted", Exit.INTERRUPTED) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as exc:
            raise Failure(_bug(exc), Exit.BUG) from exc
        click.get_current_context().exit(int(code or Exit.YES))

    return run


def _bug(exc: Exception) -> str:
    """Class and place, no values: an unexpected exception may hold anything."""
    frame = traceback.extract_tb(exc.__traceback__)[-1]
    place = f"{Path(frame.filename).name}:{frame.lineno}"
    return f"this is a bug of ours: {type(exc).__name__} at {place}. Please report this line"


def exit_code_of(exc: SmimegwError) -> Exit:
    """What a program ends with because of *exc*."""
    if isinstance(exc, WorkersError):
        return Exit(exc.code) if exc.code in tuple(Exit) else Exit.BUG
    if isinstance(exc, PasswordError):
        return Exit.NOT_ALLOWED
    if isinstance(exc, KeystoreError):
        if exc.locked:
            return Exit.NOT_ALLOWED
        return Exit.CANNOT_TELL if exc.retryable else Exit.USAGE
    return Exit.CANNOT_TELL if isinstance(exc, DependencyError) else Exit.USAGE

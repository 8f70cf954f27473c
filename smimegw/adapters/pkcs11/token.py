"""One PKCS#11 token: found, logged in to once, and used through a few sessions by many threads.

A session that is lost (token pulled out, server restarted) is replaced once per use (R-14).  A PIN
that was refused is never tried again: tokens lock after few wrong ones (cases M10).
"""

from __future__ import annotations

import contextlib
import hashlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pkcs11
from pkcs11 import exceptions as p11

from smimegw.adapters.pkcs11.module import load
from smimegw.adapters.pkcs11.trouble import LOST, explained, is_about_pin
from smimegw.errors import KeystoreError

T = TypeVar("T")

_SESSIONS = 4
_WAIT_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenSettings:
    """Which token, and how to get in.

    Attributes:
        module: The PKCS#11 library that came with it.
        label: The token's label; may be empty when *serial* says which.
        serial: The token's serial number; may be empty when *label* says which.
        pin: Gives the user PIN; asked at every login, so that a corrected one is seen.
        sessions: How many operations may run at once.
    """

    module: Path
    label: str = ""
    serial: str = ""
    pin: Callable[[], str] = field(repr=False)
    sessions: int = _SESSIONS


@dataclass(slots=True, eq=False)
class OpenSession:
    """One session of the pool and the objects found through it; for one thread at a time."""

    session: pkcs11.Session
    generation: int
    objects: dict[bytes, pkcs11.PrivateKey | pkcs11.SecretKey] = field(default_factory=dict)


class Token:
    """A token; safe to use from several threads.  Nothing is opened before the first use."""

    def __init__(self, settings: TokenSettings) -> None:
        self.settings = settings
        self._lock = threading.Lock()
        self._idle: queue.LifoQueue[OpenSession] = queue.LifoQueue()
        self._slots = threading.BoundedSemaphore(settings.sessions)
        self._login: pkcs11.Session | None = None
        self._token: pkcs11.Token | None = None
        self._generation = 0
        self._refused: tuple[bytes, KeystoreError] | None = None

    def __repr__(self) -> str:
        return f"Token({self.name!r})"

    @property
    def name(self) -> str:
        """For people: the label, else the serial number."""
        return f'"{self.settings.label or self.settings.serial}"'

    def use(self, action: Callable[[OpenSession], T]) -> T:
        """Run *action* with a session of the pool; once more with a new one if it was lost.

        Raises:
            KeystoreError: The token is not there, does not let us in, or *action* failed on it.
        """
        return self._twice(lambda: self._run(action))

    def write(self, action: Callable[[pkcs11.Session], T]) -> T:
        """Run *action*, which changes what is on the token, with a read/write session of its own.

        Raises:
            KeystoreError: As `use`.
        """

        def run() -> T:
            token, generation = self._entered()
            with self._losing(generation):
                with contextlib.closing(token.open(rw=True)) as session:
                    return action(session)

        return self._twice(run)

    def check(self) -> None:
        """Make sure that the token is there and lets us in.

        Raises:
            KeystoreError: It is not, or does not.
        """
        self.use(lambda opened: opened.session.generate_random(64))

    def close(self) -> None:
        """Close all sessions; the next use opens new ones."""
        with self._lock:
            self._drop()

    # --- below ---------------------------------------------------------------------------------

    def _twice(self, run: Callable[[], T]) -> T:
        try:
            try:
                return run()
            except LOST:
                return run()
        except p11.PKCS11Error as exc:
            raise explained(exc, self.name) from exc

    def _run(self, action: Callable[[OpenSession], T]) -> T:
        if not self._slots.acquire(timeout=_WAIT_SECONDS):
            raise KeystoreError(
                f"token {self.name}: all {self.settings.sessions} sessions have been busy for"
                f" {_WAIT_SECONDS:.0f} s; it is too slow for this load, or it hangs",
                server=self.name,
            )
        try:
            token, generation = self._entered()
            with self._losing(generation):
                opened = self._opened(token, generation)
                try:
                    return action(opened)
                finally:
                    self._give_back(opened)
        finally:
            self._slots.release()

    @contextlib.contextmanager
    def _losing(self, generation: int) -> Iterator[None]:
        """Forget all sessions when one was lost: they go together, and so does the login."""
        try:
            yield
        except LOST:
            with self._lock:
                if generation == self._generation:
                    self._drop()
            raise

    def _opened(self, token: pkcs11.Token, generation: int) -> OpenSession:
        with contextlib.suppress(queue.Empty):
            while True:
                opened = self._idle.get_nowait()
                if opened.generation == generation:
                    return opened
        # The login holds for all sessions of this process (PKCS #11 v3.1, 5.6.8).
        return OpenSession(token.open(), generation)

    def _give_back(self, opened: OpenSession) -> None:
        with self._lock:
            if opened.generation == self._generation:
                self._idle.put(opened)
                return
        with contextlib.suppress(p11.PKCS11Error):
            opened.session.close()

    def _entered(self) -> tuple[pkcs11.Token, int]:
        """The token, logged in to, and which login that is."""
        with self._lock:
            if self._token is None or self._login is None:
                self._token = self._find()
                self._login = self._log_in(self._token)
            return self._token, self._generation

    def _find(self) -> pkcs11.Token:
        library = load(self.settings.module)
        label, serial = self.settings.label, self.settings.serial
        found = [
            token
            for token in library.get_tokens()
            if (not label or token.label.strip() == label)
            and (not serial or token.serial.strip().decode("ascii", "replace") == serial)
        ]
        if len(found) > 1:
            raise KeystoreError(
                f"there are {len(found)} tokens {self.name}; give the serial number of the right"
                " one, too",
                server=self.name,
                retryable=False,
            )
        if not found:
            raise p11.NoSuchToken
        return found[0]

    def _log_in(self, token: pkcs11.Token) -> pkcs11.Session:
        pin = self.settings.pin()
        tried = hashlib.sha256(pin.encode()).digest()
        if self._refused is not None and self._refused[0] == tried:
            raise self._refused[1]
        try:
            session: pkcs11.Session = token.open(user_pin=pin)
        except p11.UserAlreadyLoggedIn:
            return token.open()  # by another part of this process
        except p11.PKCS11Error as exc:
            if is_about_pin(exc):
                self._refused = (tried, explained(exc, self.name))
            raise
        self._refused = None
        return session

    def _drop(self) -> None:
        """Close what is open; the lock is held."""
        self._generation += 1
        self._token = None
        sessions: list[pkcs11.Session] = []
        with contextlib.suppress(queue.Empty):
            while True:
                sessions.append(self._idle.get_nowait().session)
        if self._login is not None:
            sessions.append(self._login)
            self._login = None
        for session in sessions:
            with contextlib.suppress(p11.PKCS11Error):
                session.close()

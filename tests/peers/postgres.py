"""Runs a private PostgreSQL server on a free port; data are thrown away.

    with Postgres() as server:
        url = server.create_database()

Works as root (the server then runs as user postgres) and as an ordinary user.
"""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.ports import free_port

_START_SECONDS = 30.0
_USER = "smimegw"


class Postgres:
    """One cluster; `create_database` gives an empty database within 0.1 s."""

    def __init__(self) -> None:
        self.port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        # Not pytest's tmp_path: user postgres could not enter it.
        self.directory = Path(tempfile.mkdtemp(prefix="pg-"))
        self.directory.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(self.directory, "postgres", "postgres")
        try:
            data = ["-D", str(self.directory / "data"), "-U", _USER, "-A", "trust"]
            self._run("initdb", *data, "-E", "UTF8", "--locale=C", "--no-sync")
            self.port = free_port()
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Start and return when the server answers."""
        settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.directory),
            "shared_buffers": "16MB",
            "fsync": "off",
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*_prefix(), _program("postgres"), "-D", str(self.directory / "data"), *options],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.directory,
            )
        deadline = time.monotonic() + _START_SECONDS
        asked = [_program("pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        while subprocess.run(asked, timeout=30, check=False).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                log_text = (self.directory / "postgres.log").read_text()
                self.stop()
                raise AssertionError(f"PostgreSQL did not start:\n{log_text}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop at once, cutting sessions; does nothing when it does not run."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)  # "fast" shutdown
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=30)
        self._process = None

    def freeze(self) -> None:
        """Accept connections no more, though the kernel still does."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """End `freeze`."""
        assert self._process
        self._process.send_signal(signal.SIGCONT)

    def create_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test{next(self._numbers)}"
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", _USER]
        self._run("createdb", *where, name)
        return f"postgresql://{_USER}@127.0.0.1:{self.port}/{name}"

    def execute(self, sql: str) -> None:
        """Run statements as the superuser, one after the other."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", _USER, "-d", "postgres"]
        statements = [part for text in sql.split(";") if text.strip() for part in ("-c", text)]
        self._run("psql", *where, "-q", "-v", "ON_ERROR_STOP=1", *statements)

    def allow(self, lines: str) -> None:
        """Put *lines* before those of pg_hba.conf."""
        path = self.directory / "data" / "pg_hba.conf"
        path.write_text(lines + path.read_text())
        self.execute("SELECT pg_reload_conf()")

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [*_prefix(), _program(program), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            cwd=self.directory,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}{done.stdout}"


def _prefix() -> list[str]:
    if os.geteuid() != 0:
        return []
    return ["setpriv", "--reuid", "postgres", "--regid", "postgres", "--init-groups"]


def _program(name: str) -> str:
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    path = str(versions[-1]) if versions else shutil.which(name)
    assert path, f"{name} is missing: apt-get install postgresql"
    return path

"""amavisd-new that looks at nothing and passes everything on: what a Perl content filter costs."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bench.sink import with_sbin
from tests.peers.ports import ProcessGroup, free_port, wait_for_greeting

INSTALL = "apt-get install --no-install-recommends amavisd-new"

_CONFIGURATION = """use strict;
$daemon_user = 'nobody'; $daemon_group = 'nogroup';
$mydomain = 'ours.example'; $myhostname = 'amavis.ours.example';
$MYHOME = '{here}'; $TEMPBASE = '{here}/tmp'; $db_home = '{here}';
$pid_file = '{here}/pid'; $lock_file = '{here}/lock';
$inet_socket_bind = '127.0.0.1'; $inet_socket_port = {port}; @inet_acl = qw(127.0.0.0/8);
$max_servers = 10; $max_requests = 1000; $child_timeout = 300;
$forward_method = 'smtp:[127.0.0.1]:{sink}'; $notify_method = $forward_method;
@bypass_virus_checks_maps = (1); @bypass_spam_checks_maps = (1);
@bypass_banned_checks_maps = (1); @bypass_header_checks_maps = (1);
$bypass_decode_parts = 1;
$enable_db = 0; $enable_zmq = 0; $enable_dkim_verification = 0; $enable_dkim_signing = 0;
$do_syslog = 0; $logfile = '{here}/log'; $log_level = 0;
1;
"""


def program() -> str | None:
    """Where it is; None when it is not installed."""
    path = with_sbin()["PATH"]
    return shutil.which("amavisd-new", path=path) or shutil.which("amavisd", path=path)


class Amavis:
    """One server with ten children, in front of *sink*; a context manager."""

    def __init__(self, sink: int) -> None:
        self.port = free_port()
        self._sink = sink

    def __enter__(self) -> Self:
        found = program()
        assert found, f"amavisd-new is not installed: {INSTALL}"
        self._directory = Path(tempfile.mkdtemp(prefix="amavis-"))
        self._directory.chmod(0o755)
        home = self._directory / "home"  # its own; the configuration's directory must be root's
        (home / "tmp").mkdir(parents=True)
        for path in (home, home / "tmp"):
            shutil.chown(path, "nobody", "nogroup")
        configuration = self._directory / "amavisd.conf"
        configuration.write_text(_CONFIGURATION.format(here=home, port=self.port, sink=self._sink))
        self._group = ProcessGroup(
            [found, "-c", str(configuration), "foreground"],
            log=self._directory / "start.log",
            env=dict(os.environ),
        )
        try:
            wait_for_greeting(self.port, rb"220 ", alive=self._group.alive)
        except (RuntimeError, TimeoutError) as exc:
            said = (self._directory / "start.log").read_text(errors="replace")
            self.__exit__(None, None, None)
            raise RuntimeError(f"amavisd-new did not start:\n{said}") from exc
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._group.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def pid(self) -> int:
        """Of the parent of all children."""
        return self._group.pid

"""Runs a private Dovecot: IMAP, POP3, LMTP delivery and SASL for Postfix, on loopback ports.

    with Dovecot() as mailboxes:
        ... mailboxes.lmtp_port, mailboxes.sasl_port ...
        mailboxes.wait_for("alice@corp.example", 1)

Any user exists; mail lies below a directory of its own.  Needs root, as the program does.
"""

from __future__ import annotations

import imaplib
import os
import pwd
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.ports import ProcessGroup, free_port, wait_for_greeting, wait_until
from tests.peers.tls import make_tls

_MAIL_USER = "nobody"


class Dovecot:
    """One server; ports are chosen at construction, so that others can be told before it runs.

    Args:
        password: Every user's.
    """

    def __init__(self, *, password: str = "imap-secret") -> None:
        self.password = password
        self._choose_ports()
        self._group: ProcessGroup | None = None

    def _choose_ports(self) -> None:
        self.imap_port = free_port()
        self.imaps_port = free_port()
        self.pop3_port = free_port()
        self.lmtp_port = free_port()
        self.sasl_port = free_port()

    def __enter__(self) -> Self:
        # Not pytest's tmp_path: its parents are mode 700 and Dovecot's users could not enter; and
        # short, because the paths of Unix sockets end at 107 octets.
        self.directory = Path(tempfile.mkdtemp(prefix="dc-"))
        self.directory.chmod(0o755)
        try:
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
        """Start and return when all four services greet."""
        owner = pwd.getpwnam(_MAIL_USER)
        for name, mode in (("run", 0o755), ("state", 0o755), ("mail", 0o770)):
            (self.directory / name).mkdir(exist_ok=True)
            (self.directory / name).chmod(mode)
        os.chown(self.directory / "mail", owner.pw_uid, owner.pw_gid)
        # It names a process that may be an unreaped zombie, which Dovecot takes for running.
        (self.directory / "run" / "master.pid").unlink(missing_ok=True)
        if not (self.directory / "tls").exists():
            (self.directory / "tls").mkdir()
            make_tls(self.directory / "tls")
        configuration = self.directory / "dovecot.conf"
        configuration.write_text(self._configuration(owner.pw_gid))
        self._group = ProcessGroup(
            [_program("dovecot"), "-F", "-c", str(configuration)],
            log=self.directory / "start.log",
        )
        try:
            # A stop while children are still starting takes seconds, so wait for all of them.
            for port, greeting in (
                (self.imap_port, rb"\* OK"),
                (self.pop3_port, rb"\+OK"),
                (self.lmtp_port, rb"220"),
                (self.sasl_port, rb"VERSION"),
            ):
                wait_for_greeting(port, greeting, alive=self._group.alive)
        except (RuntimeError, TimeoutError) as exc:
            raise RuntimeError(f"Dovecot did not start:\n{self.log}") from exc

    @property
    def ca(self) -> Path:
        """PEM file of the authority that issued the server's TLS certificate."""
        return self.directory / "tls" / "ca.pem"

    def stop(self) -> None:
        """Stop; does nothing when it does not run."""
        if self._group is not None:
            self._group.stop()
            self._group = None

    @property
    def log(self) -> str:
        """What it said so far."""
        files = [self.directory / "start.log", self.directory / "dovecot.log"]
        return "".join(f.read_text(errors="replace") for f in files if f.exists())

    def messages(self, user: str) -> list[bytes]:
        """Every message in *user*'s INBOX, by IMAP, oldest first."""
        with imaplib.IMAP4("127.0.0.1", self.imap_port, timeout=20) as client:
            client.login(user, self.password)
            client.select("INBOX", readonly=True)
            _, found = client.search(None, "ALL")
            messages = []
            for number in found[0].split():
                _, parts = client.fetch(number.decode(), "(BODY.PEEK[])")
                part = parts[0]
                assert isinstance(part, tuple)
                messages.append(part[1])
            return messages

    def wait_for(self, user: str, count: int, *, seconds: float = 30.0) -> list[bytes]:
        """Return *user*'s messages as soon as there are *count*."""
        found: list[bytes] = []

        def there() -> bool:
            found[:] = self.messages(user)
            return len(found) >= count

        wait_until(there, f"{count} messages for {user}", seconds=seconds)
        return found

    def _configuration(self, mail_group: int) -> str:
        here = self.directory
        return f"""
base_dir = {here}/run
state_dir = {here}/state
instance_name = test-{self.imap_port}
protocols = imap pop3 lmtp
listen = 127.0.0.1
log_path = {here}/dovecot.log
ssl = yes
ssl_cert = <{here}/tls/server.pem
ssl_key = <{here}/tls/server.key
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:~/Maildir
first_valid_uid = 1
first_valid_gid = 1
mail_uid = {_MAIL_USER}
mail_gid = {mail_group}
default_internal_user = dovecot
default_login_user = dovenull
default_vsz_limit = 512M
mail_fsync = never
passdb {{
  driver = static
  args = password={self.password}
}}
userdb {{
  driver = static
  args = uid={_MAIL_USER} gid={mail_group} home={here}/mail/%u allow_all_users=yes
}}
service anvil {{
  chroot =
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    port = {self.imap_port}
  }}
  inet_listener imaps {{
    port = {self.imaps_port}
    ssl = yes
  }}
}}
service pop3-login {{
  chroot =
  inet_listener pop3 {{
    port = {self.pop3_port}
  }}
  inet_listener pop3s {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {self.lmtp_port}
  }}
}}
service auth {{
  inet_listener sasl {{
    address = 127.0.0.1
    port = {self.sasl_port}
  }}
}}
protocol lmtp {{
  postmaster_address = postmaster@localhost
}}
namespace inbox {{
  inbox = yes
}}
"""


def _program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if path is None:
        raise RuntimeError(f"{name} is not installed; run `make peers`")
    return path

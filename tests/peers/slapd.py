"""Runs a private OpenLDAP server with TLS and the project's own schema, indexes and access rules.

    with Slapd() as server:
        server.add_person("bob@corp.example", certificates=[der])
        ... server.ldaps_url, server.ca, server.gateway_dn, server.gateway_password ...

Works as root (slapd then runs as user openldap) and as an ordinary user.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self
from urllib.parse import quote

from tests.peers.ports import free_port
from tests.peers.slapd_configuration import cn_config, slapd_conf
from tests.peers.tls import LOOPBACK_NAMES, make_tls

PROJECT = Path(__file__).resolve().parents[2]
LDAP_SCHEMA = PROJECT / "ldap-schema"
_SAMPLE_SUFFIX = "dc=corp,dc=example"
_START_SECONDS = 20.0


class Slapd:
    """One server; every instance has its own directory, ports and certificate authority.

    Args:
        suffix: Root of the tree; the files of ``ldap-schema/`` are adapted to it.
        names: What the TLS certificate is for.
        configuration: ``conf`` (slapd.conf) or ``cnconfig`` (cn=config).
        bare: Load nothing of ``ldap-schema/`` and no entries (to try its README).
        provider: The server of which this one is a read-only copy (``conf`` only).
        lags: A copy that looks at its provider at its start, and then once a day.
        schemas: What is loaded of the distribution's schema files (``conf`` only).
        public: Outsiders may ask for the certificates of one address (``access-public``).
        database_octets: The most that the database may hold (``conf`` only).
    """

    admin_password = "admin-secret"
    gateway_password = "gateway-secret"
    publisher_password = "publisher-secret"

    def __init__(
        self,
        *,
        suffix: str = _SAMPLE_SUFFIX,
        names: tuple[str, ...] = LOOPBACK_NAMES,
        configuration: Literal["conf", "cnconfig"] = "conf",
        bare: bool = False,
        provider: Slapd | None = None,
        lags: bool = False,
        schemas: tuple[str, ...] = ("core", "cosine", "inetorgperson"),
        public: bool = False,
        database_octets: int = 2**28,
    ) -> None:
        self.suffix = suffix
        self.names = names
        self.configuration = configuration
        self.bare = bare
        self.provider = provider
        self.lags = lags
        self.schemas = schemas
        self.access = "access-public" if public else "access"
        self.database_octets = database_octets
        self.ldap_port = 0
        self.ldaps_port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False

    # --- life ------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        # Not pytest's tmp_path: its parents are mode 700 and user openldap could not enter.
        self.directory = Path(tempfile.mkdtemp(prefix="slapd-"))
        self.directory.chmod(0o755)
        try:
            self._write_files()
            self._start_on_free_ports()
            if self.configuration == "cnconfig" and not self.bare:
                for name in ("indexes.ldif", f"{self.access}.ldif"):
                    self.add(self.adapted(name), external=True)
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
        """Start on the ports of before (after `stop`) and return when the server answers."""
        log = (self.directory / "slapd.log").open("ab")
        command = [_program("slapd"), *self._configuration_option()]
        if os.geteuid() == 0:
            command += ["-u", "openldap", "-g", "openldap"]
        command += ["-d", "stats", "-h", f"{self.ldap_url}/ {self.ldaps_url}/ {self.ldapi_url}"]
        with log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._frozen = False
        self._wait_until_it_answers()

    def stop(self) -> None:
        """Stop, also when frozen; does nothing when it does not run."""
        if self._process is None:
            return
        self.thaw()
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=15)
        self._process = None

    def freeze(self) -> None:
        """Let the server hang: connections are accepted by the kernel, nothing is answered."""
        assert self._process
        self._process.send_signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """End `freeze`."""
        if self._frozen and self._process:
            self._process.send_signal(signal.SIGCONT)
        self._frozen = False

    # --- where and who ---------------------------------------------------------------------------

    @property
    def ldap_url(self) -> str:
        """Plain LDAP, StartTLS possible."""
        return f"ldap://127.0.0.1:{self.ldap_port}"

    @property
    def ldaps_url(self) -> str:
        """LDAP over TLS, by address."""
        return f"ldaps://127.0.0.1:{self.ldaps_port}"

    @property
    def ldapi_url(self) -> str:
        """The Unix socket."""
        return f"ldapi://{quote(str(self.directory / 'ldapi'), safe='')}"

    @property
    def ca(self) -> Path:
        """PEM file of the authority that issued the server's TLS certificate."""
        return self.directory / "tls" / "ca.pem"

    @property
    def people_base(self) -> str:
        """Where people's entries are."""
        return f"ou=people,{self.suffix}"

    @property
    def authorities_base(self) -> str:
        """Where CA entries are."""
        return f"ou=authorities,{self.suffix}"

    @property
    def admin_dn(self) -> str:
        """Who may do everything."""
        return f"cn=admin,{self.suffix}"

    @property
    def gateway_dn(self) -> str:
        """The gateway's identity: reads."""
        return f"cn=smimegw,ou=services,{self.suffix}"

    @property
    def publisher_dn(self) -> str:
        """The CA's identity: publishes."""
        return f"cn=smimegw-ca,ou=services,{self.suffix}"

    @property
    def log(self) -> str:
        """What the server wrote so far (operations, one a line)."""
        return (self.directory / "slapd.log").read_text(errors="replace")

    # --- content ---------------------------------------------------------------------------------

    def add(self, ldif: str, *, external: bool = False) -> None:
        """Run ldapadd (or ldapmodify, for change records) as the administrator.

        With *external* as the operating system's user over the Unix socket: for cn=config.
        """
        program = "ldapmodify" if "changetype:" in ldif else "ldapadd"
        who = ["-Q", "-Y", "EXTERNAL", "-H", self.ldapi_url] if external else self._as_admin()
        self._client(program, *who, stdin=ldif)

    def load(self, *ldifs: str) -> None:
        """Add very many entries at once, with the server stopped meanwhile."""
        self.stop()
        for ldif in ldifs:
            self._load(None, ldif)
        if os.geteuid() == 0:
            for path in (self.directory / "db").iterdir():
                shutil.chown(path, "openldap", "openldap")
        self.start()

    def delete(self, dn: str) -> None:
        """Remove one entry as the administrator."""
        self._client("ldapdelete", *self._as_admin(), dn)

    def search(self, filter_: str, *attributes: str, base: str | None = None) -> str:
        """Run ldapsearch as the administrator and return the LDIF, lines not folded."""
        options = ["-LLL", "-o", "ldif-wrap=no", "-b", base or self.suffix]
        return self._client("ldapsearch", *self._as_admin(), *options, filter_, *attributes)

    def add_person(
        self,
        address: str,
        *,
        name: str = "",
        dn: str = "",
        certificates: Iterable[bytes] = (),
        smime_certificates: Iterable[bytes] = (),
        more: Mapping[str, str] | None = None,
    ) -> str:
        """Add an entry that holds *certificates* (DER) and return its DN."""
        name = name or address.partition("@")[0]
        dn = dn or f"mail={_escape_rdn(address)},{self.people_base}"
        lines = [
            _ldif_line("dn", dn),
            "objectClass: inetOrgPerson",
            "objectClass: smimegwMailPerson",
            _ldif_line("cn", name),
            _ldif_line("sn", name),
            _ldif_line("mail", address),
        ]
        lines += [_ldif_line("userCertificate;binary", der) for der in certificates]
        lines += [_ldif_line("userSMIMECertificate", value) for value in smime_certificates]
        lines += [_ldif_line(attribute, value) for attribute, value in (more or {}).items()]
        self.add("\n".join(lines) + "\n")
        return dn

    # --- inside ----------------------------------------------------------------------------------

    def adapted(self, name: str) -> str:
        """Text of a file of ``ldap-schema/`` with the sample suffix replaced by ours."""
        text = (LDAP_SCHEMA / name).read_text()
        domain_component = self.suffix.partition(",")[0].partition("=")[2]
        return text.replace(_SAMPLE_SUFFIX, self.suffix).replace(
            "\ndc: corp\n", f"\ndc: {domain_component}\n"
        )

    def _as_admin(self) -> list[str]:
        return ["-x", "-H", self.ldapi_url, "-D", self.admin_dn, "-w", self.admin_password]

    def _client(self, program: str, *arguments: str, stdin: str = "", seconds: float = 30.0) -> str:
        done = subprocess.run(
            [_program(program), *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{program}: {done.stderr}{done.stdout}"
        return done.stdout

    def _configuration_option(self) -> list[str]:
        if self.configuration == "conf":
            return ["-f", str(self.directory / "slapd.conf")]
        return ["-F", str(self.directory / "slapd.d")]

    def _write_files(self) -> None:
        for name in ("db", "tls", "slapd.d"):
            (self.directory / name).mkdir()
        make_tls(self.directory / "tls", self.names)
        if self.configuration == "conf":
            for name in (f"{self.access}.conf", "indexes.conf", "smimegw.schema"):
                (self.directory / name).write_text(self.adapted(name))
            (self.directory / "slapd.conf").write_text(slapd_conf(self))
        else:
            self._load("0", cn_config(self))
        if not (self.bare or self.provider):
            self._load(None, self._entries())
        if os.geteuid() == 0:
            for path in (self.directory, *self.directory.rglob("*")):
                shutil.chown(path, "openldap", "openldap")

    def _load(self, database: str | None, ldif: str) -> None:
        which = ["-n", database] if database else ["-b", self.suffix]
        self._client(
            "slapadd",
            *(["-q", "-w"] if database is None else []),
            *self._configuration_option(),
            *which,
            stdin=ldif,
            seconds=600.0,
        )

    def _entries(self) -> str:
        locked = {
            self.gateway_dn: self.gateway_password,
            self.publisher_dn: self.publisher_password,
        }
        entries = []
        for entry in re.split(r"\n\n+", self.adapted("sample.ldif")):
            dn = re.search(r"^dn: (.*)$", entry, re.MULTILINE)
            if dn and dn[1].startswith("mail="):
                continue  # tests bring their own people
            password = locked.get(dn[1], "") if dn else ""
            entries.append(entry.replace("{CRYPT}*", password))
        return "\n\n".join(entries)

    def _start_on_free_ports(self) -> None:
        for attempt in range(5):
            self.ldap_port, self.ldaps_port = free_port(), free_port()
            try:
                self.start()
                return
            except AssertionError:
                # Somebody took the port between our looking and slapd's binding.
                if "errno=98" not in self.log or attempt == 4:
                    raise

    def _wait_until_it_answers(self) -> None:
        assert self._process
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            # An open port is not a server that answers: ask it something.
            for url in (self.ldap_url, self.ldapi_url):
                asked = subprocess.run(
                    [_program("ldapwhoami"), "-x", "-H", url],
                    capture_output=True,
                    timeout=30,
                    check=False,
                )
                if asked.returncode:
                    break
            else:
                return
            time.sleep(0.02)
        tail = self.log[-2000:]
        self.stop()
        raise AssertionError(f"slapd did not start:\n{tail}")


def _program(name: str) -> str:
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert path, f"{name} is missing: apt-get install slapd ldap-utils"
    return path


def _ldif_line(attribute: str, value: str | bytes) -> str:
    octets = value.encode() if isinstance(value, str) else value
    return f"{attribute}:: {base64.b64encode(octets).decode()}"


def _escape_rdn(value: str) -> str:
    return re.sub(r'([\\,+"<>;=#])', r"\\\1", value)

"""Writes the configuration of a private OpenLDAP server, in both of its forms."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.peers.slapd import Slapd

_SYSTEM_SCHEMA = Path("/etc/ldap/schema")


def slapd_conf(server: Slapd) -> str:
    """Return slapd.conf."""
    own = server.directory
    schemas = [_SYSTEM_SCHEMA / f"{name}.schema" for name in server.schemas]
    includes = [own / f"{server.access}.conf", own / "indexes.conf"]
    if server.bare:
        includes = []
    else:
        schemas.append(own / "smimegw.schema")
    return "\n".join(
        [
            *[f"include {path}" for path in schemas],
            "modulepath /usr/lib/ldap",
            "moduleload back_mdb",
            "moduleload syncprov",
            f"pidfile {own}/slapd.pid",
            f"TLSCACertificateFile {own}/tls/ca.pem",
            f"TLSCertificateFile {own}/tls/server.pem",
            f"TLSCertificateKeyFile {own}/tls/server.key",
            "threads 2",
            "sockbuf_max_incoming_auth 67108864",  # revocation lists are long
            "database mdb",
            f'suffix "{server.suffix}"',
            f'rootdn "{server.admin_dn}"',
            f"rootpw {server.admin_password}",
            f"directory {own}/db",
            f"maxsize {server.database_octets}",
            "dbnosync",
            *[f"include {path}" for path in includes],
            *_replication(server),
            "",
        ]
    )


def _replication(server: Slapd) -> list[str]:
    """Everybody can be copied (RFC 4533); a copy follows its provider and takes no writes."""
    # No indexes of entryCSN and entryUUID: tests have a handful of entries.
    if server.provider is None:
        return ["overlay syncprov", "syncprov-sessionlog 1000"]
    provider = server.provider
    how = "refreshOnly interval=01:00:00:00" if server.lags else "refreshAndPersist"
    follow = (
        f"syncrepl rid=001 provider={provider.ldap_url} type={how}"
        f' retry="1 +" searchbase="{server.suffix}" bindmethod=simple'
        f' binddn="{provider.admin_dn}" credentials={provider.admin_password}'
        " schemachecking=off keepalive=5:3:2"
    )
    return [follow, f"updateref {provider.ldap_url}"]


def cn_config(server: Slapd) -> str:
    """Return the LDIF of cn=config, for slapadd -n 0."""
    own = server.directory
    superuser = f"gidNumber={os.getegid()}+uidNumber={os.geteuid()},cn=peercred,cn=external,cn=auth"
    schemas = "\n".join(
        f"include: file://{_SYSTEM_SCHEMA}/{n}.ldif" for n in ("core", "cosine", "inetorgperson")
    )
    ours = "" if server.bare else server.adapted("smimegw.ldif")
    return f"""\
dn: cn=config
objectClass: olcGlobal
cn: config
olcThreads: 2
olcTLSCACertificateFile: {own}/tls/ca.pem
olcTLSCertificateFile: {own}/tls/server.pem
olcTLSCertificateKeyFile: {own}/tls/server.key
olcSockbufMaxIncomingAuth: 67108864

dn: cn=module,cn=config
objectClass: olcModuleList
cn: module
olcModulePath: /usr/lib/ldap
olcModuleLoad: back_mdb

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

{schemas}

{ours}
dn: olcDatabase=config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: config
olcAccess: to * by dn.exact={superuser} manage by * none

dn: olcDatabase=mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: mdb
olcSuffix: {server.suffix}
olcRootDN: {server.admin_dn}
olcRootPW: {server.admin_password}
olcDbDirectory: {own}/db
olcDbMaxSize: 268435456
olcDbNoSync: TRUE
"""

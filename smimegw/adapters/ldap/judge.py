"""Lets an LDAP directory judge logins: the user's entry is found, then bound as (RFC 4513, 5.1.3).

Both happen on one fresh connection with verified TLS, so that no other search ever runs in a
user's name.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from ldap3.core import results

from smimegw.adapters.ldap.attempt import Attempt
from smimegw.adapters.ldap.connection import LDAPConnection, translated
from smimegw.adapters.ldap.filter import escape
from smimegw.adapters.ldap.settings import LDAPServer, LDAPSettings
from smimegw.errors import DirectoryError
from smimegw.smtp.login import ACCEPTED, REFUSED, Login
from smimegw.smtp.reply import Reply

# What servers say to a wrong password, a locked account and one that may not log in.
_NO = (
    results.RESULT_INVALID_CREDENTIALS,
    results.RESULT_INAPPROPRIATE_AUTHENTICATION,
    results.RESULT_UNWILLING_TO_PERFORM,
    results.RESULT_INSUFFICIENT_ACCESS_RIGHTS,
    results.RESULT_CONSTRAINT_VIOLATION,
    results.RESULT_NO_SUCH_OBJECT,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LDAPJudge:
    """Implements `settings.LoginJudge`.

    Attributes:
        settings: The directory; *filter* holds ``%{user}``, *bind_dn* is who searches.
    """

    settings: LDAPSettings

    async def judge(self, login: Login, client: str) -> Reply:  # noqa: ARG002
        """Ask the servers in turn.

        Raises:
            DirectoryError: None answered; the text says for each why.
        """
        failures: list[str] = []
        share = self.settings.deadline_seconds / len(self.settings.servers)
        for server in self.settings.servers:
            attempt = Attempt(share)
            working = asyncio.to_thread(self._may_enter, server, attempt, login)
            try:
                async with asyncio.timeout(share):
                    return ACCEPTED if await working else REFUSED
            except DirectoryError as error:
                failures.append(str(error))
            except TimeoutError:
                failures.append(f"{server} did not answer within {share:.1f} s")
            finally:
                attempt.abort()
        raise DirectoryError("; ".join(failures), server=self.settings.name)

    def _may_enter(self, server: LDAPServer, attempt: Attempt, login: Login) -> bool:
        connection = LDAPConnection.open(server, self.settings, attempt)
        try:
            wanted = self.settings.filter.replace("%{user}", escape(login.user))
            found = connection.search(self.settings.base, wanted, ("1.1",), attempt, size_limit=2)
            if len(found) != 1:
                return False
            with translated(connection, attempt):
                connection.raw.rebind(
                    user=found[0].dn, password=login.password, read_server_info=False
                )
            return connection.check_result("login of a user", *_NO) == results.RESULT_SUCCESS
        finally:
            attempt.release()
            connection.close()

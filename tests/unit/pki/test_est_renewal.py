"""What the gateway asks for the CA gives: a first certificate, and the next one in time."""

from __future__ import annotations

import asyncio
import ssl
from datetime import timedelta
from pathlib import Path

from pki import opening
from pki.profiles import Profile
from pki.serve import access, est
from pki.serve.hosting import hosting
from pki.serve.office import Office
from smimegw.adapters.est.attempts import Attempts
from smimegw.adapters.est.client import ESTClient, ESTServer
from smimegw.adapters.est.enrolment import Enrolled, EnrolmentKey, ESTEnrolment
from smimegw.adapters.est.renewal import RenewingEnrolment
from smimegw.addresses import Mailbox
from tests.fakes.clock import SetClock
from tests.fakes.est import MemorySealer
from tests.fakes.pki import Issued
from tests.fakes.ports import MemoryKeystore
from tests.unit.pki.steps import NOW, PASSPHRASE

ALICE = Mailbox.parse("alice@corp.example")
MONTH = timedelta(days=30)


class Gateway:
    """Keystore and adapter of a gateway, on the clock that the CA has."""

    def __init__(self, directory: Path, url: str, tls: ssl.SSLContext, clock: SetClock) -> None:
        self.keystore = MemoryKeystore()
        self.told: list[str] = []
        server = ESTServer.parse(url.replace("127.0.0.1", "localhost") + "/.well-known/est")
        asking = ESTEnrolment(
            ESTClient(server, lambda: tls),
            self.keystore,
            self._keep,
            Attempts(directory / "enrolment", MemorySealer()),
            Attempts(directory / "renewal", MemorySealer()),
            clock,
            key=EnrolmentKey.P_256,
        )
        self.renewing = RenewingEnrolment(
            asking, clock, lambda _, trouble: self.told.append(trouble), before=MONTH, seconds=60
        )

    async def _keep(self, enrolled: Enrolled) -> None:
        self.keystore.add(Issued(certificate=enrolled.certificate, key=enrolled.private_key))

    async def send(self) -> Issued:
        """What a mail of Alice's leads to; returns her newest certificate."""
        held = self.keystore.held
        if not held:
            await self.renewing.enrol(ALICE)
        self.renewing.renew_when_due(ALICE, newest(self.keystore).certificate)
        await self.renewing.settled()
        return newest(self.keystore)


def newest(keystore: MemoryKeystore) -> Issued:
    return max(keystore.held, key=lambda each: each.certificate.not_after)


def test_the_gateway_renews_what_the_ca_issued(ca_path: Path, tmp_path: Path) -> None:
    """On a clock that moves: not in the first two years, once in the last month."""
    clock = SetClock(NOW)
    places = access.Places.of(ca_path)
    access.make_server(places, ["localhost"], PASSPHRASE, now=NOW)
    certificate, key = access.make_client(places, "gw1", PASSPHRASE, now=NOW)
    (tmp_path / "gateway.pem").write_bytes(certificate + key)
    context = ssl.create_default_context(cafile=places.authority)
    context.load_cert_chain(tmp_path / "gateway.pem")

    async def run() -> None:
        office = Office(ca_path, PASSPHRASE, clock.now)
        await office.open()
        application = est.application(office, lambda _: None, lambda _: None)
        tls = est.tls_context(places.server, places.authority)
        try:
            async with hosting(application, "127.0.0.1", 0, tls=tls) as url:
                gateway = Gateway(tmp_path, url, context, clock)
                first = await gateway.send()
                clock.time = first.certificate.not_after - 2 * MONTH
                assert (await gateway.send()) is first
                clock.time = first.certificate.not_after - timedelta(days=29)
                second = await gateway.send()
                assert gateway.told == [""]
                assert (await gateway.send()) is second
                assert second.certificate.not_after > first.certificate.not_after
                assert second.certificate.mailboxes == (ALICE,)
        finally:
            await office.close()

    asyncio.run(run())
    with opening.reading(ca_path) as opened:
        issued = [each for each in opened.register.certificates() if each.mailbox]
    assert [each.profile for each in issued] == [Profile.BOTH, Profile.BOTH]
    assert issued[1].renews == issued[0].serial

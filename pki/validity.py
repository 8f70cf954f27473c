"""From when to when a certificate is good, inside the validity of its issuer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from smimegw.errors import UsageError

BACKDATE = timedelta(minutes=5)  # clocks of readers run behind ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Validity:
    """notBefore and notAfter, both included (RFC 5280, 4.1.2.5)."""

    not_before: datetime
    not_after: datetime

    @classmethod
    def starting(
        cls,
        now: datetime,
        days: int,
        *,
        within: x509.Certificate | None = None,
        shorten: bool = False,
    ) -> Validity:
        """Return *days* days from *now*, inside the issuer's own validity.

        Args:
            within: The issuer's certificate; None for a root.
            shorten: End with the issuer instead of refusing.

        Raises:
            UsageError: It would outlive the issuer, which no reader would accept; or the clock is
                wrong.
        """
        start = now.replace(microsecond=0) - BACKDATE
        end = start + timedelta(days=days, seconds=-1)
        if within is None:
            return cls(not_before=start, not_after=end)
        require_begun(within, now)
        last = within.not_valid_after_utc
        if last <= now:
            raise UsageError(
                f"The issuer's certificate ended on {last:%Y-%m-%d}, so it issues nothing any "
                "more. Set up a new CA in another directory."
            )
        if end > last and not shorten:
            raise UsageError(
                f"{days} days would outlive the issuer, whose certificate ends on "
                f"{last:%Y-%m-%d}. Use --days {(last - start).days} or less, or set up a new CA."
            )
        return cls(not_before=max(start, within.not_valid_before_utc), not_after=min(end, last))


def require_begun(issuer: x509.Certificate, now: datetime) -> None:
    """Make sure that the clock is not behind the time when *issuer* was certified.

    Raises:
        UsageError: It is.
    """
    begin = issuer.not_valid_before_utc
    if now < begin:
        raise UsageError(
            f"This machine's clock says {now:%Y-%m-%d %H:%M}Z, and the issuer's certificate begins "
            f"at {begin:%Y-%m-%d %H:%M}Z. Nothing was signed; set the clock, then do it again."
        )

"""smimegw: an S/MIME mail gateway."""

from datetime import UTC, datetime

__version__ = "0.1.0"
RELEASED = datetime(2026, 11, 23, tzinfo=UTC)
"""When this release was made; a clock before it is wrong."""

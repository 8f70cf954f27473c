"""smimegw: an S/MIME mail gateway."""

__version__ = "0.1.0"

"""Takes the certificates and keys of RFC 9216 out of its XML: rfc9216.py rfc9216.xml."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

DIRECTORY = Path(__file__).parent.parent / "vectors" / "rfc9216"


def write_all(document: Path) -> int:
    """Write every named code component into `DIRECTORY`; return how many."""
    DIRECTORY.mkdir(exist_ok=True)
    codes = list(ET.parse(document).getroot().iter("sourcecode"))
    for code in codes:
        (DIRECTORY / code.attrib["name"]).write_text((code.text or "").strip() + "\n")
    return len(codes)


if __name__ == "__main__":
    print(write_all(Path(sys.argv[1])), "files")

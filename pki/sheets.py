"""Writes the paper sheets that carry one-time passwords: a text and a PDF for each person.

The password goes to its owner on paper and the file by another way.  It is made here, written
before the file that it opens, and nowhere else: on no command line, in no log, not in the ledger.
"""

from __future__ import annotations

import hashlib
import io
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from pki import files
from smimegw.addresses import Mailbox
from smimegw.errors import UsageError

_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another
_GROUPS, _GROUP_LETTERS = 4, 5  # 99 bits
_UNSAFE_IN_FILE_NAME = re.compile(r"[^A-Za-z0-9@._+-]")
_LABEL = "Password   "
_MARGIN, _LEADING, _SIZE = 56.0, 15.0, 10.0  # points


class Client(StrEnum):
    """Programs that the sheets have instructions for."""

    THUNDERBIRD = "thunderbird"
    OUTLOOK = "outlook"
    APPLE = "apple"
    ANDROID = "android"
    GATEWAY = "gateway"


_INSTRUCTIONS = {
    Client.THUNDERBIRD: (
        "Thunderbird",
        "Settings, Privacy & Security, Manage Certificates, Your Certificates, Import: the file.",
        "Account Settings, End-To-End Encryption, S/MIME: select the certificate for signing and",
        "for encryption.",
    ),
    Client.OUTLOOK: (
        "Outlook for Windows",
        "Double-click the file and follow the wizard; do not mark the key as exportable.",
        "File, Options, Trust Center, Trust Center Settings, Email Security, Settings: choose the",
        "certificate for signing and for encryption.",
    ),
    Client.APPLE: (
        "iPhone, iPad, Mac",
        "Open the .mobileconfig, then Settings, General, VPN & Device Management (Mac: Privacy &",
        "Security, Profiles): install it and type the password. Mail: the account's settings,",
        "Advanced, S/MIME.",
    ),
    Client.ANDROID: (
        "Android",
        "Settings, Security, Encryption & credentials, Install a certificate, VPN & app user",
        "certificate: the file. Then choose it in the mail program's S/MIME settings.",
    ),
    Client.GATEWAY: (
        "The mail gateway, for its administrator",
        "smimegw key import FILE --password-file PASSWORD",
        "Write the password into a file that only you can read, and delete it afterwards.",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheets:
    """A folder of sheets.

    Attributes:
        issuer: The CA's name, for the heading.
        clients: Programs to tell about; empty tells of all.
    """

    folder: Path
    issuer: str
    clients: tuple[Client, ...] = ()
    _known: dict[str, str] = field(default_factory=dict, repr=False)

    def password(self, mailbox: Mailbox, name: str) -> bytes:
        """Return the person's password; the first time make it and write the sheet.

        Whoever has a sheet in the folder keeps its password: a run that was killed goes on.

        Raises:
            OSError: The disk does not take it.
            UsageError: reportlab, which writes the PDF, is not installed.
        """
        if mailbox.key not in self._known:
            text = self.folder / f"{_file_name(mailbox)}.txt"
            password = _read(text) if text.exists() else ""
            self._known[mailbox.key] = password or self._write(text, mailbox, name)
        return self._known[mailbox.key].encode()

    def _write(self, path: Path, mailbox: Mailbox, name: str) -> str:
        password = new_password()
        lines = sheet(self.issuer, mailbox, name, password, self.clients)
        # The text last: a password that is read again must be on the paper, too.
        files.replace(path.with_suffix(".pdf"), as_pdf(lines), mode=files.PRIVATE)
        files.replace(path, ("\n".join(lines) + "\n").encode(), mode=files.PRIVATE)
        return password


def new_password() -> str:
    """Return a password that can be typed from paper and not be guessed."""
    groups = (
        "".join(secrets.choice(_LETTERS) for _ in range(_GROUP_LETTERS)) for _ in range(_GROUPS)
    )
    return "-".join(groups)


def sheet(
    issuer: str, mailbox: Mailbox, name: str, password: str, clients: Sequence[Client] = ()
) -> list[str]:
    """Return the lines of one person's sheet."""
    lines = [
        f"{issuer}: your certificate for secure e-mail",
        "",
        f"For        {name} <{mailbox}>" if name else f"For        <{mailbox}>",
        f"{_LABEL}{password}",
        "",
        "The password opens the file or files that you get another way. It is needed once, when",
        "you install them; then destroy this sheet. Type it with the hyphens. Nobody will ask you",
        "for it, not even your administrator.",
    ]
    for client in clients or Client:
        heading, *steps = _INSTRUCTIONS[client]
        lines += ["", heading, *(f"    {step}" for step in steps)]
    return lines


def as_pdf(lines: Sequence[str]) -> bytes:
    """Return one page, A4.

    Raises:
        UsageError: reportlab is not installed.
    """
    try:
        # an extra without types
        from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]  # noqa: PLC0415
        from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]  # noqa: PLC0415
    except ImportError as error:
        raise UsageError(
            "Sheets need the package reportlab (extra: ca). Install smimegw[ca], or leave --sheets "
            "out and protect the files with --p12-passphrase-file."
        ) from error
    buffer = io.BytesIO()
    canvas = Canvas(buffer, pagesize=A4, pageCompression=0)
    canvas.setTitle("Certificate")
    text = canvas.beginText(_MARGIN, A4[1] - _MARGIN)
    text.setFont("Courier", _SIZE, _LEADING)
    for line in lines:
        # the fonts that every printer has know Latin letters only
        text.textLine(line.encode("latin-1", "replace").decode("latin-1"))
    canvas.drawText(text)
    canvas.showPage()
    canvas.save()
    return buffer.getvalue()


def _read(path: Path) -> str:
    for line in path.read_text("utf-8").splitlines():
        if line.startswith(_LABEL):
            return line.removeprefix(_LABEL).strip()
    return ""


def _file_name(mailbox: Mailbox) -> str:
    safe = _UNSAFE_IN_FILE_NAME.sub("_", mailbox.key).lstrip(".-")[:100]
    if safe == mailbox.key:
        return safe
    return f"{safe}-{hashlib.sha256(mailbox.key.encode()).hexdigest()[:8]}"

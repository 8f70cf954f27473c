"""Contents that mail servers like to change on the way, each as one whole message."""

from __future__ import annotations

from tests.interop.mails import MAILS

_HEAD = (
    b"From: Alice <alice@ours.example>\r\nTo: bob@partner.example\r\nSubject: untidy\r\n"
    b"Date: Mon, 23 Nov 2026 12:00:00 +0000\r\nMIME-Version: 1.0\r\n"
)
_8BIT = b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
_7BIT = b"Content-Type: text/plain; charset=us-ascii\r\n\r\n"
_GB18030 = b"Content-Type: text/plain; charset=gb18030\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
_LATIN1 = b"Content-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"

_INNER = (
    b"From: carol@third.example\r\nSubject: inside\r\nMIME-Version: 1.0\r\n"
    + _8BIT
    + "Grüße von drinnen \r\n".encode()
)


def _multipart(*parts: bytes, kind: bytes = b"mixed", around: bytes = b"") -> bytes:
    mark = b"\r\n--=_cut"
    head = b"Content-Type: multipart/" + kind + b'; boundary="=_cut"\r\n'
    head += b"Content-Transfer-Encoding: 8bit\r\n\r\n"
    body = b"".join(mark + b"\r\n" + part for part in parts)
    return head + around + body + mark + b"--\r\n" + around


_SIGNED_BY_ANOTHER = (
    b'Content-Type: multipart/signed; protocol="application/pgp-signature"; micalg=pgp-sha256;'
    b' boundary="=_signed"\r\n\r\n--=_signed\r\n'
    + _8BIT
    + "Grüße \r\n".encode()
    + b"\r\n--=_signed\r\nContent-Type: application/pgp-signature\r\n\r\n"
    b"-----BEGIN PGP SIGNATURE-----\r\n\r\niQ==\r\n-----END PGP SIGNATURE-----\r\n"
    b"--=_signed--\r\n"
)


UNTIDY: dict[str, bytes] = {
    name: _HEAD + b"Message-ID: <" + name.replace(" ", "-").encode() + b"@ours.example>\r\n" + rest
    for name, rest in {
        "ASCII": _7BIT + b"Hello Bob\r\n",
        "UTF-8": _8BIT + "Grüße aus Köln, 15 €\r\n".encode(),
        "Latin-1": _LATIN1 + "Grüße aus Köln\r\n".encode("latin-1"),
        "GB18030": _GB18030 + "您好，请查收附件。\r\n".encode("gb18030"),
        "no MIME fields": b"\r\nJust text, as in 1982\r\n",
        "8-bit without a label": b"\r\n" + "Grüße ohne Etikett\r\n".encode(),
        "8bit label on ASCII": _8BIT + b"nothing but ASCII\r\n",
        "long lines": _7BIT + b"word " * 1000 + b"end\r\n" + b"x" * 5000 + b"\r\n",
        "999 octets": _7BIT + b"y" * 999 + b"\r\n" + b"z" * 998 + b"\r\n",
        "spaces at line ends": _7BIT + b"spaces   \r\ntab\t\r\n-- \r\nAlice \r\n",
        "From lines": _7BIT + b"From here on\r\n>From there\r\n From\r\nFrom\r\n",
        "dots": _7BIT + b".\r\n..\r\n.hidden\r\n...\r\n\r\n.",
        "mixed line ends": _7BIT + b"one\ntwo\r\nthree\n\nfour",
        "no final line end": _7BIT + b"cut off here",
        "empty lines at the end": _7BIT + b"text\r\n\r\n\r\n\r\n",
        "no body": _7BIT,
        "flowed": b"Content-Type: text/plain; charset=utf-8; format=flowed; delsp=no\r\n"
        b"Content-Transfer-Encoding: 8bit\r\n\r\n"
        + "Ein Absatz, der \r\nüber Zeilen fließt.\r\n> > zitiert \r\n-- \r\nAlice\r\n".encode(),
        "HTML": b"Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"
        + ("<p>Grüße</p>" * 300).encode()
        + b"\r\n",
        "quoted-printable": b"Content-Type: text/plain; charset=utf-8\r\n"
        b"Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe =\r\nund =20\r\n",
        "binary": b"Content-Type: application/octet-stream; name=all.bin\r\n"
        b"Content-Transfer-Encoding: binary\r\n\r\n" + bytes(range(1, 256)).replace(b"\r", b"") * 9,
        "parts of all kinds": _multipart(
            _8BIT + "Grüße \r\n".encode(),
            b"Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n"
            b"iVBORw0KGgoAAAA=\r\n",
            b"\r\nno header, no line end",
            _multipart(_7BIT + b"plain", b"Content-Type: text/html\r\n\r\n<b>x</b> \r\n"),
            around="Präambel \r\n".encode(),
        ),
        "forwarded": _multipart(
            _7BIT + b"see below\r\n", b"Content-Type: message/rfc822\r\n\r\n" + _INNER
        ),
        "digest": _multipart(b"\r\n" + _INNER, b"\r\n" + _INNER, kind=b"digest"),
        "report": _multipart(
            _7BIT + b"not delivered\r\n",
            b"Content-Type: message/delivery-status\r\n\r\n"
            b"Reporting-MTA: dns; mx.partner.example\r\n\r\n"
            b"Final-Recipient: rfc822; bob@partner.example\r\nAction: failed\r\n"
            b"Status: 5.1.1\r\nDiagnostic-Code: smtp; 550 no such user \r\n",
            b"Content-Type: text/rfc822-headers\r\n\r\nFrom: alice@ours.example\r\n",
            kind=b"report; report-type=delivery-status",
        ),
        "8-bit signed by another": _SIGNED_BY_ANOTHER,
        "8bit label signed by another": _SIGNED_BY_ANOTHER.replace("ü".encode(), b"ue").replace(
            "ß".encode(), b"ss"
        ),
        "8-bit signed by another forwarded": _multipart(
            b"Content-Type: message/rfc822\r\n\r\nFrom: carol@third.example\r\n"
            b"MIME-Version: 1.0\r\n" + _SIGNED_BY_ANOTHER,
            _7BIT + b"-- \r\nfooter of a list\r\n",
        ),
    }.items()
}
"""Name to message; some could not have come by SMTP as they are (bare LF)."""

UNTIDY |= {
    f"{name} of a program": octets.replace(b"<1@", b"<" + name.encode().replace(b" ", b"-") + b"@")
    for name, octets in MAILS.items()
}

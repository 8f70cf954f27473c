"""Says what a token's return code means for an administrator, and what may be tried again."""

from __future__ import annotations

from pkcs11 import exceptions as p11

from smimegw.errors import KeystoreError

LOST = (
    p11.SessionClosed,
    p11.SessionHandleInvalid,
    p11.UserNotLoggedIn,
    p11.KeyHandleInvalid,
    p11.ObjectHandleInvalid,
    p11.DeviceError,
    p11.DeviceRemoved,
    p11.TokenNotPresent,
    p11.NoSuchToken,
    p11.OperationActive,
    p11.GeneralError,
    p11.FunctionFailed,
)
"""The session or the token behind it went away, or may have: a new session may do it (R-14)."""

NOT_DECRYPTED = (
    p11.EncryptedDataInvalid,
    p11.EncryptedDataLenRange,
    p11.DataInvalid,
    p11.DataLenRange,
    p11.FunctionFailed,
    p11.GeneralError,  # SoftHSM's word for wrong padding
    p11.ArgumentsBad,
    p11.MechanismInvalid,
    p11.MechanismParamInvalid,
    p11.DomainParamsInvalid,
    p11.PublicKeyInvalid,
    p11.KeyTypeInconsistent,
    p11.FunctionNotSupported,
)
"""The ciphertext is at fault, or asks for what the token cannot do; all of them look alike."""

_NO_MORE = "it is not tried again, because tokens lock after a few wrong ones"
_TEXTS: tuple[tuple[type[p11.PKCS11Error], str], ...] = (
    (p11.PinIncorrect, f"refuses the PIN; {_NO_MORE}. Correct the PIN that is configured for it"),
    (p11.PinLenRange, f"refuses the PIN, its length is wrong; {_NO_MORE}. Correct the PIN"),
    (p11.PinInvalid, f"refuses the PIN, it holds wrong characters; {_NO_MORE}. Correct the PIN"),
    (
        p11.PinLocked,
        (
            "is locked after too many wrong PINs; the security officer has to set a new one"
            " (pkcs11-tool --init-pin), then configure that"
        ),
    ),
    (p11.PinExpired, "says that its PIN has expired; set a new one (pkcs11-tool --change-pin)"),
    (p11.UserPinNotInitialized, "has no PIN yet; initialise it (pkcs11-tool --init-pin)"),
    (
        p11.MechanismInvalid,
        "cannot do that algorithm; pkcs11-tool --list-mechanisms shows what it can",
    ),
    (p11.DeviceMemory, "is full; delete what is no longer needed, or use a larger one"),
    (p11.SessionReadOnly, "can only be read"),
    (p11.TokenWriteProtected, "is write protected"),
)
_GONE = (p11.DeviceError, p11.DeviceRemoved, p11.TokenNotPresent, p11.NoSuchToken)
_PIN_ERRORS = (
    p11.PinIncorrect,
    p11.PinLenRange,
    p11.PinInvalid,
    p11.PinLocked,
    p11.PinExpired,
    p11.UserPinNotInitialized,
)


def is_about_pin(error: p11.PKCS11Error) -> bool:
    """The token does not let us in, and trying again could lock it."""
    return isinstance(error, _PIN_ERRORS)


def explained(error: p11.PKCS11Error, token: str) -> KeystoreError:
    """Return *error* of the token of this name as an error of the keystore."""
    for kind, text in _TEXTS:
        if isinstance(error, kind):
            locked = is_about_pin(error)
            return KeystoreError(
                f"token {token} {text}", server=token, retryable=not locked, locked=locked
            )
    if isinstance(error, _GONE):
        return KeystoreError(
            f"token {token} is not there ({type(error).__name__}); is it plugged in, or its server"
            " reachable? pkcs11-tool --module LIBRARY --list-token-slots shows what is",
            server=token,
        )
    return KeystoreError(
        f"token {token} failed ({type(error).__name__}); the log of the token or of its server"
        " should say why",
        server=token,
    )

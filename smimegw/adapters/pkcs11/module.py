"""Loads a PKCS#11 library so that several threads may use it.

python-pkcs11 says ``C_Initialize(NULL)``, which promises the library one thread only, and then lets
go of the interpreter lock during calls: with two threads libraries answer nonsense or crash.  So
the library is initialised here, with CKF_OS_LOCKING_OK (PKCS #11 v3.1, 5.4), and the wrapper taken
without its own initialisation.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from smimegw.errors import KeystoreError

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Library  # noqa: N812 – the wrapper's class has that name

_CKF_OS_LOCKING_OK = 2
_CKR_OK = 0
_CKR_CRYPTOKI_ALREADY_INITIALIZED = 0x191

_lock = threading.Lock()
# By process: after fork() a child has to initialise anew (PKCS #11 v3.1, 6.6.1).
_loaded: dict[tuple[int, Path], Library] = {}


class _InitializeArguments(ctypes.Structure):
    _fields_ = (
        ("create_mutex", ctypes.c_void_p),
        ("destroy_mutex", ctypes.c_void_p),
        ("lock_mutex", ctypes.c_void_p),
        ("unlock_mutex", ctypes.c_void_p),
        ("flags", ctypes.c_ulong),
        ("reserved", ctypes.c_void_p),
    )


class _FunctionList(ctypes.Structure):
    """The beginning of CK_FUNCTION_LIST; every library exports the way to it, and only that."""

    _fields_ = (
        ("version", ctypes.c_ubyte * 2),
        ("initialize", ctypes.CFUNCTYPE(ctypes.c_ulong, ctypes.c_void_p)),
    )


def load(path: Path) -> Library:
    """Return the library at *path*, initialised once in this process.

    Raises:
        KeystoreError: python-pkcs11 is not installed, there is no such library, or it refuses.
    """
    try:
        from pkcs11 import PKCS11Error, _pkcs11  # noqa: PLC0415 – an extra of this package
    except ImportError:
        raise KeystoreError(
            "tokens need python-pkcs11, which is not installed: pip install 'smimegw[pkcs11]'",
            retryable=False,
        ) from None
    with _lock:
        known = _loaded.get((os.getpid(), path))
        if known is not None:
            return known
        _initialize(path)
        try:
            # pkcs11.lib() would initialise; a wrapper that was not initialised by itself does not
            # finalise either, so the library stays until the process ends.
            library: Library = _pkcs11.lib.__new__(_pkcs11.lib, str(path))  # type: ignore[call-arg]
        except PKCS11Error as exc:
            raise _unusable(path, str(exc)) from exc
        _loaded[os.getpid(), path] = library
        return library


def _initialize(path: Path) -> None:
    try:
        shared = ctypes.CDLL(str(path))
        find: ctypes._NamedFuncPointer = shared.C_GetFunctionList
    except (OSError, AttributeError) as exc:
        raise _unusable(path, str(exc)) from exc
    find.restype = ctypes.c_ulong
    functions = ctypes.POINTER(_FunctionList)()
    result = find(ctypes.byref(functions))
    if result == _CKR_OK:
        arguments = _InitializeArguments(flags=_CKF_OS_LOCKING_OK)
        result = functions.contents.initialize(ctypes.byref(arguments))
    if result not in (_CKR_OK, _CKR_CRYPTOKI_ALREADY_INITIALIZED):
        raise _unusable(path, f"C_Initialize answers {result:#x}")


def _unusable(path: Path, reason: str) -> KeystoreError:
    return KeystoreError(
        f"the PKCS#11 library {path} cannot be used: {reason}; is it the library that came with"
        " the token, is what it needs configured (SoftHSM: SOFTHSM2_CONF), and may this user read"
        " it?",
        server=str(path),
    )

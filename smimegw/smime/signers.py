"""Says of each of several signers whether his signature holds; none of them makes it pass.

Mail programs show one signer, and not the same one (R-42).  The words are for people who want to
know what arrived.
"""

from __future__ import annotations

from smimegw.cms.signed_data import SignerInfo, verify_signer_info
from smimegw.errors import CMSError, LimitError, SignatureError, UnsupportedAlgorithmError
from smimegw.smime.media_types import SignedLayer

INTACT = "intact"  # holds mathematically; whose it is, and whether he is trusted, was not asked


def signer_outcomes(layer: SignedLayer) -> tuple[str, ...]:
    """One word per SignerInfo in their order.

    ``intact``, ``weak-digest``, ``algorithm``, ``malformed``, or the reason of a `SignatureError`
    such as ``digest`` and ``no-certificate``.
    """
    return tuple(_outcome(layer, info) for info in layer.signed_data.signer_infos)


def _outcome(layer: SignedLayer, info: SignerInfo) -> str:
    try:
        checked = verify_signer_info(layer.signed_data, info, layer.content)
    except SignatureError as exc:
        return exc.reason
    except UnsupportedAlgorithmError:
        return "algorithm"
    except (CMSError, LimitError):
        return "malformed"
    return "weak-digest" if checked.digest_algorithm.is_weak else INTACT

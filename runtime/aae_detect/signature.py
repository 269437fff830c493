"""Ed25519 signatures: a device that asks for them runs no model that its owner did not sign.

A signature lies beside the file that it is for, as `detector.onnx.sig`: 64 bytes over the whole file, as RFC 8032 has
them, so that OpenSSL makes and checks them too:

    openssl genpkey -algorithm ed25519 -out owner.pem             the owner's key; it stays with the owner
    openssl pkey -in owner.pem -pubout -out owner.pub             for the devices
    openssl pkeyutl -sign -inkey owner.pem -rawin -in detector.onnx -out detector.onnx.sig
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from aae_detect.errors import ConfigError, InstallError, ModelError
from aae_detect.limited_read import read_limited

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SUFFIX = ".sig"
_MOST_BYTES = 2**16
"""Of a key, or of a file with a signature."""


def signature_path(path: Path) -> Path:
    """Return where the signature of a file lies."""
    return path.with_name(path.name + SUFFIX)


class OwnerKey:
    """The public key of whoever may say which models run here."""

    def __init__(self, path: Path) -> None:
        """Read the key.

        Args:
            path: PEM file of an Ed25519 public key.

        Raises:
            ConfigError: it is none.
            InstallError: the package `cryptography` is missing.
        """
        self.path = path
        self._key = _read_public(path)

    def require(self, content: bytes, path: Path) -> None:
        """See that a file was signed.

        Args:
            content: What was read from the file, and will be used.
            path: The file; its signature lies beside it.

        Raises:
            ModelError: there is no signature, or it is not the owner's, or for another content.
        """
        from cryptography.exceptions import InvalidSignature

        beside = signature_path(path)
        try:
            signature = read_limited(beside, _MOST_BYTES)
        except FileNotFoundError:
            raise ModelError(
                f"{path} is not signed: there is no {beside.name} beside it; sign it with `aae-export --sign`"
            ) from None
        except OSError as error:
            raise ModelError(f"{beside} cannot be read: {error.strerror}") from error
        try:
            self._key.verify(signature, content)
        except InvalidSignature:
            raise ModelError(
                f"{path} was changed after it was signed, or not signed by the owner of {self.path}; refused"
            ) from None


class SigningKey:
    """The private key of whoever says which models run on their devices."""

    def __init__(self, path: Path) -> None:
        """Read the key.

        Args:
            path: PEM file of an Ed25519 private key, without a password.

        Raises:
            ConfigError: it is none.
            InstallError: the package `cryptography` is missing.
        """
        self._key = _read_private(path)

    def sign(self, path: Path) -> Path:
        """Write the signature of a file beside it; returns where."""
        beside = signature_path(path)
        beside.write_bytes(self._key.sign(path.read_bytes()))
        return beside


def _read_public(path: Path) -> Ed25519PublicKey:
    content = _read_key(path)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(content)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(f"{path} is no public key in PEM; see `openssl pkey -pubout`") from error
    if not isinstance(key, Ed25519PublicKey):
        raise ConfigError(f"{path} holds a key of another kind; expected one of Ed25519")
    return key


def _read_private(path: Path) -> Ed25519PrivateKey:
    content = _read_key(path)
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(content, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(
            f"{path} is no private key in PEM without a password; see `openssl genpkey -algorithm ed25519`"
        ) from error
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(f"{path} holds a key of another kind; expected one of Ed25519")
    return key


def _read_key(path: Path) -> bytes:
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise InstallError(
            "signatures need the package cryptography; install it with `pip install 'aae-detect[sign]'`"
        ) from error
    try:
        return read_limited(path, _MOST_BYTES)
    except OSError as error:
        raise ConfigError(f"key {path} cannot be read: {error.strerror}") from error

"""Whom a sink trusts, and how it shows who it is."""

from __future__ import annotations

import ssl

from aae_detect.errors import ConfigError


def tls_context(ca: str, cert: str = "", key: str = "") -> ssl.SSLContext:
    """Make the context of a client.

    Args:
        ca: File of certificates to trust instead of the system's; empty: the system's.
        cert: File of the client's own certificate; empty: none.
        key: File of its key, where it is not in `cert`.

    Raises:
        ConfigError: a file cannot be read.
    """
    try:
        context = ssl.create_default_context(cafile=ca or None)
        if cert:
            context.load_cert_chain(cert, key or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(
            f"the certificates {', '.join(filter(None, (ca, cert, key)))} cannot be used: {error}"
        ) from error
    return context

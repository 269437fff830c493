"""Trains models of good parts; needs torch (`pip install 'aae-detect[train]'`)."""

from importlib.util import find_spec

from aae_detect.errors import InstallError

if find_spec("torch") is None:
    raise InstallError(
        "aae_train needs torch, which is not installed; install it with `pip install 'aae-detect[train]'`"
    )

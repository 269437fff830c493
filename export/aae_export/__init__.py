"""Turns a finished run into ONNX files; needs torch and onnx (`pip install 'aae-detect[export]'`)."""

from importlib.util import find_spec

from aae_detect.errors import InstallError

_MISSING = [name for name in ("torch", "onnx", "onnxscript") if find_spec(name) is None]
if _MISSING:
    raise InstallError(
        f"aae_export needs {' and '.join(_MISSING)}, not installed; install with `pip install 'aae-detect[export]'`"
    )

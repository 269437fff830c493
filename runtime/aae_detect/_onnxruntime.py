"""ONNX Runtime, imported in this one place, so that a wheel that is missing, doubled or broken is explained once."""

from aae_detect.wheels import explain_onnxruntime, refuse_rivals

refuse_rivals("onnxruntime", "onnxruntime-gpu")

try:
    import onnxruntime
except ImportError as error:
    raise explain_onnxruntime(error) from error

__all__ = ["onnxruntime"]

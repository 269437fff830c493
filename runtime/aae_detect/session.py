"""ONNX Runtime sessions: which execution provider is asked for, and which one really loaded."""

from __future__ import annotations

from typing import Any, Literal, get_args

from aae_detect._onnxruntime import onnxruntime
from aae_detect.errors import ConfigError, ModelError

ProviderChoice = Literal["auto", "cpu", "cuda"]
PROVIDER_CHOICES: tuple[ProviderChoice, ...] = get_args(ProviderChoice)

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"


def available_providers() -> list[str]:
    """Execution providers that the installed wheel was built with; whether one loads is known only by trying."""
    return list(onnxruntime.get_available_providers())


def open_session(content: bytes, provider: ProviderChoice, threads: int) -> tuple[Any, str, tuple[str, ...]]:
    """Make a session and verify which provider it got.

    ONNX Runtime falls back to the CPU silently when a provider fails to load, so what was asked for proves nothing.

    Args:
        content: The model file.
        provider: `cuda` insists; `auto` takes CUDA where it loads, else the CPU.
        threads: Threads inside an operator; 0 lets ONNX Runtime take one per core.

    Returns:
        The session, the provider that loaded, and warnings for the user.

    Raises:
        ConfigError: the provider that was asked for is not there.
        ModelError: ONNX Runtime refuses the model.
    """
    if provider not in PROVIDER_CHOICES:
        raise ConfigError(f"provider {provider!r} is none of {', '.join(PROVIDER_CHOICES)}")
    if threads < 0:
        raise ConfigError(f"threads is {threads}, expected 0 (one per core) or more")
    built = available_providers()
    if provider == "cuda" and CUDA not in built:
        raise ConfigError(
            f"provider cuda was asked for, this ONNX Runtime has {', '.join(built)}; install it with "
            "`pip uninstall -y onnxruntime && pip install onnxruntime-gpu`, or use --provider cpu"
        )
    wanted = [CPU] if provider == "cpu" or CUDA not in built else [CUDA, CPU]
    session = _create(content, wanted, threads)
    loaded = str(session.get_providers()[0])
    if loaded == wanted[0]:
        return session, loaded, ()
    problem = f"{wanted[0]} did not load on this machine (driver, CUDA or cuDNN missing?); ONNX Runtime took {loaded}"
    if provider == "cuda":
        raise ConfigError(f"{problem}; see what `aae-detect --doctor` says, or use --provider cpu")
    return session, loaded, (problem,)


def _create(content: bytes, providers: list[str], threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1  # the graph is a chain: a second branch to run beside it does not exist
    options.log_severity_level = 4 if CUDA in providers else 3  # a failed fallback is reported by us, in one line
    try:
        return onnxruntime.InferenceSession(content, sess_options=options, providers=providers)
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(f"ONNX Runtime {onnxruntime.__version__} refuses the model: {first_line:.300}") from error

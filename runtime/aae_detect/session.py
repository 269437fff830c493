"""ONNX Runtime sessions: which execution provider is asked for, and which one really loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aae_detect._onnxruntime import onnxruntime
from aae_detect.errors import ConfigError, ModelError

CPU = "CPUExecutionProvider"
CUDA = "CUDAExecutionProvider"

AUTO = "auto"
"""CUDA where it loads, else the CPU."""

_SUFFIX = "ExecutionProvider"
_BY_OTHER_NAMES = {"directml": "DmlExecutionProvider", "qnn": "QNNExecutionProvider"}
_WHEELS = {CUDA: "onnxruntime-gpu", "TensorrtExecutionProvider": "onnxruntime-gpu"}
_WHEELS |= {"OpenVINOExecutionProvider": "onnxruntime-openvino", "DmlExecutionProvider": "onnxruntime-directml"}


def available_providers() -> list[str]:
    """Execution providers that the installed wheel was built with; whether one loads is known only by trying."""
    return list(onnxruntime.get_available_providers())


def runs_on_processor(provider: str) -> bool:
    """Say whether a provider, as `open_session` takes it, is the CPU: there a session may be asked side by side.

    On a GPU inferences share one device anyway, and some ways to run there must not be asked by two threads at once
    (CUDA graphs).
    """
    return CUDA not in available_providers() if provider == AUTO else find_provider(provider) == CPU


def find_provider(name: str) -> str:
    """Return ONNX Runtime's name of a provider: `cuda` and `CUDAExecutionProvider` are the same, in any case.

    Raises:
        ConfigError: this ONNX Runtime was built without it; says what would have it.
    """
    asked = _BY_OTHER_NAMES.get(name.lower(), name).lower().removesuffix(_SUFFIX.lower())
    built = {provider.removesuffix(_SUFFIX).lower(): provider for provider in available_providers()}
    if asked in built:
        return built[asked]
    wheel = {provider.removesuffix(_SUFFIX).lower(): wheel for provider, wheel in _WHEELS.items()}.get(asked)
    remedy = f"install it with `pip uninstall -y onnxruntime && pip install {wheel}`, or " if wheel else ""
    raise ConfigError(
        f"provider {name} was asked for, this ONNX Runtime has {', '.join(built)}; {remedy}use --provider cpu"
    )


def open_session(
    content: bytes, provider: str, threads: int, options: Mapping[str, str] | None = None
) -> tuple[Any, str, tuple[str, ...]]:
    """Make a session and verify which provider it got.

    ONNX Runtime falls back to the CPU silently when a provider fails to load, so what was asked for proves nothing.

    Args:
        content: The model file.
        provider: A name as `find_provider` takes it, which insists; `auto` takes CUDA where it loads, else the CPU.
        threads: Threads inside an operator; 0 lets ONNX Runtime take one per core.
        options: Options of the provider, by ONNX Runtime's names and as text.

    Returns:
        The session, the provider that loaded, and warnings for the user.

    Raises:
        ConfigError: the provider that was asked for is not there, or does not take the options.
        ModelError: ONNX Runtime refuses the model.
    """
    if threads < 0:
        raise ConfigError(f"threads is {threads}, expected 0 (one per core) or more")
    if options and provider == AUTO:
        raise ConfigError("provider options belong to one provider; name it (--provider cuda)")
    automatic = CUDA if CUDA in available_providers() else CPU
    wanted = automatic if provider == AUTO else find_provider(provider)
    session = _create(content, wanted, threads, dict(options or {}))
    loaded = str(session.get_providers()[0])
    own, nodes = _count_nodes(session, wanted)
    if loaded == wanted and own:
        _check_options(session, loaded, options or {})
        partly = f"{wanted} runs {own} of the model's {nodes} nodes, the CPU the others"
        return session, loaded, (partly,) if own < nodes else ()
    if loaded == wanted:
        problem, loaded = f"{wanted} loaded, but runs none of the model's {nodes} nodes; the CPU runs them all", CPU
    else:
        problem = f"{wanted} did not load on this machine (driver or libraries missing?); ONNX Runtime took {loaded}"
    if provider != AUTO:
        raise ConfigError(f"{problem}; see what `aae-detect --doctor` says, or use --provider cpu")
    return session, loaded, (problem,)


def _count_nodes(session: Any, provider: str) -> tuple[int, int]:
    """Count nodes that a provider runs, and all; (1, 1) where ONNX Runtime is too old to tell."""
    if not hasattr(session, "get_provider_graph_assignment_info"):  # since 1.24
        return 1, 1
    parts = [(part.ep_name, len(part.get_nodes())) for part in session.get_provider_graph_assignment_info()]
    return sum(count for name, count in parts if name == provider), sum(count for _, count in parts)


def _check_options(session: Any, provider: str, options: Mapping[str, str]) -> None:
    """Refuse options that a provider took without a word and does not know."""
    taken = session.get_provider_options().get(provider, {})
    if unknown := [name for name in options if name not in taken]:
        known = f"it has {', '.join(sorted(taken))}" if taken else "it has none"
        raise ConfigError(f"{provider} did not take the option {', '.join(unknown)}; {known}")


def _create(content: bytes, provider: str, threads: int, options: dict[str, str]) -> Any:
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = threads
    settings.inter_op_num_threads = 1  # the graph is a chain: a second branch to run beside it does not exist
    settings.add_session_config_entry("session.load_model_format", "ONNX")  # what `model_file` read, and nothing else
    settings.add_session_config_entry("session.record_ep_graph_assignment_info", "1")  # for `_count_nodes`
    settings.log_severity_level = 3 if provider == CPU else 4  # a failed fallback is reported by us, in one line
    providers = [provider] if provider == CPU else [provider, CPU]
    of_each = [options, {}][: len(providers)]
    try:
        return onnxruntime.InferenceSession(
            content, sess_options=settings, providers=providers, provider_options=of_each
        )
    except Exception as error:  # ONNX Runtime's exceptions share no public base class
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        if options:
            raise ConfigError(
                f"{provider} with options {', '.join(f'{k}={v}' for k, v in options.items())}: {first_line:.300}"
            ) from error
        raise ModelError(f"ONNX Runtime {onnxruntime.__version__} refuses the model: {first_line:.300}") from error

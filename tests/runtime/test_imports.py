"""What the device loads: no torch, no onnx, nothing heavy for a `--help`, and exactly the public names."""

import importlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

import aae_detect

PACKAGE = Path(aae_detect.__file__).parent
DEMO_MODEL = PACKAGE / "data" / "demo.onnx"

TRAINING_ONLY = {"torch", "onnx", "onnxscript", "safetensors", "matplotlib", "rich", "sklearn", "scipy"}
HEAVY = {"cv2", "numpy", "onnxruntime"}

PUBLIC_NAMES = {
    "AaeDetectError",
    "ConfigError",
    "DemoCamera",
    "Detection",
    "Detector",
    "Frame",
    "FrameError",
    "FrameSource",
    "InstallError",
    "Latency",
    "ModelError",
    "ModelSpec",
    "Region",
    "SourceError",
    "Verdict",
    "__version__",
    "annotate",
    "open_source",
    "read_site_entry",
}

VERBS = {
    "aae-detect": ("aae_detect.cli", []),
    "aae-bench": ("aae_detect.bench.cli", []),
    "aae-calibrate": ("aae_detect.calibrate.cli", []),
    "aae-capture": ("aae_detect.capture.cli", []),
    "aae-roi": ("aae_detect.roi.cli", []),
    "aae-events": ("aae_detect.store.cli", []),
    "aae-bench latency": ("aae_detect.bench.cli", ["latency"]),
    "aae-bench accuracy": ("aae_detect.bench.cli", ["accuracy"]),
}

RUNS = {
    "detect": (
        "aae_detect.cli",
        "--demo --max-frames 3 --no-window --save-video {out}/overlay.mp4 --jsonl {out}/events.jsonl",
    ),
    "calibrate": (
        "aae_detect.calibrate.cli",
        "{model} --source demo:320x240?defects=0 --every 13 --count 10 --out {out}/site.json",
    ),
    "roi": ("aae_detect.roi.cli", "{out}/mask.json --source demo: --show {out}/mask.png"),
    "doctor": ("aae_detect.cli", "--doctor --model {model}"),
    "latency": ("aae_detect.bench.cli", "latency {model} --threads 1 --json {out}/latency.json"),
    "accuracy": ("aae_detect.bench.cli", "accuracy {model} {data} --json {out}/accuracy.json"),
}

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = None
sys.argv = ["aae", *sys.argv[1:]]
from aae_detect.training_commands import export, train
{command}()
"""

RUN_THEN_LIST_MODULES = """
import json, sys
from {module} import main
sys.argv = {argv!r}
try:
    main()
except SystemExit as end:
    code = end.code or 0
else:
    code = 0
roots = sorted(set(name.partition(".")[0] for name in sys.modules))
print("\\n" + json.dumps([code, roots]))
"""


def modules_after(module: str, arguments: list[str]) -> tuple[int, set[str]]:
    """Run a command in a process of its own; return its exit code and the packages it had loaded at its end."""
    script = RUN_THEN_LIST_MODULES.format(module=module, argv=["command", *arguments])
    environment = {name: value for name, value in os.environ.items() if name != "AAE_DETECT_MODEL"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    code, roots = json.loads(done.stdout.splitlines()[-1])
    return code, set(roots)


@pytest.fixture
def labelled_set(tmp_path: Path) -> Path:
    """Two good and two defective pictures in the layout that `aae-bench accuracy` reads."""
    rng = np.random.default_rng(0)
    for kind in ("good", "stain"):
        folder = tmp_path / "set" / "test" / kind
        folder.mkdir(parents=True)
        for number in range(2):
            picture = rng.integers(90, 110, (64, 64, 3), dtype=np.uint8)
            if kind == "stain":
                picture[20:40, 20:40] = 255
                masks = tmp_path / "set" / "ground_truth" / kind
                masks.mkdir(parents=True, exist_ok=True)
                mask = np.zeros((64, 64), np.uint8)
                mask[20:40, 20:40] = 255
                cv2.imwrite(str(masks / f"{number}.png"), mask)
            cv2.imwrite(str(folder / f"{number}.png"), picture)
    return tmp_path / "set"


def test_public_names() -> None:
    assert set(aae_detect.__all__) == PUBLIC_NAMES
    assert set(dir(aae_detect)) == PUBLIC_NAMES


@pytest.mark.parametrize("name", sorted(PUBLIC_NAMES))
def test_every_public_name_loads_and_is_itself(name: str) -> None:
    value = getattr(aae_detect, name)
    if name != "__version__":
        assert value.__name__ == name
        assert value is getattr(importlib.import_module(value.__module__), name)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Detektor"):
        _ = aae_detect.Detektor


@pytest.mark.parametrize("verb", VERBS)
def test_help_loads_nothing_heavy(verb: str) -> None:
    module, arguments = VERBS[verb]
    code, loaded = modules_after(module, [*arguments, "--help"])
    assert code == 0
    assert not loaded & (HEAVY | TRAINING_ONLY)


def test_importing_the_package_loads_nothing_heavy() -> None:
    script = "import sys, aae_detect; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert not {name for name in HEAVY | TRAINING_ONLY if f"'{name}'" in done.stdout}


@pytest.mark.parametrize("run", RUNS)
def test_a_run_never_loads_torch_or_onnx(run: str, tmp_path: Path, labelled_set: Path) -> None:
    module, line = RUNS[run]
    arguments = [word.format(model=DEMO_MODEL, out=tmp_path, data=labelled_set) for word in line.split()]
    code, loaded = modules_after(module, arguments)
    assert code in ({0, 3} if run == "detect" else {0})
    assert ({"cv2"} if run == "roi" else {"cv2", "onnxruntime"}) <= loaded
    assert not loaded & TRAINING_ONLY


def test_help_is_quick() -> None:
    # Without the coverage hook, which starts before the command. The processor's time, and the best of several, as
    # others use the machine too.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    command = [sys.executable, "-c", "from aae_detect.cli import main; main()", "--help"]
    times_s = []
    for _ in range(8):
        with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0 and b"Usage:" in said
        times_s.append(used.ru_utime + used.ru_stime)
    assert min(times_s) < 0.25, f"aae-detect --help took {min(times_s):.3f} s at best"


@pytest.mark.parametrize("command", ["train", "export"])
def test_training_commands_without_torch_say_what_to_install_and_nothing_else(command: str) -> None:
    code = WITHOUT_TORCH.format(command=command)
    done = subprocess.run([sys.executable, "-c", code, "--help"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1), done.stderr
    assert re.match(rf"Error: aae_{command} needs torch.* `pip install 'aae-detect\[{command}\]'`$", done.stderr)

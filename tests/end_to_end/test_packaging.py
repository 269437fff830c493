"""What is shipped: the wheel and the source archive are built for real and looked into."""

import ast
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_string
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

pytest.importorskip("hatchling", reason="building needs hatchling: pip install 'aae-detect[dev]'")

ROOT = Path(__file__).parents[2]
PACKAGES = {"aae_detect": "runtime", "aae_train": "train", "aae_export": "export", "aae_compare": "benchmarks"}
MAX_DEMO_MODEL_BYTES = 4 * 2**20


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive of this very tree."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(out), "-t", "sdist", "-t", "wheel"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.fixture(scope="module")
def wheel_names(built: Path) -> set[str]:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


@pytest.fixture(scope="module")
def sdist_names(built: Path) -> set[str]:
    (sdist,) = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        return {name.partition("/")[2] for name in archive.getnames()}


def source_files(package: str) -> set[str]:
    """All files of a package in the tree, as the wheel should name them."""
    home = ROOT / PACKAGES[package]
    paths = (path for path in (home / package).rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(home).as_posix() for path in paths}


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def distribution_name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0].lower().replace("_", "-")


def test_the_wheel_holds_the_three_packages_whole_and_nothing_else(wheel_names: set[str]) -> None:
    inside = {name for name in wheel_names if ".dist-info/" not in name}
    documents = {f"aae_detect/docs/{path.name}" for path in (ROOT / "docs").glob("*.md")}
    assert inside == set().union(*map(source_files, PACKAGES), documents, {"aae_detect/docs/aae-detect.service"})
    assert {f"{package}/py.typed" for package in PACKAGES} <= inside
    assert not {name for name in inside if Path(name).name.startswith(("test_", "conftest"))}


def test_the_wheel_holds_the_demo_model_and_the_licence(built: Path, wheel_names: set[str]) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        sizes = {info.filename: info.file_size for info in archive.infolist() if info.filename.endswith(".onnx")}
    assert len(sizes) == 1
    (name, size), *_ = sizes.items()
    assert name.startswith("aae_detect/")
    assert 10_000 < size <= MAX_DEMO_MODEL_BYTES
    assert any(name.endswith("licenses/LICENSE") for name in wheel_names)


def test_the_wheel_declares_the_commands_and_what_the_device_needs(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {Path(name).name: name for name in archive.namelist() if ".dist-info/" in name}
        metadata = message_from_string(archive.read(names["METADATA"]).decode())
        commands = archive.read(names["entry_points.txt"]).decode()
    assert {line.split(" = ")[0] for line in commands.splitlines() if " = " in line} == {
        "aae-detect",
        "aae-train",
        "aae-compare",
        "aae-export",
        "aae-generate",
        "aae-bench",
        "aae-calibrate",
        "aae-capture",
        "aae-roi",
        "aae-events",
    }
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert {distribution_name(line) for line in needed} == {"numpy", "onnxruntime", "opencv-python", "click"}
    assert set(metadata.get_all("Provides-Extra", [])) == {
        "train",
        "export",
        "mqtt",
        "metrics",
        "sign",
        "gpio",
        "dev",
    }
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"


def test_the_source_archive_is_enough_to_build_and_test(sdist_names: set[str]) -> None:
    expected = {"pyproject.toml", "Makefile", "constraints.txt", "scripts/make_venv.sh", "README.md", "LICENSE"}
    for package, home in PACKAGES.items():
        expected |= {f"{home}/{name}" for name in source_files(package)}
    expected |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "tests").rglob("test_*.py")}
    assert expected <= sdist_names
    assert not {name for name in sdist_names if name.startswith((".venv", "runs/", "demo-out/", "dist/"))}
    assert not {name for name in sdist_names if "__pycache__" in name}


def test_the_unpacked_wheel_runs_the_demo_by_itself(built: Path, tmp_path: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    script = (
        f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
        "import aae_detect; assert 'site' in aae_detect.__file__.split('/'), aae_detect.__file__\n"
        "from aae_detect.cli import main; main()"
    )
    # Coverage would count the unpacked copy as a second package that nothing tests.
    left_out = ("PYTHONPATH", "AAE_DETECT_MODEL", "COV")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    events = tmp_path / "events.jsonl"
    done = subprocess.run(
        [sys.executable, "-c", script, "--demo", "--max-frames", "4", "--no-window", "--jsonl", str(events)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode in (0, 3), done.stdout + done.stderr
    frames = [json.loads(line) for line in events.read_text().splitlines()]
    assert [line["frame"] for line in frames if line["type"] == "frame"] == [0, 1, 2, 3]


def imported_names(folder: Path) -> set[str]:
    """Top-level packages that the sources below a folder import, wherever in the file."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.partition(".")[0])
    return names - set(sys.stdlib_module_names) - set(PACKAGES)


@pytest.mark.parametrize(
    ("folder", "extras"),
    [
        ("runtime", ["mqtt", "metrics", "sign", "gpio"]),
        ("train", ["train"]),
        ("export", ["export"]),
        ("tests/runtime", ["dev"]),
        ("tests", ["train", "export", "dev"]),
    ],
)
def test_all_that_is_imported_is_declared(folder: str, extras: list[str]) -> None:
    declared = {distribution_name(line) for line in project()["dependencies"]}
    for extra in extras:
        declared |= {distribution_name(line) for line in project()["optional-dependencies"][extra]}
    if "opencv-python" in declared:
        declared.add("opencv-python-headless")  # the set-up exchanges one for the other
    homes = packages_distributions()
    # Scripts stand beside each other, and their tests put their folder into the path.
    beside = [*(ROOT / "scripts").iterdir(), *(ROOT / "benchmarks").glob("*.py")]
    own = {path.stem for path in [*(ROOT / folder).rglob("*.py"), *beside]}
    # What runs under the system's Python imports what Debian's packages bring; its tests skip without them.
    system = imported_names(ROOT / "tests" / "servers")
    undeclared = {
        name: homes.get(name, [])
        for name in imported_names(ROOT / folder) - own - system
        if not declared & {distribution_name(home) for home in homes.get(name, [])}
    }
    assert not undeclared


def test_every_dependency_is_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pins)
    declared = [
        *project()["dependencies"],
        *(line for many in project()["optional-dependencies"].values() for line in many),
    ]
    assert {distribution_name(line) for line in declared} <= {distribution_name(line) for line in pins}
    assert "torch==2.13.0" in pins


@pytest.mark.parametrize("package", ["aae_train", "aae_export"])
def test_the_training_commands_tell_their_version(package: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"{package}.cli", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"{package.replace('_', '-')}, version ")

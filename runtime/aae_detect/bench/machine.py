"""What a measurement ran on: without it a figure means nothing."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import resource
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("aae-detect", "numpy", "opencv-python", "opencv-python-headless", "onnxruntime", "onnxruntime-gpu")


def describe_machine() -> dict[str, Any]:
    """Describe this machine; no host name, no user, no paths. What the system does not tell is None."""
    memory = _kib("/proc/meminfo", "MemTotal")
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "cores_usable": count_usable_cores(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_gib": None if memory is None else round(memory / 2**20, 1),
        "gpus": _gpus(),
        "architecture": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "load_average_1min": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def count_usable_cores() -> int:
    """Return how many cores this process may use, or the time of how many, as a container or a service may limit it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, math.ceil(_cpu_quota() or cores)))


def _cpu_quota(groups: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """Return how many cores' time Linux gives to this process's control group (version 2); None: no limit is told."""
    place = next((line[3:] for line in (_read(str(own)) or "").splitlines() if line.startswith("0::")), "/")
    limit = (_read(str(groups / place.lstrip("/") / "cpu.max")) or "max").split()
    return int(limit[0]) / int(limit[1]) if len(limit) == 2 and all(part.isdigit() for part in limit) else None


def list_versions() -> dict[str, str]:
    """Return the versions of Python and of the installed packages that take part in a measurement."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    if "aae-detect" not in versions:  # run from a checkout that was never installed
        from aae_detect import __version__

        versions["aae-detect"] = __version__
    return versions


def fingerprint() -> str:
    """Return twelve letters that are the same as long as machine and packages are, for telling baselines apart."""
    machine = describe_machine()
    del machine["load_average_1min"]
    text = json.dumps([machine, list_versions()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def hottest_c() -> float | None:
    """Return the highest temperature that the system tells of, degrees Celsius; None where it tells none."""
    found = [_read(str(path)) for path in Path("/sys/class/thermal").glob("thermal_zone*/temp")]
    degrees = [int(text) / 1000 for text in found if text and text.lstrip("-").isdigit()]
    return max(degrees, default=None)


def throttle_count() -> int | None:
    """Return how often the processor slowed itself down for heat since it was started; None where it does not tell."""
    found = [
        _read(str(path)) for path in Path("/sys/devices/system/cpu").glob("cpu*/thermal_throttle/*_throttle_count")
    ]
    counts = [int(text) for text in found if text and text.isdigit()]
    return sum(counts) if counts else None


def peak_memory_mib() -> float:
    """Return the most memory that this process has held so far, resident, in MiB."""
    # Linux hands ru_maxrss down through exec: started from a large program, a small one would report that one's peak.
    if (peak := _kib("/proc/self/status", "VmHWM")) is not None:
        return round(peak / 2**10, 1)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(rss / (2**20 if sys.platform == "darwin" else 2**10), 1)  # macOS counts bytes, others KiB


def _cpu_model() -> str | None:
    """Return the processor's name; ARM boards name it in the device tree, if anywhere."""
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip().lower() in ("model name", "hardware") and value.strip():
            return value.strip()
    board = _read("/proc/device-tree/model")
    return (board or "").rstrip("\0") or platform.processor() or None


def _kib(path: str, name: str) -> int | None:
    """Read a line such as `MemTotal:  2048 kB`."""
    for line in (_read(path) or "").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    return None


def _gpus() -> list[str]:
    """Return the names of NVIDIA devices, as their driver tells them."""
    found = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    lines = [line for path in found for line in (_read(str(path)) or "").splitlines()]
    return [line.partition(":")[2].strip() for line in lines if line.startswith("Model:")]


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None

"""What `aae-bench` hands over: JSON for programs, a table for people."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aae_detect.bench.machine import describe_machine, list_versions
from aae_detect.model_file import ModelFile

_FIGURE_NAMES = {
    "image_auroc": "image AUROC",
    "image_ap": "image AP",
    "f1_at_threshold": "F1 at threshold",
    "recall_at_threshold": "recall at threshold",
    "false_reject_rate": "false-reject rate",
    "pixel_auroc": "pixel AUROC",
    "pixel_ap": "pixel AP",
    "aupro_30": "AUPRO to FPR 0.30",
    "aupro_05": "AUPRO to FPR 0.05",
}


def describe_run(model: ModelFile, command: str) -> dict[str, Any]:
    """Return what belongs to every result: which model, on what machine, with which versions, when, and how."""
    return {
        "model": describe_model(model),
        "machine": describe_machine(),
        "versions": list_versions(),
        "command": command,
        "date": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
    }


def describe_model(model: ModelFile) -> dict[str, Any]:
    """Return what belongs to a model in a result."""
    spec = model.spec
    return {
        "file": Path(model.path).name,
        "sha256": model.sha256,
        "bytes": len(model.content),
        "family": spec.family,
        "input_hw": list(spec.input_hw),
        "map_hw": list(spec.map_hw),
        "fit": spec.fit,
        "precision": spec.precision,
        "threshold": spec.threshold,
        "target_frr": spec.calibration.target_frr,
        "promised_frr": spec.calibration.promised_frr,
        "bound_frr": spec.calibration.bound_frr,
    }


def to_json(document: dict[str, Any]) -> str:
    """Write a result as JSON; what is undefined (NaN) becomes null."""
    return json.dumps(_without_nan(document), indent=2, allow_nan=False) + "\n"


def accuracy_table(result: dict[str, Any]) -> str:
    """Lay out what `aae-bench accuracy` found for people to read."""
    counts, model, pixels = result["counts"], result["model"], result["pixels"]
    lines = [
        *_heading(model),
        f"data      {result['data']}: {counts['good']} good, {counts['defective']} defective, "
        f"{counts['with_mask']} of them with a mask",
        f"judged    by {result['provider']}, NG above {result['threshold']:.6g}",
        "",
        f"  {'':24}{'':>8}   95 % interval ({result['bootstrap']['method']})",
    ]
    points = False
    for key, name in _FIGURE_NAMES.items():
        line = f"  {name:24}{_figure(result[key]):>8}"
        if f"{key}_ci95" in result:
            low, high = result[f"{key}_ci95"]
            points |= low == high
            line += f"   {_figure(low)} to {_figure(high)}{' *' if low == high else ''}"
        lines.append(line)
    if points:
        lines.append("  * a single point only says that redrawing these pictures gives no other value")
    if pixels["method"] != "exact":
        lines.append(f"  pixel figures from rounded scores, off by {pixels['error_bound']:.1e} at the most")
    lines += [f"  note: {note}" for note in _notes(result)]
    width = max(12, *(len(row["kind"]) for row in result["kinds"]))
    lines += ["", f"  {'kind':{width}}  pictures  image AUROC  recall"]
    lines += [
        f"  {row['kind']:{width}}  {row['pictures']:8}  {_figure(row['image_auroc']):>11}  "
        f"{_figure(row['recall_at_threshold']):>6}"
        for row in result["kinds"]
    ]
    return "\n".join([*lines, *_robustness_lines(result.get("robustness", []))])


def _robustness_lines(rows: list[dict[str, Any]]) -> list[str]:
    if not rows:
        return []
    width = max(len(row["disturbance"]) for row in rows)
    return ["", f"  {'disturbance':{width}}  image AUROC  good rejected  recall"] + [
        f"  {row['disturbance']:{width}}  {_figure(row['image_auroc']):>11}  {_figure(row['false_reject_rate']):>13}  "
        f"{_figure(row['recall_at_threshold']):>6}"
        for row in rows
    ]


def latency_table(result: dict[str, Any]) -> str:
    """Lay out what `aae-bench latency` found for people to read."""
    machine = result["machine"]
    lines = [
        *(line for model in result["models"] for line in _heading(model)),
        f"machine   {machine['cpu']}, {machine['cores_usable']} of {machine['cores']} cores, "
        f"governor {machine['governor'] or 'unknown'}, load {machine['load_average_1min']}",
        f"memory    {result['peak_memory_mib']:.0f} MiB at the most",
        *_heat_lines(result),
        "          milliseconds for one frame",
    ]
    for row in result["rows"]:
        threads = "one thread per core" if row["threads"] == 0 else f"threads {row['threads']}"
        name = f"{row['model']} {row['precision']}, " if len(result["models"]) > 1 else ""
        head = f"{name}{row['provider']}, {threads}, frame {row['size']}, batch {row['batch']}"
        lines += ["", head, *_stage_lines(row)]
        lines.append(f"  {row['frames_per_second']:.1f} frames per second, from the median over {row['repeats']} runs")
    return "\n".join([*lines, *_against_lines(result.get("against"))])


def _heat_lines(result: dict[str, Any]) -> list[str]:
    """Say how hot it got, where the system tells."""
    heat = result["hottest_c"]
    lines = (
        [f"heat      {heat['before']:.0f} C before, {heat['after']:.0f} C after"] if heat["after"] is not None else []
    )
    if result["throttled"]:
        lines.append(f"          slowed down for heat {result['throttled']} times: the figures are of a hot machine")
    return lines


def _against_lines(against: dict[str, Any] | None) -> list[str]:
    """Say whether it got slower."""
    if against is None:
        return []
    lines = ["", f"against {against['file']}, {against['tolerance_percent']:g} % allowed, frame to verdict"]
    for row in against["rows"]:
        verdict = "SLOWER" if row["slower"] else "fine"
        span = f" ({row['least']:.3f} to {row['most']:.3f} in its turns)" if row["least"] != row["most"] else ""
        lines.append(f"  {row['setting']}: {row['ratio']:.3f} times{span}, {verdict}")
    return lines


def pipeline_table(result: dict[str, Any]) -> str:
    """Lay out what `aae-bench pipeline` found for people to read."""
    memory = result["memory_mib"]
    lines = [*_heading(result["model"]), f"judged    by {result['provider']}, for {result['seconds']:g} s"]
    if memory["all"] is not None:
        lines.append(f"memory    {memory['own']:.0f} MiB, {memory['all']:.0f} with capture processes")
    for row in result["sources"]:
        lines += ["", row["source"]]
        lines.append(
            f"  {row['frames_per_second_in']:.1f} frames per second in, {row['frames_per_second_judged']:.1f} judged; "
            f"{row['dropped']} dropped, {row['outages']} outages"
        )
        lines += _stage_lines(row)
        if row.get("overlays_dropped"):
            lines.append(f"  {row['overlays_dropped']} frames without an overlay: drawing was too slow for them")
    return "\n".join(lines)


def _stage_lines(row: dict[str, Any]) -> list[str]:
    """Lay out a row's times, milliseconds."""
    names = ("p50", "p95", "p99", "max")
    lines = [f"  {'':16}" + "".join(f"{name:>10}" for name in names)]
    for stage in (key for key in row if key.endswith("_ms") and isinstance(row[key], dict)):
        name = stage.removesuffix("_ms").replace("_", " ")
        lines.append(f"  {name:16}" + "".join(f"{row[stage][p]:10.2f}" for p in names))
    return lines


def _heading(model: dict[str, Any]) -> list[str]:
    height, width = model["input_hw"]
    return [
        f"model     {model['file']}: {model['family']}, input {height}x{width} (height x width), {model['precision']}, "
        f"{model['bytes'] / 1e6:.1f} MB, SHA-256 {model['sha256'][:12]}"
    ]


def _notes(result: dict[str, Any]) -> list[str]:
    counts, notes = result["counts"], []
    if counts["without_mask"]:
        notes.append(f"{counts['without_mask']} defective pictures have no mask: they count for the image figures only")
    if counts["empty_masks"]:
        notes.append(f"{counts['empty_masks']} defective pictures have an empty mask: their pixels count as good")
    if counts["unused_masks"]:
        notes.append(f"{counts['unused_masks']} masks belong to no picture: expected STEM.png or STEM_mask.png")
    return notes


def _figure(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_nan(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""The `aae-bench` command: JSON keys, tables, refusals and exit codes."""

import json
import math
import os
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from aae_detect._opencv import cv2
from aae_detect.bench.cli import main
from aae_detect.bench.report import to_json
from aae_detect.calibrate.cli import main as calibrate
from aae_detect.errors import ConfigError
from aae_detect.model_file import read_model
from aae_detect.site_file import read_site
from aae_detect.whole_file import check_target, write_whole


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


def save(path: Path, image: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = tmp_path / "blobs"
    for number in range(3):
        good = np.full((64, 80, 3), 128 + number, np.uint8)
        save(root / f"test/good/{number}.png", good)
        good[20:40, 30:50] = 255
        save(root / f"test/blob/{number}.png", good)
        mask = np.zeros((64, 80), np.uint8)
        mask[20:40, 30:50] = 255
        save(root / f"ground_truth/blob/{number}_mask.png", mask)
    return root


FIGURES = ("image_auroc", "image_ap", "f1_at_threshold", "false_reject_rate", "recall_at_threshold")


def test_accuracy_writes_every_key(tiny_model: Path, data: Path, tmp_path: Path):
    target, scores = tmp_path / "out.json", tmp_path / "scores.csv"
    result = run("accuracy", tiny_model, data, "--json", target, "--csv", scores, "--provider", "cpu", "--threads", 1)
    assert result.exit_code == 0, result.output
    found = json.loads(target.read_text())
    for name in FIGURES:
        low, high = found[f"{name}_ci95"]
        assert 0 <= low <= found[name] <= high <= 1
    assert all(0 <= found[name] <= 1 for name in ("pixel_auroc", "pixel_ap", "aupro_30", "aupro_05"))
    assert found["image_auroc"] == 1.0
    assert found["model"]["sha256"] == read_model(tiny_model).sha256
    assert found["model"]["file"] == tiny_model.name
    assert found["threshold"] == read_model(tiny_model).spec.threshold
    assert found["data"] == "blobs"
    assert found["provider"] == "CPUExecutionProvider"
    assert found["counts"]["unused_masks"] == 0
    assert found["command"].startswith("aae-bench accuracy ")
    assert shlex.split(found["command"])[-2:] == ["--threads", "1"]
    assert found["machine"]["cpu"]
    assert found["versions"]["numpy"] == np.__version__
    assert found["date"][10] == "T"
    assert [row["kind"] for row in found["kinds"]] == ["blob"]
    assert len(scores.read_text().splitlines()) == 7
    assert "image AUROC               1.0000   1.0000 to 1.0000 *" in result.stdout
    assert "3 good, 3 defective, 3 of them with a mask" in result.stdout
    assert not list(tmp_path.glob("*.part"))


def test_json_on_standard_output_stands_alone(tiny_model: Path, data: Path):
    result = run("accuracy", tiny_model, data, "--json", "-", "--limit", 2)
    assert result.exit_code == 0
    assert json.loads(result.stdout)["counts"]["good"] == 2
    assert "image AUROC" in result.stderr


def test_undefined_figures_are_null_and_said_to_be(tiny_model: Path, data: Path):
    for mask in data.glob("ground_truth/*/*"):
        mask.rename(mask.with_name(f"no_{mask.name}"))
    result = run("accuracy", tiny_model, data, "--json", "-")
    found = json.loads(result.stdout)
    assert found["pixel_auroc"] is None
    assert found["aupro_30"] is None
    assert found["image_auroc"] == 1.0
    assert "3 defective pictures have no mask" in result.stderr
    assert "3 masks belong to no picture" in result.stderr


def test_a_threshold_of_ones_own_is_used(tiny_model: Path, data: Path):
    found = json.loads(run("accuracy", tiny_model, data, "--threshold", "1e9", "--json", "-").stdout)
    assert found["threshold"] == 1e9
    assert (found["recall_at_threshold"], found["false_reject_rate"], found["f1_at_threshold"]) == (0.0, 0.0, 0.0)
    below = json.loads(run("accuracy", tiny_model, data, "--threshold", "-1", "--json", "-").stdout)
    assert (below["recall_at_threshold"], below["false_reject_rate"]) == (1.0, 1.0)
    assert below["f1_at_threshold"] == pytest.approx(2 / 3)


def test_a_site_and_a_mask_count_as_they_do_on_the_device(tiny_model: Path, data: Path, tmp_path: Path):
    outside, site = tmp_path / "outside.json", tmp_path / "site.json"
    outside.write_text('{"frame": [80, 64], "ignore": [[[20, 10], [60, 10], [60, 50], [20, 50]]]}')
    masked = json.loads(run("accuracy", tiny_model, data, "--mask", outside, "--json", "-").stdout)
    assert masked["recall_at_threshold"] == 0.0
    command = [tiny_model, "--source", data / "test/good", "--count", 10, "--out", site]
    for number in range(3, 12):
        save(data / f"test/good/{number}.png", np.full((64, 80, 3), 128 + number, np.uint8))
    calibrated = CliRunner().invoke(calibrate, [*map(str, command), "--for", "line 1", "--target-frr", "0.5"])
    assert calibrated.exit_code == 0, calibrated.output
    found = json.loads(run("accuracy", tiny_model, data, "--site", site, "--json", "-").stdout)
    assert found["threshold"] == read_site(site).entries[0].threshold != read_model(tiny_model).spec.threshold
    assert found["recall_at_threshold"] == 1.0
    refused = run("accuracy", tiny_model, data, "--site", site, "--mask", outside)
    assert refused.exit_code == 2 and "was calibrated without a mask" in refused.output
    refused = run("accuracy", tiny_model, data, "--site", site, "--for", "line 2")
    assert refused.exit_code == 2 and "nothing for line 2" in refused.output


def test_sixteen_bit_pictures_are_read_at_their_declared_depth(tiny_model: Path, data: Path):
    eight = json.loads(run("accuracy", tiny_model, data, "--json", "-").stdout)
    for path in data.glob("test/*/*.png"):
        image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        deep = np.rint(image.astype(np.float64) * 4095 / 255).astype(np.uint16)
        path.write_bytes(cv2.imencode(".png", deep)[1].tobytes())
    twelve = json.loads(run("accuracy", tiny_model, data, "--json", "-", "--bits", "12").stdout)
    assert twelve["pixel_ap"] == pytest.approx(eight["pixel_ap"], abs=1e-6)


def test_latency_writes_every_key(tiny_model: Path, tmp_path: Path):
    target = tmp_path / "latency.json"
    args = ("--threads", "1,2", "--size", "160x120", "--repeat", 2, "--warmup", 0, "--provider", "cpu")
    result = run("latency", tiny_model, "--json", target, *args)
    assert result.exit_code == 0, result.output
    found = json.loads(target.read_text())
    assert [(row["threads"], row["size"], row["batch"]) for row in found["rows"]] == [
        (1, "160x120", 1),
        (2, "160x120", 1),
    ]
    for stage in ("preprocess", "inference", "postprocess", "overlay", "total"):
        assert set(found["rows"][0][f"{stage}_ms"]) == {"p50", "p95", "p99", "max"}
    assert found["peak_memory_mib"] > 10
    assert found["opencv_threads"] == cv2.getNumThreads()
    assert found["machine"]["cores"] >= 1
    assert found["versions"]["onnxruntime" if "onnxruntime" in found["versions"] else "onnxruntime-gpu"]
    assert found["model"]["sha256"] == read_model(tiny_model).sha256
    assert "CPUExecutionProvider, threads 2, frame 160x120, batch 1" in result.stdout
    assert f"written to {target}" in result.stdout


def test_several_models_in_turn_and_a_verdict_against_another(tiny_model: Path, tmp_path: Path):
    other = tmp_path / "other.onnx"
    other.write_bytes(tiny_model.read_bytes())
    target, picture = tmp_path / "latency.json", tmp_path / "latency.png"
    small = ("--threads", "1", "--size", "160x120", "--repeat", 20, "--provider", "cpu")
    result = run("latency", tiny_model, other, *small, "--json", target, "--histogram", picture)
    assert result.exit_code == 0, result.output
    found = json.loads(target.read_text())
    assert [(row["model"], row["precision"]) for row in found["rows"]] == [
        ("tiny.onnx", "fp32"),
        ("other.onnx", "fp32"),
    ]
    assert [model["file"] for model in found["models"]] == ["tiny.onnx", "other.onnx"]
    assert cv2.imread(str(picture)).shape == (300, 1000, 3)
    fine = run("latency", tiny_model, *small, "--against", other, "--tolerance", 900)
    assert fine.exit_code == 0
    assert "fine" in fine.stdout
    for row in found["rows"]:
        row["without_overlay_ms"]["p50"] /= 100
    target.write_text(json.dumps(found))
    slower = run("latency", tiny_model, *small, "--against", target)
    assert slower.exit_code == 6
    assert "SLOWER" in slower.stdout


def test_refusals_have_their_exit_codes(tiny_model: Path, data: Path, tmp_path: Path):
    missing = run("accuracy", tmp_path / "no.onnx", data)
    assert (missing.exit_code, "no.onnx" in missing.stderr) == (5, True)
    nowhere = run("accuracy", tiny_model, tmp_path / "nowhere")
    assert (nowhere.exit_code, "is not a folder" in nowhere.stderr) == (2, True)
    (data / "test/blob/1.png").write_bytes(b"not a picture")
    damaged = run("accuracy", tiny_model, data)
    assert (damaged.exit_code, "1.png cannot be decoded" in damaged.stderr) == (4, True)
    assert run("latency", tmp_path / "no.onnx").exit_code == 5


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("--threads", "1,x"), "'x' is not a valid integer"),
        (("--threads", "-1"), "-1 is not in the range"),
        (("--threads", "2,2"), "names something twice"),
        (("--threads", ""), "not a valid integer"),
        (("--size", "640"), "no size from 160x120"),
        (("--size", "10x10"), "no size from 160x120"),
        (("--provider", "cpu,tpu"), "provider tpu was asked for"),
        (("--batch", "0"), "0 is not in the range"),
        (("--repeat", "0"), "0 is not in the range"),
    ],
)
def test_wrong_lists_are_refused_by_option(tiny_model: Path, args: tuple[str, str], message: str):
    result = run("latency", tiny_model, *args)
    assert result.exit_code == 2
    assert args[0].removeprefix("--") in result.stderr
    assert message in result.stderr


def test_a_target_that_cannot_be_written_is_refused_before_the_work(tiny_model: Path, data: Path, tmp_path: Path):
    for command in (("accuracy", tiny_model, data), ("latency", tiny_model)):
        result = run(*command, "--json", tmp_path / "none" / "out.json")
        assert result.exit_code == 2
        assert "--json" in result.stderr
        assert "does not exist" in result.stderr
    with pytest.raises(ConfigError, match=r"--csv .* is a folder"):
        check_target(tmp_path, "--csv")


def test_json_has_null_for_what_is_undefined():
    document = {"a": math.nan, "b": [math.inf, 1.5], "c": {"d": (math.nan, 2)}, "e": "text", "f": None}
    assert json.loads(to_json(document)) == {"a": None, "b": [None, 1.5], "c": {"d": [None, 2]}, "e": "text", "f": None}


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path):
    target = tmp_path / "result.json"
    write_whole(target, "one")
    write_whole(target, "two")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("result.json", "two")]
    name = os.fsdecode(b"Geh\xe4use \\ \xc3\xa4.png")  # of an old archive: one byte that is no UTF-8
    write_whole(target, json.dumps(name, ensure_ascii=False))
    assert json.loads(target.read_text(encoding="utf-8")) == name
    write_whole(Path("/dev/null"), "nothing")
    assert Path("/dev/null").is_char_device()
    with pytest.raises(ConfigError, match="cannot be written"):
        write_whole(tmp_path / "none" / "result.json", "three")


def test_a_file_is_on_the_disk_before_it_takes_the_place_of_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    target, sync, seen = tmp_path / "site.json", os.fsync, list[dict[str, str]]()
    target.write_text("old")

    def note(file: int) -> None:
        sync(file)
        seen.append({path.name: path.read_text() for path in tmp_path.iterdir()})

    monkeypatch.setattr(os, "fsync", note)
    write_whole(target, "new")
    assert seen == [{"site.json": "old", ".site.json.part": "new"}, {"site.json": "new"}]


@pytest.mark.parametrize("command", [(), ("accuracy",), ("latency",)])
def test_help_tells_what_to_type(command: tuple[str, ...]):
    result = run(*command, "--help")
    assert result.exit_code == 0
    assert ("aae-bench" if command else "Exit codes: 0 measured") in result.output
    assert max(len(line) for line in result.output.splitlines()) <= 90

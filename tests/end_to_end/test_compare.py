"""`aae-compare`: a folder of pictures to a table, a report and a recommendation."""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

pytest.importorskip("onnxscript", reason="needs the export extra")

from click.testing import CliRunner, Result

from aae_compare.cli import main
from aae_detect.bench.cli import main as bench
from aae_detect.bench.metrics import auroc
from aae_detect.picture_source import natural_key, read_picture

SMALL = ("--size", 64, "--batch-size", 4, "--threads", 1, "--device", "cpu")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def compare(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def read(out: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((out / "compare.json").read_text())
    return document


@dataclass(frozen=True)
class Interrupted:
    """A comparison that was stopped while its second run trained, and continued."""

    out: Path
    arguments: tuple[str, ...]
    stopped: str
    """What it said when it was stopped."""
    before: dict[str, Any]
    """The document as it lay there then."""
    written_ns: int
    """When the first row's weights were written."""
    resumed: Result


@pytest.fixture(scope="module")
def by_labels(labelled_set: Path, tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    """A comparison that labels decide."""
    out = tmp_path_factory.mktemp("compared") / "labels"
    arguments = tuple(str(a) for a in (labelled_set, "--out", out, "--models", "aae,gan", "--minutes", 0.04, *SMALL))
    command = [sys.executable, "-m", "aae_compare.cli", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    try:
        while not (out / "runs" / "gan-seed0" / "checkpoint.safetensors").is_file():
            assert process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        stopped, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, stopped
    assert not (out / "compare.html").exists()
    written_ns = (out / "runs" / "aae-seed0" / "model.safetensors").stat().st_mtime_ns
    before = read(out)
    resumed = compare(*arguments)
    assert resumed.exit_code == 0, resumed.output
    return Interrupted(out, arguments, stopped, before, written_ns, resumed)


@pytest.fixture(scope="module")
def by_drawn_defects(demo_pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison that drawn defects decide: a stochastic encoder, and codes that are held to no prior."""
    out = tmp_path_factory.mktemp("compared") / "drawn"
    arguments = ("--models", "gmmn-ae,aae:universal", "--latent", 16, "--prior", "uniform", "--steps", 6, *SMALL)
    result = compare(demo_pictures, "--out", out, *arguments)
    assert result.exit_code == 0, result.output
    return out


def test_a_row_says_what_aae_bench_says_of_the_same_export(
    by_labels: Interrupted, labelled_set: Path, tmp_path: Path
) -> None:
    out = by_labels.out
    document = read(out)
    assert [(row["name"], row["seed"]) for row in document["rows"]] == [("aae", 0), ("gan", 0)]
    for row in document["rows"]:
        detector = out / "runs" / f"{row['name']}-seed0" / "export" / "detector.onnx"
        arguments = ["accuracy", str(detector), str(labelled_set), "--json", str(tmp_path / "a.json"), "--threads", "1"]
        assert CliRunner().invoke(bench, arguments).exit_code == 0
        expected = json.loads((tmp_path / "a.json").read_text())
        assert row["figures_from"] == "labels" and not row["notes"]
        for name in ("image_auroc", "image_auroc_ci95", "pixel_auroc", "aupro_30", "false_reject_rate", "kinds"):
            assert row["detection"][name] == expected[name], name
        assert row["cost"]["detector_bytes"] == detector.stat().st_size
        assert row["samples"]["against"] == "calibration pictures" and row["samples"]["count"] == 16


def test_each_kind_of_evidence_stands_alone(by_labels: Interrupted) -> None:
    aae, gan = read(by_labels.out)["rows"]
    assert set(aae["evidence"]) == {"residual", "latent", "discriminator"}
    assert set(gan["evidence"]) == {"residual", "latent", "discriminator", "features"}
    for row in (aae, gan):
        assert row["evidence"]["residual"]["image_auroc"] == row["detection"]["image_auroc"]
        for kind, figures in row["evidence"].items():
            assert figures["image_auroc"] == auroc(np.array(row["scores"]["defective"], bool), row["scores"][kind])
            low, high = figures["image_auroc_ci95"]
            assert 0 <= low <= figures["image_auroc"] <= high <= 1


def test_the_table_has_every_figure_and_no_path_of_this_machine(by_labels: Interrupted) -> None:
    out = by_labels.out
    document = read(out)
    assert [family["name"] for family in document["families"]] == ["aae", "gan"]
    for family in document["families"]:
        assert {"neighbour_accuracy", "diversity_ratio", "detail_ratio", "mmd2"} <= set(family["samples"])
        assert {"neighbour_accuracy", "mean", "standard_deviation"} <= set(family["latent"])
        cost = family["cost"]
        assert 0 < cost["inference_ms"]["p50"] <= cost["latency_ms"]["p50"] <= cost["latency_ms"]["p95"]
        assert cost["parameters"] > 10_000 and cost["training_seconds"] > 0
        # One seed: the row's figure and the family's are the same.
        row = next(row for row in document["rows"] if row["name"] == family["name"])
        assert family["detection"]["image_auroc"] == row["detection"]["image_auroc"]
        assert any(family["warnings"]), "16 calibration pictures cannot promise 1 %"
    assert document["recommendation"]["sentence"] in by_labels.resumed.output
    assert document["command"].startswith(
        "aae-compare 'nuts & <b>bolts' --out DIR --models aae,gan --seeds 1 --minutes 0.04"
    )
    assert str(out.parent) not in (out / "compare.json").read_text() + (out / "compare.html").read_text()


def test_drawn_defects_on_held_back_pictures_where_there_are_no_labels(by_drawn_defects: Path) -> None:
    rows = {row["name"]: row for row in read(by_drawn_defects)["rows"]}
    assert list(rows) == ["gmmn-ae", "aae:universal"]
    assert rows["gmmn-ae"]["scores"]["pictures"] == rows["aae:universal"]["scores"]["pictures"]
    for row in rows.values():
        assert row["figures_from"] == "synthetic defects"
        assert row["detection"]["false_reject_rate"] is None, "the good pictures set the threshold"
        assert any("set the threshold" in note for note in row["notes"])
        assert row["detection"]["counts"]["good"] == row["detection"]["counts"]["with_mask"] == 16
        assert row["latent"]["latent_chw"] == [16, 1, 1]
    assert rows["gmmn-ae"]["latent"]["neighbour_accuracy"] is None, "its codes are held to no prior"
    assert 0 <= rows["aae:universal"]["latent"]["neighbour_accuracy"] <= 1
    drawn = by_drawn_defects / "synthetic" / "seed0"
    for mask_path in sorted((drawn / "ground_truth" / "drawn").iterdir()):
        good, bad = (read_picture(drawn / "test" / kind / mask_path.name).astype(int) for kind in ("good", "drawn"))
        changed = np.abs(good - bad).max(axis=2) >= 8
        mask = read_picture(mask_path) > 0
        assert changed.any() and not (changed & ~mask).any()


def test_the_report_is_one_file_that_needs_no_network(
    by_labels: Interrupted, by_drawn_defects: Path, read_html: Callable[[str], Any]
) -> None:
    for out in (by_labels.out, by_drawn_defects):
        text = (out / "compare.html").read_text()
        assert not re.search(r"https?:", text)
        words = " ".join(read_html(text).words)
        document = read(out)
        assert document["recommendation"]["sentence"] in words
        assert all(family["name"] in words for family in document["families"])
        assert document["rows"][0]["figures_from"] in words
        assert "Training gave warnings" in words
    assert "nuts & <b>bolts" in " ".join(read_html((by_labels.out / "compare.html").read_text()).words)
    assert "<b>bolts" not in (by_labels.out / "compare.html").read_text()


def show(page: Path, tmp_path: Path) -> tuple[NDArray[np.uint8], list[str]]:
    """Open a page in Chromium; returns what is seen, and what the page asked the network for."""
    assert CHROMIUM is not None
    picture, log = tmp_path / "page.png", tmp_path / "net.json"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    # The browser's own wishes, such as a newer version of itself, must not leave the machine either.
    command += ["--no-first-run", "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND"]
    command += [f"--screenshot={picture}", "--window-size=1280,3000", f"--log-net-log={log}", page.as_uri()]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    events = [event.get("params", {}) for event in json.loads(log.read_text())["events"]]
    asked = [event["url"] for event in events if event.get("initiator", "not an origin") != "not an origin"]
    return np.asarray(cv2.imread(str(picture)), np.uint8), asked


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_a_browser_shows_the_report_without_asking_the_network(by_labels: Interrupted, tmp_path: Path) -> None:
    shown, asked = show(by_labels.out / "compare.html", tmp_path)
    assert asked == []
    assert shown.shape == (3000, 1280, 3)
    inked = (shown.min(axis=2) < 200).mean(axis=1)
    assert (inked > 0).mean() > 0.4 and inked.mean() > 0.05, "the page is not empty"
    nosy = tmp_path / "nosy.html"
    nosy.write_text('<img src="http://parts.example/x.png">')
    assert show(nosy, tmp_path)[1] == ["http://parts.example/x.png"], "what is asked for is seen"


def test_an_interrupted_comparison_keeps_its_rows_and_goes_on(by_labels: Interrupted) -> None:
    assert "the same command goes on" in by_labels.stopped
    assert [row["name"] for row in by_labels.before["rows"]] == ["aae"] and "recommendation" not in by_labels.before
    assert "aae, seed 0: finished before" in by_labels.resumed.output
    assert read(by_labels.out)["rows"][0] == by_labels.before["rows"][0]
    weights = by_labels.out / "runs" / "aae-seed0" / "model.safetensors"
    assert weights.stat().st_mtime_ns == by_labels.written_ns, "a finished row is not trained again"


def test_a_table_is_not_continued_with_other_settings(by_labels: Interrupted) -> None:
    before = (by_labels.out / "compare.json").read_bytes()
    result = compare(*by_labels.arguments[:-1], "auto", "--latent", 16)
    assert result.exit_code == 2
    assert "--latent was not given, now 16, --device was cpu, now auto" in " ".join(result.output.split())
    assert (by_labels.out / "compare.json").read_bytes() == before


def test_a_bad_test_picture_or_mask_is_told_before_anything_is_trained(labelled_set: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(labelled_set, tmp_path / "set"))
    (mask, picture, *_) = sorted((data / "ground_truth" / "worn").iterdir(), key=natural_key)
    cv2.imwrite(str(mask), np.zeros((3, 3), np.uint8))
    (data / "test" / "worn" / picture.name.replace("_mask", "")).write_bytes(b"no picture")
    result = compare(data, "--out", tmp_path / "out", "--models", "aae", "--steps", 1, *SMALL)
    words = " ".join(result.output.split())
    assert result.exit_code == 2 and "2 of 12 test pictures" in words and mask.name in words
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_compared_is_refused_before_anything_is_trained(demo_pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for arguments, words in [
        (("--models", "aae,pca"), "'pca' is none of aae, wae-mmd, vae, gan, gmmn, gmmn-ae"),
        (("--models", "vae:universal"), "vae has no encoder 'universal', only gaussian"),
        (("--models", "aae,vae,aae:deterministic"), "aae more than once"),
        (("--models", "aae,vae", "--prior", "swiss-roll"), "vae cannot be compared: --model vae needs --prior normal"),
        (("--models", "gmmn-ae", "--latent", "grid"), "gmmn-ae needs a vector code"),
        (("--steps", 5, "--minutes", 1), "either --steps or --minutes"),
        (("--size", "60"), "multiples of 32"),
        (("--size", "huge"), "neither a number"),
    ]:
        result = compare(demo_pictures, "--out", out, *arguments)
        assert result.exit_code == 2, arguments
        assert words in " ".join(result.output.split()), result.output
        assert not out.exists()
    result = compare(tmp_path / "nothing", "--out", out)
    assert result.exit_code == 2 and "expected a folder of good pictures" in " ".join(result.output.split())
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("of somebody")
    result = compare(demo_pictures, "--out", tmp_path / "full")
    assert result.exit_code == 2 and "holds no compare.json" in " ".join(result.output.split())

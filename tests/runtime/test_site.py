"""Site files: what is usual in front of one camera, written, read, and used."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aae_detect import ConfigError, Detector, Verdict, read_site_entry
from aae_detect.calibrate.fit import fit_site
from aae_detect.calibrate.noise import estimate_noise
from aae_detect.calibrate.site_update import update_site
from aae_detect.frame_reference import fit_reference
from aae_detect.frame_statistics import measure_frame
from aae_detect.site_file import MAX_BYTES, SiteEntry, SiteFile, read_site, write_site
from aae_detect.site_places import SitePlaces, fit_places
from aae_detect.threshold import conformal_threshold

GRAY = np.full((64, 64, 3), 127, np.uint8)
"""Scores 0 with the tiny model, whose cells of 4x4 pixels give (value - 127) / 16."""


@pytest.fixture(scope="module")
def detector(tiny_model: Path) -> Detector:
    return Detector.load(tiny_model, provider="cpu", threads=1)


def make_entry(detector: Detector, camera: str = "camera 0", product: str = "", **values: object) -> SiteEntry:
    rng = np.random.default_rng(0)
    places = fit_places(rng.normal(size=(40, 16, 16)).astype(np.float32))
    entry = SiteEntry(
        camera=camera,
        product=product,
        model_sha256=detector.model_sha256,
        calibrated_at="2026-11-25T08:00:00+00:00",
        threshold=5.0,
        calibration=conformal_threshold(rng.normal(size=40), 0.05, "site").calibration,
        places=places.pack(),
        noise_gray=1.5,
        frames=fit_reference([measure_frame(GRAY)] * 2, {(64, 64)}, 0.0),
    )
    return replace(entry, **values)


def white_cell(row: int, column: int) -> np.ndarray:
    frame = GRAY.copy()
    frame[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] = 255
    return frame


def test_what_every_good_frame_shows_at_a_place_is_taken_out_there_and_nowhere_else() -> None:
    rng = np.random.default_rng(1)
    maps = rng.normal(0, 0.3, (200, 16, 16)).astype(np.float32)
    maps[:, 4:8, 4:8] += 3.0  # a reflection
    maps[:, 10:14, 10:14] += 3 * rng.normal(0, 0.3, (200, 4, 4))  # leaves that move
    places = fit_places(maps)
    calmed = places.calm(maps)
    assert places.raised[5:7, 5:7].min() > 2.5
    assert places.livelier[11:13, 11:13].min() > 2
    far = np.s_[:, :2, 12:]
    assert np.abs(calmed[far] - maps[far]).max() < 0.3
    assert calmed[:, 5:7, 5:7].max() < maps[:, 5:7, 5:7].max() - 2.5
    assert 0 < places.share_calmed < 0.3


def test_a_quiet_place_is_not_made_livelier() -> None:
    """Half of the map never moves: the model's own scale holds there, and a first speck is no alarm."""
    maps = np.random.default_rng(2).normal(0, 1.0, (50, 16, 16)).astype(np.float32)
    maps[:, :8] *= 0.01
    places = fit_places(maps)
    assert places.livelier.min() >= 1
    speck = np.full((16, 16), 0.5, np.float32)
    assert places.calm(speck).max() <= 0.5


def test_few_frames_change_little() -> None:
    """What ten frames happened to show may be chance; what three hundred show is usual."""
    rng = np.random.default_rng(7)
    maps = rng.normal(0, 1.0, (300, 16, 16)).astype(np.float32)
    maps[:, 5, 5] += 1.2
    assert fit_places(maps[:10]).raised[5, 5] < 0.5
    assert fit_places(maps).raised[5, 5] > 0.8


def test_places_come_back_from_a_file_as_they_were() -> None:
    places = fit_places(np.random.default_rng(3).normal(size=(30, 12, 20)).astype(np.float32))
    again = SitePlaces.unpack(places.pack(), (12, 20))
    assert (again.raised == places.raised).all()
    assert (again.livelier == places.livelier).all()
    with pytest.raises(ValueError, match="expected 1024 for a map of 16x16"):
        SitePlaces.unpack(places.pack(), (16, 16))
    with pytest.raises(ValueError, match="not base64"):
        SitePlaces.unpack("???", (12, 20))
    with pytest.raises(ValueError, match="no calibration gives"):
        SitePlaces.unpack(SitePlaces(places.raised - 1, places.livelier).pack(), (12, 20))
    with pytest.raises(ValueError, match="no calibration gives"):
        SitePlaces.unpack(SitePlaces(places.raised * np.nan, places.livelier).pack(), (12, 20))


def test_frames_are_not_scored_by_what_they_taught() -> None:
    """Each stretch shows a reflection of its own: the others know nothing of it, so it counts in full."""
    maps = np.random.default_rng(4).normal(0, 0.1, (50, 16, 16)).astype(np.float32)
    for stretch in range(5):
        maps[stretch * 10 : stretch * 10 + 10, stretch * 3, 4:6] += 4.0
    places, threshold = fit_site(maps, 0.1)
    assert threshold.value > 2
    assert places.calm(maps).max() < threshold.value


def test_a_site_file_is_written_and_read(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    lid = make_entry(detector, product="lid", threshold=6.0)
    site = SiteFile(()).with_entry(make_entry(detector)).with_entry(lid).with_entry(make_entry(detector, "camera 1"))
    write_site(path, site)
    assert read_site(path) == site
    assert read_site_entry(path, "camera 0", "lid") == lid
    assert read_site_entry(str(path), "camera 0").threshold == 5.0
    assert [p.name for p in tmp_path.iterdir()] == ["site.json"]
    newer = site.with_entry(replace(lid, threshold=7.0))
    assert len(newer.entries) == 3
    assert newer.entries[-1].threshold == 7.0


def test_a_site_file_from_before_intervals_were_noted_is_read(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    write_site(path, SiteFile((make_entry(detector, frame_interval_s=0.5),)))
    assert read_site_entry(path, "camera 0").frame_interval_s == 0.5
    data = json.loads(path.read_text())
    del data["entries"][0]["frame_interval_s"]
    path.write_text(json.dumps(data))
    assert read_site_entry(path, "camera 0").frame_interval_s == 0
    path.write_text(path.read_text().replace('"noise_gray"', '"frame_interval_s": Infinity, "noise_gray"'))
    with pytest.raises(ConfigError, match="frame_interval_s is inf; expected 0 or more"):
        read_site_entry(path, "camera 0")


def test_what_a_site_file_lacks_is_named(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    write_site(path, SiteFile((make_entry(detector, product="lid"),)))
    with pytest.raises(ConfigError, match=r"holds camera 0, product lid, and nothing for camera 0; .*--product lid"):
        read_site_entry(path, "camera 0")
    with pytest.raises(ConfigError, match="nothing for camera 3; calibrate it with `aae-calibrate`"):
        read_site_entry(path, "camera 3")


def test_two_calibrations_into_one_file_keep_both(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    cameras = [f"camera {number}" for number in range(16)]
    with ThreadPoolExecutor(len(cameras)) as at_once:
        list(at_once.map(lambda camera: update_site(path, [make_entry(detector, camera)]), cameras))
    assert {entry.camera for entry in read_site(path).entries} == set(cameras)
    update_site(path, [make_entry(detector, "camera 3", threshold=9.0)])
    assert read_site_entry(path, "camera 3").threshold == 9.0
    assert [p.name for p in tmp_path.iterdir()] == ["site.json"]


def test_a_site_file_that_nobody_would_read_is_not_written(detector: Detector, tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    write_site(path, SiteFile((make_entry(detector),)))
    before = path.read_bytes()
    large = make_entry(detector, "camera 1", places="A" * MAX_BYTES)
    with pytest.raises(ConfigError, match=r"with 2 entries, more than the 16777216 .* another --out"):
        write_site(path, SiteFile((make_entry(detector), large)))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.update(schema_version=2), "schema version 2, this aae-detect reads up to 1"),
        (lambda data: data.pop("entries"), "lacks entries"),
        (lambda data: data["entries"].append(data["entries"][0]), "2 entries for 1 pairs"),
        (lambda data: data["entries"][0].update(threshold="high"), "threshold is 'high', not float"),
        (lambda data: data["entries"][0].update(threshold=float("nan")), "not a finite number"),
        (lambda data: data["entries"][0].update(threshold=10**400), "more than 300 digits"),
        (lambda data: data["entries"][0].update(model_sha256="../x"), "not a SHA-256"),
        (lambda data: data["entries"][0].update(code="import os"), "unknown fields 'code'"),
        (lambda data: data["entries"][0]["frames"].update(planes="AAAA"), "planes have 3 bytes"),
        (lambda data: data["entries"][0]["frames"].update(planes="#"), "planes are not base64"),
        (lambda data: data["entries"][0]["frames"].update(most_flat=float("inf")), "not finite numbers"),
        (lambda data: data["entries"][0]["calibration"].update(scores=[2.0, 1.0]), "ascending order"),
        (lambda data: data["entries"][0]["calibration"].update(target_frr=float("nan")), "rates and scores"),
        (lambda data: data["entries"][0]["calibration"].update(scores=[1.0, "2"]), "scores is '2', not float"),
        (lambda data: data["entries"][0]["calibration"].update(extrapolated=1), "extrapolated is 1, not bool"),
    ],
)
def test_a_site_file_that_is_none_is_refused(detector: Detector, tmp_path: Path, change: object, words: str) -> None:
    path = tmp_path / "site.json"
    write_site(path, SiteFile((make_entry(detector),)))
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))
    with pytest.raises(ConfigError, match=words):
        read_site(path)


def test_files_that_are_no_site_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    with pytest.raises(ConfigError, match="No such file"):
        read_site(path)
    for content, words in (
        (b"", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]", "is list, not an object"),
        (b"null", "is NoneType, not an object"),
    ):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match=words):
            read_site(path)
    with pytest.raises(ConfigError, match="a pipe or a device; expected a regular file"):
        read_site(Path("/dev/zero"))
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ConfigError, match="more than the"):
        read_site(path)


def test_a_detector_judges_by_its_site(detector: Detector) -> None:
    frame = white_cell(5, 9)
    assert detector(frame).verdict is Verdict.NG
    raised = np.zeros((16, 16), np.float32)
    raised[5, 9] = 5.0
    places = SitePlaces(raised, np.ones((16, 16), np.float32))
    entry = make_entry(detector, threshold=3.5, places=places.pack())
    here = detector.with_site(entry)
    usual, other = here(frame), here(white_cell(6, 9))
    assert (usual.score, usual.verdict, usual.threshold) == (
        3.0,
        Verdict.OK,
        3.5,
    )  # 8, of which 5 are usual
    assert (other.score, other.verdict) == (8.0, Verdict.NG)
    assert other.regions
    assert here.colour_scale == (0.0, 7.0)
    assert usual.p_value is not None
    assert other.p_value is not None
    assert other.p_value < usual.p_value < 0.05
    assert detector(frame).score == 8.0, "the detector that it came from is as it was"
    assert here.with_threshold(9.0)(white_cell(6, 9)).verdict is Verdict.OK


def test_a_calibration_for_another_model_is_refused(detector: Detector) -> None:
    with pytest.raises(ConfigError, match=r"camera 0 is for a model with SHA-256 0000.*calibrate again"):
        detector.with_site(make_entry(detector, model_sha256="0" * 64))
    with pytest.raises(ConfigError, match="damaged: places have"):
        detector.with_site(make_entry(detector, places=""))


@pytest.mark.parametrize("sigma", [0.8, 2.0, 6.0])
def test_noise_is_measured_also_beside_structure(sigma: float) -> None:
    rng = np.random.default_rng(5)
    picture = np.full((400, 500), 90.0)
    picture[:, 250:] = 180
    picture += np.linspace(0, 30, 500)
    noisy = np.clip(picture + rng.normal(0, sigma, picture.shape), 0, 255).round().astype(np.uint8)
    assert estimate_noise(np.repeat(noisy[:, :, None], 3, axis=2)) == pytest.approx(sigma, rel=0.12)


def test_a_picture_without_noise_has_none() -> None:
    assert estimate_noise(GRAY) == 0.0
    assert estimate_noise(GRAY[:2]) == 0.0

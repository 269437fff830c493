"""The starting point: whom it suits, that it helps, and what it was made of."""

from pathlib import Path

import numpy as np
import pytest
import torch

from aae_detect.demo import DemoCamera
from aae_detect.errors import ConfigError
from aae_train.checkpoint import read_tensors
from aae_train.config import TrainConfig
from aae_train.detector import Detector, make_detector
from aae_train.processes import Processes
from aae_train.select_score import SelectScore
from aae_train.stage import Stage, StageTrainer
from aae_train.starting_point import STARTING_POINT, take_starting_point

SCRIPTS = Path(__file__).parents[2] / "scripts"


def make(**settings: object) -> tuple[Detector, set[str]]:
    """Make a detector and start it; returns it and the networks that are no longer what chance made them."""
    torch.manual_seed(1)
    detector = make_detector(TrainConfig(data="-", input_hw=(64, 64), **settings))  # type: ignore[arg-type]
    before = {name: tensor.clone() for name, tensor in detector.state_dict().items()}
    take_starting_point(detector)
    after = detector.state_dict()
    return detector, {".".join(n.split(".")[:2]) for n in before if not torch.equal(before[n], after[n])}


DRAWER, HEAD = ("model.decoder", "model.encoder"), ("judge.head",)


@pytest.mark.parametrize(
    ("settings", "started"),
    [
        ({}, HEAD + DRAWER),
        ({"head": "none"}, DRAWER),
        ({"model": "vae"}, HEAD + DRAWER),
        ({"encoder": "universal"}, HEAD),
        ({"latent": "16"}, HEAD),
        ({"latent_channels": 4}, HEAD),
        ({"model": "gan", "head": "none"}, ()),
        ({"tile": 32}, HEAD + DRAWER),
    ],
    ids=str,
)
def test_whose_networks_it_suits_starts_there(settings: dict[str, object], started: tuple[str, ...]) -> None:
    assert make(**settings)[1] == set(started)


def test_variances_that_it_does_not_know_stay_narrow() -> None:
    variance = dict(make(model="vae")[0].named_parameters())["model.encoder.posterior.log_variance.weight"]
    assert not variance.any()


def test_it_is_small_enough_to_ship() -> None:
    assert STARTING_POINT.stat().st_size <= 5_000_000


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "point.safetensors").write_bytes(STARTING_POINT.read_bytes()[:1000])
    detector = make_detector(TrainConfig(data="-", input_hw=(64, 64)))
    with pytest.raises(ConfigError, match=r"point\.safetensors .* damaged"):
        take_starting_point(detector, tmp_path / "point.safetensors")


def test_a_short_training_gets_further_from_there(tmp_path: Path) -> None:
    camera = DemoCamera(3, size_hw=(120, 160), defect_rate=0.0)
    pictures = np.stack([camera.render(number * 7)[0][:, :128][:96] for number in range(24)])
    scores = {}
    for start in ("drawn", "scratch"):
        config = TrainConfig(data="-", input_hw=(96, 128), steps=40, start=start)  # type: ignore[arg-type]
        stage = Stage(0, "final", tuple(range(16)), ())
        trainer = StageTrainer(config, stage, pictures, config.make_prior(), Processes("cpu"))
        assert trainer.train(tmp_path / "checkpoint.safetensors", lambda: False, lambda *_: None)
        scores[start] = SelectScore(pictures, range(16, 24)).measure(trainer.chosen())
    assert scores["drawn"] > scores["scratch"] + 0.02


def test_pictures_of_a_drawn_product_are_alike_and_not_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    from drawn.products import SIDE, draw_product

    means = []
    for number in range(12):
        product = draw_product(np.random.default_rng(number))
        pictures = np.stack([product.picture(np.random.default_rng([number, n])) for n in range(4)])
        assert pictures.shape == (4, SIDE, SIDE, 3) and pictures.dtype == np.uint8
        assert len({picture.tobytes() for picture in pictures}) == 4
        assert np.array_equal(pictures[1], product.picture(np.random.default_rng([number, 1])))
        means.append(pictures.mean(axis=(1, 2)))
    # Products differ in colour more than pictures of one do.
    within = np.mean([np.std(mean, axis=0) for mean in means])
    between = np.std([mean.mean(axis=0) for mean in means], axis=0).mean()
    assert between > 3 * within


def test_a_school_teaches_one_head_with_many_products(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(SCRIPTS)
    from drawn import school as script

    for name, value in {"PICTURES": 8, "DRAWING_STEPS": 2, "HEAD_STEPS": 6}.items():
        monkeypatch.setattr(script, name, value)
    start = {name: tensor.float() for name, tensor in read_tensors(STARTING_POINT)[0].items()}
    school = script.School()
    threads = torch.get_num_threads()
    try:
        first, _ = school.round((0,), STARTING_POINT, rate=0.0)
        second, loss = school.round((1, 0), STARTING_POINT, rate=1.0)
    finally:
        torch.set_num_threads(threads)
    assert set(first) == set(second) == set(start) and loss > 0
    for name, tensor in start.items():
        if name.startswith("judge.head."):
            assert torch.equal(first[name], tensor), "it goes on from the point, and a rate of nothing moves nothing"
            assert not torch.equal(second[name], tensor), "it learns"
        else:
            # A few steps lead away from the point, and not far.
            assert 0 < (second[name] - tensor).norm() < 0.5 * tensor.norm() + 0.1
            assert not torch.equal(first[name], second[name]), "the newest product's"
    heads = {id(lesson.detector.judge.head) for lesson in school._lessons.values()}
    assert set(school._lessons) == {0, 1} and len(heads) == 1

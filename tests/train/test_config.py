import json
from pathlib import Path

import pytest

from aae_detect.errors import ConfigError
from aae_train.config import MODELS, TrainConfig


def test_round_trip() -> None:
    config = TrainConfig(data="/x", input_hw=(64, 96), steps=None, minutes=2.5, bits=12)
    assert TrainConfig.from_json(config.to_json()) == config
    assert config.latent_dim == 8 * 4 * 6


def test_defaults_of_the_families() -> None:
    """What is left open is filled in, so that config.json says what was done."""
    found = {model: (c := TrainConfig(data="x", model=model), c.encoder, c.latent_chw)[1:] for model in MODELS}
    assert found == {
        "aae": ("deterministic", (8, 16, 16)),
        "wae-mmd": ("deterministic", (8, 16, 16)),
        "vae": ("gaussian", (8, 16, 16)),
        "gan": ("deterministic", (64, 1, 1)),
        "gmmn": ("deterministic", (64, 1, 1)),
        "gmmn-ae": ("deterministic", (64, 1, 1)),
    }
    assert TrainConfig(data="x", latent="10").latent_chw == (10, 1, 1)
    assert TrainConfig(data="x", model="gan", latent="grid").latent_chw == (8, 16, 16)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"model": "vae", "encoder": "universal"},
            "--model vae has no universal encoder, only gaussian; --encoder universal goes with --model aae, wae-mmd",
        ),
        ({"model": "gan", "encoder": "gaussian"}, "goes with --model aae, wae-mmd, vae"),
        ({"model": "vae", "prior": "swiss-roll"}, "--model vae needs --prior normal, swiss-roll .* aae, wae-mmd, gan"),
        ({"model": "vae", "prior": "custom"}, "--model vae needs --prior normal"),
        ({"model": "gmmn-ae", "latent": "grid"}, "--model gmmn-ae needs a vector code"),
        ({"prior": "swiss-roll", "latent": "5"}, "lies in pairs of numbers, the code has 5"),
        ({"prior": "mixture:3", "latent_channels": 3}, "lies in pairs of numbers, the code has 3"),
    ],
)
def test_combinations_without_meaning_say_which_have_one(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(data="x", **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"model": "vae2"}, "--model"),
        ({"encoder": "quantum"}, "--encoder"),
        ({"prior": "cauchy"}, "--prior 'cauchy' is none of normal, uniform, mixture:K, swiss-roll"),
        ({"prior": "mixture:1"}, "K from 2"),
        ({"latent": "0"}, "--latent '0' is neither grid nor a number"),
        ({"latent": "half"}, "--latent"),
        ({"adversarial_loss": "hinge"}, "--adversarial-loss"),
        ({"input_hw": (250, 256)}, r"--size 250x256 .* nearest: 256x256"),
        ({"input_hw": (0, 256)}, "nearest: 32x256"),
        ({"input_hw": (8192, 256)}, "between 32 and 4096"),
        ({"fit": "squeeze"}, "--fit"),
        ({"bits": 14}, "--bits"),
        ({"seed": -1}, "--seed"),
        ({"seed": 2**29}, "--seed"),
        ({"steps": 5, "minutes": 1.0}, "either --steps or --minutes"),
        ({"steps": None}, "either --steps or --minutes"),
        ({"steps": 0}, "--steps 0"),
        ({"steps": None, "minutes": 0.0}, "--minutes"),
        ({"batch_size": 0}, "--batch-size"),
        ({"batch_size": 1, "model": "gmmn"}, "--batch-size 1 .* at least two pictures"),
        ({"batch_size": 1, "model": "gmmn-ae"}, "--batch-size 1 .* at least two pictures"),
        ({"batch_size": 1, "model": "wae-mmd", "latent": "64"}, "--batch-size 1 .* at least two pictures"),
        ({"lr": 0.0}, "--lr"),
        ({"adversarial_lr": 1.0}, "adversarial_lr"),
        ({"latent_channels": 0}, "latent_channels"),
        ({"defect_rate": 1.5}, "defect_rate"),
        ({"target_frr": 0.0}, "--target-frr"),
        ({"device": "tpu"}, "--device"),
        ({"precision": "fp16"}, "--precision"),
    ],
)
def test_wrong_values_name_their_option(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        TrainConfig(data="x", **values)  # type: ignore[arg-type]


def test_all_problems_are_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"--seed.*--lr"):
        TrainConfig(data="x", seed=-1, lr=2.0)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"data": "x", "input_hw": 3}'])
def test_a_broken_file_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"config\.json"):
        TrainConfig.from_json(text)


def test_unknown_fields_hint_at_a_newer_version() -> None:
    data = json.loads(TrainConfig(data="x").to_json()) | {"later": 1}
    with pytest.raises(ConfigError, match="later; was it made by a newer version"):
        TrainConfig.from_json(json.dumps(data))


def test_a_folder_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        TrainConfig.load(tmp_path)

import json
from dataclasses import replace

import pytest

from aae_detect.errors import ModelError
from aae_detect.spec import SCHEMA_VERSION, Calibration, GoldenSample, ModelSpec


@pytest.fixture
def spec() -> ModelSpec:
    return ModelSpec(
        family="aae",
        input_hw=(256, 320),
        fit="letterbox",
        map_hw=(64, 80),
        colour_scale=(0.0, 12.0),
        threshold=6.5,
        calibration=Calibration("split", 120, 0.01, 0.01, 1.0, 2.0, 7.0),
        prior="normal",
        latent_dim=640,
        weights_sha256="ab" * 32,
        golden=GoldenSample("", 3.25),
        versions={"aae-detect": "0.1.0"},
    )


def changed(spec: ModelSpec, **values: object) -> str:
    return json.dumps(json.loads(spec.to_json()) | values)


def test_json_round_trip_keeps_every_value(spec: ModelSpec) -> None:
    assert ModelSpec.from_json(spec.to_json()) == spec


def test_a_file_that_does_not_tell_the_drawings_size_draws_as_large_as_it_looks(spec: ModelSpec) -> None:
    older = json.loads(spec.to_json())
    del older["drawing_step"]
    assert ModelSpec.from_json(json.dumps(older)).drawn_hw == spec.input_hw
    assert replace(spec, drawing_step=2).drawn_hw == (128, 160)


def test_integers_are_numbers_too(spec: ModelSpec) -> None:
    read = ModelSpec.from_json(changed(spec, threshold=7))
    assert read.threshold == 7.0
    assert isinstance(read.threshold, float)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"schema_version": SCHEMA_VERSION + 1}, "upgrade aae-detect"),
        ({"schema_version": 0}, "schema_version 0"),
        ({"fit": "squeeze"}, r"description\.fit is 'squeeze'"),
        ({"colour": "RGB"}, "not BGR"),
        ({"input_hw": [256]}, r"description\.input_hw"),
        ({"input_hw": [0, 320]}, "outside 1 to 16384"),
        ({"input_hw": [256.0, 320]}, r"description\.input_hw is 256\.0"),
        ({"map_hw": [60, 80]}, "does not divide"),
        ({"bits": 14}, "bits 14 is none of 10, 12, 16"),
        ({"drawing_step": 3}, "drawing_step 3 does not divide"),
        ({"drawing_step": 0}, "drawing_step 0 does not divide"),
        ({"colour_scale": [1.0, 1.0]}, "does not rise"),
        ({"threshold": None}, r"description\.threshold is None"),
        ({"threshold": True}, r"description\.threshold is True"),
        ({"threshold": float("nan")}, "not finite"),
        ({"golden": {"picture_png_base64": "", "score": float("inf")}}, "golden score"),
        ({"golden": []}, r"description\.golden is list"),
        ({"calibration": {"method": "split"}}, r"description\.calibration lacks"),
        ({"versions": {"numpy": 2}}, r"description\.versions"),
        ({"surprise": 1}, "unknown fields 'surprise'"),
    ],
)
def test_wrong_values_are_refused_by_name(spec: ModelSpec, values: dict[str, object], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        ModelSpec.from_json(changed(spec, **values))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "3", "[" * 100_000])
def test_what_is_no_description_is_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"description is not|cannot be read"):
        ModelSpec.from_json(text)


def test_a_missing_field_is_named(spec: ModelSpec) -> None:
    data = json.loads(spec.to_json())
    del data["golden"]
    with pytest.raises(ModelError, match="lacks golden"):
        ModelSpec.from_json(json.dumps(data))


def test_it_checks_itself_when_made(spec: ModelSpec) -> None:
    with pytest.raises(ModelError, match="does not rise"):
        replace(spec, colour_scale=(2.0, 1.0))

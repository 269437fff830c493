import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from aae_detect import ConfigError, Detector, ModelError, ModelSpec
from aae_detect.picture_source import read_picture
from aae_detect.signature import OwnerKey
from aae_detect.spec import METADATA_KEY
from aae_export.export import export_run
from aae_export.onnx_file import OPSET, write_onnx
from aae_export.parity import compare, require_parity
from aae_train.detector_graph import DetectorGraph
from aae_train.run_folder import read_trained

EXPORTED = {"encoder.onnx", "decoder.onnx", "generator.onnx", "discriminator.onnx", "detector.onnx"}


def ports(path: Path) -> tuple[dict[str, tuple[str, list[object]]], dict[str, tuple[str, list[object]]]]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return {p.name: (p.type, p.shape) for p in inputs}, {p.name: (p.type, p.shape) for p in outputs}


def test_the_files_and_their_ports_are_the_contract(small_export: Path) -> None:
    assert {path.name for path in small_export.iterdir()} == EXPORTED | {"export.json"}
    latent_dim = 8 * 4 * 6
    image = ("tensor(uint8)", ["batch", 64, 96, 3])
    drawing = ("tensor(uint8)", ["batch", 32, 48, 3])
    code = ("tensor(float)", ["batch", latent_dim])
    assert ports(small_export / "encoder.onnx") == ({"image": image}, {"latent": code})
    assert ports(small_export / "decoder.onnx") == ({"latent": code}, {"reconstruction": drawing})
    assert ports(small_export / "generator.onnx") == ({"prior_sample": code}, {"picture": drawing})
    logits = ("tensor(float)", ["batch"])
    assert ports(small_export / "discriminator.onnx") == ({"latent": code}, {"logit": logits})
    maps = ("tensor(float)", ["batch", 16, 24])
    scores = ("tensor(float)", ["batch"])
    expected = {"anomaly_map": maps, "anomaly_score": scores, "reconstruction": drawing}
    assert ports(small_export / "detector.onnx") == ({"image": image}, expected)


@pytest.mark.parametrize("name", sorted(EXPORTED))
def test_each_file_is_one_file_of_one_known_opset(small_export: Path, name: str) -> None:
    model = onnx.load(small_export / name, load_external_data=False)
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", OPSET)]
    assert not any(tensor.external_data for tensor in model.graph.initializer)
    assert not model.functions


def test_nothing_of_the_machine_that_made_it_stays_inside(small_export: Path, small_run: Path) -> None:
    for name in EXPORTED:
        content = (small_export / name).read_bytes()
        assert str(Path(sys.prefix)).encode() not in content
        assert str(small_run.parent).encode() not in content
        model = onnx.load_model_from_string(content)
        for tensor in model.graph.initializer:
            tensor.ClearField("raw_data")  # among millions of weights, three bytes spell anything
        assert b".py" not in model.SerializeToString()


def test_the_description_says_where_it_came_from(small_export: Path, small_run: Path) -> None:
    detector = Detector.load(small_export / "detector.onnx")
    trained = read_trained(small_run)
    spec = detector.spec
    assert (spec.input_hw, spec.map_hw, spec.fit, spec.prior, spec.latent_dim) == (
        (64, 96),
        (16, 24),
        "stretch",
        "normal",
        192,
    )
    assert spec.threshold == trained.threshold.value
    assert spec.calibration == trained.threshold.calibration
    assert spec.weights_sha256 == trained.weights_sha256
    assert spec.versions["torch"] == torch.__version__.split("+")[0] or spec.versions["torch"] == torch.__version__
    report = json.loads((small_export / "export.json").read_text())
    assert report["detector_sha256"] == detector.model_sha256
    parts = {
        name: onnx.load(small_export / f"{name}.onnx") for name in ("encoder", "decoder", "generator", "discriminator")
    }
    for role, model in parts.items():
        note = json.loads({p.key: p.value for p in model.metadata_props}["aae_detect.part"])
        assert (note["role"], note["prior"], note["latent_dim"]) == (role, "normal", 192)


def test_the_parity_report_covers_every_output_at_batch_1_and_4(small_export: Path) -> None:
    rows = json.loads((small_export / "export.json").read_text())["parity"]
    assert {(row["graph"], row["output"], row["batch"]) for row in rows} == {
        (graph, output, batch)
        for graph, outputs in {
            "encoder": ["latent"],
            "decoder": ["reconstruction"],
            "generator": ["picture"],
            "discriminator": ["logit"],
            "detector": ["anomaly_map", "anomaly_score", "reconstruction"],
        }.items()
        for output in outputs
        for batch in (1, 4)
    }
    assert all(row["passed"] and row["pictures"] >= 4 for row in rows)


def test_the_device_answers_like_torch_on_whole_frames(
    small_export: Path, small_run: Path, demo_pictures: Path
) -> None:
    """Through the device's own code from file to score, against the trained modules."""
    from aae_detect.preprocess import prepare

    detector, trained = Detector.load(small_export / "detector.onnx", provider="cpu"), read_trained(small_run)
    for name in ("0.png", "17.png", "63.png"):
        frame = read_picture(demo_pictures / name)[:117, 5:]
        image, _ = prepare(frame, (64, 96), "stretch")
        with torch.no_grad():
            maps, scores, _ = trained.detector(torch.from_numpy(image)[None])
        detection = detector(frame)
        assert detection.score == pytest.approx(scores.item(), rel=1e-4, abs=1e-4)
        assert np.abs(detection.model_map - maps[0].numpy()).max() < 1e-3


def test_a_picture_goes_through_encoder_and_decoder_to_the_detectors_reconstruction(
    small_export: Path, demo_pictures: Path
) -> None:
    detector = Detector.load(small_export / "detector.onnx")
    frame = read_picture(demo_pictures / "5.png")
    detection = detector(frame)
    from aae_detect.preprocess import prepare

    image, _ = prepare(frame, (64, 96), "stretch")

    def run(name: str, value: np.ndarray) -> np.ndarray:
        session = onnxruntime.InferenceSession(small_export / f"{name}.onnx", providers=["CPUExecutionProvider"])
        (result,) = session.run(None, {session.get_inputs()[0].name: value})
        return np.asarray(result)

    drawn = run("decoder", run("encoder", image[None]))[0]
    assert np.abs(drawn.astype(int) - detection.reconstruction_bgr).max() <= 1


def test_the_plain_example_needs_nothing_of_ours(small_export: Path, demo_pictures: Path) -> None:
    example = Path(__file__).parents[2] / "examples" / "plain_onnxruntime.py"
    text = example.read_text()
    assert "aae_detect import" not in text
    assert len([line for line in text.splitlines() if line.strip()]) <= 20
    command = [sys.executable, str(example), str(small_export / "detector.onnx"), str(demo_pictures / "7.png")]
    verdict, score = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    detection = Detector.load(small_export / "detector.onnx")(read_picture(demo_pictures / "7.png"))
    assert verdict == detection.verdict
    assert float(score) == pytest.approx(detection.score, rel=1e-5)


class Twice(nn.Module):
    """A module that the exporter gets right."""

    def __init__(self, factor: float = 2.0) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.factor


@pytest.fixture
def inputs() -> list[np.ndarray]:
    return [np.full((3,), float(n), np.float32) for n in range(5)]


def test_a_graph_that_answers_otherwise_is_caught(tmp_path: Path, inputs: list[np.ndarray]) -> None:
    """The file holds one model, torch another: differences of 1 % must not pass."""
    write_onnx(tmp_path / "m.onnx", Twice(2.0), {"x": torch.zeros(2, 3)}, ["y"], {})
    require_parity(compare("m", tmp_path / "m.onnx", Twice(2.0), {"x": inputs}, ["y"]))
    differences = compare("m", tmp_path / "m.onnx", Twice(2.02), {"x": inputs}, ["y"])
    assert not any(d.passed for d in differences)
    assert differences[0].largest == pytest.approx(0.08, rel=1e-3)
    with pytest.raises(ModelError, match=r"m does not answer like .*y differs by 0\.08"):
        require_parity(differences)


def test_a_graph_with_nan_is_caught(tmp_path: Path, inputs: list[np.ndarray]) -> None:
    write_onnx(tmp_path / "m.onnx", Twice(float("nan")), {"x": torch.zeros(2, 3)}, ["y"], {})
    with pytest.raises(ModelError, match="m does not answer"):
        require_parity(compare("m", tmp_path / "m.onnx", Twice(2.0), {"x": inputs}, ["y"]))


def test_another_type_or_shape_is_caught(tmp_path: Path, inputs: list[np.ndarray]) -> None:
    class Half(Twice):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x * self.factor)[:, :2]

    write_onnx(tmp_path / "m.onnx", Half(), {"x": torch.zeros(2, 3)}, ["y"], {})
    with pytest.raises(ModelError, match="in ONNX Runtime and"):
        compare("m", tmp_path / "m.onnx", Twice(), {"x": inputs}, ["y"])


@pytest.fixture
def copied_run(small_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small_run, tmp_path / "run"))


def test_an_export_that_fails_leaves_nothing_and_keeps_the_earlier_one(
    copied_run: Path, small_export: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate is made to fail for real: the exported detector differs from the one that it is compared with."""
    out = tmp_path / "out"
    original: Callable[..., object] = DetectorGraph.forward

    def wrong(self: DetectorGraph, image: torch.Tensor) -> object:
        maps, scores, drawn = original(self, image)  # type: ignore[misc]
        return (maps * 1.05, scores, drawn) if torch.compiler.is_exporting() else (maps, scores, drawn)

    monkeypatch.setattr(DetectorGraph, "forward", wrong)
    monkeypatch.setattr("aae_export.export.write_parts", lambda *_: [])  # which pass, and take most of the time
    with pytest.raises(ModelError, match="detector does not answer like the trained model: anomaly_map"):
        export_run(copied_run, out)
    assert {path.name for path in tmp_path.iterdir()} == {"run"}
    shutil.copytree(small_export, out)
    before = (out / "detector.onnx").read_bytes()
    with pytest.raises(ModelError, match="does not answer"):
        export_run(copied_run, out)
    assert (out / "detector.onnx").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"run", "out"}


def test_runs_that_cannot_be_exported(copied_run: Path, tmp_path: Path) -> None:
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "letter.txt").write_text("dear diary")
    with pytest.raises(ConfigError, match="not an earlier export"):
        export_run(copied_run, tmp_path / "taken")
    with pytest.raises(ConfigError, match=r"holds no config\.json"):
        export_run(tmp_path, tmp_path / "out")
    config = json.loads((copied_run / "config.json").read_text())
    (copied_run / "config.json").write_text(json.dumps(config | {"data": str(tmp_path / "moved")}))
    with pytest.raises(ConfigError, match="expected a folder of good pictures"):
        export_run(copied_run, tmp_path / "out")
    (copied_run / "config.json").write_text(json.dumps(config | {"latent_channels": 4}))
    with pytest.raises(ConfigError, match="does not fit"):
        export_run(copied_run, tmp_path / "out")
    (copied_run / "config.json").write_text(json.dumps(config))
    (copied_run / "model.safetensors").unlink()
    with pytest.raises(ConfigError, match="not finished"):
        export_run(copied_run, tmp_path / "out")


def test_pictures_that_were_moved_are_named_by_option_and_some_may_be_gone(
    copied_run: Path, demo_pictures: Path, tmp_path: Path
) -> None:
    config = json.loads((copied_run / "config.json").read_text())
    (copied_run / "config.json").write_text(json.dumps(config | {"data": str(tmp_path / "gone")}))
    command = [sys.executable, "-m", "aae_export.cli", str(copied_run)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 2
    assert "Traceback" not in result.stderr
    split = json.loads((copied_run / "split.json").read_text())
    moved = tmp_path / "moved"
    moved.mkdir()
    (moved / "of-another-part.png").write_bytes((demo_pictures / "0.png").read_bytes())
    with pytest.raises(ConfigError, match=r"none of the run's pictures is in .*; say with --data"):
        export_run(copied_run, tmp_path / "out", moved)
    for name in [*split["train"], *split["select"][:2]]:
        shutil.copy(demo_pictures / name, moved)
    with pytest.raises(ConfigError, match="pictures of this run are gone"):  # their scores are to be measured
        export_run(copied_run, tmp_path / "out", moved, precision="fp16")
    result = subprocess.run([*command, "--data", str(moved)], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "all within tolerance" in result.stdout
    assert (copied_run / "export" / "detector.onnx").is_file()


def test_the_metadata_key_is_part_of_the_contract(small_export: Path) -> None:
    """Programs in other languages read it."""
    model = onnx.load(small_export / "detector.onnx")
    properties = {p.key: p.value for p in model.metadata_props}
    assert list(properties) == [METADATA_KEY] == ["aae_detect.spec"]
    assert ModelSpec.from_json(properties[METADATA_KEY]).schema_version == 1


def test_a_code_is_not_laid_flat_and_back_on_its_way(small_export: Path) -> None:
    nodes = onnx.load(small_export / "detector.onnx").graph.node
    maker = {name: node for node in nodes for name in node.output}
    (first,) = (node for node in nodes if "decoder.trunk.0.weight" in node.input)
    assert maker[first.input[0]].op_type == "Conv"
    # The parts end and begin with codes that are flat, so theirs stay.
    assert "Reshape" in {node.op_type for node in onnx.load(small_export / "encoder.onnx").graph.node}


def test_every_file_of_an_export_is_signed_when_asked_for(small_run: Path, small_export: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="needs the sign extra")
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key, private, public, out = Ed25519PrivateKey.generate(), tmp_path / "a.pem", tmp_path / "a.pub", tmp_path / "out"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    shutil.copytree(small_export, out)  # an export that is there is replaced, its signatures too
    for path in small_export.glob("*.onnx"):
        (out / f"{path.name}.sig").write_bytes(bytes(64))
    (out / "detector.int8.onnx.sig").write_bytes(bytes(64))
    command = [sys.executable, "-m", "aae_export.cli", str(small_run), "--out", ".", "--sign", str(private)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, cwd=out)
    assert result.returncode == 0, result.stderr
    assert "wrote ., signed" in result.stdout
    assert {path.name for path in out.iterdir() if path.suffix != ".sig"} == EXPORTED | {"export.json"}
    assert {path.name for path in out.glob("*.sig")} == {f"{path.name}.sig" for path in out.glob("*.onnx")}
    Detector.load(out / "detector.onnx", owner=OwnerKey(public))
    command[-1] = str(public)
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 2 and "is no private key in PEM" in result.stderr

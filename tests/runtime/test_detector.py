import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from aae_detect import ConfigError, Detector, FrameError, ModelError, Verdict
from aae_detect._onnxruntime import onnxruntime
from aae_detect.frames import Frame
from aae_detect.judging import judge
from aae_detect.model_file import read_model
from aae_detect.session import CUDA, available_providers, open_session
from aae_detect.spec import METADATA_KEY
from aae_detect.stream_judges import Models
from aae_detect.stream_settings import read_stream

GRAY = np.full((64, 64, 3), 127, np.uint8)


def white_cell(row: int = 5, column: int = 9) -> np.ndarray:
    frame = GRAY.copy()
    frame[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4] = 255
    return frame


@pytest.fixture(scope="module")
def detector(tiny_model: Path) -> Detector:
    return Detector.load(tiny_model, provider="cpu", threads=1)


def with_spec(tiny_model: Path, path: Path, **values: object) -> Path:
    """Append another description to the model; the last one counts."""
    data = json.loads(read_model(tiny_model).spec.to_json()) | values
    key, value = METADATA_KEY.encode(), json.dumps(data).encode()

    def part(number: int, payload: bytes) -> bytes:
        length, size = b"", len(payload)
        while size > 0x7F:
            length, size = length + bytes([size & 0x7F | 0x80]), size >> 7
        return bytes([number << 3 | 2]) + length + bytes([size]) + payload

    path.write_bytes(tiny_model.read_bytes() + part(14, part(1, key) + part(2, value)))
    return path


def test_a_gray_frame_is_ok_and_scores_zero(detector: Detector) -> None:
    detection = detector(GRAY)
    assert (detection.verdict, detection.score, detection.regions) == (Verdict.OK, 0.0, ())
    assert (detection.reconstruction_bgr == 127).all()


def test_a_white_cell_is_ng_with_the_score_worked_out_by_hand(detector: Detector) -> None:
    detection = detector(white_cell())
    assert detection.score == 8.0
    assert detection.verdict is Verdict.NG
    (region,) = detection.regions
    assert region.x <= 36 < 40 <= region.x + region.width
    assert region.y <= 20 < 24 <= region.y + region.height
    assert detection.anomaly_map.shape == (64, 64)
    assert detection.latency_ms.total == pytest.approx(
        detection.latency_ms.preprocess + detection.latency_ms.inference + detection.latency_ms.postprocess
    )


def test_the_score_is_the_graphs_own(detector: Detector, tiny_model: Path) -> None:
    frames = np.random.default_rng(1).integers(0, 256, (3, 64, 64, 3), np.uint8)
    session = onnxruntime.InferenceSession(tiny_model.read_bytes(), providers=["CPUExecutionProvider"])
    (expected,) = session.run(["anomaly_score"], {"image": frames})
    assert [detector(frame).score for frame in frames] == expected.tolist()


def test_a_batch_of_mixed_sizes_answers_like_single_frames(detector: Detector) -> None:
    frames = [white_cell(), np.full((120, 200), 90, np.uint8), np.full((32, 32, 4), 127, np.uint8)]
    assert [d.score for d in detector.batch(frames)] == [detector(frame).score for frame in frames]
    assert detector.batch([]) == []


def test_a_batch_may_be_an_array_and_is_no_single_picture(detector: Detector) -> None:
    frames = [white_cell(), GRAY]
    assert [d.score for d in detector.batch(np.stack(frames))] == [8.0, 0.0]
    assert [d.score for d in detector.batch(np.stack(frames)[:, :, :, 0])] == [8.0, 0.0]
    assert detector.batch(np.empty((0, 64, 64, 3), np.uint8)) == []
    for single in (GRAY, GRAY[:, :, 0], GRAY[:, :, :1]):
        with pytest.raises(FrameError, match="is a single picture, expected several"):
            detector.batch(single)


def test_one_bad_frame_refuses_the_batch(detector: Detector) -> None:
    with pytest.raises(FrameError, match="NoneType"):
        detector.batch([GRAY, None])


def test_detections_own_their_arrays(detector: Detector) -> None:
    frame = white_cell()
    detection = detector(frame)
    kept_map, kept_drawing = detection.model_map.copy(), detection.reconstruction_bgr.copy()
    frame[:] = 0
    assert (detection.input_bgr == white_cell()).all()
    detector(np.zeros((64, 64, 3), np.uint8))
    assert (detection.model_map == kept_map).all()
    assert (detection.reconstruction_bgr == kept_drawing).all()
    assert len(detection.regions) == 1


def test_the_threshold_can_be_moved(tiny_model: Path) -> None:
    assert Detector.load(tiny_model, threshold=9.0)(white_cell()).verdict is Verdict.OK
    assert Detector.load(tiny_model).threshold == 2.0


def test_declared_depth(tiny_model: Path) -> None:
    frame = np.full((64, 64), 2040, np.uint16)
    assert Detector.load(tiny_model, bits=12)(frame).score == pytest.approx(0.0)
    assert Detector.load(tiny_model)(frame).verdict is Verdict.NG


def test_the_depth_of_the_pictures_that_it_learned_from_goes_without_saying(tiny_model: Path, tmp_path: Path) -> None:
    frame = np.full((64, 64), 2040, np.uint16)
    deep = Detector.load(with_spec(tiny_model, tmp_path / "12.onnx", bits=12))
    assert deep.bits == 12 and deep(frame).score == pytest.approx(0.0)
    assert Detector.load(tmp_path / "12.onnx", bits=16)(frame).verdict is Verdict.NG, "what is typed holds"
    judged = judge(Frame(frame, 0, datetime.now(UTC), "camera"), deep, None, None)
    assert judged.image_bgr is not None and (judged.image_bgr == 127).all(), "shown as it is judged"
    said: list[str] = []
    models = Models("cpu", 1, {}, None, said.append)
    for source in ("0", "/dev/video2", "rtsp://host/1", "pictures"):
        models.of(read_stream({"source": source, "model": str(tmp_path / "12.onnx")}))
    models.of(read_stream({"source": "1", "bits": 12, "model": str(tmp_path / "12.onnx")}))
    models.of(read_stream({"source": "1", "model": str(tiny_model)}))
    assert [line.partition(" is asked for pictures of 8 bits")[0] for line in said] == [
        "warning: camera 0",
        "warning: /dev/video2",
    ]


def test_one_detector_serves_several_threads(detector: Detector) -> None:
    frames = [white_cell(row, row) for row in range(16)]
    frames += [np.full((64, 64, 3), 127 + 4 * n, np.uint8) for n in range(16)]
    expected = [detector(frame).score for frame in frames]
    wrong: list[tuple[int, float]] = []

    def work(offset: int) -> None:
        for k in range(200):
            place = (k * 7 + offset) % len(frames)
            score = detector(frames[place]).score
            if score != expected[place]:
                wrong.append((place, score))

    threads = [threading.Thread(target=work, args=(offset,)) for offset in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_golden_sample_that_does_not_reproduce_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    golden = json.loads(read_model(tiny_model).spec.to_json())["golden"]
    path = with_spec(tiny_model, tmp_path / "m.onnx", golden=golden | {"score": 8.1})
    with pytest.raises(ModelError, match=r"scores 8 on CPUExecutionProvider, expected 8\.1"):
        Detector.load(path)
    path = with_spec(tiny_model, tmp_path / "m.onnx", golden=golden | {"score": 8.004})
    assert Detector.load(path).spec.golden.score == 8.004


@pytest.mark.parametrize("picture", ["", "AAAA", "not base64!", "aGVsbG8="])
def test_a_damaged_golden_sample_is_refused(tiny_model: Path, tmp_path: Path, picture: str) -> None:
    path = with_spec(tiny_model, tmp_path / "m.onnx", golden={"picture_png_base64": picture, "score": 8.0})
    with pytest.raises(ModelError, match="golden sample in the model is damaged"):
        Detector.load(path)


def test_a_graph_that_is_not_what_its_description_says_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    path = with_spec(tiny_model, tmp_path / "m.onnx", input_hw=[128, 128], map_hw=[32, 32])
    with pytest.raises(ModelError, match="the graph has image as"):
        Detector.load(path)


def test_onnxruntimes_own_format_is_not_loaded_in_place_of_onnx(tiny_model: Path, tmp_path: Path) -> None:
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "tiny.ort")
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(tiny_model.read_bytes(), options, providers=["CPUExecutionProvider"])
    with pytest.raises(ModelError, match=r"ONNX Runtime .* refuses the model"):
        open_session((tmp_path / "tiny.ort").read_bytes(), "cpu", 1)


def test_what_onnxruntime_refuses_is_our_error(tiny_model: Path, tmp_path: Path) -> None:
    content = tiny_model.read_bytes().replace(b"AveragePool", b"AveragePoll")
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"ONNX Runtime .* refuses the model"):
        Detector.load(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": float("nan")}, "threshold is nan"),
        ({"bits": 11}, "bits is 11"),
        ({"threads": -1}, "threads is -1"),
        ({"provider": "tpu"}, "provider tpu"),
    ],
)
def test_wrong_options(tiny_model: Path, options: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Detector.load(tiny_model, **options)  # type: ignore[arg-type]


@pytest.mark.skipif(CUDA in available_providers(), reason="this ONNX Runtime has CUDA")
def test_cuda_that_is_not_there_is_an_error_that_lists_what_is(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"has .*cpu.*onnxruntime-gpu"):
        Detector.load(tiny_model, provider="cuda")
    detector = Detector.load(tiny_model, provider="auto")
    assert detector.provider == "CPUExecutionProvider"


@pytest.mark.parametrize("name", ["cpu", "CPU", "CPUExecutionProvider", "cpuexecutionprovider"])
def test_a_provider_is_known_by_its_short_name_and_by_its_own(tiny_model: Path, name: str) -> None:
    assert Detector.load(tiny_model, provider=name).provider == "CPUExecutionProvider"


def test_a_provider_that_nobody_knows_says_which_there_are(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"provider abacus was asked for, this ONNX Runtime has .*cpu"):
        Detector.load(tiny_model, provider="abacus")


@pytest.mark.skipif("AzureExecutionProvider" not in available_providers(), reason="needs a provider that runs nothing")
def test_a_provider_that_leaves_the_model_to_the_cpu_is_not_taken_for_loaded(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match="runs none of the model's"):
        Detector.load(tiny_model, provider="azure")


def test_options_that_a_provider_does_not_take_are_refused(tiny_model: Path) -> None:
    with pytest.raises(ConfigError, match=r"CPUExecutionProvider did not take the option warp_speed"):
        Detector.load(tiny_model, provider="cpu", provider_options={"warp_speed": "9"})
    with pytest.raises(ConfigError, match="name it"):
        Detector.load(tiny_model, provider_options={"device_id": "1"})

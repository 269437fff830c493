"""Buffers that stay on a device: tried on the processor's memory, which ONNX Runtime takes by the same calls."""

import threading
from pathlib import Path

import numpy as np
import pytest

from aae_detect import Detector
from aae_detect.graph_run import BoundRun, make_run
from aae_detect.session import CPU, CUDA, available_providers, open_session


@pytest.fixture(scope="module")
def session(tiny_model: Path):
    return open_session(tiny_model.read_bytes(), "cpu", 1)[0]


def pictures(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 64, 64, 3), np.uint8)


def test_the_answers_are_those_of_a_plain_run(session) -> None:
    run, plain = BoundRun(session, "cpu"), make_run(session, CPU)
    for count in (1, 3, 1, 8):
        shown = pictures(count, seed=count)
        for found, expected in zip(run(shown), plain(shown), strict=True):
            assert found.dtype == expected.dtype
            assert (found == expected).all()


def test_an_answer_stays_when_the_next_frame_comes(session) -> None:
    run = BoundRun(session, "cpu")
    first = run(pictures(1, 1))
    before = [answer.copy() for answer in first]
    second = run(pictures(1, 2))
    assert all((answer == kept).all() for answer, kept in zip(first, before, strict=True))
    assert any((answer != other).any() for answer, other in zip(first, second, strict=True))


def test_a_picture_that_is_a_view_is_taken_as_it_looks(session) -> None:
    shown = pictures(4)[::2, :, ::-1]
    found, _ = BoundRun(session, "cpu")(shown)
    assert (found == make_run(session, CPU)(np.ascontiguousarray(shown))[0]).all()


class Counting:
    """A session that counts how often buffers are bound."""

    def __init__(self, session) -> None:
        self._session = session
        self.bindings = 0

    def io_binding(self):
        self.bindings += 1
        return self._session.io_binding()

    def __getattr__(self, name: str):
        return getattr(self._session, name)


def test_buffers_are_made_once_for_each_size_and_the_oldest_size_gives_way(session) -> None:
    counting = Counting(session)
    run = BoundRun(counting, "cpu")
    for count in (1, 2, 1, 2, 3, 4):
        run(pictures(count))
    assert counting.bindings == 4
    run(pictures(5))  # in the place of 1
    run(pictures(2))
    assert counting.bindings == 5
    run(pictures(1))
    assert counting.bindings == 6


def test_threads_have_buffers_of_their_own(session) -> None:
    run, plain = BoundRun(session, "cpu"), make_run(session, CPU)
    wrong = []

    def work(seed: int) -> None:
        for step in range(50):
            shown = pictures(1 + step % 2, seed=100 * seed + step)
            wrong.extend(step for one, two in zip(run(shown), plain(shown), strict=True) if (one != two).any())

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(CUDA not in available_providers(), reason="needs onnxruntime-gpu and a GPU")
@pytest.mark.parametrize("options", [{}, {"enable_cuda_graph": "1"}])
def test_cuda_answers_like_the_processor(tiny_model: Path, options: dict[str, str]) -> None:
    on_cuda = Detector.load(tiny_model, provider="cuda", provider_options=options)
    on_cpu = Detector.load(tiny_model, provider="cpu")
    for seed in range(5):  # the first runs record a CUDA graph, the others play it back
        shown = pictures(1, seed)[0]
        assert np.abs(on_cuda(shown).model_map - on_cpu(shown).model_map).max() < 1e-3

import cv2
import numpy as np
import pytest
import torch

from aae_detect.bench.metrics import average_precision
from aae_detect.demo import DemoCamera
from aae_train.compute import to_pictures
from aae_train.config import TrainConfig
from aae_train.descriptors import CHANNELS
from aae_train.detector import make_detector, measure_evidence
from aae_train.family import Examples, Pictures
from aae_train.head import GAIN, Head, Look, head_loss
from aae_train.head_judge import ALARM, CALM, HEAD_WEIGHT, SUREST, HeadJudge
from aae_train.loader import BatchLoader
from aae_train.players import Players
from aae_train.processes import Processes
from aae_train.synthetic import make_defect

HW = (64, 96)


def good_pictures(count: int, seed: int = 0) -> np.ndarray:
    """A demo camera's frames."""
    camera = DemoCamera(seed, size_hw=(128, 192), defect_rate=0.0)
    return np.stack([cv2.resize(camera.render(number * 5)[0], HW[::-1]) for number in range(count)])


def examples_of(good: np.ndarray) -> Examples:
    """Pictures in blocks of three neighbours, dealt out to four groups."""
    return Examples(to_pictures(good, torch.device("cpu")), len(good), tuple(i // 3 % 4 for i in range(len(good))))


def test_logits_come_per_cell_of_4x4_pixels() -> None:
    picture, drawn = torch.zeros(2, 3, *HW), torch.zeros(2, 3, HW[0] // 2, HW[1] // 2)
    deviations = torch.zeros(2, CHANNELS, HW[0] // 8, HW[1] // 8)
    logits = Head(CHANNELS)(picture, drawn, deviations).detach()
    assert logits.shape == (2, 1, HW[0] // 4, HW[1] // 4)
    assert float(logits.mean()) < -1  # defects are rare, until learned otherwise


def test_the_first_look_is_at_the_picture_and_at_every_pixel_of_the_difference() -> None:
    look = Look().requires_grad_(False)
    picture, drawn = torch.rand(2, 3, 32, 48) * 2 - 1, torch.rand(2, 3, 16, 24) * 2 - 1
    difference = GAIN * (picture - drawn.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3))
    expected = look.picture(picture) + look.difference(difference)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = look(picture, drawn)
    torch.testing.assert_close(found, expected)  # in full precision, at the borders too


def test_the_loss_falls_from_wrong_over_unsure_to_right() -> None:
    mask = torch.zeros(2, 32, 32, dtype=torch.uint8)
    mask[0, 8:12, 8:20] = 255
    truth = torch.zeros(2, 1, 8, 8)
    truth[0, 0, 2, 2:5] = 1
    right, unsure, wrong = (float(head_loss(k * (truth - 0.5), mask)) for k in (20.0, 0.0, -20.0))
    assert right < 0.02 < unsure < wrong


def test_a_cell_that_a_defect_touches_counts() -> None:
    mask = torch.zeros(1, 32, 32, dtype=torch.uint8)
    mask[0, 9, 9] = 255  # one pixel of the cell (2, 2)
    logits = torch.full((1, 1, 8, 8), -9.0)
    missed = float(head_loss(logits, mask))
    logits[0, 0, 2, 2] = 9.0
    assert float(head_loss(logits, mask)) < 0.1 * missed


def test_the_loss_of_a_batch_is_the_mean_over_its_pictures() -> None:
    """So that processes which share a batch learn the same as one."""
    logits, mask = torch.randn(4, 1, 8, 8), (torch.rand(4, 32, 32) > 0.99).byte()
    parts = [float(head_loss(logits[i : i + 2], mask[i : i + 2])) for i in (0, 2)]
    assert float(head_loss(logits, mask)) == pytest.approx(np.mean(parts), rel=1e-5)


def test_the_head_learns_to_find_synthetic_defects_on_parts_that_it_has_not_seen() -> None:
    torch.manual_seed(0)
    judge, good = HeadJudge(HW), good_pictures(24)
    judge.prepare(examples_of(good))
    players = Players(judge.players(TrainConfig(data="x", input_hw=HW)), Processes("cpu"), "fp32")
    with BatchLoader(good, range(len(good)), batch_size=8, seed=0) as loader:
        for _ in range(60):
            batch = next(loader)
            shown = to_pictures(batch.input, torch.device("cpu"))
            clean = to_pictures(batch.clean, torch.device("cpu"))
            losses = judge.step(Pictures(shown, clean, torch.from_numpy(batch.mask)), clean, players)
    assert losses["head"] > 0
    fresh = good_pictures(8, seed=1)
    made = [make_defect(picture, np.random.default_rng(i), good[i]) for i, picture in enumerate(fresh)]
    drawn, shown = (to_pictures(np.stack(p), torch.device("cpu")) for p in (fresh, [m[0] for m in made]))
    with torch.no_grad():
        head = judge.evidence(shown, drawn)[:, 1].numpy()
    truth = np.stack([m[1] for m in made]).reshape(8, HW[0] // 4, 4, HW[1] // 4, 4).max(axis=(2, 4)) > 0
    # By chance it would be the share of defective cells, about 0.05.
    assert average_precision(truth.ravel(), head.ravel()) > 0.25


def test_the_places_alone_see_a_texture_that_is_not_there_on_good_pictures() -> None:
    judge, good = HeadJudge(HW), good_pictures(24)
    judge.prepare(examples_of(good))
    fresh = good_pictures(4, seed=1)
    wrong = fresh.copy()
    wrong[:, 24:40, 40:56] = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)
    with torch.no_grad():
        before, after = (
            judge.evidence(p, p)[:, 0].numpy()
            for p in (to_pictures(fresh, torch.device("cpu")), to_pictures(wrong, torch.device("cpu")))
        )
    assert after[:, 7:9, 11:13].min() > 1.4 * before.max()
    assert after[:, :3, :5].max() < 1.2 * before.max()  # far away, good stays good


def test_a_head_learns_from_pictures_as_strange_as_fresh_ones() -> None:
    """What it is told of a training picture rests on the other groups; of one that took part, all seems usual."""
    judge, good = HeadJudge(HW), good_pictures(24)
    examples = examples_of(good)
    judge.prepare(examples)
    pictures, fresh = examples.pictures, to_pictures(good_pictures(24, seed=1), torch.device("cpu"))

    def strangeness(shown: torch.Tensor, groups: tuple[int, ...]) -> float:
        drawn = torch.nn.functional.avg_pool2d(shown, 2)
        with torch.no_grad():
            return float(judge.compare(shown, drawn, groups)[2].square().mean())

    learned, left_out = strangeness(pictures, ()), strangeness(pictures, examples.groups)
    assert learned < 0.9 * left_out
    assert left_out == pytest.approx(strangeness(fresh, ()), rel=0.2)


def test_witnesses_add_up_and_none_silences_the_other() -> None:
    def combine(places: float, head: float) -> float:
        combined = HeadJudge(HW).combine(torch.tensor([places, head]).view(1, 2, 1, 1).repeat(1, 1, 4, 4))
        assert combined.shape == (1, 4, 4)
        return float(combined[0, 0, 0])

    assert combine(3.0, 1.0) == pytest.approx(3.0 + HEAD_WEIGHT)
    # How sure it is of the good counts little, but enough to tell one good place from another.
    assert combine(3.0, SUREST - 10) == pytest.approx(3.0 + HEAD_WEIGHT * (SUREST - 10 * CALM))
    assert combine(SUREST - 10, 3.0) == pytest.approx(SUREST - 10 * CALM + HEAD_WEIGHT * 3.0)
    # A place that is far out is an alarm, whatever the head says, and further out is a louder one; but not by much.
    calm = SUREST - 10
    assert combine(ALARM, calm) < combine(30.0, calm) < combine(90.0, calm) < combine(ALARM, 0.0) + 2


@pytest.mark.parametrize(("head", "kinds"), [("unet", 2), ("none", 2)])
def test_every_head_gives_evidence_that_statistics_and_judge_make_a_map_of(head: str, kinds: int) -> None:
    config = TrainConfig(data="x", input_hw=HW, head=head)  # type: ignore[arg-type]
    detector = make_detector(config).eval()
    evidence = measure_evidence(detector, good_pictures(9))
    assert evidence.shape == (9, kinds, HW[0] // 4, HW[1] // 4)
    standardised = detector.judge.standards(evidence).standardise(evidence)
    maps = detector.judge.combine(torch.from_numpy(standardised))
    assert maps.shape == (9, HW[0] // 4, HW[1] // 4)
    assert bool(torch.isfinite(maps).all())


def test_the_head_sees_the_difference_of_picture_and_drawing() -> None:
    """What both have in common goes by, but for the convolution that looks at the picture alone."""
    torch.manual_seed(0)
    head = Head(CHANNELS)
    torch.nn.init.zeros_(head.look.picture.weight)
    drawn = torch.rand(1, 3, HW[0] // 2, HW[1] // 2) - 0.5
    picture = torch.nn.functional.interpolate(drawn, scale_factor=2, mode="nearest")
    deviations = torch.zeros(1, CHANNELS, HW[0] // 8, HW[1] // 8)
    with torch.no_grad():
        same, other = (head(picture + gray, drawn + gray, deviations) for gray in (0.0, 0.3))
        different = head(picture, drawn + 0.3, deviations)
    assert torch.allclose(same, other, atol=1e-4)
    assert (same - different).abs().max() > 0.01

"""Other precisions: made from a real small run, and measured honestly."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from scipy.stats import norm

from aae_detect import Detector, ModelError
from aae_detect.picture_source import read_picture
from aae_export.displacement import Paired
from aae_export.float_layers import MOST_DISPLACEMENT, find_float_layers, give_back_orders, holds
from aae_export.on_demand import OnDemand
from aae_export.precision import MOST_LOSS, Material, Precision, carry_over, make_precision, same_rank
from aae_export.quantize import Layer
from aae_export.separation import put_defects


@pytest.fixture(scope="module")
def pictures(demo_pictures: Path) -> list[np.ndarray]:
    from aae_detect.preprocess import prepare

    return [prepare(read_picture(demo_pictures / f"{number}.png"), (64, 96), "stretch")[0] for number in range(12)]


@pytest.fixture(scope="module")
def int8_export(small_run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("int8") / "export"
    command = [
        sys.executable,
        "-m",
        "aae_export.cli",
        str(small_run),
        "--out",
        str(out),
        "--precision",
        "int8",
        "--force",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return out, done.stdout


def test_the_int8_detector_is_a_detector_with_a_threshold_of_its_own(int8_export: tuple[Path, str]) -> None:
    out, said = int8_export
    fp32, int8 = (Detector.load(out / name, provider="cpu") for name in ("detector.onnx", "detector.int8.onnx"))
    assert int8.spec.precision == "int8"
    assert int8.spec.calibration.target_frr == fp32.spec.calibration.target_frr
    cost = json.loads((out / "export.json").read_text())["other_precision"]
    assert cost["threshold"] == int8.threshold != fp32.threshold == cost["threshold_fp32"]
    assert cost["judged_on"] == "synthetic defects"
    assert cost["loss"] == pytest.approx(cost["auroc_fp32"] - cost["auroc"])
    assert f"threshold {int8.threshold:.4g}, fp32 {fp32.threshold:.4g}" in said
    assert "detector.int8.onnx" in said.splitlines()[-1]


def test_half_precision_answers_nearly_like_fp32(
    small_export: Path, pictures: list[np.ndarray], tmp_path: Path
) -> None:
    target = tmp_path / "detector.fp16.onnx"
    cost = make_precision(small_export / "detector.onnx", target, "fp16", Material(pictures, pictures))
    assert cost.score_noise < 0.05
    assert cost.stayed_float == ()
    assert target.stat().st_size < 0.62 * (small_export / "detector.onnx").stat().st_size
    fp32, fp16 = Detector.load(small_export / "detector.onnx", provider="cpu"), Detector.load(target, provider="cpu")
    assert fp16.spec.precision == "fp16"
    assert fp16(pictures[0]).score == pytest.approx(fp32(pictures[0]).score, rel=0.02, abs=0.02)


def test_what_costs_too_much_is_refused_and_not_left_behind(
    small_export: Path, pictures: list[np.ndarray], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aae_export.precision.TOLERANCE", {"fp16": -1.0})
    target = tmp_path / "detector.fp16.onnx"
    with pytest.raises(ModelError, match=r"fp16 costs too much: scores of good pictures move by"):
        make_precision(small_export / "detector.onnx", target, "fp16", Material(pictures, pictures))
    assert not target.exists()


@pytest.mark.parametrize("precision", ["fp16", "int8"])
def test_what_other_packages_raise_is_a_refusal_too(tiny_model: Path, tmp_path: Path, precision: Precision) -> None:
    """Here for pictures of another size than the model's."""
    wrong = [np.zeros((8, 8, 3), np.uint8)] * 8
    with pytest.raises(ModelError, match=rf"{precision} cannot be made here \(.+\)\. Keep fp32"):
        make_precision(tiny_model, tmp_path / "other.onnx", precision, Material(wrong, wrong))


def test_defects_are_put_in_again_until_there_are_enough(pictures: list[np.ndarray]) -> None:
    defective = put_defects(pictures[:5], least=12)
    assert len(defective) == 12 and len(put_defects(pictures, least=3)) == len(pictures)
    assert all((one != pictures[place % 5]).any() for place, one in enumerate(defective))
    assert (defective[0] != defective[5]).any(), "another defect each time"
    again = put_defects(pictures[:5], least=12)
    assert all((one == other).all() for one, other in zip(defective, again, strict=True))


def test_pictures_are_kept_only_where_all_of_them_fit(pictures: list[np.ndarray]) -> None:
    made: list[int] = []

    def make(number: int) -> np.ndarray:
        made.append(number)
        return pictures[number].copy()

    size = pictures[0].nbytes
    for budget, times in ((3 * size, 1), (3 * size - 1, 3)):
        made.clear()
        few = OnDemand(3, make, budget)
        assert [picture.tobytes() for picture in few] == [picture.tobytes() for picture in pictures[:3]]
        assert (few[-1] == pictures[2]).all() and len(list(few)) == len(few) == 3
        assert made.count(2) == times
    with pytest.raises(IndexError):
        few[3]


def test_the_threshold_lets_as_many_pass() -> None:
    before, after = np.array([1.0, 5.0, 3.0, 2.0, 9.0]), np.array([1.5, 5.5, 5.25, 2.0, 8.0])
    assert same_rank(9.0, before, after) == 8.0
    assert same_rank(5.0 - 1e-6, before, after) == 5.5, "as torch computed it"
    assert same_rank(3.0, before, after) == 5.25
    for rank in range(5):
        threshold = same_rank(float(np.sort(before)[rank]), before, after)
        assert (after <= threshold).sum() == rank + 1


GOOD, DEFECTIVE = np.array([-1.0, 0.0, 1.0]), np.array([0.5, 8.0])
SPREAD = np.std(GOOD)


def test_an_extrapolated_threshold_stays_above_all_that_it_counts_as_passed() -> None:
    before, after = np.array([1.0, 2.0, 5.0]), np.array([1.1, 2.1, 6.5])
    assert carry_over(6.0, True, before, after, 0.1) == 6.5
    assert carry_over(8.0, True, before, after, 0.1) == 8.1
    assert carry_over(5.0, False, before, after, 0.1) == 6.5
    assert carry_over(2.0, False, before, after, 0.1) == 2.1


def paired(of_good: np.ndarray | float, of_defective: np.ndarray | float) -> Paired:
    return Paired((GOOD, GOOD + of_good), (DEFECTIVE, DEFECTIVE + of_defective))


def test_a_change_that_all_scores_share_costs_nothing() -> None:
    shifted = paired(3.0, 3.0)
    assert shifted.shift == 3.0
    assert shifted.score_noise == shifted.displacement == shifted.loss == 0.0
    assert shifted.loss_interval == (0.0, 0.0)
    assert shifted.auroc == (5 / 6, 5 / 6)


def test_displacement_is_relative_to_what_tells_a_picture_apart() -> None:
    """By hand: 0.2 of 8 beside the far defective picture, 0.1 beside the spread for one that is nearer than that."""
    assert paired(0.0, np.array([0.0, 0.2])).displacement == pytest.approx(0.2 / 8 / 5**0.5)
    assert paired(0.0, np.array([0.1, 0.0])).displacement == pytest.approx(0.1 / SPREAD / 5**0.5)
    assert paired(np.array([0.0, 0.3, 0.0]), 0.0).displacement == pytest.approx(0.3 / SPREAD / 5**0.5)
    assert paired(np.array([0.0, 0.3, 0.1]), 0.0).score_noise == pytest.approx(0.1 / SPREAD)


def test_one_odd_good_picture_excuses_no_change_of_the_others() -> None:
    rng = np.random.default_rng(0)
    good, defective, noise = rng.normal(size=60), rng.normal(2, size=60), rng.normal(0, 0.3, 120)
    clean = Paired((good, good + noise[:60]), (defective, defective + noise[60:])).displacement
    odd = Paired((np.append(good, 50.0), np.append(good + noise[:60], 50.0)), (defective, defective + noise[60:]))
    assert clean > MOST_DISPLACEMENT and odd.displacement == pytest.approx(clean, rel=0.02)
    alike = np.array([1.0, 1.0, 1.0, 2.0])  # more than half of them alike: no distance to go by, and none is odd
    assert Paired((alike, alike), (defective, defective)).spread == pytest.approx(alike.std())


def test_a_loss_is_counted_in_pairs_and_knows_its_chance() -> None:
    lost = paired(0.0, np.array([-0.6, 0.0]))  # falls below one of three good pictures: one pair of six
    assert lost.loss == pytest.approx(1 / 6)
    assert lost.loss_interval[0] == 0.0 < 1 / 6 < lost.loss_interval[1]
    level = paired(np.array([0.0, 0.5, 0.0]), 0.0)
    assert level.loss == pytest.approx(0.5 / 6), "equal scores are told apart by half"
    rng = np.random.default_rng(0)
    good, defective = rng.normal(size=400), rng.normal(2, size=400)
    worse = Paired((good, good), (defective, defective - 0.5))
    low, high = worse.loss_interval
    expected = norm.cdf(2 / 2**0.5) - norm.cdf(1.5 / 2**0.5)
    assert 0 < low < worse.loss < high and low < expected < high


def test_the_displacement_bounds_the_loss() -> None:
    """Gaussian good pictures, defective ones at any distance, noise that grows with it: in closed form."""
    noise = MOST_DISPLACEMENT
    distance = np.linspace(0, 8, 801)
    after = np.sqrt(2 + noise**2 * (1 + np.maximum(1, distance) ** 2))
    loss = norm.cdf(distance / 2**0.5) - norm.cdf(distance / after)
    assert 0.2 * noise**2 < loss.max() < 0.28 * noise**2
    assert loss.max() < 1.12 * MOST_LOSS


def test_what_holds() -> None:
    rng = np.random.default_rng(1)
    good, defective = rng.normal(size=200), rng.normal(1.5, size=200)

    def moved(noise: float, fall: float) -> Paired:
        return Paired(
            (good, good + rng.normal(0, noise, 200)), (defective, defective + rng.normal(0, noise, 200) - fall)
        )

    assert holds(moved(0.1, 0.0), MOST_LOSS)
    assert not holds(moved(0.4, 0.0), MOST_LOSS), "scores are displaced, whatever the AUROC says"
    assert not holds(moved(0.0, 0.15), MOST_LOSS), "a small fall of all defective ones shows in the AUROC"
    assert not holds(Paired((good, good * np.nan), (defective, defective)), MOST_LOSS)


class Harmed:
    """A quantizer and a yardstick whose layers' harms are known; squares add up."""

    def __init__(self, harms: dict[str, float], multiplications: dict[str, int] | None = None) -> None:
        counts = multiplications or dict.fromkeys(harms, 1)
        self.harms, self.layers = harms, tuple(Layer(name, name, counts[name]) for name in harms)
        self.tried: list[str] = []

    def quantize(self, stay: list[str] | tuple[str, ...] = ()) -> onnx.ModelProto:
        return onnx.ModelProto(doc_string=",".join(name for name in self.harms if name not in stay))

    def measure(self, model: bytes) -> Paired:
        quantized = onnx.load_from_string(model).doc_string
        self.tried.append(quantized)
        harm = sum(self.harms[name] ** 2 for name in quantized.split(",") if name) ** 0.5
        # Two pictures far apart, none of which changes places.
        return Paired(
            (np.array([-1.0, 1.0]), np.array([-1.0 - harm, 1.0 + harm])), (np.full(9, 99.0), np.full(9, 99.0))
        )


def search(fake: Harmed) -> tuple[str, ...]:
    _, stay = find_float_layers(fake, fake, fake, MOST_LOSS)  # type: ignore[arg-type]
    return stay


def test_as_few_layers_stay_float_as_it_takes() -> None:
    names = [f"layer {number:02d}" for number in range(32)]
    harms = dict.fromkeys(names, 0.02)
    assert search(fake := Harmed(harms)) == () and len(fake.tried) == 1, "nothing to look for"
    harms |= {names[3]: 2.0, names[20]: 0.9, names[7]: 0.5, names[31]: 0.3}
    limit = MOST_DISPLACEMENT * (11 / 2) ** 0.5  # of two good pictures in eleven, as `Harmed` has them
    assert (28 * 0.02**2 + 0.3**2) ** 0.5 < limit < (28 * 0.02**2 + 0.3**2 + 0.5**2) ** 0.5
    assert search(fake := Harmed(harms)) == (names[3], names[20], names[7])
    assert len(fake.tried) <= 1 + 32 + 2 * 6, "each layer once, and bisection in two orders"


def test_what_is_cheap_goes_back_first_and_never_more_than_half() -> None:
    layers = tuple(Layer(name, name, 10 * count) for name, count in (("large", 10), ("small", 1), ("calm", 11)))
    harms = {"large": 0.5, "small": 0.4, "calm": 0.01}
    orders = [[layer.name for layer in order] for order in give_back_orders(layers, harms)]
    assert orders == [["small", "large"], ["large", "small"]], "a third would be more than half"
    assert search(Harmed(dict.fromkeys("abcdefgh", 1.0))) == ("a", "b", "c", "d"), "does not help, and goes no further"
    assert search(Harmed({"a": 5.0}, {"a": 1})) == ()


def test_one_large_layer_that_does_the_harm_goes_alone() -> None:
    """By harm for each multiplication, all the small ones would have to go before it."""
    small = {f"small {number}": 0.05 for number in range(12)}
    counts = dict.fromkeys(small, 1) | {"large": 1000, "calm": 2000}
    assert search(Harmed(small | {"large": 0.6, "calm": 0.0}, counts)) == ("large",)
    harms = dict.fromkeys(small, 0.3) | {"large": 0.46, "calm": 0.0}
    assert search(Harmed(harms, counts)) == tuple(small), "nor does it go where the small ones suffice"

import numpy as np
import pytest

from aae_detect.errors import FrameError
from aae_detect.preprocess import to_bgr8

COLOUR = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)


def test_bgr_passes_untouched() -> None:
    assert to_bgr8(COLOUR) is COLOUR


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_gray_becomes_three_equal_channels(shape: tuple[int, ...]) -> None:
    gray = COLOUR[:, :, 0].reshape(shape)
    result = to_bgr8(gray)
    assert result.shape == (5, 7, 3)
    assert (result == COLOUR[:, :, :1]).all()


def test_alpha_is_dropped() -> None:
    bgra = np.dstack([COLOUR, np.full((5, 7), 99, np.uint8)])
    assert (to_bgr8(bgra) == COLOUR).all()


@pytest.mark.parametrize(("bits", "top"), [(None, 65535), (16, 65535), (12, 4095), (10, 1023)])
def test_sixteen_bit_is_scaled_by_the_declared_depth(bits: int | None, top: int) -> None:
    frame = np.array([[0, top // 2, top]], np.uint16)
    assert to_bgr8(frame, bits)[0, :, 0].tolist() == [0, 127, 255]


def test_depth_comes_from_the_declaration_not_from_the_content() -> None:
    """A dark 16-bit frame stays dark, though all its values would fit into eight bits."""
    assert (to_bgr8(np.full((4, 4), 200, np.uint16)) == 1).all()


def test_more_than_the_declared_depth_saturates() -> None:
    assert (to_bgr8(np.full((2, 2), 5000, np.uint16), bits=12) == 255).all()


def test_views_are_made_contiguous() -> None:
    assert to_bgr8(COLOUR[:, ::2]).flags.c_contiguous


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, "NoneType"),
        ([[1, 2]], "list"),
        (np.zeros((0, 5, 3), np.uint8), "empty"),
        (np.zeros((4, 4, 3), np.float32), "float32"),
        (np.full((4, 4, 3), np.nan), "float64"),
        (np.zeros((4, 4, 3), np.int16), "int16"),
        (np.zeros((4, 4, 3), bool), "bool"),
        (np.zeros((4, 4, 2), np.uint8), "shape"),
        (np.zeros((4, 4, 5), np.uint8), "shape"),
        (np.zeros(4, np.uint8), "shape"),
        (np.zeros((1, 4, 4, 3), np.uint8), "shape"),
    ],
)
def test_what_is_no_picture_is_refused(frame: object, message: str) -> None:
    with pytest.raises(FrameError, match=message):
        to_bgr8(frame)

"""What the sheet of `aae-generate` shows: samples, ways between them, and what becomes of one picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from aae_detect.generate.generator import Generator, interpolate
from aae_detect.generate.reconstructor import Reconstructor
from aae_detect.generate.sheet import GAP, WIDTH, Section, arrange, cell_size, draw_sheet, thumbnail
from aae_detect.part_file import PartNote

COLUMNS = 8
"""Steps of an interpolation; and the picture with its reconstructions, so that both make equal rows."""

MOST_WAYS = 4
DRAWS = COLUMNS - 2
"""Reconstructions with noise, beside the picture and its reconstruction without."""

_SAMPLES_HEIGHT = 900
_ROW_HEIGHT = 200


def samples_section(generator: Generator, count: int, seed: int) -> Section:
    """Show samples from the prior, row by row."""
    note = generator.model.note
    columns, size_hw = arrange(count, note.input_hw, _SAMPLES_HEIGHT)
    cells = [thumbnail(picture, size_hw) for picture in generator.draw(generator.codes(count, seed))]
    title = f"{count} {'sample' if count == 1 else 'samples'} from the prior"
    text = "Parts that the model makes up, with no picture to go by."
    if note.latent_chw[1:] != (1, 1):
        text += " Every place of the code is drawn on its own: judge what fits in one spot, not the part as a whole."
    return Section(title, text, cells, columns)


def ways_section(generator: Generator, count: int, seed: int) -> Section:
    """Show ways from one sample to the next one, between as many of those shown as make up to `MOST_WAYS` rows."""
    ways = min(MOST_WAYS, max(1, count // 2))
    codes = generator.codes(2 * ways, seed)
    size_hw = _row_cell(generator.model.note)
    cells: list[NDArray[np.uint8]] = []
    captions: list[str] = []
    for way in range(ways):
        first, last = 2 * way, 2 * way + 1
        steps = interpolate(codes[first], codes[last], COLUMNS, generator.prior.kind)
        cells += [thumbnail(picture, size_hw) for picture in generator.draw(steps)]
        captions += [f"sample {first + 1}", *[""] * (COLUMNS - 2), f"sample {last + 1}"]
    if generator.prior.kind == "normal":
        note = "Along an arc on which every point is itself distributed as the prior: each picture is a sample, too."
    else:
        note = "Along a straight line: where the prior has a gap on the way, a picture may be no part."
    return Section("From one sample to another", note, cells, COLUMNS, captions)


def picture_section(reconstructor: Reconstructor, picture: NDArray[np.uint8], name: str, seed: int) -> Section:
    """Show a prepared picture and what becomes of it."""
    pictures = [picture, reconstructor.reconstruct(picture)]
    captions, title = ["picture", "reconstruction"], f"{name} and its reconstruction"
    note = "The encoder is deterministic: one picture has one reconstruction."
    if reconstructor.stochastic:
        pictures += reconstructor.draw(picture, reconstructor.noise(DRAWS, seed))
        title = f"{name} and its reconstructions"
        captions = ["picture", "without noise", *(f"noise {number + 1}" for number in range(DRAWS))]
        note = (
            "The encoder is stochastic: other noise, other reconstruction. Where they differ, the model takes more "
            "than one look for good. Detection uses the one without noise."
        )
    size_hw = _row_cell(reconstructor.encoder.note)
    cells = [thumbnail(each, size_hw) for each in pictures]
    return Section(title, note, cells, COLUMNS, captions)


def draw_contents(note: PartNote, seed: int, sections: Sequence[Section]) -> NDArray[np.uint8]:
    """Draw the sheet of a model.

    Args:
        note: The generator's.
        seed: For the facts at the top.
        sections: From top to bottom.

    Returns:
        HxWx3 uint8 BGR.
    """
    numbers, down, across = note.latent_chw
    places = "" if down == across == 1 else f" in each of {down} x {across} places"
    facts = (
        f"family {note.family},  prior {note.prior},  {numbers} numbers{places},  drawn with {note.drawn_hw[1]} x "
        f"{note.drawn_hw[0]} pixels,  weights {note.weights_sha256[:12]},  seed {seed}"
    )
    return draw_sheet("What the model believes a good part looks like", facts, sections)


def _row_cell(note: PartNote) -> tuple[int, int]:
    """Size of a cell where `COLUMNS` of them make a row."""
    return cell_size(note.input_hw, (_ROW_HEIGHT, (WIDTH + GAP) // COLUMNS - GAP))

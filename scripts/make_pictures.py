"""Draws the README's pictures from the demo camera and the shipped model.

usage: python scripts/make_pictures.py [FOLDER]        writes overlay.jpg into FOLDER, docs by default
"""

from __future__ import annotations

from pathlib import Path

import click
import cv2
import numpy as np

from aae_detect import DemoCamera, Detector, annotate
from aae_detect.app import demo_model_path

SEED = 12
KINDS = ("missing_hole", "stain", "dent", "scratch")


@click.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path), default=Path(__file__).parents[1] / "docs")
def main(folder: Path) -> None:
    """Draw two by two overlays: for each kind of defect the first part of it that stands whole in the middle."""
    folder.mkdir(exist_ok=True)
    camera = DemoCamera(SEED, defect_rate=0.5)
    detector = Detector.load(demo_model_path(), provider="cpu")
    found: dict[str, np.ndarray] = {}
    for index in range(5000):
        for part in camera.truth(index).parts:
            middle = part.box_xywh[0] + part.box_xywh[2] / 2
            if part.defect and part.defect not in found and abs(middle - 230) < 16:
                image, _ = camera.render(index)
                found[part.defect] = annotate(image, detector(image), colour_scale=detector.colour_scale)
        if len(found) == len(KINDS):
            break
    tiles = [found[kind] for kind in KINDS]
    picture = np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])
    (folder / "overlay.jpg").write_bytes(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88])[1].tobytes())
    print(folder / "overlay.jpg")


if __name__ == "__main__":
    main()

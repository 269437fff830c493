"""From trained weights to a detector: statistics per place, threshold, contact sheet, metrics."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from copy import deepcopy
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aae_detect import __version__
from aae_detect.prior import Prior
from aae_detect.spec import GoldenSample
from aae_detect.threshold import Threshold, colour_scale, conformal_threshold
from aae_train.augment import cut_tile
from aae_train.checkpoint import read_tensors
from aae_train.chunks import in_chunks
from aae_train.compute import to_pictures, uses_bf16
from aae_train.config import TrainConfig
from aae_train.detector import Detector, make_detector, measure_evidence
from aae_train.evidence_statistics import Statistics
from aae_train.families import make_model
from aae_train.family import GenerativeModel
from aae_train.figures import Sample, contact_sheet
from aae_train.golden_answer import make_golden
from aae_train.health import Health, examine
from aae_train.held_out import Calibrated, Detect, HeldOut, detect_by
from aae_train.judge import Judge
from aae_train.loader import Store
from aae_train.players import count_parameters
from aae_train.run_folder import build_graph, fold_file
from aae_train.split import Split
from aae_train.stage import Progress

_SAMPLES = 12
_LATENT_PICTURES = 64
_CUT_STREAM = 10
"""Keeps the places of the tiles that are looked at here apart from those of the steps."""


class Finisher:
    """Measures the shipped model on pictures that it did not learn from."""

    def __init__(
        self, config: TrainConfig, out: Path, store: Store, names: Sequence[str], split: Split, device: torch.device
    ) -> None:
        """Take what the run knows.

        Args:
            config: Of the run.
            out: The run folder.
            store: All pictures, by number.
            names: A name for each.
            split: Who does what.
            device: Where the networks are.
        """
        self._config, self._out, self._device = config, out, device
        self._store, self._names, self._split = store, names, split

    def calibrate(self, detector: Detector, odd: Collection[int] = ()) -> Calibrated:
        """Fit the statistics per place and set the threshold; `odd` are pictures that were called odd before."""
        statistics, held_out = self._cross_fit() if self._split.folds else self._held_back(detector)
        scores = np.concatenate([group.scores for group in held_out])
        is_odd = np.asarray([number in odd for group in held_out for number in group.numbers])
        threshold = conformal_threshold(scores, self._config.target_frr, self._split.method, is_odd)
        learned = () if self._split.folds else self._split.train
        return Calibrated(self._detect_by(detector, statistics), statistics, threshold, tuple(held_out), learned)

    def examine(self, model: GenerativeModel, prior: Prior, progress: Progress) -> Health:
        """Look for the ways in which generative models fail; of one that learned on tiles, by tiles."""
        images = self._latent_pictures()
        return examine(self._as_taught(model), prior, images, progress.history, self._config.seed)

    def metrics(
        self, model: GenerativeModel, threshold: Threshold, progress: Progress, health: Health
    ) -> dict[str, Any]:
        """Return what `metrics.json` says of the model; the run adds what it alone knows."""
        split = self._split
        return {
            "model": self._config.model,
            "encoder": self._config.encoder,
            "prior": self._config.prior,
            "latent_chw": model.decoder.latent_chw,
            "head": self._config.head,
            "parameters": count_parameters([model.encoder, model.decoder]),
            "pictures": {
                "train": len(split.train),
                "select": len(split.select),
                "calibrate": len(split.calibrate),
                "folds": [len(fold) for fold in split.folds],
            },
            "steps": progress.step,
            "device": str(self._device),
            "bf16": uses_bf16(self._device, self._config.precision),
            "select_score": progress.best_score,
            "chosen_step": progress.best_step or progress.step,
            "threshold": threshold.value,
            "calibration": {k: v for k, v in asdict(threshold.calibration).items() if k != "scores"},
            "latent": self._latent_summary(model),
            "health": health.to_dict(),
            "versions": {"aae-detect": __version__, "torch": torch.__version__, "numpy": version("numpy")},
            "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }

    def golden(self, detector: Detector, statistics: Statistics) -> GoldenSample:
        """Have the model that is written judge a picture, as whoever reads it will: on a CPU, in fp32."""
        number = (self._split.select or self._split.train)[0]
        centre, spread = torch.from_numpy(statistics.centre), torch.from_numpy(statistics.spread)
        return make_golden(
            build_graph(deepcopy(detector).cpu(), centre, spread, self._config.inside), self._store[number]
        )

    def _held_back(self, detector: Detector) -> tuple[Statistics, list[HeldOut]]:
        """Statistics from the select pictures, scores of the calibrate pictures, which nothing else touched."""
        statistics = detector.judge.standards(self._evidence(detector, self._split.select))
        scores = self._scores(detector, statistics, self._split.calibrate)
        return statistics, [HeldOut(self._detect_by(detector, statistics), self._split.calibrate, scores)]

    def _cross_fit(self) -> tuple[Statistics, list[HeldOut]]:
        """Statistics and scores of pictures by the models that did not learn them.

        Each picture's evidence comes from the model of its fold, and is standardised by the statistics of the other
        folds' pictures, so that it took no part in anything that it is scored by.
        """
        detectors, folds = [], []
        for number, fold in enumerate(self._split.folds, start=1):
            detector = make_detector(self._config).to(self._device)
            detector.load_state_dict(read_tensors(fold_file(self._out, f"fold-{number}"))[0])
            detectors.append(detector.eval())
            folds.append(self._evidence(detector, fold))
        held_out = []
        for number, fold in enumerate(self._split.folds):
            evidence = np.concatenate([evidence for k, evidence in enumerate(folds) if k != number])
            detector = detectors[number]
            others = detector.judge.standards(evidence)
            scores = _scores(detector.judge, others, folds[number])
            held_out.append(HeldOut(self._detect_by(detector, others), fold, scores))
        return detectors[0].judge.standards(np.concatenate(folds)), held_out

    def _detect_by(self, detector: Detector, statistics: Statistics) -> Detect:
        """Make a function of the detector that networks and statistics make."""
        centre, spread = (torch.from_numpy(a).to(self._device) for a in (statistics.centre, statistics.spread))
        return detect_by(build_graph(detector, centre, spread, self._config.inside).to(self._device))

    def _evidence(self, detector: Detector, numbers: Sequence[int]) -> NDArray[np.float32]:
        return measure_evidence(detector, self._images(numbers), self._config.inside)

    def _scores(self, detector: Detector, statistics: Statistics, numbers: Sequence[int]) -> NDArray[np.float32]:
        """Score pictures a few at a time: neither the pictures nor their evidence need fit into memory together."""
        chunks = in_chunks(self._images(numbers))
        evidence = (measure_evidence(detector, chunk, self._config.inside) for chunk in chunks)
        return np.concatenate([_scores(detector.judge, statistics, measured) for measured in evidence])

    def _images(self, numbers: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
        return (self._store[number] for number in numbers)

    def _as_taught(self, model: GenerativeModel) -> GenerativeModel:
        """Return a model that takes what it learned on: the same one, or one of the size of a tile."""
        side = self._config.tile
        if side is None:
            return model
        small = make_model(replace(self._config, input_hw=(side, side))).to(self._device)
        small.load_state_dict(model.state_dict())
        return small.requires_grad_(False)

    def _latent_pictures(self) -> NDArray[np.uint8]:
        """Stack good pictures, or a tile of each: a whole model says of a place what it says of a tile around it."""
        rng = np.random.default_rng([self._config.seed, _CUT_STREAM])
        numbers = (self._split.calibrate or self._split.train)[:_LATENT_PICTURES]
        return np.stack([cut_tile(image, self._config.tile, rng) for image in self._images(numbers)])

    def draw_contact_sheet(self, calibrated: Calibrated) -> None:
        """Draw held-back good pictures beside what the model makes of them; a cross-fit has only learned ones."""
        held_back = self._split.calibrate or self._split.train
        chosen = [held_back[i] for i in np.linspace(0, len(held_back) - 1, min(_SAMPLES, len(held_back))).astype(int)]
        images = np.stack(list(self._images(chosen)))
        maps, scores, drawn = calibrated.detect(images)
        samples = [
            Sample(image, drawing, anomaly_map, float(score), Path(self._names[number]).name)
            for image, drawing, anomaly_map, score, number in zip(images, drawn, maps, scores, chosen, strict=True)
        ]
        threshold = calibrated.threshold.value
        contact_sheet(samples, self._out / "contact_sheet.png", colour_scale(threshold), threshold)

    @torch.no_grad()
    def _latent_summary(self, model: GenerativeModel) -> dict[str, float]:
        """How the codes of good pictures compare with the prior, which has mean 0 and standard deviation 1."""
        chunks = in_chunks(self._latent_pictures())
        encoder = self._as_taught(model).encoder
        codes = torch.cat([encoder(to_pictures(chunk, self._device)).float() for chunk in chunks])
        return {"mean": float(codes.mean()), "standard_deviation": float(codes.std())}


def _scores(judge: Judge, statistics: Statistics, evidence: NDArray[np.float32]) -> NDArray[np.float32]:
    maps: NDArray[np.float32] = judge.combine(torch.from_numpy(statistics.standardise(evidence))).numpy()
    scores: NDArray[np.float32] = maps.max(axis=(1, 2))
    return scores

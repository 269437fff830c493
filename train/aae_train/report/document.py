"""RUN/report.html: everything that a person needs to decide whether to trust a model, in one file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aae_detect.whole_file import write_whole
from aae_train.config import GRID, TrainConfig
from aae_train.odd import ODD
from aae_train.report.labelled import judge_labelled
from aae_train.report.labels_section import labels_section
from aae_train.report.measure import (
    Examined,
    Scored,
    score_defects,
    score_good,
    scores_of,
    show,
    spread_evenly,
)
from aae_train.report.opinion import HEADLINES, Opinion, form_opinion
from aae_train.report.page import duration, facts, image, note, page, png_uri, text, warnings_box
from aae_train.report.scores_section import scores_section
from aae_train.report.style import CSS
from aae_train.report.tiles import ORDER_NOTE, plain_tiles, tiles
from aae_train.run_folder import REPORT_FILE
from aae_train.smallest_spot import tell_smallest_spot

_GOOD_EACH, _DEFECTS = 4, 8


def write_report(metrics: Mapping[str, Any], examined: Examined) -> Path:
    """Write the report of a run.

    Args:
        metrics: As `metrics.json` holds them, with `warnings`.
        examined: The run. Its folder's `training_curves.png` goes into the report where there is one.

    Returns:
        The file.

    Raises:
        ConfigError: a picture of the run is gone, or the file cannot be written.
    """
    config, calibrated = examined.config, examined.calibrated
    threshold = calibrated.threshold
    good = score_good(calibrated.held_out)
    defects = score_defects(calibrated.held_out, examined.store)
    labelled = judge_labelled(config, calibrated.detect)
    warnings = [_without_paths(warning, config) for warning in metrics["warnings"]]
    opinion = form_opinion(threshold.calibration, threshold.value, scores_of(defects), labelled, warnings)
    title = f"{examined.out.resolve().name}: a model of {Path(config.data).name}"
    body = [
        f"<header><h1>{text(title)}</h1></header>",
        _opinion(opinion),
        warnings_box("The run gave warnings", [text(warning) for warning in warnings]),
        facts(_facts(metrics, config)),
        *scores_section(good, defects, examined),
        *_defects(defects, examined),
        *_good(good, examined),
        *_odd(examined),
        *labels_section(labelled, examined),
        *_curves(examined.out / "training_curves.png"),
    ]
    path = examined.out / REPORT_FILE
    write_whole(path, page(title, CSS, body))
    return path


def _opinion(opinion: Opinion) -> str:
    reasons = f" {'; '.join(opinion.reasons)}." if opinion.reasons else ""
    reasons = reasons[:1] + reasons[1:2].upper() + reasons[2:]
    sentences = "".join(f"<p>{text(sentence)}</p>" for sentence in opinion.sentences)
    return (
        f'<section class="verdict {opinion.level}"><p><strong>{text(HEADLINES[opinion.level])}</strong>'
        f"{text(reasons)}</p>{sentences}</section>"
    )


def _facts(metrics: Mapping[str, Any], config: TrainConfig) -> dict[str, str]:
    pictures = metrics["pictures"]
    if pictures["folds"]:
        used = f"{pictures['train']}, all train; {len(pictures['folds'])}-fold cross-fit for statistics and threshold"
    else:
        used = (
            f"{pictures['train']} train, {pictures['select']} choose the checkpoint, {pictures['calibrate']} set the "
            "threshold"
        )
    skipped = f"; {pictures['skipped']} left out, unreadable" if pictures.get("skipped") else ""
    height, width = config.input_hw
    code = f"{'grid' if config.latent == GRID else 'vector'} code of {config.latent_dim}"
    chosen = "" if metrics["select_score"] is None else f"; step {metrics['chosen_step']} chosen"
    folds = len(pictures["folds"])
    models = f" for each of {folds + 1} models" if folds else ""
    if folds and config.minutes is not None:
        models = f" of the model that ships in half of the time, the other half for {folds} that set the threshold"
    return {
        "data": Path(config.data).name,
        "good pictures": used + skipped,
        "model": f"{metrics['model']}, {metrics['encoder']} encoder, {code}, {metrics['prior']} prior, "
        f"{'no' if config.head == 'none' else config.head} head, "
        f"{metrics['parameters'] / 1e6:.2f} M parameters",
        "input": f"{height}x{width} pixels (height x width), {config.fit}",
        "smallest spot": f"finds {tell_smallest_spot(metrics['smallest_spot'])}",
        "training": f"{metrics['steps']} steps{models}, batch {config.batch_size}, "
        f"{duration(metrics['training_seconds'])} in all on {metrics['device']}{chosen}",
        "date": f"{metrics['date'][:10]} {metrics['date'][11:16]}, aae-detect {metrics['versions']['aae-detect']}, "
        f"seed {config.seed}",
    }


def _defects(defects: Sequence[Scored], examined: Examined) -> list[str]:
    shown = [show(scored, examined) for scored in spread_evenly(defects, _DEFECTS)[::-1]]
    which = f"All {len(shown)}, lowest score first"
    if len(shown) < len(defects):
        which = f"{len(shown)} of the {len(defects)}, evenly from the lowest score to the highest, so that missed ones "
        which += "are shown as often as they happen"
    return [
        "<h2>Synthetic defects</h2>",
        note(
            f"{which}. The defect is outlined in magenta. Many are faint or tiny on purpose; real "
            f"defects look different: try some of yours before you rely on the model. {ORDER_NOTE}"
        ),
        tiles(shown, examined.calibrated.threshold.value),
    ]


def _good(good: Sequence[Scored], examined: Examined) -> list[str]:
    worst = good[: max(1, min(_GOOD_EACH, len(good) // 2))]
    best = good[len(worst) :][-_GOOD_EACH:]
    folds = len(examined.calibrated.held_out)
    how = (
        f"Pictures are few, so {folds} models were trained beside the one that ships, each without a part of them; a "
        "picture is shown here with what the model makes of it that did not learn it. "
        if examined.calibrated.threshold.calibration.method == "cross-fit"
        else "The model did not learn from these pictures. "
    )
    return [
        "<h2>Good pictures</h2>",
        note(
            f"{how}Is one of the worst really defective? Take it out of the folder and train again. Is something wrong "
            "with many of them, such as another light or position? Add more good pictures of that kind."
        ),
        '<div class="pair">',
        *_row("Highest scores: least like the others", worst, examined),
        *_row("Lowest scores: most like the others", best, examined),
        "</div>",
    ]


def _row(title: str, chosen: Sequence[Scored], examined: Examined) -> list[str]:
    if not chosen:
        return []
    threshold = examined.calibrated.threshold.value
    shown = tiles([show(scored, examined) for scored in chosen], threshold)
    return [f"<div><h3>{text(title)}</h3>{shown}</div>"]


def _odd(examined: Examined) -> list[str]:
    odd = examined.odd
    if not odd.numbers:
        return []
    pictures = [
        (
            examined.store[number],
            f'<span class="{"ng" if far >= ODD else "ok"}">{far:.1f}</span> {text(examined.names[number])}',
        )
        for number, far in list(zip(odd.numbers, odd.oddness, strict=True))[:_DEFECTS]
    ]
    count = len(odd.named)
    found = f"{count} of them deserve{'s' * (count == 1)} a look" if count else "None of them stands out"
    return [
        "<h2>Good pictures least like the others</h2>",
        note(
            f"All {len(odd.numbers)} of them, compared with each other, and seen by the detector. {found}: the number "
            f"is how far a picture lies from the others in either, in standard deviations, and {ODD:g} is far. What is "
            "defective among them teaches the model that such defects are good: take it out and train again."
        ),
        plain_tiles(pictures),
    ]


def _curves(path: Path) -> list[str]:
    if not path.is_file():
        return []
    return [
        "<h2>Training curves</h2>",
        note(
            "Reconstruction and the head's loss should fall and level off; select score, where it is measured, "
            "should rise."
        ),
        f'<figure class="curves">{image(png_uri(path.read_bytes()), "training curves")}</figure>',
    ]


def _without_paths(warning: str, config: TrainConfig) -> str:
    """Return a warning that names pictures within the data folder, not where on a machine that folder lies."""
    return warning.replace(f"{config.data}/", "").replace(config.data, Path(config.data).name)

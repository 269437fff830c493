"""`aae-train`: a folder of good pictures in, a run folder out."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from aae_detect import __version__
from aae_detect.cli_errors import cli_errors

# Idle threads must sleep: where anything else runs on the machine, threads that wait by spinning make a training step
# take several times as long. Read when torch is loaded; what the user has set stays.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from aae_train.config import Device, TrainConfig
    from aae_train.processes import Processes

DEFAULT_STEPS = 2000
_FIELDS = {"size": "input_hw"}
"""Options that have another name in `TrainConfig`."""

_EPILOG = """\b
Examples:
  aae-train photos/good                      a run in runs/good-1
  aae-train mvtec/bottle --minutes 15        MVTec AD layout: learns from train/good only
  aae-train photos/good --model gan --latent 64
  aae-train photos/good --encoder gaussian --prior mixture:10
  torchrun --nproc-per-node 2 -m aae_train.cli photos/good --batch-size 16
  aae-train photos/good --dry-run            checks pictures and settings, trains nothing
  aae-train photos/good --out runs/good-1 --resume

\b
Exit codes: 0 done; 2 wrong usage or pictures; 130 stopped by Ctrl-C (continue with --resume); 1 anything else.
"""


class _Size(click.ParamType[tuple[int, int]]):
    """N or HxW."""

    name = "N|HxW"

    def convert(
        self, value: str | tuple[int, int], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        sides = value.lower().split("x")
        if len(sides) > 2 or not all(side.isdecimal() for side in sides):
            self.fail(f"{value!r} is neither a number (256) nor height x width (256x320)", param, ctx)
        return int(sides[0]), int(sides[-1])


@click.command(epilog=_EPILOG, context_settings={"max_content_width": 100})
@click.argument("data", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), metavar="RUN", help="Run folder.  [default: runs/NAME-N]")
@click.option(
    "--model",
    type=click.Choice(["aae", "wae-mmd", "vae", "gan", "gmmn", "gmmn-ae"]),
    default="aae",
    show_default=True,
    help="Model family.",
)
@click.option(
    "--encoder",
    type=click.Choice(["deterministic", "gaussian", "universal"]),
    help="How a picture becomes a code, where the family leaves a choice.  [default: deterministic; vae: gaussian]",
)
@click.option(
    "--prior",
    default="normal",
    show_default=True,
    metavar="NAME",
    help="What codes are held to: normal, uniform, mixture:K or swiss-roll.",
)
@click.option(
    "--latent",
    metavar="grid|DIM",
    help="A code for each 16x16 pixels, or one vector of DIM numbers.  [default: grid; gan, gmmn, gmmn-ae: 64]",
)
@click.option(
    "--head",
    type=click.Choice(["unet", "none"]),
    default="unet",
    show_default=True,
    help="What looks at picture and drawing: a network trained on synthetic defects, or only their difference.",
)
@click.option(
    "--start",
    type=click.Choice(["drawn", "scratch"]),
    default="drawn",
    show_default=True,
    help="First weights: taught on pictures that this project has drawn itself, or by chance.",
)
@click.option(
    "--adversarial-loss",
    type=click.Choice(["relativistic", "non-saturating"]),
    default="relativistic",
    show_default=True,
    help="Of aae and gan: the stable one, with penalties, or that of the first GAN.",
)
@click.option(
    "--size",
    type=_Size(),
    metavar="N|HxW",
    default="256",
    show_default=True,
    help="Model input, pixels, multiples of 32; HxW is height x width.",
)
@click.option(
    "--tile",
    type=click.IntRange(min=32),
    metavar="N",
    help="Learn from tiles of N x N pixels, so that pictures may stay large: for tiny defects. --size is then that of "
    "the pictures, unless given.",
)
@click.option(
    "--fit",
    type=click.Choice(["stretch", "letterbox", "crop"]),
    default="stretch",
    show_default=True,
    help="How a picture is put into the model's input; recorded in the model.",
)
@click.option("--bits", type=click.Choice(["10", "12", "16"]), help="Depth that 16-bit pictures carry.  [default: 16]")
@click.option(
    "--mask",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Look only here: polygons (.json, by aae-roi), or a picture that is black elsewhere; part of the model then.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Training steps of each model.  [default: 2000]")
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), help="Training time in all, instead of --steps."
)
@click.option("--batch-size", type=click.IntRange(1, 1024), default=8, show_default=True)
@click.option(
    "--lr", type=click.FloatRange(0, 1, True, True), default=2e-3, show_default=True, help="Peak learning rate."
)
@click.option(
    "--target-frr",
    type=click.FloatRange(0, 1, True, True),
    default=0.01,
    show_default=True,
    help="Share of good parts that the threshold may reject.",
)
@click.option("--seed", type=click.IntRange(0, 2**29 - 1), default=0, show_default=True)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="auto",
    show_default=True,
    help="Of the networks in training; auto takes bf16 where the hardware has it.",
)
@click.option("--skip-unreadable", is_flag=True, help="Leave out pictures that cannot be read, instead of refusing.")
@click.option("--resume", is_flag=True, help="Continue the run in --out, or the newest one of DATA.")
@click.option("--dry-run", is_flag=True, help="Check pictures and settings, say what would be done, write nothing.")
@click.version_option(__version__, prog_name="aae-train")
def main(
    data: Path,
    out: Path | None,
    model: str,
    encoder: str | None,
    prior: str,
    latent: str | None,
    head: str,
    start: str,
    adversarial_loss: str,
    size: tuple[int, int],
    tile: int | None,
    fit: str,
    bits: str | None,
    mask: Path | None,
    steps: int | None,
    minutes: float | None,
    batch_size: int,
    lr: float,
    target_frr: float,
    seed: int,
    device: str,
    precision: str,
    skip_unreadable: bool,
    resume: bool,
    dry_run: bool,
) -> None:
    """Train a model on the good pictures in DATA.

    DATA is a folder of good pictures, at any depth, or a folder in MVTec AD layout, of which train/good is used (and
    validation/good, where there is one, to set the threshold). RUN then holds the model and report.html, which says
    whether to trust it (labelled pictures in DATA/test are judged there, after all is chosen); `aae-export RUN` makes
    the detector of it.
    """
    context = click.get_current_context()
    typed = {name for name in context.params if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    with cli_errors():
        from aae_train.config import TrainConfig

        config = TrainConfig(
            data=str(data.resolve()),
            model=model,
            encoder=encoder,  # type: ignore[arg-type]  # click.Choice holds it to the names
            prior=prior,
            latent=latent,
            head=head,  # type: ignore[arg-type]
            start=start,  # type: ignore[arg-type]
            adversarial_loss=adversarial_loss,  # type: ignore[arg-type]
            # The pictures' own size is known when they have been found, see `_settle`.
            input_hw=size if tile is None or "size" in typed else (tile, tile),
            tile=tile,
            fit=fit,  # type: ignore[arg-type]
            bits=int(bits) if bits else None,
            seed=seed,
            steps=DEFAULT_STEPS if steps is None and minutes is None else steps,
            minutes=minutes,
            batch_size=batch_size,
            lr=lr,
            target_frr=target_frr,
            device=device,  # type: ignore[arg-type]
            precision=precision,  # type: ignore[arg-type]
            skip_unreadable=skip_unreadable,
        )
        fields = {_FIELDS.get(name, name) for name in typed - {"out", "resume", "dry_run"}}
        sys.exit(_run(_Asked(config, frozenset(fields), data, mask, out, resume, dry_run)))


@dataclass(frozen=True)
class _Asked:
    """What the command line says."""

    config: TrainConfig
    typed: frozenset[str]
    """Fields of `config` that the user gave, instead of leaving them as they are."""

    data: Path
    mask: Path | None
    out: Path | None
    resume: bool
    dry_run: bool

    @property
    def begins(self) -> bool:
        """Whether a folder is made for a new run, which is to go again where nothing comes of it."""
        return not self.resume and not self.dry_run and (self.out is None or not self.out.exists())


def _run(asked: _Asked) -> int:
    from aae_detect.errors import AaeDetectError
    from aae_train.processes import Processes, ProcessLost

    processes = Processes(_begun_device(asked) if asked.resume else asked.config.device)
    try:
        code = _train(processes, asked)
    except ProcessLost as error:
        if processes.tells(error):
            click.ClickException(str(error)).show()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(error.exit_code)  # an orderly end would wait for those who are gone
    except AaeDetectError as error:
        processes.leave()
        if processes.tells(error):
            raise
        return error.exit_code
    processes.leave()
    return code


def _begun_device(asked: _Asked) -> Device:
    """Return where the run that goes on computes: the processes join before their leader tells them its settings."""
    from aae_detect.errors import ConfigError
    from aae_train.run_folder import newest_run_folder

    with suppress(ConfigError):  # not here, but on the leader's machine; or nowhere, as `_settle` tells
        begun = asked.out if asked.out is not None else newest_run_folder(asked.data.resolve(), Path("runs"))
        return type(asked.config).load(begun).device
    return asked.config.device


def _train(processes: Processes, asked: _Asked) -> int:
    from aae_train.progress import ProgressBar, stop_on_interrupt
    from aae_train.run import Run
    from aae_train.run_words import closing_words, describe

    def say(text: str, warning: bool = False) -> None:
        if processes.leads:
            click.secho(f"warning: {text}" if warning else text, fg="yellow" if warning else None, err=warning)

    begins = asked.begins
    config, out, finished = processes.lead(lambda: _settle(asked))
    # The leader's settings hold for all; each machine has the pictures where its own command says.
    config = replace(config, data=str(asked.data.resolve()))
    if finished:
        say(f"{out} is finished; export it with `aae-export {out}`")
        return 0
    try:
        run = Run(config, out, lambda text: say(text, warning=True), processes)
    except BaseException:
        if begins and processes.leads:
            with suppress(OSError):  # only what is empty goes
                out.rmdir()
        raise
    say(describe(run))
    if asked.dry_run:
        say("dry run: nothing was written")
        return 0
    with stop_on_interrupt() as stop, ProgressBar(shown=processes.leads) as bar:
        finished = run.train(stop, bar.update)
    if not finished:
        command = "aae-train" if processes.count == 1 else "torchrun ... -m aae_train.cli"
        say(f"stopped and saved; continue with `{command} {asked.data} --out {out} --resume`")
        return 130
    if processes.leads:
        say(closing_words(run.out))
    return 0


def _settle(asked: _Asked) -> tuple[TrainConfig, Path, bool]:
    """Look at the run folder, or make it: return the settings that hold, the folder, and whether its run is finished.

    A dry run makes none.
    """
    from aae_detect.errors import ConfigError
    from aae_train.data_folder import find_pictures
    from aae_train.run_folder import (
        MODEL_FILE,
        check_new_folder,
        make_run_folder,
        new_run_folder,
        newest_run_folder,
        settings_to_resume,
    )
    from aae_train.tile import native_size

    config, data, mask, out = asked.config, asked.data, asked.mask, asked.out
    runs = Path("runs")
    if not asked.resume:
        if mask is not None:
            config = replace(config, mask=_read_mask(mask, config, data))
        if out is not None:
            check_new_folder(out)
        if config.tile is not None and "input_hw" not in asked.typed:
            config = replace(config, input_hw=native_size(find_pictures(data).good))
        if asked.dry_run:
            return config, out if out is not None else new_run_folder(data.resolve(), runs), False
        return config, make_run_folder(out, data.resolve(), runs), False
    if out is None:
        out = newest_run_folder(data.resolve(), runs)
    begun = settings_to_resume(out, config, set(asked.typed - {"mask"}))
    if mask is not None and _read_mask(mask, begun, data) != begun.mask:
        raise ConfigError(f"--resume: {mask} is not where the run looks; leave --mask out, or start a new run")
    return begun, out, (out / MODEL_FILE).is_file()


def _read_mask(path: Path, config: TrainConfig, data: Path) -> str:
    """Draw a mask in the model's input, as the settings hold it."""
    from aae_detect.frame_mask import read_mask
    from aae_detect.geometry import place
    from aae_train.picture_mask import encode_inside
    from aae_train.pictures import find_pictures, readable_sizes

    # Stretched, the input is the frame; otherwise all pictures must have the shape of the first one. Where none can be
    # read, the check that follows says so.
    size_hw = next(readable_sizes(find_pictures(data).good), config.input_hw)
    return encode_inside(read_mask(path).inside(config.input_hw, place(size_hw, config.input_hw, config.fit)))


if __name__ == "__main__":
    main()

"""Our detector beside anomalib's models: the same machine, the same threads, in turns, in one run.

usage: python benchmarks/peers.py --peer-python PYTHON --model detector.onnx --int8 detector.int8.onnx --json FILE

The peers need packages that must not be in our environment, so they run in a process of their own (`peer_worker.py`)
under the Python of theirs; README, "Beside the peers", says how to make it. While one process computes the other waits.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from aae_detect.bench.machine import describe_machine, list_versions
from aae_detect.bench.options import list_of
from aae_detect.bench.report import describe_model, to_json
from aae_detect.cli_errors import cli_errors
from aae_detect.errors import ConfigError
from aae_detect.model_file import ModelFile, read_model
from aae_detect.whole_file import check_target, write_whole
from peer_groups import FRAME_HW, Plan, measure
from peer_models import PEERS
from peer_turns import PeerError, PeerProcess

SIZE_HW = (256, 256)
"""Of the input that the bars are for."""

_EXAMPLES = """\b
Examples:
  python benchmarks/peers.py --peer-python peers/bin/python --model detector.onnx --int8 detector.int8.onnx \\
      --json benchmarks/results/peers.json --our-env .venv-demo --peer-env peers
  python benchmarks/peers.py --peer-python peers/bin/python --model detector.onnx --peers padim --json padim.json
"""


@click.command(epilog=_EXAMPLES)
@click.option(
    "--peer-python", metavar="PYTHON", required=True, help="Python of an environment with anomalib, OpenVINO."
)
@click.option("--model", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Our detector in fp32.")
@click.option("--int8", type=click.Path(path_type=Path), metavar="FILE", help="The same in int8.")
@click.option(
    "--json", "target", type=click.Path(path_type=Path), required=True, metavar="FILE", help="Result to write."
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, metavar="N", help="Of every model.")
@click.option(
    "--rounds", type=click.IntRange(1), default=7, show_default=True, metavar="N", help="Turns of each model."
)
@click.option("--block", "block_s", type=click.FloatRange(0, min_open=True), default=1.0, show_default=True,
              metavar="SECONDS", help="Length of a turn; slow models run twice.")  # fmt: skip
@click.option("--peers", callback=list_of(click.Choice(list(PEERS)).convert), default=",".join(PEERS),
              metavar="NAME,...", help=f"Some of {', '.join(PEERS)}.  [default: all]")  # fmt: skip
@click.option("--our-env", type=click.Path(path_type=Path), metavar="DIR", help="Environment with our device package.")
@click.option(
    "--peer-env", type=click.Path(path_type=Path), metavar="DIR", help="Environment that runs a peer's model."
)
@cli_errors()
def main(
    peer_python: str,
    model: Path,
    int8: Path | None,
    target: Path,
    threads: int,
    rounds: int,
    block_s: float,
    peers: tuple[str, ...],
    our_env: Path | None,
    peer_env: Path | None,
) -> None:
    """Measure our detector beside anomalib's models, at batch 1 and at the size of our model's input.

    Each peer gets random weights, which do not change the time, and runs in ONNX Runtime and in OpenVINO, and in
    OpenVINO also as NNCF quantizes it. Our graph runs as the device runs it. They take turns: round after round, each a
    block of runs after some that warm up. Ratios are taken round by round. Our own files run in OpenVINO as well.

    With --our-env and --peer-env the sizes of two environments are added: of all that lies in their site-packages.
    """
    check_target(target, "--json")
    own = [read_model(path) for path in (model, int8) if path is not None]
    check_own(own)
    document: dict[str, Any] = {
        "command": _command(model, int8, threads, rounds, block_s, peers),
        "date": time.strftime("%Y-%m-%d"),
        "machine": describe_machine(),
        "versions": {"ours": list_versions(), "peers": find_versions(peer_python)},
        "threads": threads,
        "batch": 1,
        "size_hw": list(own[0].spec.input_hw),
        "frame_hw": list(FRAME_HW),
        "measure": "milliseconds of one inference with all outputs; ratios are medians over rounds of each round's own",
        "models": [describe_model(each) for each in own],
    }
    if our_env is not None and peer_env is not None:
        document["site_packages_bytes"] = {"ours": installed_bytes(our_env), "peers": installed_bytes(peer_env)}
    elif our_env is not None or peer_env is not None:
        raise click.UsageError("--our-env and --peer-env belong together: one size alone says nothing")
    if own[0].spec.input_hw != SIZE_HW:
        click.echo(f"warning: the input is {own[0].spec.input_hw}, the bars are for {SIZE_HW}", err=True)
    plan = Plan(threads, rounds, block_s, peers, own[0].spec.input_hw)
    measure(partial(PeerProcess, peer_python), own, plan, document, lambda: write_whole(target, to_json(document)))
    for bar in document["bars"]:
        limit = f"at least {bar['at_least']:g}" if "at_least" in bar else f"at most {bar['at_most']:g}"
        found = "-" if bar["found"] is None else f"{bar['found']['median']:.2f}"
        click.echo(f"{bar['bar']}: {found}, {limit}: {bar['verdict']}")


def check_own(own: Sequence[ModelFile]) -> None:
    """Refuse files that were mixed up.

    Raises:
        ConfigError: a precision is not what its option says, or the sizes differ.
    """
    for model, option, precision in zip(own, ("--model", "--int8"), ("fp32", "int8"), strict=False):
        if model.spec.precision != precision:
            raise ConfigError(f"{option} {model.path} is in {model.spec.precision}, expected {precision}")
        if model.spec.input_hw != own[0].spec.input_hw:
            raise ConfigError(f"{model.path} takes {model.spec.input_hw}, {own[0].path} {own[0].spec.input_hw}; "
                              "expected the same model in two precisions")  # fmt: skip


def find_versions(python: str) -> dict[str, str]:
    """Return the versions in the peers' environment.

    Raises:
        ClickException: something is missing there, or it is no Python.
    """
    try:
        with PeerProcess(python) as process:
            answer = process.ask("hello")
    except PeerError as error:
        raise click.ClickException(f"--peer-python: {error}; see README, Beside the peers") from error
    if answer["missing"]:
        names = " ".join(answer["missing"])
        raise click.ClickException(
            f"the environment of --peer-python {python} lacks {names}; install it with `{python} -m pip install "
            f"{names}`, or make the whole environment as README, Beside the peers, says"
        )
    return dict(answer["versions"])


def installed_bytes(env: Path) -> int:
    """Add up the files in an environment's site-packages.

    Raises:
        ConfigError: it is no virtual environment.
    """
    folders = [*env.glob("lib/python3*/site-packages"), *env.glob("Lib/site-packages")]
    if not folders:
        raise ConfigError(f"{env} has no lib/python3*/site-packages; expected the folder of a virtual environment")
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.stat().st_size for path in files)


def _command(model: Path, int8: Path | None, threads: int, rounds: int, block_s: float, peers: tuple[str, ...]) -> str:
    """Return the command without what is this machine's alone."""
    precisions = f"--model {model.name}" + (f" --int8 {int8.name}" if int8 else "")
    return (
        f"python benchmarks/peers.py --peer-python PYTHON {precisions} --json FILE --threads {threads} "
        f"--rounds {rounds} --block {block_s:g} --peers {','.join(peers)}"
    )


if __name__ == "__main__":
    main()

import itertools
import os
import shutil
import threading
from pathlib import Path

import pytest
import torch

from aae_detect.errors import AaeDetectError, ConfigError
from aae_train.checkpoint import pack_training, read_tensors, unpack_training, write_tensors
from aae_train.config import TrainConfig
from aae_train.draw import Draw
from aae_train.families import make_model
from aae_train.family import GenerativeModel, Pictures
from aae_train.players import Players
from aae_train.processes import Processes


def test_tensors_and_notes_come_back(tmp_path: Path) -> None:
    tensors = {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(7, dtype=torch.uint8)}
    write_tensors(tmp_path / "x.safetensors", tensors, {"step": 3, "names": ["ä"]})
    read, notes = read_tensors(tmp_path / "x.safetensors")
    assert all(torch.equal(read[name], tensor) for name, tensor in tensors.items())
    assert notes == {"step": 3, "names": ["ä"]}
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]


def test_a_full_disk_is_named_and_not_filled_further(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="needs limits of files")
    path, (soft, hard) = tmp_path / "x.safetensors", resource.getrlimit(resource.RLIMIT_FSIZE)
    write_tensors(path, {"a": torch.zeros(2)}, {"step": 1})
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))  # no file may be larger: as good as a full disk
    try:
        with pytest.raises(AaeDetectError, match=r"x\.safetensors cannot be written .* is the disk of .* full"):
            write_tensors(path, {"a": torch.zeros(100_000)}, {"step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == [path]
    assert read_tensors(path)[1] == {"step": 1}


@pytest.mark.parametrize("content", [b"", b"{}", bytes(100), b"\x80\x04\x95pickle"])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ConfigError, match="not a file of aae-train or is damaged"):
        read_tensors(tmp_path / "x.safetensors")


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no file"):
        read_tensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("family", ["aae", "gan", "gmmn-ae"])
def test_training_goes_on_as_if_it_had_never_stopped(family: str) -> None:
    config = TrainConfig(data="x", model=family, input_hw=(32, 32), latent="4")
    processes, prior = Processes("cpu"), config.make_prior()

    def steps(model: GenerativeModel, players: Players, first: int, last: int) -> None:
        for step in range(first, last):
            generator = torch.Generator().manual_seed(step)
            picture = torch.rand(4, 3, 32, 32, generator=generator).to(memory_format=torch.channels_last)
            draw = Draw(prior, model.prior_chw, 0, 0, step, processes)
            model.step(model.phases[0].name, Pictures(picture, picture), draw, players)

    def fresh(seed: int) -> tuple[GenerativeModel, Players]:
        torch.manual_seed(seed)
        model: GenerativeModel = make_model(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return model, Players(model.players(config), processes)

    unbroken, unbroken_players = fresh(0)
    steps(unbroken, unbroken_players, 0, 6)

    first, first_players = fresh(0)
    steps(first, first_players, 0, 3)
    packed = {name: tensor.clone().contiguous() for name, tensor in pack_training(first, first_players).items()}
    second, second_players = fresh(1)
    unpack_training(packed, second, second_players)
    steps(second, second_players, 3, 6)
    for name, tensor in unbroken.state_dict().items():
        assert torch.equal(tensor, second.state_dict()[name]), name


def test_the_random_state_is_part_of_it() -> None:
    config = TrainConfig(data="x", input_hw=(32, 32))
    model = make_model(config)
    players = Players(model.players(config), Processes("cpu"))
    packed = pack_training(model, players)
    expected = torch.rand(3)
    torch.rand(100)
    unpack_training(packed, model, players)
    assert torch.equal(torch.rand(3), expected)


def test_a_reader_finds_a_whole_file_while_others_take_its_place(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    versions = [tmp_path / f"{size}.safetensors" for size in (40_000, 10, 3000)]
    for version in versions:
        size = int(version.stem)
        write_tensors(version, {"a": torch.full((size,), float(size))}, {"size": size})
    shutil.copy(versions[0], path)
    done = threading.Event()

    def replace_all_the_time() -> None:
        for number in itertools.count():
            if done.is_set():
                return
            link = tmp_path / "link"
            os.link(versions[number % 3], link)
            link.replace(path)

    writer = threading.Thread(target=replace_all_the_time)
    writer.start()
    try:
        for _ in range(500):
            tensors, notes = read_tensors(path)
            assert torch.equal(tensors["a"], torch.full((notes["size"],), float(notes["size"])))
    finally:
        done.set()
        writer.join()

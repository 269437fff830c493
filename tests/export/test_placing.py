import os
from pathlib import Path

import pytest

from aae_detect import ConfigError
from aae_export.placing import make_scratch, put_in_place


def put(out: Path, *names: str) -> None:
    with make_scratch(out) as scratch:
        new = Path(scratch) / "export"
        new.mkdir()
        for name in names:
            (new / name).write_text("new")
        put_in_place(new, out)


def read(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.mark.parametrize("stands_inside", [False, True])
def test_a_new_export_takes_the_place_of_the_earlier_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stands_inside: bool
) -> None:
    out = tmp_path / "parent" / "out"
    put(out, "detector.onnx", "detector.int8.onnx")
    assert set(read(out)) == {"detector.onnx", "detector.int8.onnx"}
    for path in out.iterdir():
        path.write_text("old")
    if stands_inside:  # whose shell must not find itself in a folder that is gone
        monkeypatch.chdir(out)
    before = out.stat().st_ino
    put(out, "detector.onnx", "export.json")
    assert read(out) == {"detector.onnx": "new", "export.json": "new"}
    assert (out.stat().st_ino == before) == stands_inside
    assert list(out.parent.iterdir()) == [out]


def test_the_earlier_detector_stays_where_another_file_cannot_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "out" / ".export.json.part").mkdir(parents=True)  # in the way of the new file
    (tmp_path / "out" / "detector.onnx").write_text("old")
    monkeypatch.chdir(tmp_path / "out")
    with pytest.raises(ConfigError, match=r"export\.json cannot be written"):
        put(tmp_path / "out", "detector.onnx", "export.json")
    assert (tmp_path / "out" / "detector.onnx").read_text() == "old"


def test_a_folder_that_cannot_be_written_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"cannot be written .* choose another folder"):
        make_scratch(tmp_path / "file" / "out")
    if os.geteuid() == 0:
        pytest.skip("whoever may do anything may write everywhere")
    (tmp_path / "read-only").mkdir(mode=0o500)
    with pytest.raises(ConfigError, match="no right to write there"):
        make_scratch(tmp_path / "read-only")

"""Files that others write, bent in every way: only our own errors come out, and soon.

AAE_FUZZ_CASES sets how many cases each kind gets.
"""

import json
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aae_detect import AaeDetectError, ConfigError, ModelError
from aae_detect.decision.decider import Decider
from aae_detect.decision.rules import read_rules
from aae_detect.frame_mask import read_mask, write_polygons
from aae_detect.frame_reference import fit_reference
from aae_detect.frame_statistics import measure_frame
from aae_detect.model_file import read_model
from aae_detect.sinks.settings import read_sinks
from aae_detect.site_file import SiteEntry, SiteFile, read_site, write_site
from aae_detect.site_places import fit_places
from aae_detect.source_settings import SourceSettings
from aae_detect.spec import ModelSpec
from aae_detect.store.event_store import DATABASE, EventStore
from aae_detect.stream_settings import read_config
from aae_detect.threshold import conformal_threshold

T = TypeVar("T")

CASES = int(os.environ.get("AAE_FUZZ_CASES", "150"))
FUZZED = settings(
    max_examples=CASES,
    deadline=2000,
    derandomize="AAE_FUZZ_CASES" not in os.environ,  # what `make test` runs is the same every time
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**300, 10**310),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from(["../../etc/passwd", "A" * 5000, "\x00", "1e999", "{}", "${HOME}"]),
)
values = st.recursive(
    leaves,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
)


def bent(document: Any, data: st.DataObject) -> Any:
    """Return a document with one value somewhere replaced, taken out or added."""
    copy = json.loads(json.dumps(document))
    places: list[tuple[Any, Any]] = []
    waiting = [copy]
    while waiting:
        holder = waiting.pop()
        for where, value in list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder)):
            places.append((holder, where))
            if isinstance(value, dict | list):
                waiting.append(value)
    holder, where = data.draw(st.sampled_from(places))
    kind = data.draw(st.sampled_from(["replace", "remove", "add"]))
    if kind == "remove":
        del holder[where]
    elif kind == "add" and isinstance(holder, dict):
        holder[data.draw(st.text(max_size=12))] = data.draw(values)
    else:
        holder[where] = data.draw(values)
    return copy


@pytest.fixture(scope="module", autouse=True)
def count(record_testsuite_property: Callable[[str, object], None]) -> Iterator[None]:
    """Say in a report how many cases there really were."""
    yield
    record_testsuite_property("cases", COUNTED.total())


COUNTED: Counter[str] = Counter()


def read_or_refuse(error: type[AaeDetectError], read: Callable[[], T]) -> T | None:
    """Read something bent: None where our own error came out, which has to say something. Any other fails the test."""
    COUNTED[error.__name__] += 1
    try:
        return read()
    except error as refused:
        assert len(str(refused)) > 20
        return None


@pytest.fixture(scope="module")
def site_document(tmp_path_factory: pytest.TempPathFactory) -> Any:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (32, 32, 3), np.uint8)
    entry = SiteEntry(
        camera="camera 0",
        product="lid",
        model_sha256="0" * 64,
        calibrated_at="2026-11-25T08:00:00+00:00",
        threshold=5.0,
        calibration=conformal_threshold(rng.normal(size=20), 0.05, "site").calibration,
        places=fit_places(rng.normal(size=(10, 8, 8)).astype(np.float32)).pack(),
        noise_gray=1.5,
        frames=fit_reference([measure_frame(picture)] * 3, {(32, 32)}, 0.0),
    )
    path = tmp_path_factory.mktemp("site") / "site.json"
    write_site(path, SiteFile((entry,)))
    return json.loads(path.read_text())


def test_what_nobody_bent_is_taken(site_document: Any, tiny_model: Path, tmp_path: Path) -> None:
    """Or all of the fuzzing would look at refusals only."""
    files = {"site.json": json.dumps(site_document), "mask.json": json.dumps(MASK), "r.toml": RULES, "c.toml": CONFIG}
    files["s.toml"] = SINKS
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert len(read_site(tmp_path / "site.json").entries) == 1
    assert read_mask(tmp_path / "mask.json").polygons is not None
    assert read_rules(tmp_path / "r.toml").commands
    assert len(read_config(tmp_path / "c.toml", {})) == 1
    assert read_sinks(tmp_path / "s.toml").webhooks
    assert read_model(tiny_model).spec.map_hw == (16, 16)


MASK = {"frame": [64, 48], "look": [[[0, 0], [60, 0], [60, 40]]], "ignore": [[[5, 5], [9, 5], [9, 9.5]]]}


@FUZZED
@given(data=st.data())
def test_site_files(data: st.DataObject, site_document: Any, tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_text(json.dumps(bent(site_document, data)))
    site = read_or_refuse(ConfigError, lambda: read_site(path))
    if site is not None:  # what is taken is whole: it can be written, and is the same when it is read again
        write_site(path, site)
        assert read_site(path) == site


@FUZZED
@given(content=st.binary(max_size=300))
def test_site_files_of_any_bytes(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "site.json"
    path.write_bytes(content)
    assert read_or_refuse(ConfigError, lambda: read_site(path)) is None


@FUZZED
@given(data=st.data())
def test_masks(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "mask.json"
    path.write_text(json.dumps(bent(MASK, data)))
    mask = read_or_refuse(ConfigError, lambda: read_mask(path))
    if mask is not None:
        assert mask.inside((48, 64)).shape == (48, 64)
        assert mask.polygons is not None
        write_polygons(path, mask.polygons)
        assert read_mask(path).polygons == mask.polygons


@FUZZED
@given(data=st.data())
def test_descriptions_of_models(data: st.DataObject, tiny_model: Path) -> None:
    document = json.loads(read_model(tiny_model).spec.to_json())
    text = json.dumps(bent(document, data))
    spec = read_or_refuse(ModelError, lambda: ModelSpec.from_json(text))
    if spec is not None:
        assert ModelSpec.from_json(spec.to_json()) == spec


RULES = (
    '[decide]\nper = "frame"\nng_frames = 2\nof_frames = 3\nhysteresis = 0.1\n[[command]]\nrun = ["x"]\non = ["NG"]\n'
    '[[gpio]]\nline = "gpiochip0:17"\non = ["stop"]\npulse_s = 0.2\n'
)
CONFIG = '[defaults]\nmodel = "m.onnx"\n[[source]]\nname = "a"\nsource = "0"\nfps = 30\ncrop = "1,2,3,4"\nrotate = 90\n'


SINKS = (
    '[mqtt]\nurl = "mqtts://a:${B}@c:8884"\ntopic = "d/e"\nhome_assistant = "h"\n[[webhook]]\nurl = "https://f/g"\n'
    'secret = "${S}"\ntypes = ["frame"]\ntimeout_s = 3\n[[python]]\ncall = "t.py:on"\n[metrics]\nlisten = "1:9464"\n'
)
PIECES = ["nan", "inf", "1e400", "9" * 400, "true", "[]", "{}", '""', "\n", "[["]


def bent_text(text: str, data: st.DataObject) -> str:
    """Return a text with a piece of it replaced."""
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 12)))
    piece = data.draw(st.one_of(st.text(max_size=12), st.sampled_from(PIECES)))
    return text[:start] + piece + text[end:]


@FUZZED
@given(data=st.data())
def test_rules(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "decide.toml"
    path.write_text(bent_text(RULES, data), encoding="utf-8", errors="surrogatepass")
    rules = read_or_refuse(ConfigError, lambda: read_rules(path))
    if rules is not None:
        assert rules.per == "part" or rules.ng_frames <= rules.of_frames
        assert all(command.run for command in rules.commands)
        assert Decider(rules).finish() == []


@FUZZED
@given(data=st.data())
def test_sinks(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "sinks.toml"
    path.write_text(bent_text(SINKS, data), encoding="utf-8", errors="surrogatepass")
    sinks = read_or_refuse(ConfigError, lambda: read_sinks(path))
    if sinks is not None:
        assert sinks.mqtt is None or sinks.mqtt.topic
        assert all(hook.name for hook in sinks.webhooks)
        assert sinks.metrics is None or 0 <= sinks.metrics.address[1] <= 65535


@FUZZED
@given(data=st.data())
def test_configurations(data: st.DataObject, tmp_path: Path) -> None:
    path = tmp_path / "line.toml"
    path.write_text(bent_text(CONFIG, data), encoding="utf-8", errors="surrogatepass")
    streams = read_or_refuse(ConfigError, lambda: read_config(path, {}))
    if streams is not None:
        assert streams
        for stream in streams:
            assert SourceSettings.from_json(stream.source.to_json()) == stream.source


@FUZZED
@given(data=st.data())
def test_events_in_a_store_that_somebody_bent(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("store")
    with EventStore(folder, least_free_bytes=2**60) as store:
        store.append({"type": "frame", "time": "2026-11-25T08:00:00+00:00", "source": "s"})
    column = data.draw(st.sampled_from(["key", "body", "pictures", "mark", "at_ms", "type"]))
    value = data.draw(
        st.one_of(
            st.integers(-(2**62), 2**62),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
            st.binary(max_size=20),
            values.map(lambda value: json.dumps(value)),
        )
    )
    with closing(sqlite3.connect(folder / DATABASE)) as bending:
        bending.execute(f"UPDATE events SET {column} = ?", (value,))
        bending.commit()
    with EventStore(folder, read_only=True) as store:
        found = read_or_refuse(ConfigError, lambda: list(store.events()))
    if found is not None:
        for stored in found:
            assert isinstance(stored.event, dict)
            assert all(path.resolve().is_relative_to(folder.resolve()) for path in stored.pictures.values())

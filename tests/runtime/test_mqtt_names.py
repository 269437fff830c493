"""Names at a broker: those of today for plain ones, and no two the same where something is lost."""

import re

import pytest

from aae_detect.sinks.home_assistant import discovery
from aae_detect.sinks.mqtt_names import client_id, identifier, same_names, source_topic


def test_a_program_has_a_name_of_its_own_however_long_its_machines_is() -> None:
    assert client_id("pc7", "factory/line1") == "aae-detect-pc7-factory-line1"
    host = "ip-10-20-130-112.eu-central-1.compute.internal"
    made = {client_id(host, f"factory/hall-3/line-{number}") for number in range(50)}
    assert len(made) == 50
    assert {len(name) for name in made} == {60}


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("line 1", "line-1"),
        ("line-1", "line-1"),
        ("camera 0", "camera-0"),
        ("rtsp://10.0.0.5/ch/1", "rtsp-10.0.0.5-ch-1"),
        ("", "source"),
    ],
)
def test_plain_sources_keep_their_topics(source: str, name: str) -> None:
    assert source_topic("factory", source) == f"factory/{name}"


def test_sources_whose_letters_are_lost_are_told_apart() -> None:
    sources = ["左", "右", "Prüfung", "Pröfung", "line 1"]
    topics = [source_topic("factory", source) for source in sources]
    assert len(set(topics)) == len({identifier(source) for source in sources}) == 5
    assert all(re.fullmatch(r"factory/[A-Za-z0-9_.-]+", topic) for topic in topics)
    assert topics[2].startswith("factory/Pr-fung-")
    assert same_names(sources, home_assistant=True) == []


def test_sources_that_share_a_name_are_found() -> None:
    sources = ["line 1", "line 2", "line-1", "Line 2"]
    assert same_names(sources, home_assistant=False) == [("line 1", "line-1")]
    assert same_names(sources, home_assistant=True) == [("line 1", "line-1"), ("line 2", "Line 2")]


def test_home_assistant_gets_names_that_it_takes() -> None:
    for topic, _ in discovery("homeassistant", "fabrik/prüfung", ["Prüfung 1", "左", "line 2"]):
        assert re.fullmatch(r"homeassistant/[a-z_]+/[a-zA-Z0-9_-]+/config", topic), topic

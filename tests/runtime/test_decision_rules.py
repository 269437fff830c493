"""The file of rules: what it can say, and what is said of a wrong one."""

import re
from pathlib import Path

import pytest

from aae_detect import ConfigError
from aae_detect.decision import rules as rules_module
from aae_detect.decision.rules import Command, Rules, read_rules

EVERYTHING = """
[decide]
per = "trigger"
ng_frames = 2
of_frames = 3
least_area_px = 30
unknown = "pass"
timeout_s = 1
mqtt_topic = "line1/part"

[[command]]
run = ["reject", "{source}"]
on = ["NG", "UNKNOWN"]
timeout_s = 2
"""


def test_a_file_says_all_that_rules_can(tmp_path: Path) -> None:
    path = tmp_path / "decide.toml"
    path.write_text(EVERYTHING)
    commands = (Command(("reject", "{source}"), ("NG", "UNKNOWN"), 2.0),)
    numbers = (2, 3, 0.0, 30, 0.0, "pass", 0.03, 60.0, 1.0)
    assert read_rules(path) == Rules("trigger", *numbers, "line1/part", None, commands)
    path.write_text('[decide]\nper = "part"\npart_share = 0.05\nlongest_s = 90\ntimeout_s = 1\n')
    assert read_rules(path) == Rules("part", part_share=0.05, longest_s=90.0, timeout_s=1.0)
    path.write_text("[decide]\nhysteresis = 0.1\ncooldown_s = 0.5\n")
    assert read_rules(path) == Rules(hysteresis=0.1, cooldown_s=0.5)
    path.write_text('[[command]]\nrun = ["reject"]\n[[gpio]]\nline = "gpiochip0:17"\n')
    rules = read_rules(path)
    assert rules.commands[0].on == rules.gpio[0].on == ("stop",)  # UNKNOWN stops the line, too
    path.write_text("")
    assert read_rules(path) == Rules()


def test_the_documents_file_of_rules_can_be_used_as_it_stands(tmp_path: Path) -> None:
    document = Path(__file__).parents[2] / "docs" / "decisions.md"
    blocks = re.findall(r"```toml\n(.*?)```", document.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1 and rules_module.__doc__ is not None
    path = tmp_path / "decide.toml"
    for text in (*blocks, rules_module.__doc__.partition("\n\n")[2]):
        path.write_text(text)
        rules = read_rules(path)
        assert (rules.per, rules.ng_frames, rules.of_frames, rules.commands[0].on) == ("frame", 2, 3, ("NG",))
        assert rules.hysteresis == 0.1
        # What is commented out can be used as well: the light barrier or the topic, and a rule for parts.
        without_topic = re.sub("^(# mqtt_topic|hysteresis|cooldown_s).*", "", text, flags=re.MULTILINE)
        path.write_text(re.sub("^# ", "", without_topic, flags=re.MULTILINE).replace('"frame"', '"trigger"', 1))
        rules = read_rules(path)
        assert rules.gpio_trigger is not None and rules.gpio_trigger.offset == 27
        assert rules.longest_s == Rules().longest_s


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[decide]\n\nper = 'parts'", 3, "per: parts; expected frame, part, trigger"),
        ("[decide]\nng_frames = 3\nof_frames = 2", 2, "ng_frames: 3; expected 1 to of_frames"),
        ("[decide]\nng_frames = 1.5", 2, "ng_frames: 1.5; expected a whole number"),
        ("[decide]\nhysteresis = nan", 2, "hysteresis: nan"),
        ("[decide]\nhysteresis = true", 2, "hysteresis: True; expected a number"),
        ("[decide]\nper = 'trigger'\nhysteresis = 0.1", 3, 'hysteresis: 0.1; expected with per = "frame" only'),
        ("[decide]\nper = 'part'\nof_frames = 3", 3, 'of_frames: 3; not expected with per = "part"'),
        ("[decide]\nper = 'part'\ncooldown_s = 1", 3, 'cooldown_s: 1.0; expected with per = "frame" only'),
        ("[decide]\nper = 'trigger'\npart_share = 0.1", 3, 'part_share: 0.1; expected with per = "part" only'),
        ("[decide]\nlongest_s = 90", 2, 'longest_s: 90.0; expected with per = "part" only'),
        ("[decide]\ntimeout_s = 1", 2, 'timeout_s: 1.0; not expected with per = "frame"'),
        ("[decide]\nlongest_s = -1", 2, "longest_s: -1.0; expected 0 to 86400"),
        ("[decide]\ncooldown = 3", 2, "cooldown: unknown in decide"),
        ("[deside]\nper = 'frame'", 1, "deside is not expected"),
        ("[[command]]\nrun = 'reject'", 2, "run: 'reject'; expected a list of texts"),
        ("[[command]]\nrun = []", 2, "run is empty"),
        ("\n[[command]]\non = ['NG']", 2, "command 1 has no run"),
        ("[[command]]\nrun = ['x']\non = ['BAD']", 3, "on names 'BAD'"),
        ("[decide", 1, "is no TOML"),
    ],
)
def test_what_is_wrong_in_a_file_is_said_with_its_line(text: str, line: int, words: str, tmp_path: Path) -> None:
    path = tmp_path / "decide.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as found:
        read_rules(path)
    assert words in str(found.value)
    assert str(found.value).startswith(f"{path}:{line}:") or "TOML" in words

"""A camera in a process of its own, that vanishes, hangs and comes back; played by the public fake."""

import os
import signal
import threading
import time
from itertools import pairwise

import pytest

from aae_detect.camera.watched import WatchedCamera
from aae_detect.camera_source import CameraOptions
from aae_detect.demo import read_counter
from aae_detect.errors import SourceError
from aae_detect.frame_view import FrameView
from aae_detect.frames import Frame, FrameSource, Signal
from aae_detect.source_settings import SourceSettings


def test_frames_come_whole_new_and_fresh(plug):
    camera = plug.watch()
    assert isinstance(camera, FrameSource)
    frames = [camera.read() for _ in range(30)]
    assert [read_counter(frame.image) for frame in frames] == [frame.index for frame in frames]
    assert all(later.index > earlier.index for earlier, later in pairwise(frames))
    assert frames[0].image.shape == (240, 320, 3)
    assert {frame.source for frame in frames} == {plug.source}
    assert sorted((time.monotonic_ns() - frame.read_ns) / 1e6 for frame in frames)[0] < 2000
    assert camera.fps == 60
    camera.close()
    assert camera.read() is None
    camera.close()


def test_a_frame_is_its_own_and_not_overwritten(plug):
    camera = plug.watch()
    frames = [camera.read() for _ in range(8)]
    assert [read_counter(frame.image) for frame in frames] == [frame.index for frame in frames]
    camera.close()


@pytest.mark.parametrize("state", ["gone", "silent"])
def test_a_loss_is_told_once_and_within_two_seconds_and_so_is_the_return(plug, state):
    # The return: 1 s until it is there, the pause that had begun, and 2 s.
    plug.assert_in_time(lambda: _lose_and_return(plug, state), [2.0, 1.0 + 1.0 + 2.0])


def _lose_and_return(plug, state) -> list[float]:
    """Return how long it took until the loss was told, and from when it can be known until the return was, seconds."""
    camera = plug.watch()
    before = [camera.read() for _ in range(5)]
    plug.say(state)
    said = time.monotonic()
    lost = plug.until(camera, Signal)
    took_s = [time.monotonic() - said]
    assert lost.lost
    assert lost.source == plug.source
    threading.Timer(1.0, plug.say, ["here 320x240 @60"]).start()
    back = plug.until(camera, Signal)
    assert not back.lost
    took_s.append(time.monotonic() - said - 1.5 * (state == "silent"))
    assert took_s[1] > 0.9
    assert back.outage_s == pytest.approx((back.at - lost.at).total_seconds(), abs=0.05)
    after = [camera.read() for _ in range(5)]
    assert all(isinstance(frame, Frame) for frame in after)
    # The first one after the return, numbered 0 by the camera, was dropped.
    assert read_counter(after[0].image) >= 1
    indexes = [frame.index for frame in before + after]
    assert indexes == sorted(set(indexes))
    camera.close()
    return took_s


def test_a_capture_process_that_dies_is_a_loss_like_any_other(plug):
    before = plug.children()
    camera = plug.watch()
    plug.until(camera, Frame)
    (pid,) = plug.children() - before
    os.kill(pid, signal.SIGKILL)
    lost = plug.until(camera, Signal)
    assert lost.lost
    assert "capture process ended (signal 9)" in lost.reason
    assert not plug.until(camera, Signal).lost
    plug.until(camera, Frame)
    camera.close()


def test_a_capture_process_that_is_stopped_is_silent(plug):
    before = plug.children()
    camera = plug.watch()
    plug.until(camera, Frame)
    (pid,) = plug.children() - before
    os.kill(pid, signal.SIGSTOP)
    assert "silent: no frame for 1.5 s" in plug.until(camera, Signal).reason
    assert not plug.until(camera, Signal).lost
    camera.close()


def test_a_camera_that_is_not_there_is_told_by_connect_and_waited_for_by_read(plug):
    plug.say("gone")
    camera = plug.watch()
    with pytest.raises(SourceError, match="does not open"):
        camera.connect()
    camera.close()
    camera = plug.watch()
    assert camera.read().lost
    plug.say("here 320x240 @60")
    assert not camera.read().lost
    camera.close()


def test_close_wakes_a_read_whatever_the_camera_does(plug):
    for state in ("here 320x240 @60", "silent", "gone"):
        plug.say(state)
        camera = plug.watch(lost_after_s=0)
        answers = []
        reader = threading.Thread(target=lambda: answers.extend(iter(camera.read, None)))  # noqa: B023
        reader.start()
        time.sleep(0.7)
        started = time.monotonic()
        camera.close()
        reader.join(10)
        assert not reader.is_alive()
        assert time.monotonic() - started < 4


def test_a_camera_that_waits_for_a_trigger_may_be_silent_for_ever(plug):
    camera = plug.watch(lost_after_s=0)
    plug.until(camera, Frame)
    plug.say("silent")
    threading.Timer(2.5, plug.say, ["here"]).start()
    assert all(isinstance(camera.read(), Frame) for _ in range(10))
    camera.close()


def test_the_first_part_after_a_return_counts_where_a_trigger_brings_each(plug):
    plug.say("here 320x240 @2")
    camera = plug.watch(lost_after_s=0)
    before = plug.until(camera, Frame)
    plug.say("gone")
    assert plug.until(camera, Signal).lost
    plug.say("here 320x240 @2")
    assert not plug.until(camera, Signal).lost
    after = [camera.read(), camera.read()]
    assert read_counter(after[0].image) == 0, "the first that the camera gave"
    assert before.index < after[0].index < after[1].index
    camera.close()


def test_settings_reach_the_camera_and_what_it_does_not_take_is_told(plug):
    options = CameraOptions(size_hw=(120, 160), fps=50, gain=3)
    camera = plug.watch(name="line 1", camera=options, view=FrameView(rotate_deg=90, crop_xywh=(10, 20, 100, 80)))
    camera.connect()
    assert camera.notes == ("asked for gain 3, the camera is at 0",)
    assert (camera.fps, camera.name) == (50, "line 1")
    frame = camera.read()
    assert (frame.image.shape, frame.source) == ((80, 100, 3), "line 1")
    camera.close()


def test_what_a_camera_that_is_waited_for_does_not_take_is_told_once(plug):
    said = []
    camera = WatchedCamera(SourceSettings(plug.source, "line 1", CameraOptions(gain=3)), said.append)
    assert said == []
    plug.until(camera, Frame)
    plug.say("gone")
    assert plug.until(camera, Signal).lost
    plug.say("here 320x240 @60")
    assert not plug.until(camera, Signal).lost
    warnings = [line for line in said if line.startswith("warning")]
    assert warnings == ["warning: line 1: asked for gain 3, the camera is at 0"]
    camera.notes = ()  # as if it had taken it the last time
    plug.say("gone")
    assert plug.until(camera, Signal).lost
    plug.say("here 320x240 @60")
    assert not plug.until(camera, Signal).lost
    assert [line for line in said if line.startswith("warning")] == 2 * warnings
    camera.close()


def test_each_new_reason_of_an_outage_is_told_once(plug):
    said, back = [], []
    camera = WatchedCamera(SourceSettings(plug.source), said.append)
    plug.until(camera, Frame)
    plug.say("gone")
    assert plug.until(camera, Signal).lost
    reader = threading.Thread(target=lambda: back.append(camera.read()))
    reader.start()

    def wait(losses: int, words: str) -> None:
        until = time.monotonic() + 30
        while camera._losses < losses or not any(words in line for line in said):
            assert time.monotonic() < until, said
            time.sleep(0.02)

    wait(3, "still no signal, " + plug.source + " does not open")
    plug.say("elsewhere")
    wait(4, "expected here, gone or silent")
    plug.say("here 320x240 @60")
    reader.join(30)
    assert not back[0].lost
    assert [sum(words in line for line in said) for words in ("does not open", "expected here")] == [1, 1]
    camera.close()


def test_how_long_opening_took_has_nothing_to_do_with_who_waits_for_it(plug):
    camera = plug.watch()
    time.sleep(4)  # as while a model loads
    camera.connect()
    assert camera._open_s < 1 + 2 * 4
    camera.close()


def test_two_threads_may_close_at_once(plug):
    camera, both, errors = plug.watch(), threading.Barrier(2), []

    class Slowly(threading.Event):
        """Says what it was, once the other thread has asked, too, or had time enough to."""

        def is_set(self) -> bool:
            was = super().is_set()
            try:
                both.wait(0.5)
            except threading.BrokenBarrierError:
                pass
            return was

    def close() -> None:
        try:
            camera.close()
        except OSError as error:
            errors.append(error)

    camera._closed = Slowly()
    threads = [threading.Thread(target=close) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert errors == []

"""Metrics: what Prometheus reads of a line that runs."""

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import closing
from pathlib import Path

import pytest

from aae_detect import ConfigError


def test_prometheus_reads_what_happens(tmp_path: Path) -> None:
    pytest.importorskip("prometheus_client", reason="needs prometheus-client")
    sinks, hook = tmp_path / "sinks.toml", '[[webhook]]\nurl = "http://127.0.0.1:1/"\nname = "erp"\n'
    sinks.write_text(f'{hook}[metrics]\nlisten = "127.0.0.1:0"\n')
    from aae_detect.sinks.metrics import Metrics
    from aae_detect.sinks.settings import MetricsSettings

    with closing(Metrics(MetricsSettings("127.0.0.1:0"))) as taken:
        port = taken._server.server_port
        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} cannot be listened on"):
            Metrics(MetricsSettings(f"127.0.0.1:{port}"))
    sinks.write_text(f'{hook}[metrics]\nlisten = "127.0.0.1:{port}"\n')
    command = [sys.executable, "-m", "aae_detect", "--demo", "--no-window", "--sinks", str(sinks)]
    command += ["--store", str(tmp_path / "store"), "--source", "demo:160x120@30?live=1"][:2]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "DISPLAY": ""})
    try:
        text = ""

        def figure(name: str) -> float:
            found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.MULTILINE)
            return float(found[1]) if found else 0.0

        def frames() -> float:
            return sum(figure(f'aae_frames_total{{{source},verdict="{v}"}}') for v in ("OK", "NG", "UNKNOWN"))

        def all_is_there() -> bool:  # a frame that is counted while they are read is in one of two
            measured = figure(f"aae_latency_seconds_count{{{source}}}") == frames() > 2
            return measured and figure(ng) >= 2 and figure('aae_events_waiting{sink="erp"}') >= 3

        deadline = time.monotonic() + 60
        ng, source = 'aae_frames_total{source="demo camera (seed 0)",verdict="NG"}', 'source="demo camera (seed 0)"'
        while not all_is_there():
            assert time.monotonic() < deadline, text
            time.sleep(0.2)
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                    text = answer.read().decode()
            except OSError:
                continue
    finally:
        running.terminate()
        running.communicate(timeout=30)
    assert figure(f"aae_threshold{{{source}}}") > 0
    assert figure("process_open_fds") > 3
    assert re.search(rf'aae_model_info{{sha256="[0-9a-f]{{64}}",{re.escape(source)}}} 1.0', text)


def test_who_connects_and_says_nothing_takes_few_descriptors_and_not_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("prometheus_client", reason="needs prometheus-client")
    from aae_detect.sinks.metrics import Metrics
    from aae_detect.sinks.settings import MetricsSettings

    monkeypatch.setattr("aae_detect.sinks.metrics_server.MOST_CONNECTIONS", 2)
    with closing(Metrics(MetricsSettings("127.0.0.1:0"))) as metrics:
        address = ("127.0.0.1", metrics._server.server_port)
        with socket.create_connection(address), socket.create_connection(address):
            with socket.create_connection(address, timeout=5) as third:
                assert third.recv(1) == b"", "there is room for two"
    monkeypatch.setattr("aae_detect.sinks.metrics_server._Handler.timeout", 0.2)
    with closing(Metrics(MetricsSettings("127.0.0.1:0"))) as metrics:
        address = ("127.0.0.1", metrics._server.server_port)
        with socket.create_connection(address, timeout=5) as idle:
            assert idle.recv(1) == b"", "it was silent for too long"
        monkeypatch.undo()
        with urllib.request.urlopen("http://{}:{}/metrics".format(*address), timeout=5) as answer:
            assert b"aae_detect_info" in answer.read()

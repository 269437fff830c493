"""Sinks of stored events: a real web server, and the user's function."""

import base64
import hashlib
import hmac
import json
import re
import shutil
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from aae_detect import ConfigError
from aae_detect.sinks.forwarder import Forwarder
from aae_detect.sinks.python_call import PythonCall
from aae_detect.sinks.settings import PythonSettings, WebhookSettings
from aae_detect.sinks.sink import Sink
from aae_detect.sinks.webhook import Webhook, secret_bytes, signature
from aae_detect.store.event_store import EventStore, Retention

SECRET = "whsec_" + base64.b64encode(b"24 bytes are the least !!").decode()


class Server(ThreadingHTTPServer):
    """Keeps what it gets, and answers as it is told to."""

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Handler)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.paths: list[str] = []
        self.answers: dict[int, list[int]] = {}
        """By the event's `n`: what to answer, one after the other; then 200."""
        self.answer_bytes = 0
        self.port = self.server_port
        self._thread = threading.Thread(target=self.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    @property
    def numbers(self) -> list[int]:
        return [json.loads(body)["n"] for _, body in self.got]


class Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.paths.append(self.path)
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        answers = self.server.answers.get(json.loads(body)["n"], [])
        words = b"no such thing\nmore" + b"." * self.server.answer_bytes
        self.send_response(answers.pop(0) if answers else 200)
        self.send_header("Content-Length", str(len(words)))
        self.end_headers()
        self.wfile.write(words)

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def closes() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def server(closes: ExitStack) -> Server:
    return closes.enter_context(closing(Server()))


@pytest.fixture
def store(closes: ExitStack, tmp_path: Path) -> EventStore:
    return closes.enter_context(EventStore(tmp_path / "store"))


def event(number: int, kind: str = "frame") -> dict[str, Any]:
    moment = datetime.now(UTC).isoformat(timespec="milliseconds")
    return {"type": kind, "time": moment, "source": "line 1", "n": number}


def forward(closes: ExitStack, store: EventStore, sink: Sink, say: Callable[[str], None] = print) -> Forwarder:
    return closes.enter_context(closing(Forwarder(store, sink, say)))


def wait_for(seen: Callable[[], bool], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not seen():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def test_a_web_server_gets_every_event_signed_and_in_order(
    closes: ExitStack, store: EventStore, server: Server
) -> None:
    url = f"http://line:p%40ss@127.0.0.1:{server.port}/hooks?line=1"
    forward(closes, store, Webhook(WebhookSettings(url, secret=SECRET), print))
    keys = [store.append(event(number)) for number in range(5)]
    wait_for(lambda: len(server.got) == 5)
    assert server.numbers == [0, 1, 2, 3, 4]
    for (headers, body), key in zip(server.got, keys, strict=True):
        assert headers["webhook-id"] == json.loads(body)["key"] == key
        signed = f"{key}.{headers['webhook-timestamp']}.".encode() + body
        expected = hmac.new(b"24 bytes are the least !!", signed, hashlib.sha256).digest()
        assert headers["webhook-signature"] == f"v1,{base64.b64encode(expected).decode()}"
        assert abs(int(headers["webhook-timestamp"]) - time.time()) < 60
        assert headers["authorization"] == f"Basic {base64.b64encode(b'line:p@ss').decode()}"


def test_an_answer_may_be_a_whole_page(closes: ExitStack, store: EventStore, server: Server) -> None:
    """More than anybody reads of it: the next event has an answer of its own, and none comes twice."""
    server.answer_bytes = 60_000
    forward(closes, store, Webhook(WebhookSettings(f"http://127.0.0.1:{server.port}/"), print))
    for number in range(5):
        store.append(event(number))
    wait_for(lambda: len(server.got) >= 5)
    time.sleep(0.3)
    assert server.numbers == [0, 1, 2, 3, 4]


def test_the_signature_is_that_of_the_standard() -> None:
    """The example of the Standard Webhooks' own libraries."""
    secret = secret_bytes("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signed = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert secret_bytes("any text") == b"any text"
    with pytest.raises(ConfigError, match="whsec_"):
        secret_bytes("whsec_no base64!")


def test_what_a_server_does_not_take_comes_again_and_what_it_refuses_is_left_out(
    closes: ExitStack, store: EventStore, server: Server
) -> None:
    said: list[str] = []
    server.answers = {1: [503, 401], 2: [422], 3: [409]}
    sink = Webhook(WebhookSettings(f"http://127.0.0.1:{server.port}/token"), said.append)
    forwarder = forward(closes, store, sink, said.append)
    keys = [store.append(event(0))]
    # Refusals behind an event of the same batch that arrived are not told: the next try tells them.
    wait_for(lambda: server.numbers == [0] and forwarder.waiting == 0)
    keys += [store.append(event(number)) for number in range(1, 5)]
    wait_for(lambda: bool(server.got) and server.numbers[-1] == 4)
    wait_for(lambda: forwarder.waiting == 0)
    assert list(dict.fromkeys(server.numbers)) == [0, 1, 2, 3, 4]
    assert [server.numbers.count(number) for number in range(5)] == [1, 3, 1, 1, 1]
    name = sink.name
    assert re.fullmatch("webhook 127\\.0\\.0\\.1 [0-9a-f]{6}", name) and "token" not in "".join(said)
    assert said[0] == f"warning: {name}: answers 503 Service Unavailable no such thing; events wait in " + (
        f"{store.folder} until they can be sent"
    )
    assert f"warning: {name} refuses event {keys[2]}: 422 no such thing; it is left out" in said
    wait_for(lambda: f"{name}: events arrive again" in said)


def test_a_server_that_is_away_gets_all_of_it_later_and_after_a_restart(
    closes: ExitStack, store: EventStore, tmp_path: Path
) -> None:
    first = Server()
    settings = WebhookSettings(f"http://127.0.0.1:{first.port}/", types=("frame",))
    store.append(event(-1))  # before there was a sink
    with closing(Forwarder(store, Webhook(settings, print), print)):
        store.append(event(0))
        wait_for(lambda: len(first.got) == 1)
        first.close()
        said: list[str] = []
        store.append(event(1))
        store.append(event(2, "drift"))
    forwarder = Forwarder(store, Webhook(settings, said.append), said.append)
    wait_for(lambda: bool(said))
    assert "cannot be reached" in said[0]
    forwarder.close()
    assert said[-1] == f"{settings.name}: 2 events have not arrived; the next run sends them"
    second = closes.enter_context(closing(Server(first.port)))
    store.append(event(3))
    forward(closes, store, Webhook(settings, print))
    wait_for(lambda: len(second.got) == 2)
    assert (first.numbers, second.numbers) == ([0], [1, 3])


def test_https_is_checked(closes: ExitStack, store: EventStore, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", str(key), "-out", str(certificate)]
    command += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(command, check=True, capture_output=True)
    server = Server()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    closes.enter_context(closing(server))
    url, said = f"https://127.0.0.1:{server.port}/", list[str]()
    forward(closes, store, Webhook(WebhookSettings(url, name="not trusted"), said.append), said.append)
    forward(closes, store, Webhook(WebhookSettings(url, name="trusted", ca=str(certificate)), print))
    store.append(event(0))
    wait_for(lambda: len(server.got) == 1 and bool(said))
    assert "CERTIFICATE_VERIFY_FAILED" in said[0]


def test_a_function_gets_events_and_pictures_and_may_fail(closes: ExitStack, store: EventStore, tmp_path: Path) -> None:
    file = tmp_path / "tell.py"
    file.write_text(
        "calls = []\n"
        "def on_event(event, pictures):\n"
        "    calls.append((event['n'], pictures))\n"
        "    if len(calls) == 2:\n"
        "        raise OSError('the plant is asleep')\n"
    )
    sink, said = PythonCall(PythonSettings(f"{file}:on_event", types=("frame",))), list[str]()
    calls = sink._call.__globals__["calls"]  # type: ignore[attr-defined]
    store.append(event(-1))
    forward(closes, store, sink, said.append)
    store.append(event(0), {"frame.png": b"png"})
    wait_for(lambda: len(calls) == 1)
    store.append(event(1, "drift"))
    store.append(event(2))
    wait_for(lambda: len(calls) == 3)
    assert [number for number, _ in calls] == [0, 2, 2]
    assert calls[0][1]["frame"].read_bytes() == b"png"
    wait_for(lambda: said[-1:] == ["python tell.py:on_event: events arrive again"])
    for named, words in (
        (f"{file}:nothing", "has no function 'nothing'"),
        (f"{tmp_path / 'none.py'}:f", "none.py cannot be run: FileNotFoundError"),
    ):
        with pytest.raises(ConfigError, match=re.escape(words)):
            PythonCall(PythonSettings(named))


def test_a_sink_that_breaks_in_an_unforeseen_way_is_told_and_tried_again(
    closes: ExitStack, store: EventStore, server: Server
) -> None:
    sink, said = Webhook(WebhookSettings(f"http://127.0.0.1:{server.port}/"), print), list[str]()
    post, broken = sink._post, [True]

    def break_once(*arguments: Any) -> None:
        if broken and broken.pop():
            raise KeyError("a mistake of ours")
        post(*arguments)

    sink._post = break_once  # type: ignore[method-assign]
    forward(closes, store, sink, said.append)
    store.append(event(0))
    wait_for(lambda: server.numbers == [0])
    assert "a mistake of ours" in said[0]


def test_an_address_with_letters_of_all_kinds(closes: ExitStack, store: EventStore, server: Server) -> None:
    forward(closes, store, Webhook(WebhookSettings(f"http://127.0.0.1:{server.port}/prüfung%20a?linie=ä b"), print))
    store.append(event(0))
    wait_for(lambda: server.numbers == [0])
    assert server.paths == ["/pr%C3%BCfung%20a?linie=%C3%A4%20b"]


def test_a_damaged_event_is_in_nobodys_way_and_lost_ones_are_counted(
    closes: ExitStack, store: EventStore, server: Server
) -> None:
    settings, said = WebhookSettings(f"http://127.0.0.1:{server.port}/"), list[str]()
    Forwarder(store, Webhook(settings, print), print).close()
    for number in range(5):
        store.append(event(number))
    store._database.execute("UPDATE events SET body = 'x' WHERE number = 4")
    store.prune(Retention(most_events=4))
    forward(closes, store, Webhook(settings, said.append), said.append)
    wait_for(lambda: len(server.got) == 3)
    assert server.numbers == [1, 2, 4]
    assert f"warning: {settings.name}: 1 events were taken out of the store before they could be sent" in said
    assert any("event 4 is damaged" in line and line.endswith("it is left out") for line in said), said

"""What several runtime tests need: a display of their own."""

import shutil
import subprocess
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def xvfb_display() -> Iterator[str]:
    """A real X display, `:N`, of 1600x1000 pixels that nobody sees."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb (Debian: apt-get install xvfb)")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", "1600x1000x24", "-nolisten", "tcp"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        number = server.stdout.readline().strip()  # written once the server answers
        if not number:
            pytest.skip("Xvfb does not start here")
        try:
            yield f":{number}"
        finally:
            server.terminate()
            server.wait(timeout=10)

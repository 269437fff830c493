"""Signed models: what the owner did not sign does not run."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from aae_detect import ConfigError, Detector, ModelError
from aae_detect.config_check import check_config
from aae_detect.model_file import read_model
from aae_detect.reload import reload_models
from aae_detect.signature import OwnerKey, SigningKey, signature_path

pytest.importorskip("cryptography", reason="needs the sign extra")


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, Path]:
    return make_keys(tmp_path / "owner")


@pytest.fixture
def model(tmp_path: Path, tiny_model: Path) -> Path:
    return Path(shutil.copyfile(tiny_model, tmp_path / "detector.onnx"))


def make_keys(name: Path, kind: str = "ed25519") -> tuple[Path, Path]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519

    key = ed25519.Ed25519PrivateKey.generate() if kind == "ed25519" else ec.generate_private_key(ec.SECP256R1())
    private, public = name.with_suffix(".pem"), name.with_suffix(".pub")
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    public.write_bytes(
        key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    return private, public


def test_a_signed_model_runs_and_no_other(keys: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    private, public = keys
    owner = OwnerKey(public)
    with pytest.raises(ModelError, match=r"is not signed: there is no detector\.onnx\.sig beside it"):
        Detector.load(model, owner=owner)
    written = SigningKey(private).sign(model)
    assert written == signature_path(model) and written.stat().st_size == 64
    assert Detector.load(model, owner=owner).model_sha256 == Detector.load(model).model_sha256

    whole = model.read_bytes()
    for changed in (whole[:-1], whole + b"\n", whole[:100] + bytes([whole[100] ^ 1]) + whole[101:]):
        model.write_bytes(changed)
        with pytest.raises(ModelError, match="was changed after it was signed, or not signed by the owner"):
            read_model(model, owner)
    model.write_bytes(whole)
    read_model(model, owner)
    other, _ = make_keys(tmp_path / "other")
    for signature in (b"", written.read_bytes()[:63], written.read_bytes() + b"x", bytes(64)):
        written.write_bytes(signature)
        with pytest.raises(ModelError, match="not signed by the owner"):
            read_model(model, owner)
    SigningKey(other).sign(model)
    with pytest.raises(ModelError, match="not signed by the owner"):
        read_model(model, owner)


def test_openssl_makes_and_checks_the_same_signatures(keys: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs openssl")
    private, public = tmp_path / "ours.pem", tmp_path / "ours.pub"
    subprocess.run([openssl, "genpkey", "-algorithm", "ed25519", "-out", private], check=True)
    subprocess.run([openssl, "pkey", "-in", private, "-pubout", "-out", public], check=True)
    signature = signature_path(model)
    sign = [openssl, "pkeyutl", "-sign", "-inkey", private, "-rawin", "-in", model, "-out", signature]
    subprocess.run(sign, check=True)
    by_openssl = signature.read_bytes()
    assert read_model(model, OwnerKey(public)).content == model.read_bytes()
    signature.unlink()
    SigningKey(private).sign(model)
    assert signature.read_bytes() == by_openssl, "Ed25519 leaves nothing to chance"
    check = [openssl, "pkeyutl", "-verify", "-pubin", "-inkey", public, "-rawin", "-in", model, "-sigfile", signature]
    assert subprocess.run(check, capture_output=True).returncode == 0
    model.write_bytes(model.read_bytes() + b"x")
    assert subprocess.run(check, capture_output=True).returncode != 0


def test_a_pipe_in_place_of_a_signature_is_not_waited_for(keys: tuple[Path, Path], model: Path) -> None:
    os.mkfifo(signature_path(model))
    with pytest.raises(ModelError, match=r"detector\.onnx\.sig cannot be read: it is a pipe"):
        read_model(model, OwnerKey(keys[1]))


def test_a_check_looks_into_no_model_that_is_not_signed(keys: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    """Nor for its site file: that needs the model's SHA-256."""
    from aae_detect.frame_reference import fit_reference
    from aae_detect.frame_statistics import measure_frame
    from aae_detect.site_file import SiteEntry, SiteFile, write_site
    from aae_detect.threshold import conformal_threshold

    model.write_bytes(b"\x08damaged")
    frames = fit_reference([measure_frame(np.full((64, 64, 3), 127, np.uint8))] * 2, {(64, 64)}, 0.0)
    calibration = conformal_threshold(np.arange(40.0), 0.05, "site").calibration
    entry = SiteEntry("camera 0", "", "0" * 64, "2026-11-25T08:00:00+00:00", 5.0, calibration, "", 1.5, frames)
    write_site(tmp_path / "site.json", SiteFile((entry,)))
    line = tmp_path / "line.toml"
    line.write_text('[[source]]\nsource = "0"\nmodel = "detector.onnx"\nsite = "site.json"\n')
    lines, fine = check_config(line, require_signature=keys[1])
    assert not fine and len(lines) == 1 and "is not signed" in lines[0]


def test_keys_that_are_none_are_refused(keys: tuple[Path, Path], tmp_path: Path) -> None:
    private, public = keys
    elliptic_private, elliptic_public = make_keys(tmp_path / "ec", "ec")
    text = tmp_path / "text.pem"
    text.write_text("no key")
    for path, words in (
        (private, "is no public key in PEM"),
        (text, "is no public key in PEM"),
        (elliptic_public, "expected one of Ed25519"),
        (tmp_path / "none.pub", "cannot be read: No such file"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(ConfigError, match=re.escape(words)):
            OwnerKey(path)
    for path, words in (
        (public, "is no private key in PEM"),
        (text, "is no private key in PEM"),
        (elliptic_private, "expected one of Ed25519"),
    ):
        with pytest.raises(ConfigError, match=re.escape(words)):
            SigningKey(path)


def test_the_commands_refuse_what_is_not_signed(keys: tuple[Path, Path], model: Path, tmp_path: Path) -> None:
    private, public = keys
    line = tmp_path / "line.toml"
    line.write_text('[[source]]\nsource = "demo:160x120?frames=12"\nmodel = "detector.onnx"\n')
    environment = {**os.environ, "DISPLAY": ""}
    detect = [sys.executable, "-m", "aae_detect", "--config", str(line), "--no-window"]
    calibrate = [sys.executable, "-m", "aae_detect.calibrate.cli", str(model), "--source", "demo:160x120"]
    calibrate += ["--count", "10", "--out", str(tmp_path / "site.json")]
    for command in (detect, calibrate):
        result = subprocess.run(
            [*command, "--require-signature", str(public)], capture_output=True, text=True, env=environment, timeout=60
        )
        assert result.returncode == 5, result.stderr
        assert "is not signed" in result.stderr
    lines, fine = check_config(line, require_signature=public)
    assert not fine and "is not signed" in lines[0]
    SigningKey(private).sign(model)
    assert check_config(line, require_signature=public)[1]
    for command in (detect, calibrate):
        result = subprocess.run(
            [*command, "--require-signature", str(public)], capture_output=True, text=True, env=environment, timeout=60
        )
        assert result.returncode in (0, 3), result.stderr


def test_a_reload_needs_a_signature_too(keys: tuple[Path, Path], model: Path) -> None:
    from functools import partial

    from aae_detect.loop import Stream
    from aae_detect.picture_source import PictureSource
    from aae_detect.source_settings import SourceSettings
    from aae_detect.stream_judges import Models, load_judges
    from aae_detect.stream_settings import StreamSettings

    private, public = keys
    SigningKey(private).sign(model)
    settings = StreamSettings(SourceSettings("demo:160x120"), model)
    load = partial(load_judges, [settings], partial(Models, "cpu", 1, {}, None, print, OwnerKey(public)))
    (judges,) = load()
    stream = Stream(PictureSource(["none.png"]), judges.detector, [])
    signature_path(model).unlink()
    reload_models([stream], load)
    assert stream.successor is not None and stream.successor.detector is None
    assert "is not signed" in stream.successor.change.reason
    SigningKey(private).sign(model)
    reload_models([stream], load)
    assert stream.successor.detector is not None

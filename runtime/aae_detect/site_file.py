"""The site file: what was learned in front of a camera, for one model; `aae-calibrate` writes it.

JSON, one entry for each camera and product. An entry is bound to its model by the file's SHA-256: thresholds of one
model mean nothing to another.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path

from aae_detect.checked_json import read_dataclass
from aae_detect.errors import ConfigError
from aae_detect.frame_mask import FrameMask
from aae_detect.frame_reference import FrameReference
from aae_detect.limited_read import read_limited
from aae_detect.spec import Calibration
from aae_detect.whole_file import write_whole

SCHEMA_VERSION = 1

MAX_BYTES = 16 * 2**20
"""Far above any that a site has; a larger file is refused before it is read."""


@dataclass(frozen=True)
class SiteEntry:
    """One camera with one product in front of it."""

    camera: str
    """The source's name, as `aae-detect` shows it; never holds a password."""

    product: str
    """Empty where there is only one."""

    model_sha256: str
    """SHA-256 of the `detector.onnx` that this is for, lower-case hex."""

    calibrated_at: str
    """ISO 8601, with time zone."""

    threshold: float
    """A frame is NG when its score lies above this."""

    calibration: Calibration

    places: str
    """What is usual at each place of the map, as `SitePlaces.pack` writes it."""

    noise_gray: float
    """Noise of the camera, standard deviation in gray levels."""

    frames: FrameReference
    """What frames look like when all is well."""

    mask_sha256: str = ""
    """Of the mask that it was calibrated with, see `FrameMask.sha256`; empty: without one."""

    frame_interval_s: float = 0.0
    """Median time from one of the frames to the next, seconds; 0 where they came from files, or nobody noted it."""

    def __post_init__(self) -> None:
        if not math.isfinite(self.threshold) or not math.isfinite(self.noise_gray):
            raise ValueError(f"threshold {self.threshold} or noise {self.noise_gray} is not a finite number")
        if not 0 <= self.frame_interval_s < math.inf:
            raise ValueError(f"frame_interval_s is {self.frame_interval_s}; expected 0 or more")
        if re.fullmatch("[0-9a-f]{64}", self.model_sha256) is None:
            raise ValueError(f"model_sha256 is {self.model_sha256!r:.80}, not a SHA-256 in lower-case hex")

    def require_model(self, sha256: str) -> None:
        """Refuse another model than the one that this is for.

        Raises:
            ConfigError: it is another.
        """
        if sha256 != self.model_sha256:
            raise ConfigError(
                f"the calibration of {self.title} is for a model with SHA-256 {self.model_sha256[:16]}..., this one "
                f"has {sha256[:16]}...; calibrate again with `aae-calibrate`"
            )

    def require_mask(self, mask: FrameMask | None) -> None:
        """Refuse another mask than the one that it was calibrated with: threshold and places would not hold.

        Raises:
            ConfigError: it is another, or one of the two is none.
        """
        if (mask.sha256 if mask is not None else "") != self.mask_sha256:
            was = "without a mask"
            if self.mask_sha256:
                was = "with a mask" if mask is None else "with another mask"
            raise ConfigError(
                f"{self.title} was calibrated {was}; calibrate again with `aae-calibrate`, "
                f"{'without --mask' if mask is None else 'with the same --mask'}"
            )

    @property
    def title(self) -> str:
        """The pair that it is for, for people."""
        return self.camera + (f", product {self.product}" if self.product else "")


@dataclass(frozen=True)
class SiteFile:
    """All entries, each pair of camera and product once."""

    entries: tuple[SiteEntry, ...]
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        pairs = {(entry.camera, entry.product) for entry in self.entries}
        if len(pairs) < len(self.entries):
            raise ValueError(f"there are {len(self.entries)} entries for {len(pairs)} pairs of camera and product")

    def with_entry(self, entry: SiteEntry) -> SiteFile:
        """Return a file with this entry, in the place of an older one of the same camera and product."""
        others = [old for old in self.entries if (old.camera, old.product) != (entry.camera, entry.product)]
        return SiteFile((*others, entry))


def read_site_entry(path: str | Path, camera: str, product: str = "") -> SiteEntry:
    """Read what a site file holds for a camera and a product.

    Args:
        path: Of the file that `aae-calibrate` wrote.
        camera: The source's name, such as `camera 0`.
        product: Empty where there is only one.

    Raises:
        ConfigError: as `read_site`; or there is no such entry, and it says which there are.
    """
    entries = read_site(Path(path)).entries
    for entry in entries:
        if (entry.camera, entry.product) == (camera, product):
            return entry
    wanted = camera + (f", product {product}" if product else "")
    known = "; ".join(entry.title for entry in entries) or "nothing"
    products = [entry.product for entry in entries if entry.camera == camera and entry.product]
    remedy = "calibrate it with `aae-calibrate` (--for gives the camera's name)"
    if products and not product:
        remedy = f"choose one with --product {products[0]}"
    raise ConfigError(f"{path} holds {known}, and nothing for {wanted}; {remedy}")


def read_site(path: Path) -> SiteFile:
    """Read a site file.

    Raises:
        ConfigError: missing, too large, or not what `aae-calibrate` writes.
    """
    remedy = "make it with `aae-calibrate`"
    try:
        data = json.loads(read_limited(path, MAX_BYTES))
    except OSError as error:
        raise ConfigError(f"site file {path} cannot be read: {error.strerror}; {remedy}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is no site file, as it is not JSON ({error}); {remedy}") from error
    version = data.get("schema_version") if isinstance(data, dict) else None
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise ConfigError(
            f"{path} has schema version {version}, this aae-detect reads up to {SCHEMA_VERSION}; upgrade aae-detect on "
            "this machine"
        )
    try:
        return read_dataclass(SiteFile, data, "site file")
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{path} is no site file: {error}; {remedy}") from error


def write_site(path: Path, site: SiteFile) -> None:
    """Write a site file, whole or not at all.

    Raises:
        ConfigError: it cannot be written, or nobody would read it, as it is too large.
    """
    text = json.dumps(asdict(site), ensure_ascii=False, allow_nan=False) + "\n"
    if (size := len(text.encode("utf-8", "backslashreplace"))) > MAX_BYTES:
        raise ConfigError(
            f"{path} would have {size} bytes with {len(site.entries)} entries, more than the {MAX_BYTES} that a site "
            "file may have, and is left as it was; give another --out, a file of its own for some of the cameras"
        )
    write_whole(path, text)

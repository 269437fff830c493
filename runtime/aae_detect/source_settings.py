"""One source with all that a user may say of it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field

from aae_detect.camera_source import CameraOptions
from aae_detect.errors import ConfigError
from aae_detect.frame_view import FrameView, ViewedSource
from aae_detect.frames import FrameSource
from aae_detect.secret_source import SecretSource, hiding
from aae_detect.source_names import mask_password
from aae_detect.source_secrets import fill_and_tell, fill_secrets
from aae_detect.sources import is_live, open_source


@dataclass(frozen=True)
class SourceSettings:
    """What to look at, how, and how often."""

    source: str
    """As `open_source` takes it; secrets as `fill_secrets` takes them."""

    name: str = ""
    """For people, in events and file names; default is the source itself, without its secrets."""

    camera: CameraOptions = field(default_factory=CameraOptions)
    view: FrameView = field(default_factory=FrameView)
    every: int = 1
    """Judge each so-many-th frame."""

    most_fps: float | None = None
    """Judge at most so many frames per second."""

    lost_after_s: float | None = None
    """A live source that gives nothing for so long is lost, seconds; 0: never, for cameras that wait for a trigger.
    Default: 1.5, or three frame intervals of a slow camera."""

    def __post_init__(self) -> None:
        most_fps = 1.0 if self.most_fps is None else self.most_fps
        if self.every < 1 or most_fps <= 0 or (self.lost_after_s or 0.0) < 0:
            raise ConfigError(
                f"source {self.shown_name}: every {self.every}, most fps {self.most_fps}, lost after "
                f"{self.lost_after_s} s; expected every from 1, most fps above 0, lost after from 0"
            )

    @property
    def shown_name(self) -> str:
        """The name for people; never holds a password, and of secrets only where they come from."""
        if self.name:
            return self.name
        return f"camera {self.source}" if self.source.isdigit() else mask_password(self.source)

    @property
    def live(self) -> bool:
        """Whether it is a camera or a stream, and not a file."""
        try:
            return is_live(fill_secrets(self.source))
        except ConfigError:  # whoever opens it says what is missing
            return is_live(self.source)

    def to_json(self) -> str:
        """Write all of it as JSON, secrets as the source has them."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SourceSettings:
        """Read what `to_json` wrote."""
        values = json.loads(text)
        camera, view = values.pop("camera"), values.pop("view")
        for part, name in ((camera, "size_hw"), (view, "crop_xywh")):
            part[name] = part[name] and tuple(part[name])
        return cls(**values, camera=CameraOptions(**camera), view=FrameView(**view))


def open_with(settings: SourceSettings) -> FrameSource:
    """Open a source in this process.

    Raises:
        SourceError: as `open_source`.
        ConfigError: a secret is missing.
    """
    filled, secrets = fill_and_tell(settings.source)
    shown = mask_password(settings.source) if secrets else ""
    with hiding(secrets):
        source = open_source(filled, fps=settings.camera.fps, camera=settings.camera, shown=shown)
    if settings.name:
        source.name = settings.name
    if secrets:
        source = SecretSource(source, secrets)
    return source if settings.view == FrameView() else ViewedSource(source, settings.view)

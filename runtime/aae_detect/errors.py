"""Every error that aae-detect raises on purpose.

    AaeDetectError
    ├── ConfigError      an option or setting that cannot be used         (exit code 2)
    ├── ModelError       a model file that is refused                     (exit code 5)
    ├── SourceError      a camera, stream or file that cannot be read     (exit code 4)
    ├── FrameError       an array that is not a picture                   (exit code 1)
    └── InstallError     a package that is missing, doubled or broken     (exit code 1)

A message says what was found, what was expected, and what to do next.
"""


class AaeDetectError(Exception):
    """Root of all errors raised on purpose; catch this one to catch them all."""

    exit_code = 1


class ConfigError(AaeDetectError):
    """An option or setting that cannot be used."""

    exit_code = 2


class ModelError(AaeDetectError):
    """A model file that is missing, damaged, foreign, too new, unsafe, or does not answer as it was made to."""

    exit_code = 5


class SourceError(AaeDetectError):
    """A camera, stream, video or picture that cannot be opened or has stopped."""

    exit_code = 4


class FrameError(AaeDetectError):
    """An array that cannot be judged because it is not a picture of a supported kind."""


class InstallError(AaeDetectError):
    """A package that is missing, installed beside its rival, or does not load."""

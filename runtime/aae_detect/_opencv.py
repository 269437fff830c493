"""OpenCV, imported in this one place, so that a wheel that is missing, doubled or broken is explained once.

`opencv-python` and `opencv-python-headless` both write the folder `cv2`: installed together they overwrite each other's
files, and which one loads is chance.
"""

import os

from aae_detect.wheels import explain_opencv, refuse_rivals

refuse_rivals("opencv-python", "opencv-python-headless")

# Both are read once, when OpenCV loads: a header that promises 100 megapixels and more is refused before memory is
# taken for it, and FFmpeg, which would print addresses with their passwords, leaves the telling to our own errors.
os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", "100000000")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")

try:
    import cv2
except ImportError as error:
    raise explain_opencv(error) from error

__all__ = ["cv2"]

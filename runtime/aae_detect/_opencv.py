"""OpenCV, imported in this one place, so that a wheel that is missing, doubled or broken is explained once.

`opencv-python` and `opencv-python-headless` both write the folder `cv2`: installed together they overwrite each other's
files, and which one loads is chance.
"""

from aae_detect.wheels import explain_opencv, refuse_rivals

refuse_rivals("opencv-python", "opencv-python-headless")

try:
    import cv2
except ImportError as error:
    raise explain_opencv(error) from error

__all__ = ["cv2"]

"""Calls detector.onnx without aae-detect. Usage: python plain_onnxruntime.py detector.onnx PICTURE."""

import json
import sys

import cv2
import numpy as np
import onnxruntime

onnxruntime.set_default_logger_severity(3)  # an input with a default value, such as `noise`, is no cause to warn
session = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
spec = json.loads(session.get_modelmeta().custom_metadata_map["aae_detect.spec"])
height, width = spec["input_hw"]

frame_bgr = cv2.imread(sys.argv[2], cv2.IMREAD_COLOR)
image = cv2.resize(frame_bgr, (width, height), interpolation=cv2.INTER_AREA)  # fit "stretch", of a larger picture
anomaly_map, anomaly_score, reconstruction = session.run(
    ["anomaly_map", "anomaly_score", "reconstruction"], {"image": image[np.newaxis]}
)
print("NG" if anomaly_score[0] > spec["threshold"] else "OK", float(anomaly_score[0]))

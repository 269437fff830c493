"""Compares families of models on the user's own parts; needs torch and onnx (`pip install 'aae-detect[train,export]'`).

It trains, exports and measures, so it sits above the other three packages and nothing imports it.
"""

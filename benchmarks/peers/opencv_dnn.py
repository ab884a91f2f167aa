"""OpenCV's module for deep networks: inference only, with Winograd's convolution.

The variants are its two engines, "new" and "classic".
"""

from __future__ import annotations

import cv2

from benchmarks.description import Array, Network, Subject


def inference(network: Network) -> Subject:
    """Build a prediction."""
    cv2.setNumThreads(network.threads)
    engine = cv2.dnn.ENGINE_NEW if network.variant == "new" else cv2.dnn.ENGINE_CLASSIC
    net = cv2.dnn.readNetFromONNX(str(network.onnx), engine)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    net.enableWinograd(True)
    net.setInput(network.images())

    def logits() -> Array:
        scores: Array = net.forward().copy()
        return scores

    return Subject(net.forward, logits)

"""OpenCV's module for deep networks: inference only, with Winograd's convolution."""

from __future__ import annotations

import cv2

from benchmarks.description import Array, Network, Subject


def inference(network: Network) -> Subject:
    """Build a prediction."""
    cv2.setNumThreads(network.threads)
    net = cv2.dnn.readNetFromONNX(str(network.onnx))
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    net.enableWinograd(True)
    net.setInput(network.images())

    def logits() -> Array:
        scores: Array = net.forward().copy()
        return scores

    return Subject(net.forward, logits)

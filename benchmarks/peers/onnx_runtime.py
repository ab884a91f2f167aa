"""ONNX Runtime: inference only.

The variants are "spinning" (its defaults: threads look for work for a while after a call),
"stopped" (they sleep at once) and "bound" (the defaults, with input and output bound to arrays).
"""

from __future__ import annotations

import numpy as np
import onnxruntime

from benchmarks.description import Array, Network, Subject


def inference(network: Network) -> Subject:
    """Build a prediction with every optimisation of the graph."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = network.threads
    options.inter_op_num_threads = 1
    if network.variant == "stopped":
        options.add_session_config_entry("session.force_spinning_stop", "1")
    session = onnxruntime.InferenceSession(
        str(network.onnx), options, providers=["CPUExecutionProvider"]
    )
    images = network.images()
    if network.variant == "bound":
        return _bound(session, images)
    feed = {session.get_inputs()[0].name: images}
    return Subject(lambda: session.run(None, feed), lambda: np.asarray(session.run(None, feed)[0]))


def _bound(session: onnxruntime.InferenceSession, images: Array) -> Subject:
    """With arrays of input and output that are the same in every call."""
    first = onnxruntime.OrtValue.ortvalue_from_numpy(images)
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, first)
    shape = session.run(None, {session.get_inputs()[0].name: images})[0].shape
    scores = onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, np.float32, "cpu")
    binding.bind_ortvalue_output(session.get_outputs()[0].name, scores)

    def run() -> object:
        return session.run_with_iobinding(binding)

    def logits() -> Array:
        run()
        result: Array = scores.numpy()
        return result

    return Subject(run, logits)

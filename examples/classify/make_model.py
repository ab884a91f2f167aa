"""Make edges.safetensors and images.raw, with which the example is tried out.

The network tells vertical from horizontal edges by Sobel's filter and its transpose.
"""

import numpy as np

import pocketcnn as pc

net = pc.ConvNet(
    [
        ("sobel", pc.Conv2d(1, 2, 3, bias=False)),
        ("relu", pc.ReLU()),
        ("mean", pc.GlobalAvgPool2d()),
        ("flatten", pc.Flatten()),
    ],
    input_shape=(1, 6, 8),
)
sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
net.params["sobel.weight"][:, 0] = sobel, sobel.T
net.classes = ["vertical", "horizontal"]
net.save("edges.safetensors")

images = np.zeros((2, 1, 6, 8), net.dtype)
images[0, :, 3:] = 1  # bright from the fourth row on
images[1, :, :, 2:] = 1  # bright from the third column on
images.tofile("images.raw")

"""Data sets as NumPy arrays: images `uint8 (N, C, H, W)`, labels `int64 (N,)`.

Nothing here scales or shuffles: divide the images by 255 to train on them.
"""

from pocketcnn.data.digits import digits
from pocketcnn.data.image_folder import image_folder
from pocketcnn.data.mnist import mnist

__all__ = ["digits", "image_folder", "mnist"]

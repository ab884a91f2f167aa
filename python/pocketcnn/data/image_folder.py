"""A folder of image files, one subfolder per class: all in memory, or read while training."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from pocketcnn import _arguments
from pocketcnn._arguments import IntOrPair
from pocketcnn.data.failures import (
    common_size,
    complain,
    kept_files,
    reasons_by_name,
    tell_skipped,
)
from pocketcnn.data.files import as_folder, as_path
from pocketcnn.data.listing import flatten, list_classes, missed, one_sided
from pocketcnn.data.picture import Layout, check_picture, read_picture
from pocketcnn.data.reading import Readers, read_pictures

# How many files a digest reads; of the others it takes name and length.
_SAMPLED = 64


class ImageFolder:
    """`path/<class>/**/<image>` as a data set that is read while training, a batch at a time.

    The pictures are those of `image_folder`, which says how they are found and converted: the two
    give the same arrays. Files are read by threads that begin with the first batch; a forked child
    begins its own. `close()`, the end of a `with` block and the end of the object end them.

    Every file is opened when the data set is made, so that what is no picture is known before the
    training. Damage further inside a file is found when it is read.

    Parameters
    ----------
    path : str or path-like
        The folder.
    size : int, (int, int) or None
        Height and width of all images. None: that of the files, which must all have the same.
    channels : {3, 1, 4}, default 3
        3 for RGB, 1 for grey, 4 for RGB and alpha.
    on_error : {"raise", "skip"}, default "raise"
        What happens to files that cannot be read. "skip" reads every file once when the data set is
        made, and leaves out those that cannot be read, with a warning: `skipped` lists them, and
        the length counts the others.
    workers : int, optional
        Threads that read; 0 or 1 read in the calling thread. By default as many as
        `pocketcnn.get_num_threads()` says when a batch is read. The images do not depend on it.
    resize : {"stretch", "crop", "pad"}, default "stretch"
        As `image_folder`.

    Attributes
    ----------
    classes : list of str
        The names of the subfolders, sorted.
    labels : ndarray of int64 (N,)
        For each image the index of its class; read-only.
    files : list of pathlib.Path
        For each image its file.
    skipped : dict of str to str
        For each file that was left out, by its name within `path`, the reason.
    image_shape : (int, int, int)
        Channels, height and width.

    Raises
    ------
    FileNotFoundError
        `path` is not a folder.
    OSError, ValueError, ImportError
        As `image_folder`; also if a class has no picture that can be read.

    Warns
    -----
    UserWarning
        Files were skipped, or may be pictures and were passed over; there is one class only, or
        one has a hundred times as many images as another.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from PIL import Image
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("cat", "dog"):
    ...         os.mkdir(os.path.join(folder, name))
    ...         Image.new("RGB", (40, 30)).save(os.path.join(folder, name, "1.png"))
    ...     with ImageFolder(folder, 32) as dataset:
    ...         x, t = dataset.batch([1, 0])
    >>> x.shape, t.tolist(), dataset.classes
    ((2, 3, 32, 32), [1, 0], ['cat', 'dog'])
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        size: IntOrPair | None,
        channels: int = 3,
        on_error: str = "raise",
        workers: int | None = None,
        *,
        resize: str = "stretch",
    ) -> None:
        self._layout = Layout.of(size, channels, resize)
        self._readers = Readers(workers)
        skip = _check_on_error(on_error)
        self.path = as_folder("path", path)
        found = list_classes(self.path)
        files, labels, self.classes = flatten(found)
        check = read_picture if skip else check_picture

        def look(_: int, file: Path) -> tuple[int, ...]:
            answer = check(file, self._layout)
            return answer if isinstance(answer, tuple) else answer.shape[:2]

        answers = self._readers.each(look, files)
        failures = {i: a for i, a in enumerate(answers) if not isinstance(a, tuple)}
        if not skip:
            complain(failures.values(), len(files))
        kept = kept_files(self.path, self.classes, labels, failures)
        self.files = [files[place] for place in kept]
        self.labels = labels[kept]
        self.labels.flags.writeable = False
        self.skipped = reasons_by_name(self.path, files, failures)
        sizes = [answer for answer in answers if isinstance(answer, tuple)]
        self.image_shape = (self._layout.channels, *common_size(sizes, self.files))
        counts = np.bincount(self.labels, minlength=len(self.classes)).tolist()
        _warn(
            self.path,
            missed(self.path, found),
            tell_skipped(self.skipped, len(files)),
            one_sided(self.classes, counts),
        )

    def __len__(self) -> int:
        return len(self.files)

    def batch(
        self, indices: Iterable[int] | NDArray[np.integer]
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Read some images.

        Parameters
        ----------
        indices : array_like of int (n,)
            Which, from 0 to the length, in any order.

        Returns
        -------
        x : ndarray of uint8 (n, C, H, W)
        t : ndarray of int64 (n,)

        Raises
        ------
        OSError, ValueError
            A file cannot be read, or several: all of them are counted. Or it has another size than
            it had when the data set was made.
        """
        chosen = _check_indices(indices, len(self))
        paths = [self.files[place] for place in chosen.tolist()]
        x, failures = read_pictures(paths, self._layout, self._readers, self.image_shape[1:])
        complain(failures.values(), len(paths))
        return x, self.labels[chosen]

    def digest(self) -> str:
        """Return a digest by which a resumed training recognises its data.

        It covers the names and lengths of all files, the content of 64 of them, their classes, and
        how they are converted.
        """
        names = [file.relative_to(self.path).as_posix() for file in self.files]
        found = hashlib.sha256(repr((self._layout, self.image_shape, self.classes)).encode())
        found.update(self.labels.astype("<i8").tobytes())
        for name, file in zip(names, self.files, strict=True):
            found.update(b"%s\0%d\0" % (os.fsencode(name), file.stat().st_size))
        for file in self.files[:: -(-len(self.files) // _SAMPLED)]:
            found.update(file.read_bytes())
        return found.hexdigest()[:32]

    def close(self) -> None:
        """End the threads; they begin again when a batch is asked for."""
        self._readers.close()

    def __enter__(self) -> ImageFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.image_shape))
        return (
            f"<ImageFolder {str(self.path)!r}: {len(self):,} images of {shape}, "
            f"{len(self.classes)} classes>"
        )


def image_folder(
    path: str | os.PathLike[str],
    size: IntOrPair | None = None,
    channels: int = 3,
    *,
    resize: str = "stretch",
    on_error: str = "raise",
    workers: int | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    """Read `path/<class>/**/<image>`, one folder per class.

    Classes and files are taken in the order of their names, so that the result does not depend
    on the file system. Pictures may be in further folders inside a class's folder, whose names do
    not matter. Names that start with a dot are skipped; so are files whose ending is not that of an
    image, with a warning unless they are notes (`.txt`, `.csv`, `.json` and the like). Needs Pillow
    (`pip install pillow`; the extra `images`), which decides what formats are read; of an animated
    picture the first frame is taken.

    Every picture is converted to 8 bits and to `channels`:

    - A photograph is turned upright as its EXIF orientation says.
    - For 1 and 3 channels, transparency is drawn on white.
    - 16-bit grey is divided by 257, floating point pixels (0 to 1) are multiplied by 255.
      Pixels of other ranges, and 32-bit integers, are refused: their white is not known.
    - Colour profiles are not applied.

    A JPEG that has at least twice as many pixels as wanted along both axes is decoded at a half, a
    quarter or an eighth of its size, never below twice the size that is wanted, and resized from
    there: it takes a third of the time, and pixels differ by a few levels from those of the whole
    file.

    Parameters
    ----------
    path : str or path-like
        The folder.
    size : int or (int, int), optional
        Height and width the images are resized to, with antialiasing. None keeps them as they are;
        all must then have the same size.
    channels : {3, 1, 4}, default 3
        3 for RGB, 1 for grey, 4 for RGB and alpha; every image is converted.
    resize : {"stretch", "crop", "pad"}, default "stretch"
        What happens to pictures of another aspect ratio. "stretch" takes the whole picture and
        changes its ratio, "crop" fits its shorter side and cuts the middle out, "pad" fits its
        longer side and leaves zeros (black; transparent with 4 channels) beside it.
    on_error : {"raise", "skip"}, default "raise"
        Whether files that cannot be read are an error, or are left out with a warning that lists
        them.
    workers : int, optional
        Threads that read; 0 or 1 read in the calling thread. By default as many as
        `pocketcnn.get_num_threads()` says.

    Returns
    -------
    x : ndarray of uint8 (N, channels, H, W)
        The images.
    t : ndarray of int64 (N,)
        For each image the index of its class in `classes`.
    classes : list of str
        The names of the subfolders, sorted.

    Raises
    ------
    FileNotFoundError
        `path` is not a folder.
    OSError
        A folder or a file cannot be opened.
    ValueError
        No class, classes without images, folders that are parts of a data set instead of
        classes, images of different sizes, or files that cannot be read as images: all of them
        are counted. That includes pictures of more pixels than `PIL.Image.MAX_IMAGE_PIXELS`
        (89 million by default).
    ImportError
        Pillow is not installed.

    Warns
    -----
    UserWarning
        Files that may be pictures were passed over, or files that cannot be read were skipped.

    See Also
    --------
    ImageFolder : the same, read while training.
    """
    skip = _check_on_error(on_error)
    layout, readers = Layout.of(size, channels, resize), Readers(workers)
    root = as_folder("path", path)
    found = list_classes(root)
    files, labels, classes = flatten(found)
    x, failures = read_pictures(files, layout, readers, layout.size)
    readers.close()
    if not skip:
        complain(failures.values(), len(files))
    kept = kept_files(root, classes, labels, failures)
    _warn(
        root, missed(root, found), tell_skipped(reasons_by_name(root, files, failures), len(files))
    )
    return (x[kept], labels[kept], classes) if failures else (x, labels, classes)


def read_images(
    files: Iterable[str | os.PathLike[str]],
    size: IntOrPair | None,
    channels: int,
    resize: str = "stretch",
    workers: int | None = None,
) -> NDArray[np.uint8]:
    """Read image files into one array.

    Parameters
    ----------
    files : iterable of path-like
        At least one image file.
    size : int, (int, int) or None
        Height and width to resize to; None: all must have the size of the first.
    channels, resize, workers
        As in `image_folder`.

    Returns
    -------
    ndarray of uint8 (N, channels, H, W)

    Raises
    ------
    OSError
        The one file that cannot be opened.
    ValueError
        Files that are not images, all of them counted; or images of different sizes.
    """
    layout, readers = Layout.of(size, channels, resize), Readers(workers)
    paths = [as_path("files", file) for file in _several(files)]
    if not paths:
        raise ValueError("files is empty: wanted at least one image file")
    x, failures = read_pictures(paths, layout, readers, layout.size)
    readers.close()
    complain(failures.values(), len(paths))
    return x


def _several(files: Iterable[str | os.PathLike[str]]) -> list[str | os.PathLike[str]]:
    try:
        if not isinstance(files, (str, bytes)):
            return list(files)
    except TypeError:
        pass
    raise TypeError(f"files is {files!r}, but must be several paths")


def _warn(root: Path, *told: str | None) -> None:
    """Warn the caller of the caller in one message."""
    parts = [part for part in told if part is not None]
    if parts:
        warnings.warn(f"path {str(root)!r}: {'; '.join(parts)}", stacklevel=3)


def _check_on_error(on_error: str) -> bool:
    """Whether to skip."""
    if not isinstance(on_error, str) or on_error not in ("raise", "skip"):
        raise ValueError(f"on_error is {on_error!r:.80}: wanted 'raise' or 'skip'")
    return on_error == "skip"


def _check_indices(indices: object, count: int) -> NDArray[np.intp]:
    chosen = _arguments.as_array("indices", indices)
    if chosen.ndim != 1 or (chosen.size and chosen.dtype.kind not in "iu"):
        raise TypeError(f"indices is {chosen.dtype} {chosen.shape}, but must be int (n,)")
    if chosen.size and not 0 <= int(chosen.min()) <= int(chosen.max()) < count:
        raise ValueError(
            f"indices has {int(chosen.min())} to {int(chosen.max())}, but there are {count} images"
        )
    return chosen.astype(np.intp)

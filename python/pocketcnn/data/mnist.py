"""MNIST and Fashion-MNIST: found on this machine, or downloaded once."""

from __future__ import annotations

import os
from pathlib import Path

from pocketcnn.data.downloads import Source, cache_folder, checksum, data_folders, download
from pocketcnn.data.files import as_path
from pocketcnn.data.idx import Files, Split, find_idx, read_idx

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)

# SHA-256 of the uncompressed files.
CHECKSUMS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}

FASHION_MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
)

FASHION_CHECKSUMS = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}

# Where Debian's package `dataset-fashion-mnist` puts it.
_SYSTEM_FASHION = Path("/usr/share/datasets/fashion-mnist")

__all__ = ["fashion_mnist", "find_idx_files", "mnist", "name_idx_files", "read_idx"]


def mnist(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """Return MNIST: 60,000 training and 10,000 test images of handwritten digits.

    The four IDX files, gzipped or not, are looked for in `path` and nowhere else when it is given;
    otherwise in the folder `$POCKETCNN_DATA` names (or its subfolder `mnist`), then in the user's
    cache folder, on Linux `~/.cache/pocketcnn/mnist` (`$XDG_CACHE_HOME` is honoured). Failing that
    they are downloaded into the cache folder and their checksums are verified; this needs pooch
    (`pip install pooch`; the extra `data`).

    Parameters
    ----------
    path : str or path-like, optional
        A folder that holds the four files; other data sets in MNIST's format are read as well.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of tuples of arrays
        `x_train` uint8 (60000, 1, 28, 28), `t_train` int64 (60000,),
        `x_test` uint8 (10000, 1, 28, 28), `t_test` int64 (10000,). Numbers, sizes and labels
        are those of the files: another data set may have more than ten classes.

    Raises
    ------
    FileNotFoundError
        `path` does not hold the files, or they are not found and cannot be downloaded.
    OSError
        A folder or a file cannot be opened.
    ValueError
        A file is not what its name says, is damaged or does not fit the others.
    """
    if path is not None:
        return _given(path).read()
    # Fashion-MNIST's files have the same names, and a folder of their own.
    source = Source("MNIST", MIRRORS, CHECKSUMS, "pocketcnn.data.digits() needs neither")
    return _find_or_download(data_folders("", "mnist"), "mnist", source).read()


def fashion_mnist(path: str | os.PathLike[str] | None = None) -> tuple[Split, Split]:
    """Return Fashion-MNIST: 60,000 training and 10,000 test images of ten kinds of clothes.

    By Han Xiao, Kashif Rasul and Roland Vollgraf (arXiv:1708.07747), under the MIT licence. Its
    four IDX files are looked for in `path` and nowhere else when it is given; otherwise in the
    subfolder `fashion-mnist` or `fashion_mnist` of the folder that `$POCKETCNN_DATA` names, then
    where Debian's package `dataset-fashion-mnist` puts them, then in the cache folder, into which
    they are downloaded failing that (needs pooch; the extra `data`). The names of the classes are
    `pocketcnn.data.CLASS_NAMES["fashion_mnist"]`.

    Parameters
    ----------
    path : str or path-like, optional
        A folder that holds the four files.

    Returns
    -------
    (x_train, t_train), (x_test, t_test) : tuple of tuples of arrays
        As `mnist`.

    Raises
    ------
    FileNotFoundError, OSError, ValueError
        As `mnist`.
    """
    if path is not None:
        return _given(path).read()
    remedy = "Debian has it as dataset-fashion-mnist"
    source = Source("Fashion-MNIST", FASHION_MIRRORS, FASHION_CHECKSUMS, remedy)
    folders = [*data_folders("fashion-mnist", "fashion_mnist"), _SYSTEM_FASHION]
    return _find_or_download(folders, "fashion-mnist", source).read()


def find_idx_files(folder: Path) -> bool:
    """Tell whether `folder` holds the four files of MNIST."""
    return _in_folder(folder) is not None


def name_idx_files(folder: Path) -> str | None:
    """The data set whose four files a folder holds: "mnist", "fashion_mnist", or None if another.

    The labels of the test images tell.
    """
    files = _in_folder(folder)
    try:
        found = None if files is None else checksum(files.test_labels)
    except (OSError, EOFError, ValueError):  # damage is told when the file is read
        return None
    known = {"mnist": CHECKSUMS, "fashion_mnist": FASHION_CHECKSUMS}
    for name, checksums in known.items():
        if found == checksums["t10k-labels-idx1-ubyte"]:
            return name
    return None


def _in_folder(folder: Path) -> Files | None:
    """The four files with MNIST's names, which have no prefix."""
    files = find_idx(folder).get("") if folder.is_dir() else None
    return None if files is None or files.test_images.name.startswith("test") else files


def _given(path: str | os.PathLike[str]) -> Files:
    found = _in_folder(as_path("path", path))
    if found is None:
        raise FileNotFoundError(
            f"path {os.fspath(path)!r} does not hold the four MNIST files "
            f"({', '.join(CHECKSUMS)}; each may end in .gz)"
        )
    return found


def _find_or_download(folders: list[Path], name: str, source: Source) -> Files:
    """The files in one of the folders, or in that of the cache, into which they come if need be."""
    found = next(filter(None, map(_in_folder, folders)), None)
    if found is None:
        cache = cache_folder() / name
        found = _in_folder(cache)
        if found is None:
            download(cache, source)
            found = _in_folder(cache)
            assert found is not None
    return found

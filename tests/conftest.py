"""Settings every test shares."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

import pocketcnn as pc

# No deadline: a test must not fail because the machine is busy. A failure prints the blob
# that reproduces it.
settings.register_profile("pocketcnn", deadline=None, print_blob=True, max_examples=60)
settings.load_profile("pocketcnn")


@pytest.fixture(autouse=True)
def _restore_num_threads() -> Iterator[None]:
    """A test that changes the number of threads does not change the next test."""
    before = pc.get_num_threads()
    yield
    if pc.get_num_threads() != before:
        pc.set_num_threads(before)

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


@pytest.fixture(params=pc.available_teams())
def team(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Each team of threads in turn, here and in the processes that the test starts."""
    name: str = request.param
    before = pc.team()
    monkeypatch.setenv("POCKETCNN_TEAM", name)
    pc.set_team(name)
    yield name
    pc.set_team(before)

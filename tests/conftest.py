"""Settings every test shares."""

from __future__ import annotations

from hypothesis import settings

# No deadline: a test must not fail because the machine is busy. A failure prints the blob
# that reproduces it.
settings.register_profile("pocketcnn", deadline=None, print_blob=True, max_examples=60)
settings.load_profile("pocketcnn")

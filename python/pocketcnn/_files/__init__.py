"""Files: written completely or not at all, opened with care, and the container of named arrays."""

"""A network: its layers in order, how they are computed, checked, shown and kept in a file."""

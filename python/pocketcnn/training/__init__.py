"""Training: the loop, its callbacks, and how a run is saved and resumed."""

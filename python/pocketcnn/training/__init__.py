"""Training: the loop, what is called while it runs, and how a run is kept and taken up again."""

"""Figures of the documentation that are drawn by code: `python tools/draw_figures.py`."""

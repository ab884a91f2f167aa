"""The figures that pictures are drawn in: matplotlib's, without pyplot, but shown by notebooks.

The only module that cannot be imported without matplotlib; `canvas.new_figure` imports it.
"""

from __future__ import annotations

from io import BytesIO

import matplotlib.figure
from matplotlib.backends.backend_agg import FigureCanvasAgg


class Figure(matplotlib.figure.Figure):
    """A figure unknown to pyplot: nothing keeps a reference to it, and no window opens.

    A notebook shows it if it is the value of a cell. With ``%matplotlib inline``, IPython draws all
    figures by itself; this one is not drawn a second time.
    """

    def __init__(self, width: float, height: float) -> None:
        super().__init__(figsize=(width, height), dpi=120, layout="constrained")
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """Draw the figure for IPython's display, as `savefig` would."""
        picture = BytesIO()
        self.savefig(picture, format="png")
        return picture.getvalue()

"""Figures of tables, images, sequences and trainings, for trackers and notebooks.

Every function returns a `matplotlib.figure.Figure` that belongs to the caller: no global state of
`pyplot` is touched, so figures can be drawn in any thread and need not be closed. matplotlib is
imported when one is drawn.
"""

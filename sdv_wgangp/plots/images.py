"""Grids of images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from sdv_wgangp.plots.style import DOTS, INK, blank, new_figure


def image_grid(
    images: Any,
    columns: int | None = None,
    value_range: tuple[float, float] | None = (-1.0, 1.0),
    labels: Sequence[str] | None = None,
) -> Any:
    """Images side by side, as of a fixed noise in the course of a training.

    Args:
        images: ``[images, channels, height, width]`` with one or three channels, or
            ``[images, height, width]``; a tensor or an array.
        columns: Of the grid; None for about a square.
        value_range: Values that are black and white; None for the smallest and the largest.
        labels: One under each image.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is missing.
        ValueError: The shape is none of these.

    Example:
        >>> figure = image_grid(np.zeros((16, 1, 28, 28)))  # doctest: +SKIP
    """
    if hasattr(images, "detach"):
        images = images.detach().float().cpu().numpy()
    pixels = np.asarray(images, np.float64)
    if pixels.ndim == 3:
        pixels = pixels[:, None]
    if pixels.ndim != 4 or pixels.shape[1] not in (1, 3) or len(pixels) == 0:
        raise ValueError(
            "images must have the shape [images, channels, height, width] with 1 or 3 channels, "
            f"or [images, height, width], got {list(np.shape(images))}"
        )
    low, high = value_range or (np.nanmin(pixels), np.nanmax(pixels))
    pixels = np.clip((pixels - low) / max(high - low, 1e-12), 0, 1).transpose(0, 2, 3, 1)
    if pixels.shape[3] == 1:
        pixels = np.repeat(pixels, 3, 3)
    across = columns or int(np.ceil(np.sqrt(len(pixels))))
    down = -(-len(pixels) // across)
    tall, wide = pixels.shape[1:3]
    # Every pixel as a square of whole dots.
    zoom = max(1, round(100 / max(tall, wide)))
    if labels is None:
        gap = max(1, zoom * max(tall, wide) // 24)
        sheet = np.ones((down * (tall * zoom + gap) + gap, across * (wide * zoom + gap) + gap, 3))
        for place, image in enumerate(pixels):
            top = gap + (place // across) * (tall * zoom + gap)
            left = gap + (place % across) * (wide * zoom + gap)
            enlarged = image.repeat(zoom, 0).repeat(zoom, 1)
            sheet[top : top + tall * zoom, left : left + wide * zoom] = enlarged
        height, width = sheet.shape[:2]
        figure, axes = new_figure(1, 1, width / DOTS, height / DOTS)
        figure.set_layout_engine("none")
        axes[0, 0].set_position((0, 0, 1, 1))
        axes[0, 0].imshow(sheet, interpolation="nearest", aspect="auto")
        blank(axes)
        return figure
    side = zoom * wide / DOTS + 0.12
    figure, axes = new_figure(down, across, side, zoom * tall / DOTS + 0.32)
    for place, cell in enumerate(axes.flat):
        cell.set_axis_off()
        if place < len(pixels):
            cell.imshow(pixels[place], interpolation="nearest")
            cell.set_title(str(labels[place]), fontsize=7.5, color=INK, pad=2, y=-0.2)
    return figure

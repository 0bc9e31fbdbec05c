"""A progress bar with the losses and the speed."""

from __future__ import annotations

from types import TracebackType

from tqdm.auto import tqdm

from sdv_wgangp.training.log import EpochLog


class ProgressBar:
    """Training callback that draws one bar over the epochs; use it as a context manager.

    Args:
        epochs: Length of the bar.
        disable: Draw nothing.
    """

    def __init__(self, epochs: int, disable: bool = False):
        self._bar = tqdm(total=epochs, unit="epoch", desc="Training", disable=disable)
        self._validation = ""

    def __call__(self, log: EpochLog) -> None:
        matched = log.meta_feature_losses
        features = f"meta-features {sum(matched.values()):.2g}, " if matched else ""
        if log.validation_score is not None:
            self._validation = f", held-out score {log.validation_score:.3f}"
        self._bar.set_postfix_str(
            f"generator {log.generator_loss:+.3f}, discriminator {log.discriminator_loss:+.3f}, "
            f"{features}{log.rows_per_second:,.0f} rows/s{self._validation}",
            refresh=False,
        )
        self._bar.update()

    def __enter__(self) -> ProgressBar:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

"""Stop a fit in the middle, and go on later, to the very same model. (About half a minute.)

python examples/stop_and_resume.py
"""

import tempfile

import plotly.data
from sdv.metadata import Metadata

from sdv_wgangp import WGANGPMFSSynthesizer

table = plotly.data.gapminder()[["continent", "year", "lifeExp", "gdpPercap"]]
table = table.astype({"continent": str})
metadata = Metadata.detect_from_dataframes({"countries": table}, infer_keys=None)


def synthesizer(folder=None):
    """The same parameters each time: a checkpoint of others is refused by name."""
    made = WGANGPMFSSynthesizer(metadata, epochs=4, random_state=0)
    made.set_checkpoints(folder, every_steps=50, every_epochs=None)
    return made


class PowerCut:
    """Ends the training in the middle of an epoch, as Ctrl-C, SIGTERM or `kill -9` would."""

    def on_step(self, run):
        return run.step == 200


undisturbed = synthesizer()
undisturbed.fit({"countries": table})

with tempfile.TemporaryDirectory() as folder:
    stopped = synthesizer(folder)
    stopped.set_callbacks([PowerCut()])
    stopped.fit({"countries": table})
    print("stopped after", len(stopped.get_loss_values()), "whole epochs")

    resumed = synthesizer(folder)  # in another process, on another day
    resumed.resume({"countries": table})
    print("resumed: ", len(resumed.get_loss_values()), "epochs")

one, other = (each.sample(num_rows=500)["countries"] for each in (undisturbed, resumed))
print("the same rows as without the interruption:", one.equals(other))

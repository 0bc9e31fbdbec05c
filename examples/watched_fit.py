"""Watch a fit in TensorBoard. (pip install 'sdv-wgangp[tensorboard]')

python examples/watched_fit.py runs
tensorboard --logdir runs
"""

import sys

import plotly.data
from sdv.metadata import Metadata

from sdv_wgangp import WGANGPMFSSynthesizer
from sdv_wgangp.training.callbacks.tensorboard import TensorBoardTracker

table = plotly.data.gapminder()[["continent", "year", "lifeExp", "gdpPercap"]]
table = table.astype({"continent": str})
metadata = Metadata.detect_from_dataframes({"countries": table}, infer_keys=None)

folder = sys.argv[1] if len(sys.argv) > 1 else "runs"
synthesizer = WGANGPMFSSynthesizer(
    metadata, epochs=4, meta_features=["mean", "cor", "frequency"], random_state=0
)
synthesizer.set_callbacks([TensorBoardTracker(folder, figures_every=2)])
synthesizer.fit({"countries": table})
print(f"written to {folder}: losses, gradient norms, rates, and real rows beside generated ones")

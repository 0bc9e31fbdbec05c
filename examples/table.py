"""A table: fit, watch, sample, compare. (About half a minute.)

python examples/table.py
"""

import plotly.data
from sdv.metadata import Metadata
from sdv.single_table import WGANGPMFSSynthesizer  # registered as an SDV add-on

table = plotly.data.gapminder()[["continent", "year", "lifeExp", "gdpPercap"]]
table = table.astype({"continent": str})
metadata = Metadata.detect_from_dataframes({"countries": table}, infer_keys=None)


def watch(log):
    """Any callable that takes the log of an epoch is a callback; True would end the training."""
    print(f"epoch {log.epoch}: generator {log.generator_loss:+.2f}", flush=True)


synthesizer = WGANGPMFSSynthesizer(metadata, epochs=8, random_state=0)
synthesizer.set_callbacks([watch])
synthesizer.fit({"countries": table})
synthetic = synthesizer.sample(num_rows=1_000)["countries"]

print(synthetic.head(), "\n")
print("median life expectancy by continent, real and synthetic:")
for name, real in table.groupby("continent")["lifeExp"].median().items():
    made = synthetic.loc[synthetic["continent"] == name, "lifeExp"].median()
    print(f"  {name:<10}{real:6.1f}{made:6.1f}")

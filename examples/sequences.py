"""Sequences: fit, sample, condition on a context column, continue. (About a minute.)

python examples/sequences.py
"""

import numpy as np
import pandas as pd
from sdv.metadata import Metadata
from sdv.sequential import DoppelGANgerSynthesizer  # registered as an SDV add-on

random, parts = np.random.default_rng(0), []
for number in range(200):  # machines that wear out, the old ones faster
    old, length = bool(number % 2), int(random.integers(3, 9))
    wear = random.poisson(3 if old else 1, length).cumsum()
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(
        random.integers(1, 9, length).cumsum(), "D"
    )
    state = np.where(wear < 6, "good", "worn")
    parts.append(
        pd.DataFrame({"machine": number, "old": old, "day": days, "wear": wear, "state": state})
    )
table = pd.concat(parts, ignore_index=True)
columns = {"machine": "id", "old": "boolean", "day": "datetime", "wear": "numerical",
           "state": "categorical"}  # fmt: skip
metadata = Metadata.load_from_dict({"tables": {"checks": {
    "columns": {name: {"sdtype": sdtype} for name, sdtype in columns.items()},
    "sequence_key": "machine", "sequence_index": "day"}}})  # fmt: skip

synthesizer = DoppelGANgerSynthesizer(metadata, context_columns=["old"], epochs=10, random_state=0)
synthesizer.fit({"checks": table})
synthetic = synthesizer.sample(200)["checks"]
back = synthetic.groupby("machine")["day"].diff().lt(pd.Timedelta(0)).sum()
machines = synthetic["machine"].nunique()
print(f"{len(synthetic)} rows of {machines} machines, {back} steps back in time")

for old in (False, True):
    wanted = pd.DataFrame({"old": [old] * 100})
    given = synthesizer.sample_sequential_columns(wanted, sequence_length=6)["checks"]
    own, real = (each.groupby("machine")["wear"].diff().mean() for each in (
        given, table[table["old"] == old]))  # fmt: skip
    print(f"old {old!s:<5} wear a check: real {real:.1f}, synthetic {own:.1f}")

last = table[table["machine"] == 1].tail(1)
future = synthesizer.sample_continuation({"checks": table[table["machine"] == 1]}, steps=3)
print(f"machine 1 after {last['day'].iloc[0]:%Y-%m-%d}:")
print(future["checks"].to_string(index=False))

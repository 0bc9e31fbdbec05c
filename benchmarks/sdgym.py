"""SDGym, SDV's own benchmark, offline: our synthesizer by its name beside CTGAN's.

    python -m venv older && older/bin/pip install -c constraints-sdv1.txt -e . sdgym==0.15.1
    older/bin/python benchmarks/sdgym.py --datasets insurance abalone --output benchmarks/results

SDGym 0.15.1 cannot be imported with SDV 2.0: use an environment with SDV 1.38. Our class needs no
wrapper there: as an add-on of SDV it is one of the synthesizers that SDGym lists. The tables are
those of datasets.py, written as SDGym expects its own (its `UniformSynthesizer` is always run, the
floor of its adjusted scores). SDGym fits and scores on all rows: it has no held-out part. Its
times are taken with Python's memory tracing switched on, and its peak memory leaves out tensors;
speed.py and quality.py measure both better.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import datasets
import job
import pandas as pd
import timing

OURS = "WGANGPMFSSynthesizer"
COLUMNS = (
    "Dataset",
    "Synthesizer",
    "Quality_Score",
    "Diagnostic_Score",
    "Privacy_Score",
    "Train_Time",
    "Sample_Time",
    "Synthesizer_Size_MB",
    "Adjusted_Quality_Score",
    "Adjusted_Total_Time",
    "Error",
)


@functools.cache  # imported a second time, the package would lack its submodules
def load_sdgym():
    """The package, not this file: a script's folder comes first on the import path."""
    here = Path(__file__).resolve().parent
    path = list(sys.path)
    sys.path[:] = [entry for entry in path if Path(entry or ".").resolve() != here]
    own = sys.modules.pop("sdgym", None)
    try:
        import sdgym
    except ImportError as error:
        import sdv

        raise SystemExit(
            f"SDGym cannot be imported beside SDV {sdv.__version__} ({error}): install "
            "sdgym==0.15.1 with SDV 1.38, as constraints-sdv1.txt has it"
        ) from error
    finally:
        sys.path[:] = path
        if own is not None:
            sys.modules["sdgym"] = own
    return sdgym


def write_table(folder: Path, dataset: datasets.Dataset) -> None:
    """A table in the layout of SDGym's own: a metadata file and a zipped CSV."""
    place = folder / "single_table" / dataset.name
    place.mkdir(parents=True)
    (place / "metadata.json").write_text(json.dumps(dataset.metadata))
    frame = pd.concat([dataset.train, dataset.test], ignore_index=True)
    with zipfile.ZipFile(place / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(f"{dataset.name}.csv", frame.to_csv(index=False))
    # SDGym 0.15.1 joins the name of a table in a local folder twice.
    (place / dataset.name).symlink_to(".")


def run(names: Sequence[str], synthesizers: Sequence[str], epochs: int | None) -> pd.DataFrame:
    """SDGym's table of results.

    Args:
        names: Tables of datasets.py, or CSV files.
        synthesizers: Names that SDGym knows.
        epochs: Instead of the synthesizers' own defaults.
    """
    sdgym = load_sdgym()
    known = sdgym.synthesizers.get_available_single_table_synthesizers()
    for name in synthesizers:
        if name not in known:
            raise SystemExit(f"SDGym does not know {name!r}: it lists {', '.join(sorted(known))}")
    options = {"synthesizers": list(synthesizers)}
    if epochs is not None:
        variants = [
            sdgym.create_synthesizer_variant(name, name, {"epochs": epochs})
            for name in synthesizers
        ]
        options = {"synthesizers": [], "custom_synthesizers": variants}
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            write_table(Path(folder), datasets.load(name))
        return sdgym.benchmark_single_table(
            **options, sdv_datasets=None, additional_datasets_folder=folder
        )


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--datasets", nargs="+", default=["insurance", "abalone", "churn"])
    parser.add_argument("--synthesizers", nargs="+", default=[OURS, "CTGANSynthesizer"])
    parser.add_argument("--epochs", type=int, help="instead of the defaults")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, help="folder for sdgym.json")
    given = parser.parse_args(arguments)
    import torch

    torch.set_num_threads(given.threads)
    found = run(given.datasets, given.synthesizers, given.epochs)
    found = found[[name for name in COLUMNS if name in found]]
    shown = [["" if pd.isna(cell) else _text(cell) for cell in row] for row in found.to_numpy()]
    print(timing.markdown(list(found), shown))
    if given.output:
        given.output.mkdir(parents=True, exist_ok=True)
        document = {
            "machine": timing.machine(given.threads),
            "epochs": given.epochs,
            "results": found.to_dict("records"),
        }
        job.write_json(given.output / "sdgym.json", job.finite(document))


def _text(cell: object) -> str:
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


if __name__ == "__main__":
    main()

"""Defines operators: the library that holds them, and what is registered for each.

The reference in plain PyTorch is registered for every device, the compiled kernel for CPU and
CUDA, where it takes precedence: torch's dispatcher uses the kernel where there is one and the
reference where there is none, per operator and per device.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import library

NAMESPACE = "sdv_wgangp"
DEVICES = ("CPU", "CUDA")

_library = library.Library(NAMESPACE, "DEF")
names: list[str] = []


def operator(
    schema: str,
    reference: Callable,
    fake: Callable,
    backward: Callable | None = None,
    setup_context: Callable | None = None,
    autocast: bool = True,
) -> Callable:
    """Defines one operator and returns it.

    ``fake`` gives shapes and dtypes without data. Statistics of a distribution are no place for
    16-bit arithmetic, so under autocast operators take their arguments as float32 (``autocast``;
    not those that write into arguments, which must not be replaced by copies).
    """
    name = schema[: schema.index("(")]
    qualified = f"{NAMESPACE}::{name}"
    _library.define(schema, tags=torch.Tag.pt2_compliant_tag)
    _library.impl(name, reference, "CompositeExplicitAutograd")
    library.register_fake(qualified, fake, lib=_library)
    if backward is not None:
        library.register_autograd(qualified, backward, setup_context=setup_context, lib=_library)
    if autocast:
        for device in DEVICES:
            library.register_autocast(qualified, device.lower(), torch.float32, lib=_library)
    names.append(name)
    return getattr(getattr(torch.ops, NAMESPACE), name).default

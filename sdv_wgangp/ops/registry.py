"""Defines operators: each is a function in plain PyTorch, and may have compiled kernels.

The function is the operator's reference, and its signature the operator's: names, types and
defaults stand there alone. The reference is registered for every device, the compiled kernel for
CPU and CUDA, where it takes precedence: torch's dispatcher uses the kernel where there is one and
the reference where there is none, per operator and per device.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, SimpleNamespace
from typing import Any, ParamSpec, TypeVar, get_args, get_type_hints

import torch
from torch import Tensor, library

__all__ = ["DEVICES", "NAMESPACE", "names", "operator", "reference"]

NAMESPACE = "sdv_wgangp"
DEVICES = ("CPU", "CUDA")

_library = library.Library(NAMESPACE, "DEF")
_TYPES = {
    Tensor: "Tensor",
    Tensor | None: "Tensor?",
    list[Tensor]: "Tensor[]",
    float: "float",
    int: "int",
    bool: "bool",
    str: "str",
}
_references: dict[str, Callable] = {}

P = ParamSpec("P")
R = TypeVar("R")


def names() -> list[str]:
    """The operators that are defined."""
    return list(_references)


def reference(name: str) -> Callable:
    """An operator in plain PyTorch, checks included; its arguments are the operator's.

    Example:
        >>> import torch
        >>> reference("sorted_columns")(torch.tensor([[2.0], [1.0]]))[0].flatten().tolist()
        [1.0, 2.0]
    """
    return _references[name]


def _schema(function: Callable, writes: Sequence[str]) -> str:
    """What torch is told of an operator's arguments and results.

    Torch's own `infer_schema` makes symbolic integers of all integers, which the kernels do not
    take.
    """
    hints = get_type_hints(function)
    arguments = []
    for place, (name, parameter) in enumerate(inspect.signature(function).parameters.items()):
        kind = _TYPES[hints[name]]
        if name in writes:
            kind = kind.replace("Tensor", f"Tensor(a{place}!)")
        default = parameter.default
        text = json.dumps(default) if isinstance(default, str) else str(default)
        arguments.append(f"{kind} {name}" + ("" if default is parameter.empty else f"={text}"))
    result = hints["return"]
    results = () if result is NoneType else get_args(result) or (result,)
    returned = ", ".join(_TYPES[each] for each in results)
    return f"({', '.join(arguments)}) -> " + (returned if len(results) == 1 else f"({returned})")


def operator(
    check: Callable[[str, Any], object],
    empty: Callable[[Any], Any] = lambda a: None,
    *,
    writes: Sequence[str] = (),
    backward: Callable[..., Mapping[str, Tensor | None]] | None = None,
    context: Callable[[Any, Any, Any], None] | None = None,
    autocast: bool = True,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Defines an operator by its reference, and turns the reference into a call of the operator.

    The operator has the function's name without leading underscores, its arguments and their
    types. What is given here sees the arguments as attributes of one object, ``a``.

    Args:
        check: ``check(name, a)`` raises where an argument is wrong; all that can be known without
            reading values on the device. It goes before every call of the reference.
        empty: Results of the right shapes and dtypes without data.
        writes: Names of the arguments that are written to.
        backward: ``backward(ctx, *gradients)``: by its name, the gradient of every argument that
            has one. It calls operators or plain PyTorch, never data.
        context: ``context(ctx, a, output)`` keeps what ``backward`` needs.
        autocast: Whether arguments become float32 under autocast: statistics of a distribution
            are no place for 16-bit arithmetic. Not for what writes into arguments, which must not
            be replaced by copies.
    """

    def define(function: Callable[P, R]) -> Callable[P, R]:
        name = function.__name__.lstrip("_")
        qualified = f"{NAMESPACE}::{name}"
        signature = inspect.signature(function)

        def arguments(*given: Any, **named: Any) -> SimpleNamespace:
            bound = signature.bind(*given, **named)
            bound.apply_defaults()
            return SimpleNamespace(**bound.arguments)

        def checked(*given: P.args, **named: P.kwargs) -> R:
            check(name, arguments(*given, **named))
            return function(*given, **named)

        def fake(*given: Any, **named: Any) -> Any:
            a = arguments(*given, **named)
            check(name, a)
            return empty(a)

        _library.define(name + _schema(function, writes), tags=torch.Tag.pt2_compliant_tag)
        _library.impl(name, checked, "CompositeExplicitAutograd")
        library.register_fake(qualified, fake, lib=_library)
        if backward is not None and context is not None:

            def gradients(ctx: Any, *given: Any) -> tuple[Tensor | None, ...]:
                found = backward(ctx, *given)
                return tuple(found.get(each) for each in signature.parameters)

            def setup(ctx: Any, inputs: tuple, output: Any) -> None:
                context(ctx, arguments(*inputs), output)

            library.register_autograd(qualified, gradients, setup_context=setup, lib=_library)
        if autocast:
            for device in DEVICES:
                library.register_autocast(qualified, device.lower(), torch.float32, lib=_library)
        _references[name] = checked
        call = getattr(getattr(torch.ops, NAMESPACE), name).default

        @functools.wraps(function)
        def operation(*given: P.args, **named: P.kwargs) -> R:
            return call(*given, **named)

        return operation

    return define

"""Keys that depend on a seed: each seed begins at another place among all that are possible.

RDT makes keys from a fixed start, so that two samples have the same keys, row for row. What is
here puts the start elsewhere; which keys are possible stays as it is.
"""

from __future__ import annotations

import re
import string
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from faker.exceptions import UniquenessException
from rdt.transformers import AnonymizedFaker, BaseTransformer, IndexGenerator, RegexGenerator
from sdv.data_processing.data_processor import DataProcessor

if sys.version_info >= (3, 11):
    from re import _parser
else:
    import sre_parse as _parser

# Numbers without a limit of their own stay below it: they are exact in floats, and can be read.
MOST_NUMBERS = 10**12
# Repetitions of a pattern without an end, as RDT counts them.
MOST_REPETITIONS = 16
# Characters of the templates of Faker's `bothify`, as patterns.
BOTHIFY = {"?": "[a-zA-Z]", "#": "[0-9]", "%": "[1-9]"}


def key_start(seed: int, size: int) -> int:
    """Where the keys of a seed begin among so many: multiples of the golden section.

    Of ``k`` successive seeds no two begin closer together than about ``size / (2.7 k)`` (three-gap
    theorem, Swierczkowski 1958), so each may draw as many rows before keys of two of them are the
    same.

    Args:
        seed: At least 0.
        size: How many keys there are, at least one.

    Example:
        >>> [key_start(seed, 1000) for seed in range(4)]
        [618, 236, 854, 472]
    """
    return (seed + 1) * (size * 618033988749894848 // 10**18) % size


class Pattern(Sequence[str]):
    """The strings of a regular expression, of the kinds that RDT makes strings of, by number.

    Args:
        regex: The expression.

    Example:
        >>> strings = Pattern("[AB]-[0-9]{1,2}")
        >>> len(strings), strings[0], strings[9], strings[10], strings[-1]
        (220, 'A-0', 'A-9', 'A-00', 'B-99')
    """

    def __init__(self, regex: str):
        self.regex = regex
        self._items = list(_parser.parse(regex))  # type: ignore[call-overload]
        self.size = _size_of(self._items)

    def __reduce__(self) -> tuple[type[Pattern], tuple[str]]:
        return Pattern, (self.regex,)  # what it is parsed to cannot be pickled

    def __len__(self) -> int:
        return min(self.size, sys.maxsize)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        number = index + self.size if index < 0 else index
        if not 0 <= number < self.size:
            raise IndexError(f"there are {self.size} strings, not {index}")
        return _string(self._items, number)


def _size_of(items: Sequence[tuple[Any, Any]]) -> int:
    size = 1
    for kind, content in items:
        size *= _choices(kind, content)
    return size


def _string(items: Sequence[tuple[Any, Any]], number: int) -> str:
    """The last item is the one that changes fastest."""
    parts = []
    for kind, content in reversed(items):
        number, own = divmod(number, _choices(kind, content))
        parts.append(_choice(kind, content, own))
    return "".join(reversed(parts))


def _repeated(content: Any) -> tuple[int, int, Sequence[tuple[Any, Any]]]:
    least, most, items = content
    return least, MOST_REPETITIONS if most == _parser.MAXREPEAT else most, list(items)[:1]


def _choices(kind: Any, content: Any) -> int:
    """How many strings an item of a parsed expression has.

    Raises:
        ValueError: It is of another kind.
    """
    if kind in (_parser.LITERAL, _parser.AT):
        return 1
    if kind == _parser.RANGE:
        return content[1] - content[0] + 1
    if kind in (_parser.ANY, _parser.CATEGORY):
        return len(_characters(kind, content))
    if kind == _parser.IN:
        return sum(_choices(*each) for each in content)
    if kind == _parser.SUBPATTERN:
        return _size_of(list(content[-1]))
    if kind == _parser.MAX_REPEAT:
        least, most, items = _repeated(content)
        return sum(_size_of(items) ** times for times in range(least, most + 1))
    raise ValueError(f"no strings are made of {kind} in a regular expression")


def _choice(kind: Any, content: Any, number: int) -> str:
    if kind == _parser.AT:
        return ""
    if kind == _parser.LITERAL:
        return chr(content)
    if kind == _parser.RANGE:
        return chr(content[0] + number)
    if kind in (_parser.ANY, _parser.CATEGORY):
        return _characters(kind, content)[number]
    if kind == _parser.SUBPATTERN:
        return _string(list(content[-1]), number)
    if kind == _parser.IN:
        for option, inside in content:
            if number < _choices(option, inside):
                return _choice(option, inside, number)
            number -= _choices(option, inside)
    least, most, items = _repeated(content)
    for times in range(least, most + 1):
        size = _size_of(items) ** times
        if number < size:
            return _string(list(items) * times, number)
        number -= size
    raise IndexError(number)


def _characters(kind: Any, category: Any) -> str:
    if kind == _parser.ANY:
        return string.printable
    *_, letter = str(category).split("_")
    classes = {"DIGIT": r"\d", "SPACE": r"\s", "WORD": r"\w"}
    found = classes[letter]
    if "_NOT_" in str(category):
        found = found.upper()
    return "".join(re.findall(found, string.printable))


class NumberedFaker:
    """In the place of a Faker that makes keys at random: these in their order, from a start.

    Args:
        faker: That it stands for.
        keys: All that there are.
        start: Number of the first.
    """

    def __init__(self, faker: Any, keys: Sequence[Any], start: int):
        self._faker, self._keys, self._start, self._given = faker, keys, start, 0
        # RDT asks for distinct values here.
        self.unique = self
        self._excluded_types = ()

    def random_int(self, **_: Any) -> Any:
        """The next key."""
        if self._given >= len(self._keys):
            raise UniquenessException("there are no more keys")
        key = self._keys[(self._start + self._given) % len(self._keys)]
        self._given += 1
        return key

    def bothify(self, text: str, **_: Any) -> Any:
        """The next key, or, once they are used up, what RDT then asks for."""
        if self._given >= len(self._keys):
            return self._faker.unique.bothify(text=text)
        return self.random_int()


def seed_keys(processor: DataProcessor, seed: int) -> None:
    """Let keys and anonymised columns begin where a seed says.

    Args:
        processor: Fitted, at the beginning of its sampling.
        seed: At least 0.
    """
    for transformer in processor._hyper_transformer.field_transformers.values():
        if transformer is None:
            continue
        own = int(np.random.SeedSequence([seed, transformer.random_seed]).generate_state(1)[0])
        transformer.random_states = {
            **transformer.random_states,
            "reverse_transform": np.random.RandomState(own),
        }
        if isinstance(transformer, AnonymizedFaker):
            transformer.faker.seed_instance(own)
            keys = _keys_of(transformer)
            if keys is not None:
                start = key_start(seed, len(keys))
                transformer.faker = NumberedFaker(transformer.faker, keys, start)
        elif isinstance(transformer, IndexGenerator):
            most = min(_most(processor, transformer), MOST_NUMBERS) - transformer.starting_value
            transformer._counter = key_start(seed, max(most, 1))
    seed_patterns(processor, seed)


def seed_patterns(processor: DataProcessor, seed: int) -> None:
    """The part of `seed_keys` that a pickle loses: RDT leaves the strings of patterns out.

    Args:
        processor: As many keys are left out as it has given.
        seed: At least 0.
    """
    for transformer in processor._hyper_transformer.field_transformers.values():
        if (
            isinstance(transformer, RegexGenerator)
            and not transformer._num_fallback_samples_generated
        ):
            strings = Pattern(transformer.regex_format)
            # Greater numbers may not fit into the column.
            size = min(strings.size, _most(processor, transformer))
            transformer.generator = _strings_from(
                strings, key_start(seed, size), transformer.generated, size
            )


def _strings_from(strings: Pattern, start: int, given: int, size: int) -> Iterator[str]:
    for number in range(given, size):
        yield strings[(start + number) % size]


def _most(processor: DataProcessor, transformer: BaseTransformer) -> int:
    """How many keys a column can take that counts them."""
    dtype = processor._dtypes[transformer.get_input_column()]
    kind = getattr(dtype, "numpy_dtype", dtype)
    if not isinstance(kind, np.dtype) or kind.kind not in "iuf":
        return sys.maxsize
    limit = np.iinfo(kind).max if kind.kind in "iu" else 2 ** (np.finfo(kind).nmant + 1)
    return min(MOST_NUMBERS, int(limit))


def _keys_of(transformer: AnonymizedFaker) -> Sequence[Any] | None:
    """The keys that SDV has Faker draw, by number; None of other columns."""
    if transformer.cardinality_rule != "unique":
        return None
    arguments = transformer.function_kwargs
    if transformer.function_name == "random_int" and arguments.keys() == {"min", "max"}:
        return range(arguments["min"], arguments["max"] + 1)
    if transformer.function_name == "bothify" and arguments.keys() == {"text"}:
        regex = "".join(BOTHIFY.get(each, re.escape(each)) for each in arguments["text"])
        return Pattern(regex)
    return None

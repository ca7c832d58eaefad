"""What is known of things that users put together: each combination is a test, and docs/combinations.md is their table.

To declare one, decorate its test, in whatever file it is, and name the file in `PLACES`:

```python
@combination("group offload", "back blocks", means="the weights are there, and the outputs are those without offload")
def test_groups(tmp_path): ...
```

With `refused` the test must raise a `CachedslError` with that text in it; with `said` cachedsl must log that text. With
`gpu` it needs a CUDA device.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from importlib import import_module
from typing import Any, TypeVar

import pytest
from attrs import frozen

from cachedsl.text.finding import CachedslError

PLACES = (
    "tests.combinations.test_adapters",
    "tests.combinations.test_compile",
    "tests.combinations.test_modes",
    "tests.combinations.test_weights",
    "tests.parallel.test_combinations",
    "tests.parallel.test_gpu",
    "tests.runtime.test_group_offload",
)
"""The files that declare combinations."""

Test = TypeVar("Test", bound=Callable[..., Any])


@frozen
class Combination:
    """Some things together, and what comes of it.

    Attributes:
        parts: the things.
        means: what the test shows.
        where: the test.
        refused: what the error says, where it is refused.
        said: what is logged, where it is taken but not as one may think.
        gpu: whether it needs a CUDA device.
    """

    parts: tuple[str, ...]
    means: str
    where: str
    refused: str = ""
    said: str = ""
    gpu: bool = False

    @property
    def outcome(self) -> str:
        if self.refused:
            return f"refused: “{self.refused}”"
        proven = "needs a GPU" if self.gpu else "proven"
        return f"{proven}; says “{self.said}”" if self.said else proven


_FOUND: dict[str, Combination] = {}


def combination(
    *parts: str, means: str, refused: str = "", said: str = "", gpu: bool = False
) -> Callable[[Test], Test]:
    """Declare the test below as the proof of a combination."""

    def declare(test: Test) -> Test:
        where = f"{test.__module__.replace('.', '/')}.py::{test.__name__}"
        _FOUND.setdefault(where, Combination(parts, means, where, refused, said, gpu))

        @functools.wraps(test)
        def held(*args: Any, **kwargs: Any) -> None:
            with _Said() as records:
                if refused:
                    with pytest.raises(CachedslError) as error:
                        test(*args, **kwargs)
                    assert refused in str(error.value)
                else:
                    test(*args, **kwargs)
            assert not said or any(said in record.getMessage() for record in records), "it is not said"

        made: Any = pytest.mark.gpu(held) if gpu else held
        return made  # type: ignore[no-any-return]

    return declare


class _Said(logging.Handler):
    """What the logger of cachedsl gets meanwhile."""

    def __enter__(self) -> list[logging.LogRecord]:
        self.records: list[logging.LogRecord] = []
        logging.getLogger("cachedsl").addHandler(self)
        return self.records

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def __exit__(self, *exception: object) -> None:
        logging.getLogger("cachedsl").removeHandler(self)


def combinations() -> list[Combination]:
    """Return all of them, in the order of `PLACES` and of the files."""
    for place in PLACES:
        import_module(place)
    order = {f"{place.replace('.', '/')}.py": index for index, place in enumerate(PLACES)}
    return sorted(_FOUND.values(), key=lambda one: order[one.where.partition("::")[0]])


def table() -> str:
    """Return the table as Markdown."""
    lines = ["| together | outcome | what is shown | test |", "|---|---|---|---|"]
    for one in combinations():
        file, _, test = one.where.partition("::")
        lines.append(f"| {' × '.join(one.parts)} | {one.outcome} | {one.means} | [`{test}`](../{file}) |")
    return "\n".join(lines) + "\n"

"""What every engine is: something that changes models once, before they are driven.

An engine is one file, named like the key of `runtime` that asks for it, with an `ENGINE`:

```python
class Quantizer:
    def check(self, target: Target, part: Any) -> None: ...   # refuses, with the numbers; changes nothing
    def engage(self, target: Target, part: Any) -> None: ...  # does it, in place

ENGINE = Quantizer()
```
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from attrs import frozen
from torch import nn

from cachedsl.text.finding import CachedslError


class EngineRefused(CachedslError):
    """What `runtime` asks for cannot be done with these models on this machine; nothing was changed."""


@frozen
class Target:
    """What a policy is applied to.

    Attributes:
        label: its class, for messages.
        components: every module of the pipeline by its name; of a bare transformer, itself as `transformer`.
        driven: the names of those that the policy drives.
        pipeline: the pipeline; None for a bare transformer.
    """

    label: str
    components: Mapping[str, nn.Module]
    driven: tuple[str, ...]
    pipeline: Any = None


class Engine(Protocol):
    """Does what one key of `runtime` asks for.

    Every engine is checked before the first is engaged. What was done stays when the policy is removed: a quantised or
    split model is the model from then on. So `engage` meets models on which it has been before, and leaves alone
    what is as the part says.
    """

    def check(self, target: Target, part: Any) -> None:
        """Refuse what cannot be done, and change nothing.

        Args:
            target: the pipeline or transformer.
            part: what the key of `runtime` says, as the language's type.

        Raises:
            EngineRefused: with what was asked for, what was found and the way out.
        """
        ...

    def engage(self, target: Target, part: Any) -> None:
        """Do it, in place; the modules of `target.components` stay the same objects."""
        ...

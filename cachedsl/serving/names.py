"""Keep the values of a metric's label few, whatever clients send."""

from __future__ import annotations

OTHER = "other"


class FewNames:
    """The first `most` names that are seen stand for themselves, all later ones for `other`.

    Each value of a label is a time series, which Prometheus keeps, and a policy's name is the client's to choose.

    Raises:
        ValueError: `most` is not at least 1.
    """

    def __init__(self, most: int = 50) -> None:
        if most < 1:
            raise ValueError(f"how many names a label may have: expected at least 1, got {most}")
        self._most = most
        self._seen: set[str] = set()

    def __call__(self, name: str) -> str:
        """Return the name that `name` is counted under."""
        if name in self._seen:
            return name
        if len(self._seen) >= self._most:
            return OTHER
        self._seen.add(name)
        return name

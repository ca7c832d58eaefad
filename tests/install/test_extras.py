"""What is missing is named by what pip calls it, with what it is for."""

from __future__ import annotations

import sys

import pytest

from cachedsl import CachedslError
from cachedsl.extras import MissingPackages, need, need_or_exit


def test_nothing_is_said_where_all_is_there() -> None:
    need("attrs", "yaml", to="check", extra="none")


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        (("attrs", "no_such"), "needs no_such to rest; install it with: pip install 'cachedsl[sofa]'"),
        (
            ("no_such", "none_such"),
            "needs no_such and none_such to rest; install them with: pip install 'cachedsl[sofa]'",
        ),
        (("a_", "b_", "c_"), "needs a_, b_ and c_ to rest; install them with: pip install 'cachedsl[sofa]'"),
    ],
)
def test_what_is_missing_is_named(modules: tuple[str, ...], message: str) -> None:
    with pytest.raises(MissingPackages) as raised:
        need(*modules, to="rest", extra="sofa")
    assert str(raised.value) == f"cachedsl {message}"
    assert isinstance(raised.value, CachedslError)


def test_a_blocked_module_is_missing_and_called_as_pip_calls_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(SystemExit) as raised:
        need_or_exit("sklearn", to="rest", extra="demo")
    assert raised.value.code == 2
    assert capsys.readouterr().err == (
        "cachedsl needs scikit-learn to rest; install it with: pip install 'cachedsl[demo]'\n"
    )

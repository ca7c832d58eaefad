"""What a client sends, and what is wrong with it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cachedsl import Policy, PolicyError, bundled_policies
from cachedsl.language.notation import looks_like_notation
from cachedsl.loading import bundled_path, load_policy, parse_policy
from examples.server.job import Job

if TYPE_CHECKING:
    from examples.server.engine import Engine

OURS = ("num_inference_steps", "generator", "return_dict", "output_type", "latents", "timesteps", "sigmas")
"""Arguments of the pipeline's call that the server gives, or that would change its steps."""

Side = Annotated[int, Field(ge=16, le=2048)]


class Wanted(BaseModel):
    """A request for images."""

    model_config = ConfigDict(extra="forbid")

    policy: str = Field("f8b0", max_length=20_000, description="A bundled name, notation such as F1B0_R0.1, or YAML.")
    steps: int = Field(20, ge=1, le=100)
    seed: int = Field(0, ge=0, lt=2**63)
    height: Side | None = None
    width: Side | None = None
    arguments: dict[str, Any] = Field(default_factory=dict, description="Further ones of the pipeline's call.")
    format: Literal["png", "npy"] = "png"
    id: str | None = Field(None, min_length=1, max_length=100, description="For DELETE; the server makes one else.")


class Unfit(Exception):
    """A request cannot be drawn; `findings` say where and why, in the form that FastAPI's own have."""

    def __init__(self, findings: list[dict[str, Any]]) -> None:
        super().__init__(findings[0]["msg"])
        self.findings = findings

    @classmethod
    def at(cls, place: str, message: str) -> Unfit:
        return cls([{"loc": ["body", *place.split(".")], "msg": message, "type": "value_error"}])


def to_job(wanted: Wanted, engine: Engine, most_images: int = 16) -> Job:
    """Check a request against the policy language, the model and the pipeline's call.

    Raises:
        Unfit: it does not hold.
    """
    try:
        policy = read(wanted.policy)
        engine.cached.plan(wanted.steps, policy)
    except PolicyError as error:
        raise Unfit([_finding(found) for found in error.findings]) from error
    sides = {"height": wanted.height, "width": wanted.width}
    given = {name: value for name, value in sides.items() if value is not None}
    _check(wanted.arguments, "arguments.", engine, most_images)
    _check(given, "", engine, most_images)
    job = Job(policy, wanted.steps, wanted.seed, {**wanted.arguments, **given})
    if wanted.id is not None:
        job.id = wanted.id
    return job


def read(text: str) -> Policy:
    """Return the policy that a client named or wrote; never a file of the server's.

    Raises:
        PolicyError: there is none, or it does not hold.
    """
    bundled = bundled_path(text)
    if bundled is not None:
        return load_policy(bundled)
    if looks_like_notation(text):
        return Policy.from_notation(text)
    if ":" not in text:
        known = ", ".join(bundled_policies())
        raise Unfit.at("policy", f"{text!r} is no bundled policy ({known}), no notation such as F1B0_R0.1, and no YAML")
    return parse_policy(text, "policy")


def _check(arguments: dict[str, Any], place: str, engine: Engine, most_images: int) -> None:
    takes = inspect.signature(type(engine.pipe).__call__).parameters
    open_to = sorted(name for name in takes if name not in ("self", *OURS) and "callback" not in name)
    for name, value in arguments.items():
        if name not in open_to:
            message = f"the pipeline takes no {name!r} from a request; it takes {', '.join(open_to)}"
            raise Unfit.at(place + name, message)
        many = len(value) if isinstance(value, list) else value if name.startswith("num_") else 0
        if isinstance(many, int) and many > most_images:
            raise Unfit.at(place + name, f"expected at most {most_images}, got {many}")


def _finding(found: Any) -> dict[str, Any]:
    """Write one of cachedsl's findings as FastAPI writes its own, with its place in the policy's text."""
    return {
        "loc": ["body", "policy"],
        "type": found.code,
        "msg": found.message,
        "line": found.span.line,
        "column": found.span.column,
        "way_out": found.hint,
    }

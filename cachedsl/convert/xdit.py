"""xDiT: `--use_teacache` and `--use_fbcache`, with `rel_l1_thresh` and `XDIT_FBCACHE_THRESH`."""

from __future__ import annotations

from typing import Any

from attrs import evolve

from cachedsl.convert.engine import Asked, Engine, names, plain
from cachedsl.convert.flags import misspelt, own
from cachedsl.convert.forms import Settings
from cachedsl.convert.notes import BAD_OPTION, DIFFERS, IDLE_OPTION, Converted, Note
from cachedsl.convert.options import Option, read_options
from cachedsl.convert.whole_steps import OFF, first_block, teacache
from cachedsl.language.kinds import Flag, Number
from cachedsl.language.published import COEFFICIENTS

NAME = "xDiT"
TABLE: dict[str, Option] = {
    "use_teacache": Option(Flag(), False),
    "use_fbcache": Option(Flag(), False),
    "rel_l1_thresh": Option(Number(least=0), 0.12),
    "XDIT_FBCACHE_THRESH": Option(Number(least=0)),
}
FLAGS = {f"--{name}": name for name in TABLE if name.islower()}


def knows(settings: Settings) -> bool:
    """Tell whether settings are xDiT's."""
    found = names(settings)
    return bool(found & {"--use_teacache", "--use_fbcache", "use_teacache", "use_fbcache", "XDIT_FBCACHE_THRESH"})


def read(settings: Settings, asked: Asked) -> Converted:
    """Return the policy of a command, a file or an environment."""
    given = plain(settings)
    known = own(given, (*FLAGS, *TABLE))
    spelt = {FLAGS.get(name, name): name for name in known}
    options = read_options({FLAGS.get(name, name): value for name, value in known.items()}, TABLE, NAME)
    notes = [*misspelt(given, (*FLAGS, *TABLE), NAME)]
    notes += [evolve(note, path=(spelt.get(str(note.path[0]), note.path[0]), *note.path[1:])) for note in options.notes]
    both = options["use_teacache"] and options["use_fbcache"]
    if both:
        message = "use_fbcache: it and `use_teacache` exclude each other"
        notes.append(Note(BAD_OPTION, (spelt["use_fbcache"],), message, "keep one of the two"))
    threshold = options["rel_l1_thresh"]
    used = {"rel_l1_thresh"} if options["use_teacache"] else set()
    if options["use_fbcache"] or (not used and "XDIT_FBCACHE_THRESH" in options.values):
        used = {"rel_l1_thresh"} if "rel_l1_thresh" in options.values else {"XDIT_FBCACHE_THRESH"}
    for name in ("rel_l1_thresh", "XDIT_FBCACHE_THRESH"):
        if name in options.values and name not in used and not both:
            notes.append(Note(IDLE_OPTION, (spelt[name],), f"{name}: no cache that is on reads it"))
    if options["use_teacache"] and not both:
        message = "use_teacache: xDiT has the polynomial of FLUX.1 only, which is written here"
        notes.append(Note(DIFFERS, (spelt["use_teacache"],), message, "use it on FLUX.1"))
        return Converted({"version": 1, **teacache(threshold, COEFFICIENTS["flux"])}, tuple(notes), asked.steps)
    if options["use_fbcache"] or "XDIT_FBCACHE_THRESH" in options.values:
        if "rel_l1_thresh" not in options.values and options["XDIT_FBCACHE_THRESH"] is not None:
            threshold = options["XDIT_FBCACHE_THRESH"]
        return Converted({"version": 1, **first_block(threshold)}, tuple(notes), asked.steps)
    tree: dict[str, Any] = {} if both else {"version": 1, **OFF}
    return Converted(tree, tuple(notes), asked.steps)


ENGINE = Engine("xdit", "xDiT", "options of a command, environment, YAML or JSON", knows, read)

"""What can be wrong with a text before anything is known of what it means."""

from __future__ import annotations

from cachedsl.text.finding import Rule

CANNOT_READ = Rule(
    "cannot-read",
    "text",
    "the file cannot be read",
    why="The system refuses to open or read the file: it is a folder, it is not there, or its permissions forbid it.",
    bad="cachedsl check some-folder-named.yaml",
    good="cachedsl check policy.yaml",
)
TOO_LARGE = Rule(
    "too-large",
    "text",
    "the file is larger than 1 MiB",
    why="No policy and no adapter comes near this size. A larger file was probably named by mistake, and "
    "reading it would only cost time.",
    bad="version: 1\n# and more than a million characters",
    good="version: 1",
)
NOT_TEXT = Rule(
    "not-text",
    "text",
    "the file is not UTF-8 text",
    why="A policy is text in UTF-8. cachedsl does not guess another encoding, because the guess could be "
    "wrong. A file with a NUL character is not text at all.",
    bad="description: <the byte 0xff>",
    good="description: ÿ",
)
BAD_CHARACTER = Rule(
    "bad-character",
    "text",
    "a character is not allowed in YAML",
    why="YAML allows no control characters but tabs and line breaks, and no halves of surrogate pairs. They cannot be "
    "seen in an editor, and programs do not agree on what they mean. In double quotes they can be written as escapes.",
    bad='description: "\\uD83D"',
    good='description: "\\uD83D\\uDE00"',
)
SYNTAX = Rule(
    "syntax",
    "text",
    "the text is not YAML",
    why="The text breaks the rules of YAML, so its meaning is not certain. Perhaps a bracket or a quote is not "
    "closed, or a colon is missing or in the wrong place. Only the first such error is reported, because "
    "later ones are often its consequences.",
    bad="reuse: {threshold: 0.1",
    good="reuse: {threshold: 0.1}",
)
TAB_INDENT = Rule(
    "tab-indent",
    "text",
    "a line is indented with a tab",
    why="The indentation of a line says what the line belongs to, and the width of a tab depends on the "
    "editor. So YAML allows only spaces there. Tabs inside brackets are fine, because indentation means "
    "nothing there.",
    bad="reuse:\n\tthreshold: 0.1",
    good="reuse:\n  threshold: 0.1",
    fix="Writes two spaces for each tab; not safe, because other lines may be indented differently.",
)
MULTIPLE_DOCUMENTS = Rule(
    "multiple-documents",
    "text",
    "the file holds a second document",
    why="A file is one policy or one adapter. Everything after a second `---` would be dropped silently.",
    bad="version: 1\n---\nversion: 1\ntail: 2",
    good="version: 1\ntail: 2",
)
EMPTY = Rule(
    "empty",
    "text",
    "the file holds no values",
    why="A file with nothing in it, or with comments only, may not have been saved, or may have been cut off. "
    "The shortest policy is its version.",
    bad="# nothing but a comment",
    good="version: 1",
)
NOT_MAPPING = Rule(
    "not-mapping",
    "text",
    "the file does not hold keys and values",
    why="Policies and adapters are mappings: every line at the left margin is a key, a colon and a value. A "
    "list or a single value has no keys.",
    bad="- version\n- 1",
    good="version: 1",
)
TOO_DEEP = Rule(
    "too-deep",
    "text",
    "values are nested more than 50 deep",
    why="No key of the language is nested more than a handful of levels deep. Deeper nesting is a mistake, or "
    "an attempt to exhaust the reader.",
    bad=f"tail: {'[' * 51}{']' * 51}",
    good="tail: 1",
)
TAG = Rule(
    "tag",
    "text",
    "a tag is not allowed",
    why="A tag such as `!!python/object` asks the reader to build something other than text, numbers, lists "
    'and mappings. That can run code. You need no tag to say what a value is: write `5` or `"5"`.',
    bad="warmup: !!int 5",
    good="warmup: 5",
)
UNKNOWN_ALIAS = Rule(
    "unknown-alias",
    "text",
    "an alias has no anchor before it",
    why="An alias `*name` stands for the value that `&name` marks earlier in the file. Without that mark, or "
    "inside the marked value itself, there is nothing that it could stand for. If you want a text that "
    "begins with `*`, quote it.",
    bad="name: *missing",
    good='name: "*missing"',
)
ALIAS_BUDGET = Rule(
    "alias-budget",
    "text",
    "aliases expand to more than 1000 values",
    why="Aliases of aliases grow so fast that a few lines can stand for billions of values. A policy never "
    "needs nearly as many.",
    bad="a: &a [1, 1, 1, 1, 1, 1, 1, 1]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a]\n"
    "c: &c [*b, *b, *b, *b, *b, *b, *b, *b]\nd: [*c, *c]",
    good="extends: base",
)
DUPLICATE_KEY = Rule(
    "duplicate-key",
    "text",
    "a key appears twice in one mapping",
    why="Only one of the two values can be used, and YAML does not say which. Programs differ here. cachedsl "
    "uses the first one for the rest of its checks.",
    bad="warmup: 4\nwarmup: 8",
    good="warmup: 8",
)
BAD_KEY = Rule(
    "bad-key",
    "text",
    "a key is not a string",
    why="Keys are names. If a key is a number, `true` or nothing, it is usually a name that should have been "
    "quoted. If a key is a list or a mapping, there is usually one bracket too many.",
    bad="3: 4",
    good='"3": 4',
    fix="Quotes the key; safe.",
)

TEXT_RULES: tuple[Rule, ...] = (
    CANNOT_READ,
    TOO_LARGE,
    NOT_TEXT,
    BAD_CHARACTER,
    SYNTAX,
    TAB_INDENT,
    MULTIPLE_DOCUMENTS,
    EMPTY,
    NOT_MAPPING,
    TOO_DEEP,
    TAG,
    UNKNOWN_ALIAS,
    ALIAS_BUDGET,
    DUPLICATE_KEY,
    BAD_KEY,
)

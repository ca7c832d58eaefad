"""Published step masks, as cache-dit 1.5.3's `steps_mask` gives them for the counts that they were designed for."""

from __future__ import annotations

RUNS_28: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "slow": ((8, 3, 3, 2, 1, 1), (1, 2, 2, 2, 3)),
    "medium": ((6, 2, 2, 2, 2, 1), (1, 3, 3, 3, 3)),
    "fast": ((6, 1, 1, 1, 1, 1), (1, 3, 4, 5, 4)),
    "ultra": ((4, 1, 1, 1, 1), (2, 5, 6, 7)),
}
"""Lengths of the computed and of the reused runs in 28 steps; other counts scale their boundaries."""

DESIGNED: dict[int, dict[str, str]] = {
    4: {"slow": "1101", "medium": "1101", "fast": "1101", "ultra": "1101"},
    6: {"slow": "111001", "medium": "111001", "fast": "111001", "ultra": "111001"},
    8: {"slow": "11111011", "medium": "11110101", "fast": "11101001", "ultra": "11001001"},
    9: {"slow": "111110111", "medium": "111110101", "fast": "111101001", "ultra": "111001001"},
    10: {"slow": "1111011111", "medium": "1111011011", "fast": "1110100101", "ultra": "1101001001"},
    11: {"slow": "11110110111", "medium": "11110110101", "fast": "11101001001", "ultra": "11010010001"},
    12: {"slow": "111101101111", "medium": "111101101001", "fast": "111010010011", "ultra": "110100100011"},
    13: {"slow": "1111011011011", "medium": "1111011010011", "fast": "1110100100101", "ultra": "1101001000101"},
    14: {"slow": "11110110110111", "medium": "11110110100101", "fast": "11101001001001", "ultra": "11010010001001"},
    15: {"slow": "111101101101101", "medium": "111101101001001", "fast": "111010010010001", "ultra": "110100100010001"},
    28: {
        "slow": "1111111101110011100110010001",
        "medium": "1111110110001100011000110001",
        "fast": "1111110100010000100000100001",
        "ultra": "1111001000001000000100000001",
    },
}
"""Masks of the counts for which one was designed: few-step ones up to 15, and 28."""

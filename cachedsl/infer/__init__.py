"""Guess the adapter of a model that nobody has described: look at one call, then at names and shapes."""

from cachedsl.infer.guess import Guess, guess, guess_input
from cachedsl.infer.memory import Memory
from cachedsl.infer.seen import SeenCall, SeenList, SeenTensor, is_block_list, watch
from cachedsl.infer.values import copied, tensors

__all__ = [
    "Guess",
    "Memory",
    "SeenCall",
    "SeenList",
    "SeenTensor",
    "copied",
    "guess",
    "guess_input",
    "is_block_list",
    "tensors",
    "watch",
]

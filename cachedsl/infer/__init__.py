"""Guess the adapter of a model that nobody has described: look at one call, then at names and shapes."""

from cachedsl.infer.guess import Guess, guess
from cachedsl.infer.seen import SeenCall, SeenList, SeenTensor, is_block_list, watch

__all__ = ["Guess", "SeenCall", "SeenList", "SeenTensor", "guess", "is_block_list", "watch"]

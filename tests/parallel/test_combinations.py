"""What goes together with models that are split over processes: cases of the worlds, named for docs/combinations.md."""

from __future__ import annotations

import pytest

from tests.combinations.registry import combination
from tests.parallel.test_processes import test_processes as holds

Factory = pytest.TempPathFactory


@combination(
    "context parallel (Ulysses)",
    "separate CFG",
    "measuring",
    means="in each branch, two processes compute the same steps as one",
)
def test_ulysses_and_separate_guidance(tmp_path_factory: Factory) -> None:
    holds("two", "separate_guidance_measures_each_branch", tmp_path_factory)
    holds("two", "a_pipeline_with_guidance_gives_what_one_process_gives", tmp_path_factory)


@combination(
    "context parallel (Ulysses)",
    "tokens that do not divide",
    "random measuring policies",
    means="two and four processes decide alike, and as one process does",
)
def test_ulysses_and_tokens_that_do_not_divide(tmp_path_factory: Factory) -> None:
    for world in ("two", "four"):
        holds(world, "random_policies_on_tokens_that_do_not_divide", tmp_path_factory)


@combination(
    "context parallel (Ulysses × ring)",
    "measuring",
    means="four processes give the output of one; the attention of the ring is a stand-in that returns its log-sum-exp",
)
def test_ulysses_and_ring(tmp_path_factory: Factory) -> None:
    holds("four", "ulysses_and_ring_together_do_what_one_process_does", tmp_path_factory)


@combination(
    "context parallel (Ulysses)",
    "torch.compile (whole model)",
    "measuring",
    means="there is one graph for each kind of step, and the decisions are those of one process",
)
def test_ulysses_and_compile(tmp_path_factory: Factory) -> None:
    holds("two", "a_model_that_is_compiled_as_a_whole_stays_in_one_graph_for_each_kind_of_step", tmp_path_factory)


@combination("tensor parallel", "pruning", means="two and four processes prune the blocks that one prunes")
def test_tensor_and_pruning(tmp_path_factory: Factory) -> None:
    holds("two", "tensor_parallel_goes_with_pruning", tmp_path_factory)
    holds("four", "tensor_parallel_over_four_goes_with_pruning", tmp_path_factory)


@combination(
    "a process group of the caller's", "measuring", means="processes with different items of a batch decide together"
)
def test_a_group_of_the_caller(tmp_path_factory: Factory) -> None:
    holds("two", "a_group_of_the_caller_decides_together_over_items_of_its_own", tmp_path_factory)

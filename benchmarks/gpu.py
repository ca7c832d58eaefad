"""What only a GPU can show: wall-clock against the ideal, CUDA graphs, streams, float8, and NCCL.

    python -m benchmarks.gpu                                              # one GPU: all but NCCL
    torchrun --standalone --nproc-per-node 2 -m benchmarks.gpu --parts nccl    # two GPUs
    python -m benchmarks.gpu --tiny --device cpu --parts wall              # whether the script itself works

A Flux of FLUX.1's size (19 and 38 blocks, 24 heads of 128, 4096 + 512 tokens) with random weights in bfloat16. Every
time is a median and a share of the bare model's step in the same process. The ideal of a reused step is the share of
the blocks that run: (front + back) / blocks, of both lists.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch
from attrs import evolve
from diffusers import FluxTransformer2DModel

from cachedsl.engines import EngineRefused
from cachedsl.language.parts import Cfg, Compute, Reuse, Warmup
from cachedsl.language.policy import Policy
from cachedsl.language.runtime import Parallel, Runtime

DOUBLE, SINGLE = 19, 38
STEPS = 400
POLICIES = {
    "F1B0": Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse("always"), cfg=Cfg("fused")),
    "F1B0 measured": Policy(compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse(1e6), cfg=Cfg("fused")),
    "F1B1": Policy(compute=Compute(1, 1), warmup=Warmup(1), reuse=Reuse("always"), cfg=Cfg("fused")),
    "F8B0": Policy(compute=Compute(8, 0), warmup=Warmup(1), reuse=Reuse("always"), cfg=Cfg("fused")),
    "F1B0 joined": Policy(
        compute=Compute(1, 0), warmup=Warmup(1), reuse=Reuse("always"), cfg=Cfg("fused"), span="joined"
    ),
}


class Bench:
    """The model, its inputs, and how times are taken."""

    def __init__(self, device: str, tiny: bool, rounds: int) -> None:
        self.device, self.tiny, self.rounds = device, tiny, rounds
        self.dtype = torch.float32 if device == "cpu" else torch.bfloat16

    def model(self) -> Any:
        """Return the model; the same weights each time."""
        torch.manual_seed(0)
        size = {"num_attention_heads": 2, "attention_head_dim": 16, "axes_dims_rope": (4, 6, 6)} if self.tiny else {}
        with torch.device(self.device):
            made = FluxTransformer2DModel(num_layers=DOUBLE, num_single_layers=SINGLE, **size)
        return made.to(self.dtype).eval().requires_grad_(False)

    def inputs(self) -> dict[str, Any]:
        """Return the arguments of one call."""
        tokens, text = (64, 16) if self.tiny else (4096, 512)
        torch.manual_seed(1)
        with torch.device(self.device):
            return {
                "hidden_states": torch.randn(1, tokens, 64, dtype=self.dtype),
                "encoder_hidden_states": torch.randn(1, text, 4096, dtype=self.dtype),
                "pooled_projections": torch.randn(1, 768, dtype=self.dtype),
                "timestep": torch.tensor([0.5], dtype=self.dtype),
                "img_ids": torch.zeros(tokens, 3),
                "txt_ids": torch.zeros(text, 3),
            }

    def seconds(self, call: Callable[[], Any]) -> float:
        """Return the median of a call, once it is warm."""
        found = []
        for number in range(self.rounds + 3):
            self.wait()
            began = time.perf_counter()
            call()
            self.wait()
            if number >= 3:
                found.append(time.perf_counter() - began)
        return statistics.median(found)

    def wait(self) -> None:
        if self.device != "cpu":
            torch.cuda.synchronize()


def blocks_run(policy: Policy) -> float:
    """Return the share of the blocks that run on a reused step."""
    lists = 1 if policy.span == "joined" else 2
    return lists * (policy.compute.front + policy.compute.back) / (DOUBLE + SINGLE)


def wall(bench: Bench) -> dict[str, Any]:
    """Time a reused step under each policy, beside the bare model's and the ideal."""
    model, given = bench.model(), bench.inputs()
    bare = bench.seconds(lambda: model(**given, return_dict=False))
    found: dict[str, Any] = {"bare step, seconds": bare}
    for name, policy in POLICIES.items():
        with policy.apply(model) as cached, cached.run(steps=STEPS, scheduler=(scheduler := _Scheduler())):

            def step(scheduler: Any = scheduler) -> None:
                model(**given, return_dict=False)
                scheduler.step_index += 1

            share = bench.seconds(step) / bare
        found[name] = {"share of a bare step": share, "ideal": blocks_run(policy)}
    return found


class _Scheduler:
    step_index, begin_index = 0, None


def _outputs(bench: Bench, policy: Policy, change: Callable[[Any], Any] = lambda model: model) -> torch.Tensor:
    model, given, scheduler, found = bench.model(), bench.inputs(), _Scheduler(), []
    with policy.apply(model) as cached, cached.run(steps=6, scheduler=scheduler):
        call = change(model)
        for _ in range(6):
            found.append(call(**given, return_dict=False)[0].clone())
            scheduler.step_index += 1
    return torch.stack(found)


def _off(one: torch.Tensor, other: torch.Tensor) -> float:
    return float((one.float() - other.float()).norm() / other.float().norm())


def cuda_graphs(bench: Bench) -> dict[str, Any]:
    """Compare a run in CUDA graphs with one in none, and time its reused step."""
    policy = POLICIES["F1B0"]
    change = lambda model: torch.compile(model, mode="reduce-overhead")  # noqa: E731
    off = _off(_outputs(bench, policy, change), _outputs(bench, policy))
    model, given, scheduler = bench.model(), bench.inputs(), _Scheduler()
    bare = torch.compile(model, mode="reduce-overhead")
    plain = bench.seconds(lambda: bare(**given, return_dict=False))
    with policy.apply(model) as cached, cached.run(steps=STEPS, scheduler=scheduler):

        def step() -> None:
            bare(**given, return_dict=False)
            scheduler.step_index += 1

        share = bench.seconds(step) / plain
    return {"relative difference": off, "share of a compiled bare step": share, "ideal": blocks_run(policy)}


def streams(bench: Bench) -> dict[str, Any]:
    """Compare a run on a stream of its own with one on the default stream."""

    def on_a_stream(model: Any) -> Any:
        side = torch.cuda.Stream()

        def call(**given: Any) -> Any:
            side.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(side):
                found = model(**given)
            torch.cuda.current_stream().wait_stream(side)
            return found

        return call

    policy = POLICIES["F1B0 measured"]
    return {"relative difference": _off(_outputs(bench, policy, on_a_stream), _outputs(bench, policy))}


def float8(bench: Bench) -> dict[str, Any]:
    """Compare a run with float8 weights with one without, both under the policy, and say what is refused."""
    quantize = {"transformer": {"kind": "float8_weight_only", "exclude": ["proj_out"]}}
    policy = evolve(POLICIES["F1B0"], runtime=Runtime(quantize=quantize))  # type: ignore[arg-type]
    try:
        return {"relative difference": _off(_outputs(bench, policy), _outputs(bench, POLICIES["F1B0"]))}
    except EngineRefused as error:
        return {"refused": str(error)}


def nccl(bench: Bench) -> dict[str, Any]:
    """Time a run over all GPUs, by Ulysses and by split weights, against one GPU; all must decide alike."""
    import torch.distributed as dist

    rank = int(os.environ["LOCAL_RANK"])
    torch.cuda.set_device(rank)
    dist.init_process_group("nccl")
    found: dict[str, Any] = {"processes": (size := dist.get_world_size())}
    whole, given = bench.model(), bench.inputs()
    bare = bench.seconds(lambda: whole(**given, return_dict=False))
    for way in ("ulysses", "tensor"):
        parallel = Parallel(**{way: size}, verify=True)  # type: ignore[arg-type]
        policy = evolve(POLICIES["F1B0 measured"], runtime=Runtime(parallel=parallel))
        model, scheduler = bench.model(), _Scheduler()
        with policy.apply(model) as cached, cached.run(steps=STEPS, scheduler=scheduler):

            def step(model: Any = model, scheduler: Any = scheduler) -> None:
                model(**given, return_dict=False)
                scheduler.step_index += 1

            share = bench.seconds(step) / bare
        found[way] = {"reused step, share of one GPU's bare step": share, "ideal": blocks_run(policy) / size}
    dist.destroy_process_group()
    return found


PARTS = {"wall": wall, "cuda_graphs": cuda_graphs, "streams": streams, "float8": float8, "nccl": nccl}


def main() -> None:
    """Run the parts that are asked for, and print what came of them with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=["wall", "cuda_graphs", "streams", "float8"])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true")
    asked = parser.parse_args()
    if asked.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; `--device cpu --tiny --parts wall` tries the script itself")
    torch.set_grad_enabled(False)
    bench = Bench(asked.device, asked.tiny, asked.rounds)
    found: dict[str, Any] = {
        "device": platform.machine() if asked.device == "cpu" else torch.cuda.get_device_name(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in ("torch", "diffusers")},
    }
    for part in asked.parts:
        found[part] = PARTS[part](bench)
    if int(os.environ.get("RANK", 0)) == 0:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()

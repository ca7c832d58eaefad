"""Signals measure relative movement of their tap."""

from __future__ import annotations

import math

import pytest
import torch

from cachedsl.language.part import keys_of
from cachedsl.language.parts import Signal
from cachedsl.language.ratios import Ratios
from cachedsl.language.taps import TAPS
from cachedsl.signals import Meter, ModelInput, Setting, StepView, build_meter
from cachedsl.signals.base import polynomial
from cachedsl.signals.filtered_latent import NoGrid, filtered_latent
from cachedsl.signals.magnitude import stretch
from cachedsl.signals.metrics import METRICS, cosine, moved_tokens, relative_l1, relative_l2


def view(entry: torch.Tensor, **rest: object) -> StepView:
    return StepView(0, entry, **rest)  # type: ignore[arg-type]


def ones(scale: float = 1.0, *shape: int) -> torch.Tensor:
    return torch.full(shape or (1, 2, 4), scale)


def test_the_registries_are_what_policies_may_name() -> None:
    given = {"magnitude": {"ratios": Ratios((1.0, 1.1))}}
    for tap in TAPS:
        meter: Meter = build_meter(Signal(tap, **given.get(tap, {})), Setting(4, ""))
        assert meter.tensors() == ()
    assert set(METRICS) == set(keys_of(Signal)["metric"].metadata["key"].kind.words)


def test_relative_l1_is_relative_to_the_reference() -> None:
    reference = torch.tensor([[[1.0, -3.0]]])
    assert relative_l1(torch.tensor([[[2.0, -3.0]]]), reference) == 0.25
    assert relative_l1(reference, reference) == 0.0


def test_relative_l2_and_cosine() -> None:
    reference = torch.tensor([[[3.0, 4.0]]])
    assert float(relative_l2(torch.tensor([[[3.0, 1.0]]]), reference)) == pytest.approx(3 / 5)
    assert float(cosine(torch.tensor([[[-4.0, 3.0]]]), reference)) == pytest.approx(1)
    assert float(cosine(2 * reference, reference)) == pytest.approx(0, abs=1e-6)


def test_values_are_computed_in_float32() -> None:
    meter = build_meter(Signal("block_input"), Setting())
    reference = torch.full((1, 1, 4096), 1.0, dtype=torch.bfloat16)
    now = reference.clone()
    now[..., 0] = 2.0
    meter.keep(meter.look(view(reference)))
    assert meter.measure(meter.look(view(now))) == 1 / 4096


@pytest.mark.parametrize("metric", METRICS)
def test_a_reference_of_zero_norm_is_not_finite(metric: str) -> None:
    zero = torch.zeros(1, 2, 3)
    assert not math.isfinite(METRICS[metric](zero, zero, None))
    assert not math.isfinite(METRICS[metric](zero + 1, zero, None))


def test_only_tokens_that_moved_enough_count() -> None:
    reference = torch.ones(1, 3, 2)
    now = reference + torch.tensor([0.0, 0.1, 0.5])[None, :, None]
    assert moved_tokens(now, reference, 0.2).flatten().tolist() == [0, 0, 1]
    assert float(relative_l1(now, reference, moved_tokens(now, reference, 0.2))) == pytest.approx(0.5)
    assert moved_tokens(now, reference, 0.9).flatten().tolist() == [1, 1, 1], "none moved that much, so all count"
    meter = build_meter(Signal("block_input", token_floor=0.05), Setting())
    meter.keep(meter.look(view(reference)))
    assert meter.measure(meter.look(view(now))) == pytest.approx(0.3)


def test_a_stride_compares_every_kth_channel_and_keeps_no_more() -> None:
    meter = build_meter(Signal("block_input", stride=2), Setting())
    reference = torch.ones(1, 2, 4)
    now = reference.clone()
    now[..., 1::2] = 9.0
    meter.keep(meter.look(view(reference)))
    assert meter.measure(meter.look(view(now))) == 0
    (held,) = meter.tensors()
    assert held.untyped_storage().nbytes() == reference.numel() // 2 * 4


def test_rescaling_is_a_polynomial_highest_degree_first_and_not_clamped() -> None:
    assert polynomial(None, 0.3) == 0.3
    assert polynomial((2, -3, 1), 2.0) == 2 * 4 - 3 * 2 + 1
    meter = build_meter(Signal("block_input", rescale=(10, -4)), Setting())
    meter.keep(meter.look(view(ones())))
    assert meter.measure(meter.look(view(ones(1.25)))) == pytest.approx(10 * 0.25 - 4), "below 0, as TeaCache's may be"


def test_the_reference_is_the_last_computed_step_or_the_step_before() -> None:
    values = [1.0, 2.0, 3.0]

    def second(signal: Signal) -> float:
        meter = build_meter(signal, Setting())
        for step, value in enumerate(values[:2]):
            now = meter.look(view(ones(value)))
            if step == 0:
                meter.keep(now)
            meter.observe(now, ones, step == 0)
        return meter.measure(meter.look(view(ones(values[2]))))

    assert second(Signal("block_input")) == 2.0
    assert second(Signal("block_input", reference="previous_step")) == 0.5


@pytest.mark.parametrize("tap", ["hidden_states", "probe", "block_input", "modulated_input"])
def test_a_tap_is_not_the_tensor_that_the_loop_goes_on_with(tap: str) -> None:
    live = ones()
    seen = view(live, front_entry=ones(0.5), front_exit=live, modulated_input=live)
    now = build_meter(Signal(tap), Setting()).look(seen)
    live.add_(1)
    assert torch.equal(now, ones())


def test_the_residual_is_what_the_front_adds() -> None:
    seen = view(ones(), front_entry=ones(1), front_exit=ones(3))
    assert torch.equal(build_meter(Signal(), Setting()).look(seen), ones(2))


# filtered_latent


def filtered(latent: torch.Tensor, mixing: tuple[float, float], exponent: float = 2.0, **rest: object) -> torch.Tensor:
    seen = view(ones(), model_input=ModelInput(latent, **rest), mixing=lambda: mixing)  # type: ignore[arg-type]
    return filtered_latent(seen, Signal("filtered_latent", exponent=exponent))


def test_without_noise_the_filter_lets_everything_through() -> None:
    latent = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(filtered(latent, (1.0, 0.0)), latent, atol=1e-4)


def test_with_noise_the_filter_keeps_low_frequencies_and_damps_high_ones() -> None:
    rows = torch.arange(16.0)
    slow = torch.cos(2 * math.pi * rows / 16)[:, None].expand(1, 1, 16, 16)
    fast = torch.cos(math.pi * rows)[:, None].expand(1, 1, 16, 16)

    def gain(wave: torch.Tensor, b: float) -> float:
        return float(filtered(wave, (1 - b, b)).abs().mean() / wave.abs().mean())

    assert gain(slow, 0.9) > 10 * gain(fast, 0.9)
    assert gain(fast, 0.9) < gain(fast, 0.5) < gain(fast, 0.1), "more noise, less of the high frequencies"
    assert gain(slow, 0.1) < gain(slow, 0.5) < gain(slow, 0.9), "and more of the low ones, relative to the whole"


def test_a_flat_spectrum_leaves_the_shape_as_it_is() -> None:
    latent = torch.randn(1, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(filtered(latent, (0.4, 0.6), exponent=0.0), latent, atol=1e-5)


def test_tokens_are_put_on_their_grid_and_axes_go_by_the_adapter() -> None:
    latent = torch.randn(1, 3, 4, 6, generator=torch.Generator().manual_seed(0))
    tokens = latent.permute(0, 2, 3, 1).reshape(1, 24, 3)
    expected = filtered(latent, (0.5, 0.5))
    assert torch.allclose(filtered(tokens, (0.5, 0.5), grid=(4, 6)).permute(0, 3, 1, 2), expected, atol=1e-5)
    frames_first = latent.permute(0, 2, 1, 3)  # height, channels, width
    assert torch.allclose(filtered(frames_first, (0.5, 0.5), axes=(1, 3)).permute(0, 2, 1, 3), expected, atol=1e-5)


def test_tokens_without_a_grid_are_an_error_that_names_the_way_out() -> None:
    with pytest.raises(NoGrid, match=r"takes tokens \(1, 24, 3\).*positions"):
        filtered(torch.zeros(1, 24, 3), (0.5, 0.5))


# magnitude


def test_magnitude_is_the_error_of_the_running_product_since_the_last_computed_step() -> None:
    ratios = (1.0, 1.2, 0.9, 0.8, 1.1)
    meter = build_meter(Signal("magnitude", ratios=Ratios(ratios)), Setting(5))
    look = [StepView(step, ones()) for step in range(5)]
    meter.keep(meter.look(look[0]))
    assert meter.measure(meter.look(look[1])) == pytest.approx(0.2)
    assert meter.measure(meter.look(look[2])) == pytest.approx(abs(1 - 1.2 * 0.9))
    meter.keep(meter.look(look[2]))
    assert meter.measure(meter.look(look[4])) == pytest.approx(abs(1 - 0.8 * 1.1))


def test_ratios_are_stretched_to_the_nearest_and_are_the_branch_s_own() -> None:
    assert stretch((1.0, 2.0, 3.0), 5) == (1.0, 1.0, 2.0, 3.0, 3.0)  # halves go to the even neighbour
    assert stretch((1.0, 2.0, 3.0, 4.0), 2) == (1.0, 4.0)
    assert stretch((1.0, 2.0), 1) == (2.0,)
    ratios = Ratios(branches=(("cond", (1.0, 1.5)), ("uncond", (1.0, 0.5))))
    assert ratios.of("uncond") == (1.0, 0.5)
    assert ratios.of("cond_uncond") == (1.0, 1.5), "a branch that was not calibrated goes with the first"


# transform_rate


def test_transform_rate_goes_by_the_last_two_computed_calls_and_the_input_before() -> None:
    meter = build_meter(Signal("transform_rate"), Setting())

    def step(x: float, v: float, computed: bool) -> None:
        now = meter.look(view(ones(), model_input=ModelInput(ones(x))))
        meter.observe(now, lambda: ones(v), computed)

    step(1.0, 4.0, True)
    step(3.0, 5.0, True)  # k = |5 - 4| / |3 - 1|
    now = meter.look(view(ones(), model_input=ModelInput(ones(3.5))))
    assert meter.measure(now) == pytest.approx(0.5 * 0.5 / 5)
    meter.observe(now, _not_called, computed=False)
    later = meter.look(view(ones(), model_input=ModelInput(ones(4.5))))
    assert meter.measure(later) == pytest.approx(0.5 * 1.0 / 5), "the input is compared with that of the step before"


def _not_called() -> torch.Tensor:
    raise AssertionError("the output of a reused step is not looked at")


@pytest.mark.parametrize("tap", tuple(TAPS))
def test_a_cleared_meter_holds_nothing(tap: str) -> None:
    signal = Signal(tap, ratios=Ratios((1.0, 1.1))) if tap == "magnitude" else Signal(tap)
    meter: Meter = build_meter(signal, Setting(2))
    latent = torch.randn(1, 1, 4, 4)
    now = meter.look(
        view(ones(), front_entry=ones(1), front_exit=ones(3), modulated_input=ones(), model_input=ModelInput(latent))
    )
    meter.keep(now)
    meter.observe(now, ones, True)
    assert bool(meter.tensors()) == (tap != "magnitude")
    meter.clear()
    assert meter.tensors() == ()

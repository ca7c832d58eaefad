"""Train the pipeline that ships as `models/digits_dit`: a stock DiTPipeline on scikit-learn's handwritten digits.

Two stages, each resumable (checkpoints under `build/`): an `AutoencoderKL` that maps 32 x 32 grey images to 8 x 8
latents, then a 24-block `DiTTransformer2DModel` trained as a rectified flow (Liu et al. 2022, arXiv 2209.03003):
x_t = (1 - t) x_0 + t e, target v = e - x_0. `DPMSolverMultistepScheduler` of order 1 with `flow_prediction` is
Euler's method on that flow, so `DiTPipeline` runs the result with no code of its own.

    python scripts/train_digits_dit.py vae        # minutes
    python scripts/train_digits_dit.py dit --steps 6000 --minutes 60
    python scripts/train_digits_dit.py export     # writes models/digits_dit, measures it, writes measured.json
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import shutil
import time
from pathlib import Path

import diffusers
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DiTPipeline, DiTTransformer2DModel, DPMSolverMultistepScheduler
from diffusers.models.embeddings import TimestepEmbedding
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.svm import SVC

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "train-digits"
TARGET = ROOT / "models" / "digits_dit"
SEED = 0
NULL_LABEL = 1000  # DiTPipeline's hard-wired unconditional class
LATENT_SIDE = 8


def images() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the 1,797 digits as `(n, 1, 32, 32)` floats in [-1, 1], bicubically enlarged, and their labels `(n,)`."""
    digits = load_digits()
    small = torch.tensor(digits.images, dtype=torch.float32)[:, None] / 8 - 1
    large = F.interpolate(small, size=(32, 32), mode="bicubic", align_corners=False).clamp(-1, 1)
    return large, torch.tensor(digits.target)


def build_vae() -> AutoencoderKL:
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(16, 32, 32),
        layers_per_block=1,
        latent_channels=1,
        norm_num_groups=8,
        sample_size=32,
    )


def build_dit() -> DiTTransformer2DModel:
    return DiTTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=16,
        in_channels=1,
        out_channels=1,
        num_layers=24,
        sample_size=LATENT_SIDE,
        patch_size=2,
        num_embeds_ada_norm=1000,
    )


def train_vae(steps: int) -> None:
    BUILD.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(SEED)
    data, _ = images()
    vae = build_vae()
    optimiser = torch.optim.AdamW(vae.parameters(), lr=2e-3, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
    started = time.monotonic()
    for step in range(steps):
        batch = data[torch.randint(len(data), (64,))]
        posterior = vae.encode(batch).latent_dist
        loss = F.mse_loss(vae.decode(posterior.sample()).sample, batch) + 1e-4 * posterior.kl().mean() / LATENT_SIDE**2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        if step % 100 == 0 or step == steps - 1:
            print(f"vae {step} loss {loss.item():.5f} {time.monotonic() - started:.0f}s", flush=True)
    with torch.no_grad():
        latents = vae.encode(data).latent_dist.mode()
        error = F.mse_loss(vae.decode(latents).sample, data).item()
    vae.register_to_config(scaling_factor=1.0 / latents.std().item())
    print(f"reconstruction PSNR {10 * math.log10(4 / error):.2f} dB, scaling {vae.config.scaling_factor:.4f}")
    vae.save_pretrained(BUILD / "vae")


def unused_rows_to_zero(model: DiTTransformer2DModel) -> None:
    """Zero the class-embedding rows that no digit uses (11 of 1,001 are used), so that the weights compress."""
    keep = torch.zeros(NULL_LABEL + 1, 1)
    keep[:10] = keep[NULL_LABEL] = 1
    for name, parameter in model.named_parameters():
        if name.endswith("class_embedder.embedding_table.weight"):
            parameter.data.mul_(keep)


def train_dit(steps: int, minutes: float) -> None:
    torch.manual_seed(SEED)
    vae = AutoencoderKL.from_pretrained(BUILD / "vae").eval()
    data, labels = images()
    with torch.no_grad():
        latents = vae.encode(data).latent_dist.mode() * vae.config.scaling_factor
    model = build_dit().eval()  # eval: labels are dropped here, for all blocks alike, and not inside each block
    unused_rows_to_zero(model)
    ema = {k: v.clone() for k, v in model.state_dict().items()}
    decay_free = [p for n, p in model.named_parameters() if p.ndim < 2 or "embedding_table" in n]
    decayed = [p for n, p in model.named_parameters() if p.ndim >= 2 and "embedding_table" not in n]
    optimiser = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.01}, {"params": decay_free, "weight_decay": 0.0}],
        lr=1e-3,
        betas=(0.9, 0.99),
    )
    checkpoint, first = BUILD / "dit.pt", 0
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        ema, first = saved["ema"], saved["step"]
        print(f"resumed at step {first}")
    started = time.monotonic()

    def save(step: int) -> None:
        partial = checkpoint.with_suffix(".part")
        torch.save(
            {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "ema": ema, "step": step}, partial
        )
        partial.replace(checkpoint)

    average = 0.0
    for step in range(first, steps):
        torch.manual_seed(SEED * 1_000_003 + step)  # a resumed run draws what an unbroken one would
        rate = 1e-3 * min(1.0, (step + 1) / 200) * (0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * step / steps)))
        for group in optimiser.param_groups:
            group["lr"] = rate
        pick = torch.randint(len(latents), (96,))
        clean, noise = latents[pick], torch.randn(96, 1, LATENT_SIDE, LATENT_SIDE)
        t = torch.sigmoid(torch.randn(96))  # logit-normal times (Esser et al. 2024, arXiv 2403.03206)
        t = torch.where(torch.rand(96) < 0.2, torch.rand(96), t)
        noisy = (1 - t)[:, None, None, None] * clean + t[:, None, None, None] * noise
        classes = torch.where(torch.rand(96) < 0.15, NULL_LABEL, labels[pick])
        output = model(noisy, timestep=t * 1000, class_labels=classes).sample
        loss = F.mse_loss(output, noise - clean)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        weight = min(0.999, (step + 1) / (step + 10))
        with torch.no_grad():
            for key, value in model.state_dict().items():
                if value.dtype.is_floating_point:
                    ema[key].lerp_(value, 1 - weight)
        average = loss.item() if step == first else 0.98 * average + 0.02 * loss.item()
        if step % 50 == 0:
            print(f"dit {step} loss {average:.4f} rate {rate:.2e} {time.monotonic() - started:.0f}s", flush=True)
        if step % 200 == 199:
            save(step + 1)
        if time.monotonic() - started > minutes * 60:
            save(step + 1)
            print(f"stopped by the clock at step {step + 1}")
            return
    save(steps)


def fast_features_to_zero(model: DiTTransformer2DModel) -> None:
    """Take from the timestep embedders the features that turn by more than a radian in a step of a 50-step run.

    A network as small as this and trained as shortly has not learned to ignore them, and to a sampler they are noise:
    what the model returns jumped from step to step (second differences of neighbouring steps were correlated by -0.6,
    white noise has -0.67), about an interpolation floor of 60 dB that no predictor could get below. Without them the
    samples are as good (measured.json) and smooth in time. Whether large models are as smooth was not measured;
    docs/frontier.md has the comparison with the features, too, where the margins are far smaller.
    """
    step = 1000 / 50
    for module in model.modules():
        if isinstance(module, TimestepEmbedding):
            weight = module.linear_1.weight.data
            half = weight.shape[1] // 2
            fast = torch.exp(-math.log(10000) * torch.arange(half) / half) * step > 1
            weight[:, torch.cat([fast, fast])] = 0


def build_pipeline() -> DiTPipeline:
    vae = AutoencoderKL.from_pretrained(BUILD / "vae")
    model = build_dit()
    model.load_state_dict(torch.load(BUILD / "dit.pt", weights_only=True)["ema"])
    unused_rows_to_zero(model)
    fast_features_to_zero(model)
    scheduler = DPMSolverMultistepScheduler(
        num_train_timesteps=1000,
        prediction_type="flow_prediction",
        use_flow_sigmas=True,
        flow_shift=1.0,
        solver_order=1,
        algorithm_type="dpmsolver++",
    )
    pipe = DiTPipeline(
        transformer=model.eval(), vae=vae.eval(), scheduler=scheduler, id2label={i: str(i) for i in range(10)}
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe


def to_features(samples: np.ndarray) -> np.ndarray:
    """Turn `(n, 32, 32, 1)` images in [0, 1] into scikit-learn's `(n, 64)` features in [0, 16]."""
    small = F.interpolate(torch.from_numpy(samples).permute(0, 3, 1, 2).float(), size=(8, 8), mode="area")
    return (small * 16).flatten(1).numpy()


def measure(pipe: DiTPipeline, guidance: float, count: int = 200, steps: int = 50) -> dict[str, object]:
    data, labels = images()
    features = to_features(((data + 1) / 2).permute(0, 2, 3, 1).numpy())
    train_x, test_x, train_y, test_y = train_test_split(features, labels.numpy(), test_size=0.3, random_state=SEED)
    classifier = SVC(gamma="scale").fit(train_x, train_y)
    wanted = [i % 10 for i in range(count)]
    output = pipe(
        class_labels=wanted,
        guidance_scale=guidance,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(SEED),
        output_type="np",
    ).images
    return {
        "classifier_held_out_accuracy": float(classifier.score(test_x, test_y)),
        "uncached_accuracy": float((classifier.predict(to_features(output)) == np.array(wanted)).mean()),
        "samples": count,
        "num_inference_steps": steps,
        "guidance_scale": guidance,
    }


def export() -> None:
    step = torch.load(BUILD / "dit.pt", weights_only=True)["step"]
    pipe = build_pipeline()
    for part in ("transformer", "vae", "scheduler"):
        shutil.rmtree(TARGET / part, ignore_errors=True)
    TARGET.mkdir(parents=True, exist_ok=True)
    pipe.to(torch.float16).save_pretrained(TARGET, safe_serialization=True)
    config = TARGET / "vae" / "config.json"  # says where it was loaded from, which is nobody's business
    facts = {key: value for key, value in json.loads(config.read_text()).items() if key != "_name_or_path"}
    config.write_text(json.dumps(facts, indent=2) + "\n")
    loaded = DiTPipeline.from_pretrained(TARGET)
    loaded.set_progress_bar_config(disable=True)
    measured = [measure(loaded, guidance) for guidance in (1.5, 2.0, 4.0)]
    report = {
        "seed": SEED,
        "training_steps": step,
        "batch": 96,
        "parameters": sum(p.numel() for p in loaded.transformer.parameters()),
        "versions": {
            "torch": torch.__version__,
            "diffusers": diffusers.__version__,
            "python": platform.python_version(),
        },
        "measured": measured,
    }
    (TARGET / "measured.json").write_text(json.dumps(report, indent=2) + "\n")
    print(json.dumps(report, indent=2))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["vae", "dit", "export"])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--minutes", type=float, default=1e9)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.stage == "vae":
        train_vae(options.steps or 1500)
    elif options.stage == "dit":
        train_dit(options.steps or 6000, options.minutes)
    else:
        export()


if __name__ == "__main__":
    main()

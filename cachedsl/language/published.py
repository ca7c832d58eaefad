"""Constants that were calibrated on one model each, as they were published."""

from __future__ import annotations

COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "flux": (498.651651, -283.781631, 55.8554382, -3.82021401, 0.264230861),
    "flux-kontext": (-1046.55119, 312.563399, -16.9500694, 0.410995971, 0.0374537863),
    "hunyuan-video": (733.226126, -401.131952, 67.5869174, -3.149878, 0.0961237896),
    "wan2.1-t2v-1.3b": (2396.76752, -1311.10545, 201.331979, -8.29855975, 0.137887774),
    "wan2.1-t2v-14b": (-5784.54975, 5449.50912, -1811.16592, 256.271784, -13.022524),
    "wan2.1-t2v-1.3b-retained": (-52186.2437, 9230.41404, -528.275948, 13.6987616, -0.0499875664),
    "wan2.1-t2v-14b-retained": (-303318.725, 49053.7029, -2655.30556, 58.7365115, -0.315583525),
    "cogvideox1.5": (250.210439, -165.061612, 35.7804877, -0.781551492, 0.0358559703),
    "ltx-video": (21.4700694, -12.8016453, 2.31279151, 0.792487521, 0.00969274326),
    "lumina2": (-874.643948, 466.059906, -75.1559762, 5.32836175, -0.0327258296),
    "hidream-i1": (-31360.5009, -712.425503, 49.1363285, 8.2651549, 0.108053901),
}
"""TeaCache's polynomials (its repository, the scripts of each model), highest degree first; `retained` ones are for the
projected timestep embedding and five retained steps."""

MADE_FOR = {
    "flux": ("flux.1-dev",),
    "flux-kontext": ("flux.1-kontext-dev", "FluxKontextPipeline", "FluxKontextInpaintPipeline"),
    "hunyuan-video": ("hunyuan-video",),
    "wan2.1-t2v-1.3b": ("wan2.1-t2v-1.3b",),
    "wan2.1-t2v-14b": ("wan2.1-t2v-14b",),
    "wan2.1-t2v-1.3b-retained": ("wan2.1-t2v-1.3b",),
    "wan2.1-t2v-14b-retained": ("wan2.1-t2v-14b",),
}
"""The names of models, and of pipelines of one model, that have an entry in `COEFFICIENTS` of their own."""

FEW_STEPS = {
    r"schnell": 4,
    r"turbo": 9,
    r"lightning": 8,
    r"lcm": 8,
    r"hyper-?sd": 8,
}
"""What few-step models and adapters are called, and how many steps they are run with at most, as their authors say:
FLUX.1-schnell 4, Z-Image-Turbo 9, the Lightning, LCM and Hyper-SD distillations up to 8."""

FAMILIES = {
    "flux": "flux",
    "flux-kontext": "flux",
    "hunyuan-video": "hunyuan_video",
    "wan2.1-t2v-1.3b": "wan",
    "wan2.1-t2v-14b": "wan",
    "wan2.1-t2v-1.3b-retained": "wan",
    "wan2.1-t2v-14b-retained": "wan",
    "cogvideox1.5": "cogvideox",
    "ltx-video": "ltx",
    "lumina2": "lumina",
    "hidream-i1": "hidream",
}
"""The adapter's family of each model in `COEFFICIENTS`."""

FLUX_RATIOS = (
    *(1.0, 1.21094, 1.11719, 1.07812, 1.0625, 1.03906, 1.03125, 1.03906, 1.02344, 1.03125),
    *(1.02344, 0.98047, 1.01562, 1.00781, 1.0, 1.00781, 1.0, 1.00781, 1.0, 1.0),
    *(0.99609, 0.99609, 0.98047, 0.98828, 0.96484, 0.95703, 0.93359, 0.89062),
)
"""MagCache's ratios for FLUX.1-dev, calibrated over 28 steps (its repository); diffusers has them as
`FLUX_MAG_RATIOS`."""

# docs/User_Guide.md, "Supported DiTs"; diffusers' cache_dit.md
import cache_dit

count, names = cache_dit.supported_pipelines()
assert count == len(names) > 100
assert "FluxPipeline" in names
assert "FluxTransformer2DModel" in cache_dit.supported_matrix()

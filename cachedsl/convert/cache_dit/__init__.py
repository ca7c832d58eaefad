"""cache-dit's options as a policy, and back: pure, on mappings as YAML and JSON have them.

```python
from cachedsl.convert.cache_dit import options_from_policy, policy_from_options

converted = policy_from_options({"Fn_compute_blocks": 1, "enable_taylorseer": True, "taylorseer_order": 2})
converted.tree        # {"version": 1, "compute": "F1B0", "predict": {"method": "taylor", ...}}
converted.notes       # what is read differently, or cannot be carried over, each with the path of its key
converted.policy()    # the policy; raises `ConversionError` where a note is an error

options_from_policy(converted.policy()).options
```

`policy_from_options` takes the *flat* keys: those of `cache_config` in a YAML file, those of `DBCacheConfig`,
`DBPruneConfig`, `ExtraCacheConfig` and the calibrator configs in Python, and those of older releases; `options.OPTIONS`
lists them all. What stands beside `cache_config` in a file, `parallelism_config` and `quantize_config`, is read by
`runtime_from_options`, which returns the policy's `runtime` section. `attention_backend` is no matter of a policy.
"""

from cachedsl.convert.cache_dit.masks import steps_mask
from cachedsl.convert.cache_dit.options import ALIASES, OPTIONS
from cachedsl.convert.cache_dit.reading import policy_from_options
from cachedsl.convert.cache_dit.runtime import runtime_from_options
from cachedsl.convert.cache_dit.writing import options_from_policy

__all__ = ["ALIASES", "OPTIONS", "options_from_policy", "policy_from_options", "runtime_from_options", "steps_mask"]

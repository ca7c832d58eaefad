from nunchaku.caching.teacache import TeaCache

with TeaCache(model=transformer, num_steps=50, rel_l1_thresh=0.3, enabled=True):
    image = pipe(prompt)

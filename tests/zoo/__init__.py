"""Every transformer class of diffusers, tiny and with random weights."""

"""The package as it is installed: without torch, from a wheel."""

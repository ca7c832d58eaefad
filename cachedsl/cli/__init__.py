"""The command line. One file per command; `main.py` is the registry."""

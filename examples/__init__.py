"""Examples to copy; each folder has a README.md."""

"""Running policies side by side, and measuring them. Extras: nothing here is imported by the core."""

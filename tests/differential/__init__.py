"""The executor against cache-dit, which runs in a process of its own."""

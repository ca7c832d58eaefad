"""What another package may bring: a tap, a method, a rule and an adapter."""

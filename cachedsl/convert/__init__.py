"""Settings of other engines as policies, and policies as settings of other engines; one package an engine."""

"""A language server for policies and adapters: what an editor shows while they are typed."""

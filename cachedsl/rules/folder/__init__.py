"""Rules over the policies of one folder."""

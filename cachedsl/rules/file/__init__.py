"""Rules over a file's text and name, whatever its policy means."""

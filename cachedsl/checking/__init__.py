"""What a file is, and everything that is wrong with it, whichever of the formats it holds."""

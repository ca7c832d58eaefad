"""A server of images in one process: several requests at once on one pipeline, each under a policy of its own."""

"""`aae-capture`: pictures of good parts from a camera, to train with."""

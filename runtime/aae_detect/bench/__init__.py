"""What `aae-bench` measures on the device: how right a detector is, and how fast. Never needs torch."""

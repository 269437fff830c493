"""From verdicts on frames to what the line is told: stop or pass, and once for each part."""

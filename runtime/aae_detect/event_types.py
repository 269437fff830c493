"""What kinds of events there are, for whoever picks some of them."""

EVENT_TYPES = ("frame", "decision", "drift", "signal", "model", "calibration", "start", "stop")
"""The `type` of every event that a store can hold."""

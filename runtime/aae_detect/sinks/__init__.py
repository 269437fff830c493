"""Where events go beyond this machine: MQTT, webhooks, Python, metrics."""

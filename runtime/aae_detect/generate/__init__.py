"""What a model believes a good part looks like: pictures from its prior, and reconstructions. Never needs torch."""

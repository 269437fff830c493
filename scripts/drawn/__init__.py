"""What the starting point is trained on: products that nobody makes, drawn by chance."""

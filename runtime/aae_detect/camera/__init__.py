"""Live cameras: captured in a process of its own, watched, and opened again for as long as it takes."""

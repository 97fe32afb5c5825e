"""Live recognition: sources, faces, spotting, events."""

"""Live sessions kept as what their events were made of, to be run again offline to the same events."""

"""From a trained bundle to graphs that other runtimes execute."""

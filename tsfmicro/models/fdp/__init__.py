"""FDP, the second recogniser: a window of frames, no key frame. Importing this package does not import torch.

Shao et al., *Micro-Expression Recognition via Fine-Grained Dynamic Perception* (2025). Built from the paper's design,
which its released program does not implement; docs/fdp.md says where the paper is silent and what was chosen.
"""

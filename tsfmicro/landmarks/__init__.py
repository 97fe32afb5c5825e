"""Face landmarks behind one small protocol, so that the component can be replaced.

MediaPipe's FaceMesh gives meaning (which point is a brow, is the eye closed); it does not measure motion, its
points jitter by 0.1-0.2 px. See :mod:`tsfmicro.motion` for what does.
"""

from tsfmicro.landmarks.detector import SEARCH_INTERVAL_S, FaceMeshDetector, LandmarkDetector, landmarks_of_photo
from tsfmicro.landmarks.eyes import eye_opening

__all__ = ["SEARCH_INTERVAL_S", "FaceMeshDetector", "LandmarkDetector", "eye_opening", "landmarks_of_photo"]

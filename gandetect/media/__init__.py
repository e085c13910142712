"""Decoding to luma: still images and video, one definition of brightness for training and serving.

`read_luma("photo.jpg")` gives a still image, `VideoReader("clip.mp4", every=1.0)` iterates over a
video by time, `sniff` tells one from the other by content.
"""

from gandetect.media.images import read_luma, read_rgb
from gandetect.media.luma import LUMA_DEFINITION, Luma, MediaError
from gandetect.media.sniff import sniff
from gandetect.media.video import Frame, VideoReader

__all__ = [
    "LUMA_DEFINITION",
    "Frame",
    "Luma",
    "MediaError",
    "VideoReader",
    "read_luma",
    "read_rgb",
    "sniff",
]

"""IMAGE, or VIDEO's best frame → PHOTO, upright, PIXELS for the cutout network, VIEW for the encoder.

Also what is checked of the rest: VIDEO's FRAMES, AUDIO's LOG_MEL.

A bad order is refused here already.
"""

import numpy as np
import triton_python_backend_utils as pb_utils

from stages.audio import NO_SOUND, RATE, log_mel, read_voice
from stages.errors import invalid
from stages.footage import best_frame
from stages.image import for_encoder, read_photo
from stages.studio import FIELDS, PHOTO_PX, for_network, read_order
from stages.triton import Queued, value
from stages.video import NO_FRAMES, read_video


class TritonPythonModel(Queued):
    def answer(self, request):
        read_order(*(value(request, name) for name in FIELDS))
        image, clip = value(request, "IMAGE"), value(request, "VIDEO")
        if image is None and clip is None:
            raise invalid("IMAGE", "there is neither a photo nor a clip; send one of them")
        if image is None:
            photo, frames = best_frame(clip)
        else:
            photo, frames = read_photo(image, PHOTO_PX), NO_FRAMES if clip is None else read_video(clip)
        sound = value(request, "AUDIO")
        tensors = {
            "PHOTO": np.asarray(photo)[None],
            "PIXELS": for_network(photo)[None],
            "VIEW": for_encoder(photo)[None],
            "FRAMES": frames[None],
            "LOG_MEL": (NO_SOUND if sound is None else log_mel(read_voice(sound, RATE)))[None],
            "IS_FRAME": np.array([[image is None]]),
        }
        asked = request.requested_output_names()
        return [pb_utils.Tensor(name, np.ascontiguousarray(tensors[name])) for name in asked]

"""IMAGE, or VIDEO's best frame → PHOTO, upright, PIXELS for the cutout network, VIEW for the encoder.

Also what is checked of the rest: VIDEO's FRAMES, AUDIO's LOG_MEL.

A bad order is refused here already.
"""

from typing import Any

import numpy as np

from stages.audio import RATE, log_mel, no_sound, read_voice
from stages.errors import invalid
from stages.footage import best_frame
from stages.image import for_encoder, read_photo
from stages.studio import FIELDS, PHOTO_PX, for_network, read_order
from stages.triton import Outputs, Queued, value
from stages.video import no_frames, read_video


class TritonPythonModel(Queued):
    def set_up(self) -> None:
        self.network, self.encoder = self.sizes["PIXELS"][0], self.sizes["VIEW"][0]
        #: Of bundles that have the modality.
        self.frames, self.mels = self.sizes.get("FRAMES", (0, 0))[1], self.sizes.get("LOG_MEL", (0,))[0]

    def answer(self, request: Any) -> Outputs:
        read_order(*(value(request, name) for name in FIELDS))
        image, clip = value(request, "IMAGE"), value(request, "VIDEO")
        if image is None and clip is None:
            raise invalid("IMAGE", "there is neither a photo nor a clip; send one of them")
        if image is None:
            photo, frames = best_frame(clip, self.frames)
        else:
            photo = read_photo(image, PHOTO_PX)
            frames = no_frames(self.frames) if clip is None else read_video(clip, self.frames)
        sound = value(request, "AUDIO")
        heard = no_sound(self.mels) if sound is None else log_mel(read_voice(sound, RATE), self.mels)
        return {
            "PHOTO": np.asarray(photo)[None],
            "PIXELS": for_network(photo, self.network)[None],
            "VIEW": for_encoder(photo, self.encoder)[None],
            "FRAMES": frames[None],
            "LOG_MEL": heard[None],
            "IS_FRAME": np.array([[image is None]]),
        }

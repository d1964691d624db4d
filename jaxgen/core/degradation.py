"""What can have happened to a photograph that is to be restored; no more, so that `--help` lists it without jax."""
# SPDX-License-Identifier: Apache-2.0

import enum


class Degradation(enum.Enum):
    """By the word that a user gives.

    OLD_PHOTO: faded, scratched and noisy. INPAINT: a part is missing. SUPER_RESOLUTION: it is too small. DEBLUR: a
    Gaussian blur. DENOISE: white noise. JPEG: compressed. COLOUR: its colours are missing. AUTO: what is found in it.
    """

    OLD_PHOTO = "old-photo"
    INPAINT = "inpaint"
    SUPER_RESOLUTION = "super-resolution"
    DEBLUR = "deblur"
    DENOISE = "denoise"
    JPEG = "jpeg"
    COLOUR = "colour"
    AUTO = "auto"

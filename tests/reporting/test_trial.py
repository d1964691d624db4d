"""Truths of a trial's section of the page."""
# SPDX-License-Identifier: Apache-2.0

import re

import numpy as np

from jaxgen.reporting.grids import image_grid
from jaxgen.reporting.trial import Trial, trial_section


def test_a_trial_shows_its_table_and_its_picture_as_text_and_data():
    picture = image_grid(np.zeros((2, 4, 4, 1), np.uint8), 2, 3)
    rows = [("noise & <blur>", "14.3 dB", "18.1 dB"), ("a half missing", "10.5 dB", "14.1 dB")]
    html = trial_section(Trial("Restored", "200 digits", ("damage", "before", "after"), rows, picture, "Rows"))
    assert re.findall(r"<td>(.*?)</td>", html) == ["14.3 dB", "18.1 dB", "10.5 dB", "14.1 dB"]
    assert "noise &amp; &lt;blur&gt;" in html and "<blur>" not in html
    assert len(re.findall(r"<th ", html)) == 3 + 2
    assert re.search(r'src="data:image/png;base64,[\w+/=]+"', html)

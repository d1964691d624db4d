"""The classifier of an attribute against the best one there is: between two Gaussians its accuracy is known."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np
import pytest
from scipy.stats import norm

from jaxgen.metrics.attribute_classifier import attribute_classifier
from jaxgen.metrics.unmeasured import TooFew


@pytest.mark.parametrize(("apart", "lacking"), [(2.0, 4_000), (2.0, 500), (0.0, 4_000)])
def test_two_gaussians_are_told_apart_as_well_as_they_can_be(apart, lacking):
    """Bayes accuracy between equal covariances is Phi(d / 2), d the distance between the means (Mahalanobis)."""
    draw = np.random.default_rng(0)
    scale = np.array([1.0, 100.0, 0.01])  # of the features, which must not matter
    has, lacks = (draw.normal(size=(count, 3)) for count in (4_000, lacking))
    has[:, 0] += apart
    classifier, accuracy = attribute_classifier(has * scale, lacks * scale)
    best = norm.cdf(apart / 2)
    assert accuracy == pytest.approx(best, abs=0.02)
    fresh = draw.normal(size=(20_000, 3)) + np.array([apart, 0, 0])
    assert classifier.predict(fresh * scale).mean() == pytest.approx(best, abs=0.03) or apart == 0


def test_too_few_examples_are_told():
    with pytest.raises(TooFew, match="at least 5 examples a side: 4"):
        attribute_classifier(np.zeros((4, 2)), np.zeros((50, 2)))

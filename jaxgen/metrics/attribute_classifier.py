"""A classifier of an attribute that no shipped net knows: logistic regression between examples with and without it."""
# SPDX-License-Identifier: Apache-2.0

from typing import Any

import numpy as np

from jaxgen.metrics.unmeasured import TooFew

_FOLDS = 5


def attribute_classifier(having: np.ndarray, lacking: np.ndarray) -> tuple[Any, float]:
    """A fitted scikit-learn classifier of features [N, D], 1 for "has it", and its balanced accuracy.

    Features are scaled to unit variance and the two sets weigh the same, whatever their sizes; the accuracy is
    cross-validated in five folds, chance is 0.5. TooFew for fewer than five examples a side.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    fewest = min(len(having), len(lacking))
    if fewest < _FOLDS:
        raise TooFew(f"a classifier of the attribute needs at least {_FOLDS} examples a side: {fewest}")
    inputs = np.concatenate([having, lacking])
    has = np.repeat([1, 0], [len(having), len(lacking)])
    regression = LogisticRegression(class_weight="balanced", max_iter=2000)
    classifier = make_pipeline(StandardScaler(), regression)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    accuracy = cross_val_score(classifier, inputs, has, cv=folds, scoring="balanced_accuracy").mean()
    return classifier.fit(inputs, has), float(accuracy)

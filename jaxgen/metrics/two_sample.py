"""The classifier two-sample test: how well a random forest tells one set from another."""
# SPDX-License-Identifier: Apache-2.0

import numpy as np

from jaxgen.metrics.unmeasured import TooFew

_FOLDS = 5
_TREES = 300


def two_sample_accuracy(samples: np.ndarray, reference: np.ndarray) -> float:
    """Cross-validated accuracy of a random forest between `samples` and `reference`, [N, ...] each (arXiv 1610.06545).

    0.5: it cannot tell them apart; 1.0: it always can. Five folds, 300 trees, fixed seeds: the same sets give the same
    figure. The standard error of chance is about 0.5 / sqrt(2 N). TooFew for fewer than five examples a side;
    ValueError for sets of unequal size (chance would not be 0.5).
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    if len(samples) != len(reference):
        raise ValueError(f"{len(samples)} samples against {len(reference)}: chance is 0.5 only for equal counts")
    if len(samples) < _FOLDS:
        raise TooFew(f"a two-sample test in {_FOLDS} folds needs at least {_FOLDS} examples a side: {len(samples)}")
    inputs = np.concatenate([samples, reference]).reshape(2 * len(samples), -1)
    real = np.repeat([0, 1], len(samples))
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=0)
    forest = RandomForestClassifier(_TREES, random_state=0, n_jobs=-1)
    return float(cross_val_score(forest, inputs, real, cv=folds).mean())

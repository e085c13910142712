"""`SpectralDetector` keeps scikit-learn's contract, with every classifier."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from gandetect.detect.classifiers import CLASSIFIERS
from gandetect.detect.estimators import SpectralDetector


@parametrize_with_checks(
    [
        SpectralDetector(name, n_estimators=10, random_state=0)
        for name, classifier in CLASSIFIERS.items()
        if classifier.transform is None
    ]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_contract(estimator, check):
    check(estimator)

"""The estimators keep scikit-learn's contract: `SpectralDetector` with every classifier, those that
take images alone as far as it goes for these, and late fusion."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from gandetect.detect.attributor import Attributor
from gandetect.detect.classifiers import CLASSIFIERS
from gandetect.detect.compound import EditDetector, FusionDetector
from gandetect.detect.estimators import NetworkDetector, SpectralDetector


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


FOREST = SpectralDetector("forest", n_estimators=10, random_state=0)
FUSED = [("line", SpectralDetector()), ("forest", FOREST)]


@parametrize_with_checks(
    [FusionDetector(FUSED), NetworkDetector(epochs=1), EditDetector(steps=1), Attributor()]
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learn_contract_of_the_others(estimator, check):
    check(estimator)

"""Predict the images of a run: validation images (for the threshold), test images, images without labels."""

from pathlib import Path

from config import Config
from data import Predictions
from experiment.run_folder import PROBABILITIES
from metrics import fit_threshold
from prediction import predict_samples

DESCRIPTIONS = {
    "validation": "Predicting validation images",
    "test": "Predicting test images",
    "unlabelled": "Predicting images without labels",
}


def predict_roles(model, config: Config, images: dict, folder: Path) -> tuple[dict[str, Predictions], dict]:
    """Predict the images of every role. Return ({role: Predictions}, {"threshold", "validation_dice"}).

    ``images``: {role: (samples as the network sees them, samples as read)} with the roles of ``DESCRIPTIONS``. Validation comes
    first: the threshold on the probability of foreground is fitted on these images before a test image is predicted.
    """
    predictions, fitted, maps = {}, {}, config.maps
    for role, description in DESCRIPTIONS.items():
        samples, originals = images[role]
        probabilities = predict_samples(model, samples, originals, config, description, folder / PROBABILITIES / role)
        if not fitted:
            threshold, dice = fit_threshold(probabilities, [original.mask for original in originals], maps)
            fitted = {"threshold": threshold, "validation_dice": dice}
        masks = [maps.class_map(probability, fitted["threshold"]) for probability in probabilities]
        predictions[role] = Predictions(originals, probabilities, masks, maps)
    return predictions, fitted

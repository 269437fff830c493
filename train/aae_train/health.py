"""Whether a generative model has failed in one of the ways that such models fail, and what to change then.

Each figure is measured on good pictures that the model did not learn from, where there are some; each limit stands
where models that work never came close.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from aae_detect.prior import Prior
from aae_train.compute import shrunk, to_pictures
from aae_train.detector_graph import to_image
from aae_train.family import GenerativeModel
from aae_train.losses import AdversarialLoss
from aae_train.two_samples import diversity, neighbour_accuracy

COLLAPSED_DIVERSITY = 0.25
"""Samples that differ so little, as a share of how real pictures differ."""

DISCRIMINATOR_WON = 0.97
"""Accuracy over the last fifth of the training; 0.5 is a draw."""

INACTIVE_SHARE = 0.1
"""Fewer of the code's numbers than this that tell pictures apart."""

LATENT_MISS = 0.8
"""Accuracy of telling codes from the prior; 0.5 where they match."""

_ACTIVE_VARIANCE = 0.01
"""Of a number's posterior mean over pictures: below, it says nothing about them (Burda et al., arXiv 1509.00519)."""

_PICTURES = 64
_PLACES_PER_PICTURE = 4
"""Neighbouring places of a picture have alike codes, which would be told from the prior however well it is held."""

_CHUNK = 8
_PATCH = 32
_MOST_PATCHES = 256


@dataclass(frozen=True)
class Health:
    """Figures of one model; None where a family has no such thing."""

    discriminator_accuracy: float | None
    """Mean over the last fifth of the training, 0 to 1; 0.5 is a draw."""

    latent_neighbour_accuracy: float | None
    """`two_samples.neighbour_accuracy` of places' codes against samples of the prior; 0.5 where they match."""

    active_share: float
    """Share of the code's numbers whose variance over pictures, without noise, exceeds 0.01, 0 to 1."""

    sample_diversity_ratio: float
    """`two_samples.diversity` of samples over that of real pictures; 1 where they are alike. Of a grid code, patches of
    32x32 pixels of the input are compared: its places are drawn independently, so whole samples average to the same."""

    def to_dict(self) -> dict[str, float | None]:
        """Return the figures for `metrics.json`."""
        return asdict(self)

    def warnings(self, adversarial_loss: AdversarialLoss = "relativistic") -> list[str]:
        """Say what failed, and what to change in a run that had this adversarial loss."""
        found = []
        if self.sample_diversity_ratio < COLLAPSED_DIVERSITY:
            found.append(
                f"mode collapse: samples of the prior differ from each other {self.sample_diversity_ratio:.2f} times "
                "as much as real pictures do; train longer, take a larger --batch-size, or another --model (aae, vae)"
            )
        if self.discriminator_accuracy is not None and self.discriminator_accuracy > DISCRIMINATOR_WON:
            steadier = "--adversarial-loss relativistic" if adversarial_loss != "relativistic" else "more good pictures"
            found.append(
                f"the discriminator has won: it was right {self.discriminator_accuracy:.0%} of the time at the end, so "
                f"the other player learns nothing from it; take {steadier}, a lower --lr, or another --model"
            )
        if self.active_share < INACTIVE_SHARE:
            found.append(
                f"posterior collapse: only {self.active_share:.0%} of the code's numbers tell pictures apart, the "
                "drawing hardly depends on the picture; train longer, take a smaller --latent, or "
                "--encoder deterministic"
            )
        if self.latent_neighbour_accuracy is not None and self.latent_neighbour_accuracy > LATENT_MISS:
            found.append(
                f"the codes miss their prior: they are told from samples of it {self.latent_neighbour_accuracy:.0%} of "
                "the time, so samples will not look like parts; train longer, take a smaller --latent, or another "
                "--prior"
            )
        return found


@torch.no_grad()
def examine(
    model: GenerativeModel, prior: Prior, images: NDArray[np.uint8], history: Sequence[Mapping[str, Any]], seed: int
) -> Health:
    """Measure a trained model.

    Args:
        model: On its device.
        prior: That it was trained for.
        images: (N, H, W, 3) uint8 BGR good pictures, N at least 2; at most 64 are used.
        history: Rows of the model's training.
        seed: For samples.
    """
    rng = np.random.default_rng([seed, 9])
    images = images[np.linspace(0, len(images) - 1, min(_PICTURES, len(images))).astype(int)]
    device = next(model.parameters()).device
    codes, means, real, samples = [], [], [], []
    prior_samples = prior.sample_codes(len(images), model.prior_chw, rng)
    for start in range(0, len(images), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        pictures = to_pictures(images[chunk], device)
        noise = torch.from_numpy(rng.standard_normal((len(pictures), model.encoder.noise_dim), np.float32)).to(device)
        codes.append(model.encoder(pictures, noise).float().cpu().numpy())
        # What a collapsed number has of the prior's variance is all noise: only without it is seen what pictures do.
        means.append(model.encoder(pictures).float().cpu().numpy())
        drawn = model.generate(torch.from_numpy(prior_samples[chunk]).to(device)).float().clamp(-1, 1)
        samples.append(to_image(drawn).cpu().numpy())
        step = pictures.shape[2] // drawn.shape[2]
        real.append(to_image(shrunk(pictures, step)).cpu().numpy())
    real_images, drawn_images = np.concatenate(real), np.concatenate(samples)
    if model.prior_chw[1:] != (1, 1):
        drawn_images, real_images = (_patches(each, _PATCH // step, rng) for each in (drawn_images, real_images))
    accuracies = [float(row["discriminator_accuracy"]) for row in history if "discriminator_accuracy" in row]
    late = accuracies[-max(1, len(accuracies) // 5) :]
    match = latent_match(np.concatenate(codes), model.decoder.latent_chw, prior, rng) if model.holds_prior else None
    return Health(
        discriminator_accuracy=float(np.mean(late)) if late else None,
        latent_neighbour_accuracy=match,
        active_share=float((np.concatenate(means).astype(np.float64).var(axis=0) > _ACTIVE_VARIANCE).mean()),
        sample_diversity_ratio=diversity(drawn_images) / max(diversity(real_images), 1e-6),
    )


def latent_match(
    codes: NDArray[np.float32], latent_chw: tuple[int, int, int], prior: Prior, rng: np.random.Generator
) -> float:
    """Tell places' codes from samples of the prior; 0.5 where they match.

    Args:
        codes: (N, L * h * w).
        latent_chw: Their shape.
        prior: That they were held to.
        rng: For the choice of places and samples.
    """
    by_place = codes.reshape(len(codes), latent_chw[0], -1).transpose(0, 2, 1)  # (N, h * w, L)
    several = min(_PLACES_PER_PICTURE, by_place.shape[1])
    chosen = np.stack([rng.permutation(by_place.shape[1])[:several] for _ in by_place])
    places = np.take_along_axis(by_place, chosen[:, :, None], axis=1).reshape(-1, latent_chw[0])
    pictures = np.repeat(np.arange(len(by_place)), several)
    return neighbour_accuracy(prior.sample(len(places), latent_chw[0], rng), places, pictures)


def _patches(images: NDArray[np.uint8], side: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Cut pictures (N, H, W, 3) into square patches and take 256 of them."""
    count, height, width, _ = images.shape
    cut = images.reshape(count, height // side, side, width // side, side, 3).transpose(0, 1, 3, 2, 4, 5)
    patches = cut.reshape(-1, side, side, 3)
    chosen: NDArray[np.uint8] = patches[rng.permutation(len(patches))[:_MOST_PATCHES]]
    return chosen

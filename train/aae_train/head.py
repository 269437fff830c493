"""The head: a small U-Net that looks at picture and drawing together and marks what is wrong.

The idea is DRAEM's (Zavrtanik et al., arXiv 2108.07610): what a residual cannot tell apart, a drawing that is a little
blurred from a part that is a little scratched, a network can that has seen many of both. It learns from synthetic
defects alone, which is why it is given more than pixels: how far the descriptors of each place lie from what is usual
there carries over to defects that nobody drew.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from aae_train.networks import Residual, start_layer

WIDTHS = (32, 64, 96)
"""Channels at 1/4, 1/8 and 1/16 of the input size."""

STEM = 16
"""Channels at 1/2, where an edge CPU spends its time: what is a pixel wide is rectified before it is summed up."""

_START_LOGIT = -3.0
"""Defects are rare: a head that starts by finding them everywhere spends its first steps on unlearning that."""

_HARD = 2.0
"""Exponent of the focal loss (Lin et al., arXiv 1708.02002): easy places, which are most, count for little."""

_FOCAL, _OVERLAP = 4.0, 0.5


GAIN = 4.0
"""Of the difference between picture and drawing, which hardly fills its range."""

_REACH, _DEVIATION = 8.0, 0.5
"""Deviations beyond are cut off, and what is left is scaled: the head must not depend on how far the unheard-of lies
out."""


class Look(nn.Module):
    """The first look: at the picture, and at what it differs by from the drawing, pixel by pixel.

    The drawing has half the size, so its pixels are repeated; as all this is linear, neither that nor the difference
    need be made: the picture's kernel takes the difference's in, and the drawing gets one of what its pixels cover.
    Detail that is fainter than the light it lies in comes in through the difference, at `GAIN`. On mvtec3d_tire, 600
    steps from nothing, a head had a select score of 65.3 with the difference in half the size, and of 68.5 with that in
    full size, taken from a smoothly enlarged drawing there, and with kernels of 3x3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.picture = start_layer(nn.Conv2d(3, STEM, 4, stride=2, padding=1), 1.0)
        self.difference = start_layer(nn.Conv2d(3, STEM, 4, stride=2, padding=1, bias=False), 1.0)

    def kernels(self) -> tuple[Tensor, Tensor]:
        """Make the kernels of the picture, (STEM, 3, 4, 4) in steps of 2, and of the drawing, (STEM, 3, 3, 3)."""
        of_difference = GAIN * self.difference.weight
        covers = of_difference.new_tensor([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
        return self.picture.weight + of_difference, -(covers @ of_difference @ covers.T)

    def forward(self, picture: Tensor, drawn: Tensor) -> Tensor:
        """Take a picture (N, 3, H, W) and a drawing (N, 3, H/2, W/2) to features (N, STEM, H/2, W/2)."""
        # In full precision: the sum is a small difference of large numbers.
        with torch.autocast(picture.device.type, enabled=False):
            of_picture, of_drawing = self.kernels()
            features = F.conv2d(picture, of_picture, self.picture.bias, stride=2, padding=1)
            return features + F.conv2d(drawn, of_drawing, padding=1)


class Head(nn.Module):
    """Picture, what the drawing lacks, and deviations of descriptors to logits of a defect."""

    def __init__(self, channels: int) -> None:
        """Make a head.

        Args:
            channels: Kinds of deviations.
        """
        super().__init__()
        fine, middle, coarse = WIDTHS
        self.look = Look()
        self.stem = nn.Sequential(nn.ReLU(), _conv(STEM, fine), nn.ReLU(), *_deeper(fine))
        self.down = _conv(fine, middle)
        self.beside = start_layer(nn.Conv2d(channels, middle, 1), 2.0)
        self.seen = nn.Sequential(nn.ReLU(), *_deeper(middle))
        self.bottom = nn.Sequential(_conv(middle, coarse), nn.ReLU(), *_deeper(coarse), *_deeper(coarse))
        self.up_coarse = _up(coarse, middle)
        self.joined = nn.Sequential(nn.ReLU(), *_deeper(middle))
        self.up_middle = _up(middle, fine)
        self.out = nn.Sequential(nn.ReLU(), *_deeper(fine), nn.Conv2d(fine, 1, 1))
        last = self.out[-1]
        assert isinstance(last, nn.Conv2d) and last.bias is not None  # made in the line before
        nn.init.constant_(last.bias, _START_LOGIT)

    def forward(self, picture: Tensor, drawn: Tensor, deviations: Tensor) -> Tensor:
        """Mark defects.

        Args:
            picture: (N, 3, H, W) in [-1, 1].
            drawn: (N, 3, H/2, W/2): what the part should look like.
            deviations: (N, C, H/8, W/8), about unit variance on good pictures; where only the first kinds are known,
                C is less than the head's.

        Returns:
            (N, 1, H/4, W/4) logits.
        """
        fine = self.stem(self.look(picture, drawn))
        deviations = _DEVIATION * deviations.clamp(-_REACH, _REACH)
        known = deviations.shape[1]
        weight = self.beside.weight if known == self.beside.in_channels else self.beside.weight[:, :known]
        middle = self.seen(self.down(fine) + F.conv2d(deviations, weight, self.beside.bias))
        middle = self.joined(self.up_coarse(self.bottom(middle)) + middle)
        logits: Tensor = self.out(self.up_middle(middle) + fine)
        return logits


def head_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Compare logits with where the defects are: focal loss and overlap (Dice), picture by picture.

    Args:
        logits: (N, 1, h, w).
        mask: (N, H, W), above 0 on a defect; H and W the same multiple of h and w. A cell that a defect touches counts
            as defective, or thin scratches would be lost.
    """
    cell = mask.shape[1] // logits.shape[2]
    truth = F.max_pool2d((mask > 0).to(logits.dtype)[:, None], cell)
    entropy = F.binary_cross_entropy_with_logits(logits, truth, reduction="none")
    found = torch.sigmoid(logits)
    missed = (found - truth).abs()
    focal = (entropy * missed**_HARD).mean()
    # Per picture, so that the mean over processes is the loss of the whole batch; and only where there is a defect:
    # on a good picture overlap rewards finding nothing, which a head that has hardly begun learns first and keeps.
    shared, size = (found * truth).sum(dim=(1, 2, 3)), truth.sum(dim=(1, 2, 3))
    overlap = ((1 - (2 * shared + 1) / (found.sum(dim=(1, 2, 3)) + size + 1)) * (size > 0)).mean()
    loss: Tensor = _FOCAL * focal + _OVERLAP * overlap
    return loss


def _conv(before: int, after: int) -> nn.Module:
    return start_layer(nn.Conv2d(before, after, 3, stride=2, padding=1), 2.0)


def _up(before: int, after: int) -> nn.Module:
    """Repeat what is coarse: the detail comes from what it is added to, and ONNX Runtime need not change the layout."""
    return nn.Sequential(start_layer(nn.Conv2d(before, after, 1), 1.0), nn.UpsamplingNearest2d(scale_factor=2))


def _deeper(channels: int) -> list[nn.Module]:
    return [Residual(channels), nn.ReLU()]

"""FIXED K ablation: the same share of channels in every layer, up to whole ones, chosen per sample by saliency."""

from __future__ import annotations

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from sanp.gating.policy import Decision, GatePolicy
from sanp.gating.saliency_gate import SaliencyGate
from sanp.gating.top_k import KeepsChannels, check_density, top_k_mask
from sanp.methods.gated import CHANNELS, DensityMethod, SaliencySettings, calibrate_threshold, with_channels
from sanp.methods.stage import Context
from sanp_export.spec import SpmGate


class TopKGate(KeepsChannels, SaliencyGate):
    """The k largest saliencies of each sample stay open: ceil(density * C_out), or as many as a plan gives the layer.

    The k+1-th largest value is the threshold and must be exceeded, so ties close. The gradient flows through the
    saliency of open channels; there is neither noise nor a cost loss.
    """

    def __init__(self, c_in: int, c_out: int, *, density: float = 0.5, **options: float) -> None:
        super().__init__(c_in, c_out, **options)  # type: ignore[arg-type]
        self.set_density(check_density(density))

    @property
    def c_out(self) -> int:
        """Output channels of the layer."""
        return self.net.fc2.out_features

    def forward(self, x: Tensor) -> Decision:
        """x [N, C_in, H, W] -> Decision with at most k open channels per sample."""
        u = self.saliency(x)
        s = F.relu(u)
        mask = top_k_mask(s, self.k, self.threshold)
        return Decision(u, s * mask, mask)

    def export(self) -> SpmGate:
        """As the learned gate, with k (0 when every channel may stay open)."""
        return self.export_per_sample(self.exported_k)


class FixedKSettings(SaliencySettings):
    """Options of FIXED K."""

    standardise: bool = Field(True, description="standardise pooled inputs of the saliency modules")
    density: float = Field(0.5, gt=0, le=1, description="share of channels that stay open; training sets it")
    channels: dict[str, int] = Field({}, description=CHANNELS)


class FixedK(DensityMethod):
    """The most salient channels of each sample, the same share of every layer."""

    Settings = FixedKSettings

    def make_gate(self, c_in: int, c_out: int) -> GatePolicy:
        """The top-k gate."""
        names = ("reduction", "hidden_min", "threshold", "standardise", "density")
        return TopKGate(c_in, c_out, **{name: getattr(self.settings, name) for name in names})

    def attach(self, network: nn.Module, example_input: Tensor) -> nn.Module:
        """A gated copy of the network, with the channels of each layer that training has planned."""
        return with_channels(super().attach(network, example_input), self.settings.density, self.settings.channels)

    def finish(self, context: Context) -> bool:
        """Set the channels of each layer, then raise the threshold if the network still costs more than the budget."""
        changed = super().finish(context)
        return (self.settings.calibrate and calibrate_threshold(context) > 0) or changed

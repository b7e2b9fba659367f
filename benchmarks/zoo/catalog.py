"""Which networks: timm's and pytorchcv's, small ones of as many structures as possible, by the size of their images."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from torch import nn

from benchmarks.zoo.torchvision_names import stand_in

_TIMM = {
    64: """efficientnet_b0 mobilenetv3_small_100 regnety_002 repvgg_a0 resnet10t ghostnet_100 mobilenetv4_conv_small
        densenet121 mobilenetv2_035 mnasnet_small lcnet_050 tinynet_e mixnet_s hardcorenas_a rexnet_100
        regnetx_002 resnet18 resnext26ts seresnext26t_32x4d ecaresnext26t_32x4d skresnet18 resnest14d dla34
        dla46x_c hrnet_w18_small cspresnet50 darknet17 ese_vovnet19b_slim_dw selecsls42b repghostnet_050
        mobileone_s0 gernet_s efficientvit_b0 repvit_m0_9 starnet_s1 tf_efficientnetv2_b0 resnetv2_18
        edgenext_xx_small convnext_atto poolformerv2_s12 mobilevit_xxs semnasnet_075 dpn48b visformer_tiny
        nf_regnet_b0""",
    96: "vgg11_bn",
}  # fmt: skip
_PYTORCHCV = {
    32: """nin_cifar10 preresnet20_cifar10 sepreresnet20_cifar10 resnext20_16x4d_cifar10 densenet40_k12_bc_cifar10
        ror3_56_cifar10 rir_cifar10 shakeshakeresnet20_2x16d_cifar10 fractalnet_cifar10 diaresnet20_cifar10""",
    64: """squeezenet_v1_1 squeezeresnet_v1_1 sqnxt23_w1 shufflenet_g3_wd4 shufflenetv2_wd2 menet108_8x1_g3
        mobilenet_wd4 igcv3_wd4 diracnet18v2 peleenet cbam_resnet18 bam_resnet18 bagnet9 hardnet39ds
        octresnet10_ad2 airnet50_1x64d_r16 resneta10 vovnet27s xdensenet121_2 drnd22 darknet_tiny
        proxylessnas_cpu simplepose_resnet18_coco centernet_resnet18_coco""",
    96: "bninception",
    224: "alexnet",
    128: """fastscnn_cityscapes lednet_cityscapes cgnet_cityscapes dabnet_cityscapes sinet_cityscapes
        bisenet_resnet18_celebamaskhq""",
}  # fmt: skip
# Networks whose constructor does not take the size of the image, or needs to be told.
_ARGUMENTS: dict[str, dict[str, Any]] = {
    "visformer_tiny": {"img_size": 64},
    "fastscnn_cityscapes": {"in_size": (128, 128)},
    "lednet_cityscapes": {"in_size": (128, 128)},
    "cgnet_cityscapes": {"in_size": (128, 128)},
    "dabnet_cityscapes": {"in_size": (128, 128)},
    "sinet_cityscapes": {"in_size": (128, 128)},
    "bisenet_resnet18_celebamaskhq": {"in_size": (128, 128)},
    "simplepose_resnet18_coco": {"in_size": (64, 64)},
    "centernet_resnet18_coco": {"in_size": (64, 64)},
}


@dataclass(frozen=True)
class Entry:
    """A network of a library, and the size of its square images."""

    library: str
    name: str
    size: int
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Library and name."""
        return f"{self.library}/{self.name}"

    def build(self) -> nn.Module:
        """The network with random weights, 10 classes where it has any."""
        stand_in()
        if self.library == "timm":
            import timm

            made: nn.Module = timm.create_model(self.name, pretrained=False, num_classes=10, **self.arguments)
        else:
            from pytorchcv.model_provider import get_model

            made = get_model(self.name, pretrained=False, **self.arguments)
        return made


ENTRIES = tuple(
    Entry(library, name, size, _ARGUMENTS.get(name, {}))
    for library, sizes in (("timm", _TIMM), ("pytorchcv", _PYTORCHCV))
    for size, names in sizes.items()
    for name in names.split()
)

"""Lets torchvision's wheel for CUDA be imported beside a torch for CPU: declares the operators that its C++ part would.

install.sh copies this into torchvision, whose first line imports it. Nothing that is used here calls the operators.
"""

import torch

LIBRARY = torch.library.Library("torchvision", "FRAGMENT")  # declared for as long as it lives
for name in ("nms", "qnms"):
    LIBRARY.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

"""A model that answers once: the mean and the sum of its image, and what it was given, as text."""

import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        image = triton.get_input_tensor_by_name(request, "image").as_numpy()
        label = triton.get_input_tensor_by_name(request, "label").as_numpy()
        if label.reshape(-1)[0] == b"FAIL":
            return triton.InferenceResponse(error=triton.TritonError("made-up failure of a classifier"))
        score = np.array([[image.mean(), image.sum()]], dtype=np.float32)
        text = f"{label.reshape(-1)[0].decode()} {list(image.shape)} {image.sum():g}".encode()
        seen = np.array([[text]], dtype=np.object_)
        return triton.InferenceResponse(output_tensors=[triton.Tensor("score", score), triton.Tensor("seen", seen)])

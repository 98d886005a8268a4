"""A decoupled model that streams one word a response; its final flag rides on the last word."""

import threading
import time

import numpy as np
import triton_python_backend_utils as triton

GAP = 0.002  # s between two words
FINAL = triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def value_of(request, name, default):
    tensor = triton.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().reshape(-1)[0]


def response_of(text):
    words = np.array([text.encode()], dtype=np.object_)
    return triton.InferenceResponse(output_tensors=[triton.Tensor("text_output", words)])


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            prompt = value_of(request, "text_input", b"").decode()
            stream = bool(value_of(request, "stream", False))
            count = int(value_of(request, "max_tokens", 16))
            work = (prompt, stream, count, request.get_response_sender())
            threading.Thread(target=self.answer, args=work, daemon=True).start()

    def answer(self, prompt, stream, count, sender):
        words = []
        for position in range(count):
            time.sleep(GAP)
            words.append(f" w{position}")
            if stream:
                sender.send(response_of(words[-1]), flags=FINAL if position == count - 1 else 0)
        if not stream:
            sender.send(response_of("".join(words)), flags=FINAL)

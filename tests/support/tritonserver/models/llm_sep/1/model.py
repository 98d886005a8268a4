"""A decoupled model with the tensors of Triton's vLLM backend, whose final flag comes in an empty response.

A prompt with FAIL in it fails before its third word; one with PAIRS gets two tokens a response.
"""

import json
import threading
import time

import numpy as np
import triton_python_backend_utils as triton

GAP = 0.002  # s between two responses
FINAL = triton.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def value_of(request, name, default):
    tensor = triton.get_input_tensor_by_name(request, name)
    return default if tensor is None else tensor.as_numpy().reshape(-1)[0]


class TritonPythonModel:
    def execute(self, requests):
        for request in requests:
            prompt = value_of(request, "text_input", b"").decode()
            parameters = json.loads(value_of(request, "sampling_parameters", b"{}"))
            stream = bool(value_of(request, "stream", False))
            asked = {name: bool(value_of(request, f"return_{name}", False))
                     for name in ("finish_reason", "num_input_tokens", "num_output_tokens")}
            work = (prompt, stream, int(parameters.get("max_tokens", 16)), asked, request.get_response_sender())
            threading.Thread(target=self.answer, args=work, daemon=True).start()

    def answer(self, prompt, stream, count, asked, sender):
        size = 2 if "PAIRS" in prompt else 1
        if not stream:
            size = count
        for first in range(0, count, size):
            time.sleep(GAP)
            if sender.is_cancelled():
                break
            if "FAIL" in prompt and first >= 2 * size:
                sender.send(triton.InferenceResponse(error=triton.TritonError("made-up failure mid stream")),
                            flags=FINAL)
                return
            tokens = min(size, count - first)
            finish = "length" if first + tokens == count else "None"
            sender.send(self.response(prompt, first, tokens, finish, asked))
        sender.send(flags=FINAL)

    def response(self, prompt, first, tokens, finish, asked):
        words = "".join(f" w{position}" for position in range(first, first + tokens))
        tensors = [triton.Tensor("text_output", np.array([words.encode()], dtype=np.object_))]
        if asked["finish_reason"]:
            tensors.append(triton.Tensor("finish_reason", np.array([finish.encode()], dtype=np.object_)))
        if asked["num_input_tokens"]:
            tensors.append(triton.Tensor("num_input_tokens", np.array([len(prompt.split())], dtype=np.uint32)))
        if asked["num_output_tokens"]:
            tensors.append(triton.Tensor("num_output_tokens", np.array([tokens], dtype=np.uint32)))
        return triton.InferenceResponse(output_tensors=tensors)

"""The worker that holds OpenVINO GenAI's continuous batching. ``python -m bench.theirs FOLDER THREADS same|own``

``same`` gives it the plugin options and the prompt tokens a pass that Tertulia uses; ``own`` leaves its defaults alone
but for the threads (so it computes in bfloat16 where the processor can).
"""

import sys
import time
from typing import Any

import numpy as np
import openvino as ov
import openvino_genai as genai

from bench import worker

SAME = {"INFERENCE_PRECISION_HINT": "f32", "ENABLE_CPU_PINNING": False}


def chats(pipeline: Any, prompts: list[list[int]], most: int) -> dict[str, Any]:
    """Answer ``prompts`` (token ids) at once. It neither renders nor decodes text, so it is spared that work."""
    settings = genai.GenerationConfig()
    settings.max_new_tokens, settings.do_sample, settings.ignore_eos = most, False, True
    settings.eos_token_id, settings.stop_token_ids = 2, {2}
    inputs = [ov.Tensor(np.array([prompt], np.int64)) for prompt in prompts]
    before, started = worker.cpu(), time.perf_counter()
    results = pipeline.generate(inputs, [settings] * len(inputs))
    spent, wall = worker.cpu() - before, time.perf_counter() - started
    ids = [list(result.m_generation_ids[0]) for result in results]
    return {"cpu": spent, "wall": wall, "tokens": sum(map(len, ids)), "ids": ids}


def main() -> None:
    folder, threads, options = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    scheduler = genai.SchedulerConfig()
    scheduler.cache_size = 1
    scheduler.enable_prefix_caching = False
    properties = {"INFERENCE_NUM_THREADS": threads}
    if options == "same":
        scheduler.max_num_batched_tokens = 512
        properties |= SAME
    pipeline = genai.ContinuousBatchingPipeline(folder, scheduler, "CPU", properties)
    worker.serve(lambda question: chats(pipeline, **question))


if __name__ == "__main__":
    main()

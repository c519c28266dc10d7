"""One rank of torch.distributed's gloo all-reduce; obeys one JSON command a line on stdin."""
import json
import os
import sys
import time

rank, ranks, port = (int(text) for text in sys.argv[1:4])
os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
import torch
import torch.distributed as dist

torch.set_num_threads(1)
dist.init_process_group("gloo", rank=rank, world_size=ranks)
print(json.dumps({"ready": True, "version": torch.__version__}), flush=True)
for line in sys.stdin:
    command = json.loads(line)
    count = command["bytes"] // 4
    index = torch.arange(count)
    source = (index.remainder(251) - 125) * 0.5 + (rank + 1) * 0.25
    buffer = source.clone()
    durations = []
    for _ in range(command["iterations"]):
        buffer.copy_(source)
        dist.barrier()
        start = time.perf_counter()
        dist.all_reduce(buffer)
        durations.append((time.perf_counter() - start) * 1000)
    expected = (index.remainder(251) - 125) * 0.5 * ranks + ranks * (ranks + 1) / 8
    wrong = int((buffer != expected).sum())
    print(json.dumps({"ms": durations, "wrong": wrong}), flush=True)

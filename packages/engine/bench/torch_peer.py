"""PyTorch's side of the bench: the same models and the same step (forward, summed loss, backward); see peers.mjs."""
import json
import math
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F


class ResNet(nn.Module):
    def __init__(self, width=64, classes=10):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        blocks, channels = [], width
        for stage in range(4):
            for index in range(2):
                out = width * 2**stage
                blocks.append(BasicBlock(channels, out, 2 if stage > 0 and index == 0 else 1))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class BasicBlock(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False), nn.BatchNorm2d(out)
        self.conv2, self.norm2 = nn.Conv2d(out, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)
        self.skip = nn.Identity()
        if stride != 1 or channels != out:
            self.skip = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + self.skip(x))


class TransformerBlock(nn.Module):
    def __init__(self, width, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.projection, self.output = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attention(self, x):
        count, length, width = x.shape
        split = self.projection(x).view(count, length, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        queries, keys, values = split.unbind(0)
        scores = queries @ keys.transpose(-2, -1) / math.sqrt(width // self.heads)
        if self.causal:
            scores = scores + torch.full((length, length), float('-inf')).triu(1)
        mixed = (scores.softmax(-1) @ values).transpose(1, 2).reshape(count, length, width)
        return self.output(mixed)

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.contract(F.gelu(self.expand(self.norm2(x))))


class Transformer(nn.Module):
    def __init__(self, causal, outputs, vocabulary=512, length=64, width=256, heads=4, blocks=2):
        super().__init__()
        self.causal = causal
        self.embedding, self.positions = nn.Embedding(vocabulary, width), nn.Parameter(torch.zeros(length, width))
        self.blocks = nn.Sequential(*[TransformerBlock(width, heads, causal) for _ in range(blocks)])
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, outputs, bias=not causal)

    def forward(self, tokens):
        x = self.norm(self.blocks(self.embedding(tokens) + self.positions))
        return self.head(x if self.causal else x.mean(1))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(), nn.Linear(576, 64), nn.ReLU(), nn.Linear(64, 10))


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, 10))


def workload(name, batch):
    labels = torch.randint(0, 10, (batch,))
    if name == 'mlp':
        return mlp(), torch.rand(batch, 1, 28, 28), labels
    if name == 'cnn':
        return cnn(), torch.rand(batch, 1, 28, 28), labels
    if name == 'resnet-18':
        return ResNet(), torch.rand(batch, 3, 32, 32), labels
    tokens = torch.randint(0, 512, (batch, 64))
    if name == 'gpt':
        return Transformer(True, 512), tokens, torch.randint(0, 512, (batch, 64))
    return Transformer(False, 10), tokens, labels


def main():
    name, batch, threads, mode = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
    torch.set_num_threads(threads)
    model, x, y = workload(name, batch)
    if mode == 'tuned' and x.dim() == 4:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)

    def step():
        model.zero_grad(set_to_none=True)
        out = model(x)
        F.cross_entropy(out.reshape(-1, out.shape[-1]), y.reshape(-1), reduction='sum').backward()

    for _ in range(3):
        step()
    print('ready', flush=True)
    for line in sys.stdin:
        seconds, start, cpu_start, count = float(line.split()[1]), time.perf_counter(), time.process_time(), 0
        while count == 0 or time.perf_counter() - start < seconds:
            step()
            count += 1
        ms, cpu_ms = 1000 * (time.perf_counter() - start) / count, 1000 * (time.process_time() - cpu_start) / count
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({'msPerStep': ms, 'cpuMsPerStep': cpu_ms, 'peakMiB': peak}), flush=True)


main()

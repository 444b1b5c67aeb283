"""Writes test/fixtures/ops/: inputs, results and gradients of every case in test/engine/tensor/cases, by PyTorch.

Each family gives FAMILY.safetensors. Tensors are named CASE.PART: `12.a` is input a of case 12, `12.float32.y0` its first
result in float32, `12.float32.da` the gradient towards input a for the cotangents `12.c0`, `12.c1` and so on. The ids
of the cases stand in the file's metadata, in order. Inputs and cotangents are drawn in float32 and converted, so that
all dtypes start from the same numbers.

Run from the project root: python parity/ops.py
"""

import json
import math
import pathlib
import subprocess
import zlib

import numpy
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

OUT = pathlib.Path(__file__).resolve().parent.parent / "test/fixtures/ops"
NAMES = "abcdefgh"


def rms_norm(x, weight, eps):
    wide = x.to(torch.float64 if x.dtype == torch.float64 else torch.float32)
    y = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    return (y if weight is None else y * weight).to(x.dtype)


def causal(queries, keys, dtype):
    return torch.full((queries, keys), -math.inf, dtype=dtype).triu(keys - queries + 1)


def attention(q, k, v, bias, scale=None):
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        return F.scaled_dot_product_attention(q, k, v, bias, scale=scale)


def capped(q, k, v, bias, cap):
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    scores = q @ k.mT / q.shape[-1] ** 0.5
    return torch.softmax(cap * torch.tanh(scores / cap) + bias, -1) @ v


def mix(x):
    """The 32-bit finaliser lowbias32."""
    x = numpy.atleast_1d(x)
    x = x ^ (x >> numpy.uint32(16))
    x = x * numpy.uint32(0x7FEB352D)
    x = x ^ (x >> numpy.uint32(15))
    x = x * numpy.uint32(0x846CA68B)
    return x ^ (x >> numpy.uint32(16))


def uniform(shape, key, place):
    first, second = key.numpy().astype(numpy.int32).view(numpy.uint32)
    spread = numpy.uint32((place + 1) * 0x9E3779B9 & 0xFFFFFFFF)
    index = numpy.arange(math.prod(shape), dtype=numpy.uint32)
    bits = mix(mix(index ^ mix(first) ^ spread) ^ second)
    return torch.from_numpy((bits >> numpy.uint32(8)).astype(numpy.float32) * numpy.float32(2.0**-24)).reshape(shape)


def normal(shape, key, place):
    first, second = uniform((2, math.prod(shape)), key, place).double()
    return (torch.sqrt(-2 * torch.log(1 - first)) * torch.cos(2 * math.pi * second)).float().reshape(shape)


def dropout(x, rate, key, place):
    keep = uniform(tuple(x.shape), key, place) >= rate
    return torch.where(keep, x * (1 / (1 - rate)), torch.zeros((), dtype=x.dtype))


class ClippedProduct(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b):
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx, g):
        a, b = ctx.saved_tensors
        cut = g.clamp(-0.5, 0.5)
        return cut * b, (cut * a).sum(0)


clipped_product = ClippedProduct.apply


def draw(spec, generator):
    """An input as it is stored: float32, or its own dtype if that is no float."""
    shape, low, high = spec["shape"], spec["low"], spec["high"]
    dtype = getattr(torch, spec["dtype"], torch.float32)
    if "values" in spec:
        x = torch.tensor([float(v) for v in spec["values"]], dtype=torch.float32).reshape(shape)
    elif dtype.is_floating_point:
        x = torch.empty(shape).uniform_(low, high, generator=generator)
        gap = spec["gap"]
        if gap:
            x = torch.sign(x) * (gap + x.abs() * (1 - gap / high))
    else:
        x = torch.randint(low, high, shape, generator=generator)
    return x.float() if dtype.is_floating_point else x.to(dtype)


def tuple_of(result):
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


def make(case, number, tensors):
    generator = torch.Generator().manual_seed(zlib.crc32(case["id"].encode()))
    drawn = [draw(spec, generator) for spec in case["inputs"]]
    for name, x in zip(NAMES, drawn):
        tensors[f"{number}.{name}"] = x
    cotangents = None
    for dtype_name in case["dtypes"]:
        dtype = getattr(torch, dtype_name)
        inputs = []
        for spec, x in zip(case["inputs"], drawn):
            own = dtype if spec["dtype"] == "float" else getattr(torch, spec["dtype"])
            inputs.append(x.to(own).requires_grad_(spec["wanted"]) if x.is_floating_point() else x)
        scope = globals() | dict(zip(NAMES, inputs))
        results = tuple_of(eval(case["python"], scope))
        for i, y in enumerate(results):
            tensors[f"{number}.{dtype_name}.y{i}"] = y.detach()
        if cotangents is None:
            cotangents = [torch.empty(y.shape).uniform_(-1, 1, generator=generator) for y in results]
            for i, (c, y) in enumerate(zip(cotangents, results)):
                if y.is_floating_point():
                    tensors[f"{number}.c{i}"] = c
        wanted = [(name, x) for name, x in zip(NAMES, inputs) if x.requires_grad]
        pulled = [(y, c.to(y.dtype)) for y, c in zip(results, cotangents) if y.requires_grad]
        if not wanted or not any(y.is_floating_point() for y in results):
            continue
        gradients = [None] * len(wanted)
        if pulled:
            ys, cs = zip(*pulled)
            gradients = torch.autograd.grad(ys, [x for _, x in wanted], cs, allow_unused=True)
        for (name, x), g in zip(wanted, gradients):
            tensors[f"{number}.{dtype_name}.d{name}"] = torch.zeros_like(x) if g is None else g


def main():
    script = "import('./test/engine/tensor/cases/index.ts').then((m) => console.log(m.manifest()))"
    table = subprocess.run(
        ["node", "--import", "tsx", "-e", script], cwd=OUT.parents[2], check=True, capture_output=True, text=True
    )
    OUT.mkdir(parents=True, exist_ok=True)
    for old in OUT.glob("*.safetensors"):
        old.unlink()
    for family, cases in json.loads(table.stdout).items():
        tensors = {}
        for number, case in enumerate(cases):
            try:
                make(case, number, tensors)
            except Exception as error:
                raise RuntimeError(case["id"]) from error
        made = f"PyTorch {torch.__version__.split('+')[0]}, seeds: CRC-32 of the ids"
        metadata = {"made": made, "ids": json.dumps([case["id"] for case in cases])}
        path = OUT / f"{family}.safetensors"
        save_file({name: x.detach().contiguous().clone() for name, x in tensors.items()}, path, metadata)
        print(f"{family}: {len(cases)} cases, {path.stat().st_size} bytes")


main()

"""Writes test/fixtures/quantization: matrices in 4 bits, and a tiny Llama whose linear layers are in 4 bits.

The formulas are those of bitsandbytes' CUDA kernels, written down here with PyTorch, since bitsandbytes itself was not
at hand. One thing has no exact value there: the mean of the blocks' maxima, which double quantisation takes off them,
depends in its last bit on the order of the additions. Here it is the mean in float64, rounded to float32.

`matrices.safetensors` has for each case `NAME` the matrix, `NAME.weight` with all that bitsandbytes stores beside it, and
`NAME.dequantized`. `nf4/` and `fp4/` are model folders as transformers saves them. `expected.safetensors` has for each the
logits (`FOLDER.logits`) and the mean token loss of the Llama with dequantised weights, and with the adapter of
test/fixtures/peft on top the same (`FOLDER.adapted.logits`) and the gradients towards it (`FOLDER.grad.NAME`).

`architectures.safetensors` has for each checkpoint of test/fixtures/architectures, its linear layers in NF4 with double
quantisation, the logits of the input `plain` (`NAME.logits`), and with the adapter beside it on top the same
(`NAME.adapted.logits`) and the gradients of the loss towards the A of its first block (`NAME.grad.PARAMETER`).

Needs what parity/llama.py, parity/lora.py and parity/architectures.py wrote. Run from the project root: python parity/quantization.py
"""

import json
import platform
import shutil
from pathlib import Path

import peft
import torch
import transformers
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaForCausalLM
from transformers.pytorch_utils import Conv1D

SEED = 31
FIXTURES = Path(__file__).resolve().parent.parent / "test" / "fixtures"
OUT = FIXTURES / "quantization"

NF4 = torch.tensor(
    [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334]
    + [-0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224]
    + [0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
)
# By the bits of sign, exponent and fraction.
MAGNITUDES = [0, 0.0625, 8.0, 12.0, 4.0, 6.0, 2.0, 3.0]
FP4 = torch.tensor([m / 1 for m in MAGNITUDES] + [-m for m in MAGNITUDES]) / 12.0
LEVELS = {"nf4": NF4, "fp4": FP4}
# Where |x| is above a bound, it has the code beside it.
FP4_BOUNDS = torch.tensor([0.00260417, 0.0859375, 0.20833333, 0.29166667, 0.4166667, 0.583333, 0.8333333])
FP4_CODES = torch.tensor([0, 1, 6, 7, 4, 5, 2, 3])


def dynamic_map():
    data = [0.0, 1.0]
    for i in range(7):
        bounds = torch.linspace(0.1, 1, 2**i + 1)
        means = (bounds[:-1] + bounds[1:]) / 2.0
        for sign in (1, -1):
            data += (sign * 10 ** (i - 6) * means).tolist()
    return torch.tensor(sorted(data))


def in_blocks(values, size):
    rest = -len(values) % size
    return torch.nn.functional.pad(values, (0, rest)).view(-1, size)


def codes_of(scaled, kind):
    if kind == "nf4":
        midpoints = (NF4[1:] + NF4[:-1]) / 2
        return (scaled.unsqueeze(-1) > midpoints).sum(-1)
    return FP4_CODES[(scaled.abs().unsqueeze(-1) > FP4_BOUNDS).sum(-1)] + 8 * (scaled < 0)


def quantize(weight, kind, double, blocksize=64):
    """What bitsandbytes stores, by the end of its name, and the matrix that it stands for."""
    n = weight.numel()
    blocks = in_blocks(weight.reshape(-1).float(), blocksize)
    absmax = blocks.abs().amax(1)
    codes = codes_of(blocks * (1.0 / absmax).unsqueeze(1), kind).view(-1)
    even = codes[: n + n % 2].clone()
    even[n:] = 0 if kind == "fp4" else 7  # the code of 0, which fills up the last byte
    packed = (even[::2] * 16 + even[1::2]).to(torch.uint8).unsqueeze(1)
    levels = LEVELS[kind]
    dtype = str(weight.dtype).removeprefix("torch.")
    state = {"quant_type": kind, "blocksize": blocksize, "dtype": dtype, "shape": list(weight.shape)}
    tensors = {"": packed, ".absmax": absmax, ".quant_map": levels}
    if double:
        table = dynamic_map()
        offset = absmax.double().mean().float()
        nested = in_blocks(absmax - offset, 256)
        nested_absmax = nested.abs().amax(1)
        scaled = nested * (1.0 / nested_absmax).unsqueeze(1)
        indices = (scaled.unsqueeze(-1) - table).abs().argmin(-1)
        tensors[".absmax"] = indices.view(-1)[: len(absmax)].to(torch.uint8)
        tensors |= {".nested_absmax": nested_absmax, ".nested_quant_map": table}
        state |= {"nested_blocksize": 256, "nested_dtype": "float32", "nested_offset": offset.item()}
        absmax = (table[indices] * nested_absmax.unsqueeze(1)).view(-1)[: len(absmax)] + offset
    text = json.dumps(state).encode("utf-8")
    tensors[f".quant_state.bitsandbytes__{kind}"] = torch.tensor(list(text), dtype=torch.uint8)
    values = (levels[codes].view(-1, blocksize) * absmax.unsqueeze(1)).view(-1)[:n]
    return tensors, values.view(weight.shape).to(weight.dtype)


def matrices():
    ties = torch.cat([(NF4[1:] + NF4[:-1]) / 2, FP4_BOUNDS, -FP4_BOUNDS, NF4, FP4, torch.tensor([-0.0, 1e-30])])
    cases = {
        "plain": (torch.randn(32, 48), "nf4", False),
        "odd": (torch.randn(5, 13), "nf4", False),
        "ties": (torch.nn.functional.pad(ties, (0, 128 - len(ties))).view(2, 64), "nf4", False),
        "ties_fp4": (torch.nn.functional.pad(ties, (0, 128 - len(ties))).view(2, 64), "fp4", False),
        "zeros": (torch.cat([torch.zeros(1, 64), torch.randn(2, 64)]), "nf4", False),
        "double": (torch.randn(96, 256).bfloat16() * torch.rand(96, 1).exp(), "nf4", True),
        "half": ((torch.randn(8, 72) * 0.02).half(), "fp4", False),
        "double_fp4": ((torch.randn(40, 50) * 0.02).bfloat16(), "fp4", True),
        "long": (torch.randn(9, 100), "nf4", False, 128),
    }
    tensors = {}
    for name, (weight, kind, double, *size) in cases.items():
        weight = weight.bfloat16() if name == "double" else weight
        stored, values = quantize(weight, kind, double, *size)
        tensors |= {name: weight, f"{name}.dequantized": values}
        tensors |= {f"{name}.weight{end}": value for end, value in stored.items()}
    save_file({name: value.clone().contiguous() for name, value in tensors.items()}, OUT / "matrices.safetensors")
    return {name: {"kind": c[1], "double": c[2], "blockSize": (*c, 64)[3]} for name, c in cases.items()}


def llama(folder, kind, double, inputs, expected):
    model = LlamaForCausalLM.from_pretrained(
        FIXTURES / "llama" / "tied", dtype=torch.float32, attn_implementation="eager"
    )
    state = {name: value for name, value in model.state_dict().items() if name != "lm_head.weight"}
    for path, layer in model.named_modules():
        if not isinstance(layer, torch.nn.Linear) or path == "lm_head":
            continue
        stored, values = quantize(layer.weight.data, kind, double)
        del state[f"{path}.weight"]
        state |= {f"{path}.weight{end}": value for end, value in stored.items()}
        layer.weight.data = values
    (OUT / folder).mkdir()
    save_file(
        {name: value.clone().contiguous() for name, value in state.items()},
        OUT / folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    model.config.quantization_config = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=kind,
        bnb_4bit_use_double_quant=double,
        bnb_4bit_compute_dtype="float32",
    ).to_dict()
    model.config.save_pretrained(OUT / folder)

    ids, mask, labels = inputs
    with torch.no_grad():
        output = model(input_ids=ids, attention_mask=mask, labels=labels)
    expected |= {f"{folder}.logits": output.logits[mask.bool()], f"{folder}.loss": output.loss}
    adapted = PeftModel.from_pretrained(model, FIXTURES / "peft" / "adapter", is_trainable=True)
    output = adapted(input_ids=ids, attention_mask=mask, labels=labels)
    output.loss.backward()
    expected |= {f"{folder}.adapted.logits": output.logits[mask.bool()].detach()}
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            expected[f"{folder}.grad.{name.replace('.default', '')}"] = parameter.grad


def in_bits(model, kind="nf4", double=True):
    """Gives the linear layers beside the head the weights that 4 bits stand for."""
    head = model.get_output_embeddings()
    for layer in model.modules():
        # As in transformers, a weight stored as [in, out] is turned before it goes into blocks.
        if isinstance(layer, Conv1D):
            layer.weight.data = quantize(layer.weight.data.T.contiguous(), kind, double)[1].T.contiguous()
        elif isinstance(layer, torch.nn.Linear) and layer is not head:
            layer.weight.data = quantize(layer.weight.data, kind, double)[1]


def architectures(expected):
    given = json.loads((FIXTURES / "architectures" / "cases.json").read_text())
    ids, labels = (torch.tensor(given["inputs"]["plain"][key]) for key in ("inputIds", "labels"))
    for name in given["architectures"]:
        folder = FIXTURES / "architectures" / name
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
        in_bits(model)
        with torch.no_grad():
            expected[f"{name}.logits"] = model(input_ids=ids).logits.flatten(0, 1)
        adapted = PeftModel.from_pretrained(model, folder / "adapter", is_trainable=True).eval()
        output = adapted(input_ids=ids, labels=labels)
        output.loss.backward()
        expected[f"{name}.adapted.logits"] = output.logits.detach().flatten(0, 1)
        for key, parameter in adapted.named_parameters():
            if parameter.requires_grad and "lora_A" in key and (".layers.0." in key or ".h.0." in key):
                expected[f"{name}.grad.{key.replace('.default', '')}"] = parameter.grad


def main():
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    torch.manual_seed(SEED)
    cases = matrices()
    given = json.loads((FIXTURES / "peft" / "expected.json").read_text())["input"]
    inputs = [torch.tensor(given[key]) for key in ("inputIds", "attentionMask", "labels")]
    expected = {}
    llama("nf4", "nf4", True, inputs, expected)
    llama("fp4", "fp4", False, inputs, expected)
    save_file({name: value.clone().contiguous() for name, value in expected.items()}, OUT / "expected.safetensors")
    found = {}
    architectures(found)
    save_file({name: value.clone().contiguous() for name, value in found.items()}, OUT / "architectures.safetensors")
    versions = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "peft": peft.__version__,
        "seed": SEED,
    }
    (OUT / "cases.json").write_text(json.dumps({"versions": versions, "cases": cases}) + "\n")


main()

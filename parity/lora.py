"""Writes test/fixtures/peft/: a LoRA adapter of a tiny Llama by PEFT, what the model computes with it, and one step.

`adapter/` is what save_pretrained writes, on the checkpoint test/fixtures/llama/tied. expected.safetensors has the
logits, the gradients of the mean token loss towards A and B (`grad.NAME`), and both after one step of AdamW
(`after.NAME`). expected.json has the inputs. Needs what parity/llama.py wrote.

Run from the project root: python parity/lora.py
"""

import json
import platform
import shutil
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, get_peft_model
from safetensors.torch import save_file
from transformers import LlamaForCausalLM

SEED = 29
FIXTURES = Path(__file__).resolve().parent.parent / "test" / "fixtures"
OUT = FIXTURES / "peft"
TARGETS = ["q_proj", "v_proj", "o_proj", "down_proj"]
STEP = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}


def main():
    if OUT.exists():
        shutil.rmtree(OUT)
    OUT.mkdir(parents=True)
    torch.manual_seed(SEED)
    base = LlamaForCausalLM.from_pretrained(FIXTURES / "llama" / "tied", dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", r=3, lora_alpha=5, target_modules=TARGETS))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
    config = model.peft_config["default"]
    config.base_model_name_or_path = "tied"
    config.target_modules = TARGETS
    model.save_pretrained(OUT / "adapter")
    (OUT / "adapter" / "README.md").unlink()

    input_ids = torch.randint(3, base.config.vocab_size, (2, 9))
    mask = torch.ones_like(input_ids)
    mask[1, :3] = 0
    labels = torch.where(torch.rand(input_ids.shape) < 0.6, input_ids, -100)
    labels[1, :4] = -100
    output = model(input_ids=input_ids, attention_mask=mask, labels=labels)
    output.loss.backward()

    def trained(part):
        return {
            name.replace(".default", ""): part(parameter).detach().clone().contiguous()
            for name, parameter in model.named_parameters()
            if parameter.requires_grad
        }

    tensors = {"logits": output.logits[mask.bool()].detach(), "loss": output.loss.detach()}
    with torch.no_grad(), model.disable_adapter():
        tensors["logits without"] = model(input_ids=input_ids, attention_mask=mask).logits[mask.bool()]
    tensors |= {f"grad.{name}": value for name, value in trained(lambda p: p.grad).items()}
    torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **STEP).step()
    tensors |= {f"after.{name}": value for name, value in trained(lambda p: p).items()}
    save_file(tensors, OUT / "expected.safetensors")
    text = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
            "seed": SEED,
        },
        "checkpoint": "tied",
        "step": STEP,
        "input": {
            "inputIds": input_ids.tolist(),
            "attentionMask": mask.tolist(),
            "positions": None,
            "labels": labels.tolist(),
        },
    }
    (OUT / "expected.json").write_text(json.dumps(text) + "\n")


main()

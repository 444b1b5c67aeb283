"""Writes test/fixtures/peft/variants/: adapters of every kind by PEFT on tiny models, what they compute, and one step.

For each case there is a folder with what save_pretrained writes (without README.md), and in expected.safetensors, under
`CASE/`: `logits` at real positions, `grad.NAME` of the mean token loss, `after` (logits after one step of AdamW) and,
where the initial values do not depend on signs that decompositions choose, `after.NAME`. cases.json has the options,
the inputs, and which modules PEFT adapted. `weighted/TYPE` are the logits with a weighted sum of several adapters.
Needs what parity/llama.py
and parity/architectures.py wrote.

Run from the project root: python parity/peft_adapters.py
"""

import json
import platform
import shutil
import warnings
from pathlib import Path

import peft
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

warnings.simplefilter("ignore")

SEED = 31
FIXTURES = Path(__file__).resolve().parent.parent / "test" / "fixtures"
OUT = FIXTURES / "peft" / "variants"
STEP = {"lr": 0.01, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.1}

QV = ["q_proj", "v_proj"]
CASES = {
    "patterns": {
        "target_modules": ["q_proj", "v_proj", "down_proj"],
        "r": 2,
        "lora_alpha": 3,
        "rank_pattern": {"layers.1.self_attn.q_proj": 4, "down_proj": 1},
        "alpha_pattern": {r".*\.0\..*v_proj": 7, "^model.layers.1.mlp.down_proj": 2},
        "exclude_modules": ["layers.0.mlp.down_proj"],
    },
    "rslora": {"target_modules": QV, "r": 4, "lora_alpha": 3, "use_rslora": True, "rank_pattern": {"v_proj": 3}},
    "regex": {"target_modules": r".*\.(self_attn\.[qo]|mlp\.up)_proj", "r": 2, "exclude_modules": r".*\.1\..*o_proj"},
    "layers": {"target_modules": QV, "r": 2, "layers_to_transform": [1], "layers_pattern": "layers"},
    "all linear": {"target_modules": "all-linear", "r": 2},
    "default targets": {"r": 2},
    "dora": {"target_modules": ["q_proj", "k_proj", "down_proj"], "r": 3, "lora_alpha": 5, "use_dora": True},
    "dora on a table": {"target_modules": ["embed_tokens", "v_proj"], "r": 2, "use_dora": True, "use_rslora": True},
    "table": {"target_modules": ["embed_tokens", "q_proj"], "r": 2, "lora_alpha": 3},
    "saved": {"checkpoint": "llama/untied", "target_modules": QV, "r": 2, "modules_to_save": ["lm_head", "model.norm"]},
    "saved head": {"target_modules": QV, "r": 2, "modules_to_save": ["lm_head"]},
    "saved table": {"target_modules": QV, "r": 2, "modules_to_save": ["embed_tokens"]},
    "saved both": {"target_modules": ["q_proj"], "r": 2, "modules_to_save": ["embed_tokens", "lm_head"]},
    "saved part": {"target_modules": ["q_proj", "up_proj"], "r": 2, "modules_to_save": ["layers.1.mlp", "norm"]},
    "biases": {"target_modules": QV, "r": 2, "bias": "all"},
    "lora biases": {"target_modules": ["q_proj", "down_proj"], "r": 2, "bias": "lora_only"},
    "pissa": {"target_modules": ["q_proj", "v_proj", "down_proj"], "r": 3, "lora_alpha": 5, "init_lora_weights": "pissa"},
    "olora": {"target_modules": ["q_proj", "k_proj"], "r": 3, "lora_alpha": 5, "init_lora_weights": "olora"},
    "gpt2": {"checkpoint": "architectures/gpt2", "r": 2},
    "gpt2 with dora": {
        "checkpoint": "architectures/gpt2",
        "target_modules": ["c_fc", "mlp.c_proj"],
        "r": 2,
        "use_dora": True,
        "bias": "lora_only",
        "modules_to_save": ["ln_f"],
    },
    "gpt2 with pissa": {
        "checkpoint": "architectures/gpt2",
        "target_modules": "all-linear",
        "r": 2,
        "init_lora_weights": "pissa",
    },
    "gemma3": {"checkpoint": "architectures/gemma3_text", "target_modules": ["embed_tokens", "k_proj"], "r": 2},
    "gemma3 with dora": {
        "checkpoint": "architectures/gemma3_text",
        "target_modules": ["embed_tokens", "gate_proj"],
        "r": 2,
        "use_dora": True,
    },
    "gpt_neox": {
        "checkpoint": "architectures/gpt_neox",
        "target_modules": ["query_key_value", "dense_4h_to_h"],
        "r": 2,
        "modules_to_save": ["lm_head"],
    },
    "phi3": {"checkpoint": "architectures/phi3", "target_modules": "all-linear", "r": 2, "use_dora": True},
    "pissa with dora": {"target_modules": QV, "r": 2, "use_dora": True, "init_lora_weights": "pissa"},
}

WEIGHTED = {
    "cat": {"patterns": 0.7, "default": -0.4},
    "svd": {"patterns": 0.7, "layers": 0.5},
    # The first one's layers_to_transform would leave out layers of the second.
    "linear": {"default": -0.3, "layers": 0.8},
}


def inputs(vocabulary):
    input_ids = torch.randint(3, vocabulary, (2, 9))
    mask = torch.ones_like(input_ids)
    mask[1, :3] = 0
    labels = torch.where(torch.rand(input_ids.shape) < 0.6, input_ids, -100)
    labels[1, :4] = -100
    return input_ids, mask, labels


def load(checkpoint):
    return AutoModelForCausalLM.from_pretrained(
        FIXTURES / checkpoint, dtype=torch.float32, attn_implementation="eager"
    )


def file_name(name):
    """The name that a trained parameter has in adapter_model.safetensors."""
    name = name.replace(".modules_to_save.default", "").replace(".default", "")
    return name.removesuffix(".weight") if name.endswith("lora_magnitude_vector.weight") else name


def main():
    if OUT.exists():
        shutil.rmtree(OUT)
    torch.manual_seed(SEED)
    input_ids, mask, labels = inputs(32)
    tensors, cases = {}, []

    def logits(model):
        with torch.no_grad():
            return model(input_ids=input_ids, attention_mask=mask).logits[mask.bool()].clone()

    for name, options in CASES.items():
        options = dict(options)
        checkpoint = options.pop("checkpoint", "llama/tied")
        plain_start = "init_lora_weights" not in options
        base = load(checkpoint)
        config = LoraConfig(task_type="CAUSAL_LM", **options)
        model = get_peft_model(base, config)
        if plain_start:
            with torch.no_grad():
                for key, parameter in model.named_parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter) * 0.2)
        trained = {file_name(k): p for k, p in model.named_parameters() if p.requires_grad}
        config.base_model_name_or_path = checkpoint.split("/")[-1]
        # A set has no order that another run would repeat.
        targets = config.target_modules
        config.target_modules = targets if isinstance(targets, str) else sorted(targets)
        if isinstance(config.exclude_modules, set):
            config.exclude_modules = sorted(config.exclude_modules)
        folder = OUT / name.replace(" ", "_")
        model.save_pretrained(folder)
        (folder / "README.md").unlink()
        output = model(input_ids=input_ids, attention_mask=mask, labels=labels)
        output.loss.backward()
        tensors[f"{name}/logits"] = output.logits[mask.bool()].detach().clone()
        if plain_start:
            for key, parameter in trained.items():
                tensors[f"{name}/grad.{key}"] = parameter.grad.clone().contiguous()
        torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], **STEP).step()
        tensors[f"{name}/after"] = logits(model)
        if plain_start:
            for key, parameter in trained.items():
                tensors[f"{name}/after.{key}"] = parameter.detach().clone().contiguous()
        with model.disable_adapter():
            tensors[f"{name}/disabled"] = logits(model)
        merged = PeftModel.from_pretrained(load(checkpoint), folder).merge_and_unload()
        reread = PeftModel.from_pretrained(load(checkpoint), folder)
        assert torch.allclose(logits(reread), tensors[f"{name}/logits"], atol=1e-5), name
        difference = (logits(merged) - tensors[f"{name}/logits"]).abs().max().item()
        if difference > 1e-4:
            print(f"{name}: PEFT's merged model is off by {difference:.3g}")
        cases.append(
            {
                "name": name,
                "folder": folder.name,
                "checkpoint": checkpoint,
                "options": options,
                "targets": sorted(model.targeted_module_names),
                "trained": sorted(trained),
            }
        )
    model = PeftModel.from_pretrained(load("llama/tied"), OUT / "patterns", adapter_name="patterns")
    model.load_adapter(OUT / "layers", adapter_name="layers")
    model.load_adapter(OUT / "default_targets", adapter_name="default")
    for kind, parts in WEIGHTED.items():
        model.base_model.add_weighted_adapter(list(parts), list(parts.values()), kind, combination_type=kind)
        model.set_adapter(kind)
        tensors[f"weighted/{kind}"] = logits(model)
    save_file(tensors, OUT / "expected.safetensors")
    text = {
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
            "seed": SEED,
        },
        "step": STEP,
        "input": {
            "inputIds": input_ids.tolist(),
            "attentionMask": mask.tolist(),
            "positions": None,
            "labels": labels.tolist(),
        },
        "weighted": WEIGHTED,
        "cases": cases,
    }
    (OUT / "cases.json").write_text(json.dumps(text, indent=1) + "\n")


main()

"""Writes test/fixtures/text/real_templates.json: how transformers renders hard conversations with the chat templates of
real models, which development dependencies carry (test/pure/text/real_templates.ts). Of each text its SHA-256 is kept,
or that the template refuses. For templates that TRL has a training version of: what that marks as the assistant's.

Run from the project root: python parity/real_templates.py
"""

import datetime
import hashlib
import json
import platform
import subprocess
from importlib.metadata import distribution
from pathlib import Path

import jinja2
import transformers
from transformers.utils import chat_template_utils

from text_cases import CHATS, TOOLS

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "test" / "fixtures" / "text" / "real_templates.json"
# Not imported: parity/trl.py has the same name.
TRL = Path(str(distribution("trl").locate_file("trl/chat_templates")))
# Years, months, days, hours, minutes, seconds: local time, in which strftime_now writes.
NOW = [2024, 7, 5, 15, 4, 9]
VARIABLES = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}

CONVERSATIONS = CHATS | {
    "text blocks": [
        {"role": "user", "content": [{"type": "text", "text": "First block. "}, {"type": "text", "text": "Second {{ x }}"}]},
        {"role": "assistant", "content": "Two blocks {% if %} {# no #}"},
        {"role": "user", "content": "ok"},
    ],
    "empty contents": [
        {"role": "system", "content": ""},
        {"role": "user", "content": ""},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "x"},
    ],
    "white space": [
        {"role": "system", "content": "\n  Two\tspaces \u00a0\n"},
        {"role": "user", "content": "\u3000\n\n\n  indented\n    more\r\n"},
        {"role": "assistant", "content": "\n\nanswer \n"},
        {"role": "user", "content": " "},
    ],
    "markup": [
        {"role": "user", "content": "<|im_end|></s>[/INST]<end_of_turn>&amp;<b>\"q\" 'a' \\n"},
        {"role": "assistant", "content": "</think>a<think>b</think>c"},
        {"role": "user", "content": "ünïcode 👩🏽‍🚀 日本語 ﷽"},
    ],
    "two calls": [
        {"role": "system", "content": "Use tools."},
        {"role": "user", "content": "Paris and Rome?"},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {"id": "abcdefgh1", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris", "days": 1}}},
                {"id": "abcdefgh2", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "São \"Paulo\"", "x": [1.5, {"y": []}]}}},
            ],
        },
        {"role": "tool", "tool_call_id": "abcdefgh1", "name": "get_weather", "content": "21"},
        {"role": "tool", "tool_call_id": "abcdefgh2", "name": "get_weather", "content": "{\"t\": 30}"},
        {"role": "assistant", "content": "21 and 30."},
        {"role": "user", "content": "Thanks"},
    ],
    "reasoning": [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "reasoning_content": "Because\nof this.", "content": "So."},
        {"role": "user", "content": "And?"},
        {"role": "assistant", "reasoning_content": "Hm", "content": "Thus."},
    ],
    "two users": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "assistant", "content": "c"}],
    "system last": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "system", "content": "s"}],
}
DOCUMENTS = [{"title": "One", "text": "First \"text\"."}, {"title": "Two", "text": "Zweiter\nText."}]
OPTIONS = [
    {},
    {"add_generation_prompt": True},
    {"tools": TOOLS, "add_generation_prompt": True},
    {"documents": DOCUMENTS, "add_generation_prompt": True},
    {"arguments": {"enable_thinking": False, "thinking": False, "date_string": "1 Jan 2025"}, "add_generation_prompt": True},
]
MASKED = ["answered", "system and two turns", "white space", "reasoning"]


class Fixed(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(*NOW)


def render(template, conversation, options):
    options = dict(options)
    arguments = options.pop("arguments", {})
    return chat_template_utils.render_jinja_template(
        conversations=[conversation],
        chat_template=template,
        tools=options.get("tools"),
        documents=options.get("documents"),
        add_generation_prompt=options.get("add_generation_prompt", False),
        **arguments,
        **VARIABLES,
    )[0][0]


def rendered(template):
    for conversation in CONVERSATIONS.values():
        for options in OPTIONS:
            try:
                yield hashlib.sha256(render(template, conversation, options).encode()).hexdigest()[:16]
            except (jinja2.TemplateError, TypeError, KeyError, AttributeError, ValueError, IndexError):
                yield None


def marked(template):
    """What TRL's training version of a template marks; undefined where it renders otherwise or refuses."""
    for name in MASKED:
        try:
            texts, indices = chat_template_utils.render_jinja_template(
                conversations=[CONVERSATIONS[name]],
                chat_template=template,
                return_assistant_tokens_mask=True,
                **VARIABLES,
            )
            yield name, {"text": texts[0], "said": [texts[0][a:b] for a, b in indices[0]]}
        except (jinja2.TemplateError, TypeError, KeyError):
            continue


def main():
    chat_template_utils.datetime = Fixed
    command = ["npx", "tsx", "scripts/print_templates.ts"]
    templates = json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)
    originals = {path.read_text().strip(): path for path in TRL.glob("*.jinja")}
    masks = {}
    for name, template in templates.items():
        original = originals.get(template.strip())
        training = original and original.with_name(f"{original.stem}_training.jinja")
        if training and training.exists():
            masks[name] = dict(marked(training.read_text()))
    result = {
        "versions": {
            "python": platform.python_version(),
            "transformers": transformers.__version__,
            "jinja2": jinja2.__version__,
            "trl": distribution("trl").version,
        },
        "now": NOW,
        "variables": VARIABLES,
        "conversations": CONVERSATIONS,
        "options": OPTIONS,
        "rendered": {name: list(rendered(template)) for name, template in templates.items()},
        "marked": masks,
    }
    OUT.write_text(json.dumps(result, ensure_ascii=False, separators=(",", ":")) + "\n", encoding="utf-8")


main()

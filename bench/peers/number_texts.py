"""Rows of token ids as texts, for trainers that take nothing else."""

from __future__ import annotations

from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast

import peer


class NumberTexts:
    """Texts of numbers for token ids, and the tokenizer that reads them."""

    def __init__(self, end: int) -> None:
        """end: the id of the end token, which may be one that the model does not have"""
        self.names = [str(number) for number in range(max(peer.VOCABULARY, end + 1))]
        # Special tokens are found anywhere in a text, so that numbers cannot be their names.
        self.names[0], self.names[end] = "<pad>", "</s>"
        words = Tokenizer(WordLevel({name: i for i, name in enumerate(self.names)}, unk_token="<pad>"))
        words.pre_tokenizer = WhitespaceSplit()
        self.tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="</s>")

    def text(self, ids: list[int]) -> str:
        return " ".join(self.names[token] for token in ids)

    def preferences(self) -> Dataset:
        # Texts are joined as they are, so that an answer begins with the space before it.
        return Dataset.from_list(
            [
                {
                    "prompt": self.text(row["prompt"]),
                    "chosen": f" {self.text(row['chosen'])}",
                    "rejected": f" {self.text(row['rejected'])}",
                }
                for row in peer.preference_rows()
            ]
        )

    def prompts(self) -> Dataset:
        return Dataset.from_list([{"prompt": self.text(ids)} for ids in peer.prompt_rows()])

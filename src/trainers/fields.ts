/** @file Options that several trainers have beside those of the loop. */
import { z } from "zod";
import { dtypes } from "../torch/dtype.js";

/** Of losses over the tokens of a vocabulary. */
export const tokenLossFields = {
  labelSmoothingFactor: z
    .number()
    .min(0)
    .lt(1)
    .default(0)
    .describe("Share of each label that is spread evenly over the vocabulary."),
  neftuneNoiseAlpha: z
    .number()
    .positive()
    .optional()
    .describe(
      "Uniform noise on token embeddings in training, up to this over the root of length times size.",
    ),
};

/** Of a model that the trainer loads. */
export const modelFields = {
  dtype: z
    .enum(["auto", ...dtypes.filter((d) => d.startsWith("float") || d === "bfloat16")])
    .default("auto")
    .describe("Dtype of a model that is given by its folder."),
};

/** @file The reward of GRPO and PPO. */
import { CraftError } from "../../../errors.js";
import type { NamedReward } from "../../../trainers/index.js";
import { survivalReward } from "./literals.js";

/** How much of the placeholders and quoted names of the column `source` stands in each completion. */
export const literalsSurvive: NamedReward = {
  name: "literals",
  score: ({ texts, columns }) =>
    texts.map((text, i) => {
      const source = columns["source"]?.[i];
      if (typeof source === "string") return survivalReward(source, text);
      throw new CraftError({ subject: "reward literals", value: source, reason: "needs the column source" });
    }),
};

/** @file `npm run bench -- sft`, and the other benchmarks in the same way. */
import { Command, InvalidArgumentError, Option } from "commander";
import { z } from "zod";
import { CraftError } from "../src/errors.js";
import { runBenchmark, type Benchmark } from "./benchmark.js";
import { craftBenchmark, craftGroups } from "./craft.js";
import { generateBenchmark } from "./generate.js";
import { modelsBenchmark } from "./models.js";
import { qloraBenchmark } from "./qlora.js";
import { defaultPeers, parsePeers, peerNames, sftBenchmark } from "./sft.js";
import { trainerBenchmark, trainerNames, type TrainerName } from "./trainers.js";

const common = z.object({
  rounds: z.number(),
  starts: z.number(),
  json: z.boolean().default(false),
  build: z.boolean(),
  python: z.string().optional(),
  checkpoint: z.string().optional(),
  markdown: z.string().optional(),
});
const sftOptions = common.extend({ full: z.boolean().default(false), peers: z.string() });
const craftOptions = common.extend({ only: z.enum(craftGroups).optional() });
const modelsOptions = common.extend({ peers: z.string() });
const generateOptions = common.extend({ rows: z.string() });
const measuring = ["full", "peers", "only", "rows", "rounds", "starts"];

const count =
  (least: number) =>
  (text: string): number => {
    const value = Number(text);
    if (Number.isInteger(value) && value >= least) return value;
    throw new InvalidArgumentError(`It must be an integer of at least ${least}.`);
  };

const program = new Command("bench").description(
  "Side-by-side benchmarks against the Python peers of bench/peers.",
);

function command(name: string, description: string): Command {
  return program
    .command(name)
    .description(description)
    .addOption(new Option("--rounds <n>", "timed rounds").argParser(count(1)).default(5))
    .addOption(
      new Option("--starts <n>", "processes started to time the first step").argParser(count(0)).default(3),
    )
    .option("--json", "print one JSON object")
    .option("--markdown <file>", "also put the result between its markers in this file")
    .option(
      "--python <path>",
      "Python that has the peers' packages (else CRAFT_BENCH_PYTHON, else prepare.sh's)",
    )
    .option("--checkpoint <folder>", "keep the model here, or use the one that is here")
    .option("--no-build", "take dist/ as it is");
}

/** The command with those of its options that decide what is measured. */
function shownCommand(self: Command): string {
  const values: Record<string, unknown> = self.opts();
  const given = self.options.filter((option) => {
    const name = option.attributeName();
    return measuring.includes(name) && self.getOptionValueSource(name) === "cli";
  });
  const shown = given.map((option) => {
    const value = values[option.attributeName()];
    return value === true ? option.long : `${option.long} ${String(value)}`;
  });
  return ["npm run bench --", self.name(), ...shown].join(" ");
}

async function run(
  self: Command,
  benchmark: () => Benchmark,
  options: z.output<typeof common>,
): Promise<void> {
  const { python, checkpoint, markdown, ...rest } = options;
  try {
    await runBenchmark(benchmark(), {
      ...rest,
      command: shownCommand(self),
      ...(python === undefined ? {} : { python }),
      ...(checkpoint === undefined ? {} : { checkpoint }),
      ...(markdown === undefined ? {} : { markdown }),
    });
  } catch (error) {
    if (!(error instanceof CraftError)) throw error;
    process.stderr.write(`error: ${error.message}\n`);
    process.exitCode = 1;
  }
}

command("sft", "training steps: CRAFT-SFT against Python CRAFT and a bare loop, SFT against TRL")
  .option("--full", "train all weights instead of LoRA")
  .option("--peers <names>", `of ${peerNames.join(", ")}`, defaultPeers.join(","))
  .action(async (_: unknown, self: Command) => {
    const { full, peers, ...rest } = sftOptions.parse(self.opts());
    await run(self, () => sftBenchmark(full, parsePeers(peers)), rest);
  });

command("craft", "what CRAFT's features cost, our own trainers side by side")
  .option("--only <group>", `one of ${craftGroups.join(", ")}`)
  .action(async (_: unknown, self: Command) => {
    const { only, ...rest } = craftOptions.parse(self.opts());
    await run(self, () => craftBenchmark(only), { ...rest, starts: 0 });
  });

command("models", "the LoRA steps of sft on the shape of Gemma-3-270m, and loading it")
  .option("--peers <names>", `of ${peerNames.join(", ")}`, defaultPeers.join(","))
  .action(async (_: unknown, self: Command) => {
    const { peers, ...rest } = modelsOptions.parse(self.opts());
    await run(self, () => modelsBenchmark(parsePeers(peers)), rest);
  });

command(
  "qlora",
  "memory of a QLoRA step on the shape of Zephyr-7B; its checkpoint takes 14.5 GB of disk",
).action(async (_: unknown, self: Command) => {
  await run(self, qloraBenchmark, { ...common.parse(self.opts()), rounds: 1, starts: 0 });
});

const trainerDescriptions: Readonly<Record<TrainerName, string>> = {
  dpo: "steps of DPO against TRL",
  orpo: "steps of ORPO against TRL",
  grpo: "rollouts of GRPO and steps on them against TRL",
  ppo: "rollouts of PPO and steps on them against a bare loop",
};
for (const name of trainerNames) {
  command(name, trainerDescriptions[name]).action(async (_: unknown, self: Command) => {
    await run(self, () => trainerBenchmark(name), common.parse(self.opts()));
  });
}

command("generate", "greedy generation against transformers")
  .option("--rows <counts>", "rows in a batch, one benchmark for each", "8,1")
  .action(async (_: unknown, self: Command) => {
    const { rows, ...rest } = generateOptions.parse(self.opts());
    await run(self, () => generateBenchmark(rows.split(",").map(count(1))), rest);
  });

await program.parseAsync();

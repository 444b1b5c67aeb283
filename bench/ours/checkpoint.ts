/** @file Writes a model of the benchmarks, with random weights: `checkpoint FOLDER NAME`. */
import { AutoModelForCausalLM, savePretrained } from "../../src/index.js";
import { models } from "../workload.js";
import { writeShards } from "./shards.js";

const [folder, name] = process.argv.slice(2);
const found = Object.entries(models).find(([known]) => known === name);
if (folder === undefined || found === undefined)
  throw new Error(`a folder and one of ${Object.keys(models).join(", ")} are needed`);
if (name === "Zephyr-7B") await writeShards(folder, found[1]);
else savePretrained(await AutoModelForCausalLM.fromConfig(found[1], { dtype: "bfloat16", seed: 0 }), folder);

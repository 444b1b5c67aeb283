/** @file Writes the benchmark's model, with random weights, into the folder that is given. */
import { AutoModelForCausalLM, savePretrained } from "../../src/index.js";
import { modelConfig } from "../workload.js";

const folder = process.argv[2];
if (folder === undefined) throw new Error("the folder is missing");
savePretrained(await AutoModelForCausalLM.fromConfig(modelConfig, { dtype: "bfloat16", seed: 0 }), folder);

/** @file The functions that users call: compile, grad, valueAndGrad, evaluate. */
import { CraftError } from "../errors.js";
import { cpu } from "../torch/device.js";
import type { DeviceTensor } from "../torch/device_tensor.js";
import { loadTorch, requireDevice } from "../torch/torch.js";
import { gradients } from "./autodiff.js";
import { inTurn } from "./execute.js";
import { collect } from "./graph.js";
import { placeholder } from "./leaf.js";
import { optimize, Program, type CompileOptions } from "./program.js";
import {
  flattenArguments,
  replaceFeeds,
  replaceTensors,
  treeTensors,
  type Fed,
  type FlatFeed,
  type Materialized,
} from "./tree.js";
import { structureKey } from "./structure.js";
import type { Tensor } from "./tensor.js";

export interface CompiledOptions extends CompileOptions {
  /**
   * Indices of arguments that the call consumes: their device tensors must not be used afterwards, and results may
   * take over their memory. Meant for state that is replaced at each call, such as key-value caches.
   */
  readonly donate?: readonly number[];
  /** How many programs are kept, one for each signature; the one used longest ago goes first. Default 16. */
  readonly cacheSize?: number;
}

/** A function that runs as a traced program. */
export interface Compiled<Args extends readonly unknown[], Result> {
  (...args: { [K in keyof Args]: Fed<Args[K]> }): Promise<Materialized<Result>>;
  /** The program for the given arguments, tracing it if need be. */
  program(...args: { [K in keyof Args]: Fed<Args[K]> }): Program;
  /** How many programs are kept now. */
  readonly cached: number;
  /** Frees all kept programs. */
  dispose(): void;
}

/**
 * Turns a function of tensors into one that runs on libtorch. The function is called once for each signature (tree,
 * shapes, dtypes, plain values, and which adapters are active) with symbolic tensors; the program that it describes is simplified, planned and
 * kept. Parameters and constants that it closes over are read at each run.
 *
 * Arguments and results are tensors or plain arrays and objects of them. Numbers, strings and booleans among the
 * arguments are part of the signature. Results belong to the caller.
 */
export function compile<Args extends readonly unknown[], Result>(
  fn: (...args: Args) => Result,
  options: CompiledOptions = {},
): Compiled<Args, Result> {
  const { donate = [], cacheSize = 16, device = cpu } = options;
  if (!Number.isInteger(cacheSize) || cacheSize < 1)
    throw new CraftError({ subject: "cacheSize", value: cacheSize, reason: "must be a positive integer" });
  const cache = new Map<string, { program: Program; result: unknown }>();

  const lookUp = (
    args: readonly unknown[],
    feeds: readonly FlatFeed[],
    type: string,
  ): { program: Program; result: unknown } => {
    const signature = type + structureKey();
    const known = cache.get(signature);
    if (known !== undefined) {
      cache.delete(signature);
      cache.set(signature, known);
      return known;
    }
    const places = feeds.map(({ feed, path }) => placeholder({ shape: feed.shape, dtype: feed.dtype }, path));
    const result = fn(...(replaceFeeds(args, places) as unknown as Args));
    const graph = optimize(collect(places, treeTensors(result)), options);
    const donated = new Set(
      places.filter((_, i) => donate.some((d) => feeds[i]!.path.startsWith(`args[${d}]`))),
    );
    const entry = { program: new Program(graph, requireDevice(device), donated), result };
    cache.set(signature, entry);
    for (const [oldest, { program }] of cache) {
      if (cache.size <= cacheSize) break;
      program.dispose();
      cache.delete(oldest);
    }
    return entry;
  };

  const call = async (...args: readonly unknown[]): Promise<Materialized<Result>> => {
    await loadTorch();
    return inTurn(async () => {
      const { feeds, signature } = flattenArguments(args);
      const { program, result } = lookUp(args, feeds, signature);
      const values = await program.run(feeds.map(({ feed }) => feed));
      return replaceTensors(result, values) as Materialized<Result>;
    });
  };
  return Object.defineProperties(call, {
    program: {
      value: (...args: readonly unknown[]) => {
        const { feeds, signature } = flattenArguments(args);
        return lookUp(args, feeds, signature).program;
      },
    },
    cached: { get: () => cache.size },
    dispose: {
      value: () => {
        for (const { program } of cache.values()) program.dispose();
        cache.clear();
      },
    },
  }) as unknown as Compiled<Args, Result>;
}

type First<Args extends readonly unknown[]> = Args extends readonly [infer A, ...unknown[]] ? A : never;

/**
 * The function that gives the value of `fn`, a scalar, and its gradient with respect to the tensors in the first
 * argument, in the same tree. It works on symbolic tensors: compile it, or call it inside another traced function.
 */
export function valueAndGrad<Args extends readonly unknown[]>(
  fn: (...args: Args) => Tensor,
): (...args: Args) => { value: Tensor; gradient: First<Args> } {
  return (...args) => {
    const value = fn(...args);
    const gradient = gradients(value, treeTensors(args[0]));
    return { value, gradient: replaceTensors(args[0], gradient) as First<Args> };
  };
}

/** The gradient part of {@link valueAndGrad}. */
export function grad<Args extends readonly unknown[]>(
  fn: (...args: Args) => Tensor,
): (...args: Args) => First<Args> {
  const both = valueAndGrad(fn);
  return (...args) => both(...args).gradient;
}

/** Computes tensors once: `await evaluate(constant([1, 2]).mul(2))`. */
export async function evaluate(tensor: Tensor): Promise<DeviceTensor> {
  const once = compile(() => tensor);
  try {
    return await once();
  } finally {
    once.dispose();
  }
}

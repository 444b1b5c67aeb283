/** @file Losses and gradients of windows the long way: in float64, one text at a time, without padding or chunks. */
import type { InfoNCELoss } from "../../../src/craft/losses/index.js";
import type { CausalLM } from "../../../src/models/index.js";
import {
  arange,
  cat,
  compile,
  gelu,
  gradients,
  HostTensor,
  logSoftmax,
  Parameter,
  reshape,
  slice,
  sum,
  unsqueeze,
  where,
  type Compiled,
  type Tensor,
} from "../../../src/tensor/index.js";
import { DeviceTensor } from "../../../src/torch/device_tensor.js";
import { need } from "../fixtures.js";
import type { TokenRow } from "../training/tiny.js";

/** A sum of losses, what it is divided by, and the gradient of the sum by name of the parameter. */
export interface Total {
  readonly sum: number;
  readonly weight: number;
  readonly gradient: ReadonlyMap<string, readonly number[]>;
}

/** A pair as the two places whose hidden states are compared: the text that is read, and the place in it. */
export interface Side {
  readonly ids: readonly number[];
  readonly place: number;
}

const scale = (values: readonly number[], factor: number) => values.map((value) => value * factor);
const plus = (a: readonly number[], b: readonly number[]) => a.map((value, i) => value + b[i]!);

/** factor * total's gradient / its weight, added up over tasks. */
export function mixed(
  parts: readonly (readonly [factor: number, total: Total])[],
): Map<string, readonly number[]> {
  const result = new Map<string, readonly number[]>();
  for (const [factor, { weight, gradient }] of parts) {
    for (const [name, values] of gradient) {
      const share = scale(values, factor / weight);
      const known = result.get(name);
      result.set(name, known === undefined ? share : plus(known, share));
    }
  }
  return result;
}

export function addTotals(totals: readonly Total[]): Total {
  return totals.reduce((a, b) => ({
    sum: a.sum + b.sum,
    weight: a.weight + b.weight,
    gradient: new Map([...a.gradient].map(([name, values]) => [name, plus(values, need(b.gradient, name))])),
  }));
}

export const norm = (gradient: ReadonlyMap<string, readonly number[]>): number =>
  Math.sqrt([...gradient.values()].flat().reduce((total, value) => total + value * value, 0));

const ids64 = (ids: readonly number[]): HostTensor => new HostTensor([...ids], [1, ids.length], "int64");

/** Built once for each length of a text. */
type TokenLoss = Compiled<[Tensor, Tensor, Tensor], { value: Tensor; gradient: Tensor[] }>;
/** Built once for each list of lengths and places, and number of pairs and of stored texts. */
type PairLoss = Compiled<
  [inputs: readonly Tensor[], places: readonly number[], n: number, stored: number, allowed: Tensor],
  { value: Tensor; gradient: Tensor[] }
>;

/** What pairs are contrasted with beside each other. */
export interface Others {
  /** Texts that pass through the model with the pairs. */
  readonly negatives?: readonly Side[];
  /** Texts of earlier steps, to which no gradient goes. */
  readonly stored?: readonly Side[];
  /** Whether a candidate is a negative of an anchor: of the n positives, the negatives, the stored. All by default. */
  readonly allowed?: (pair: number, candidate: number) => boolean;
}

export class Reference {
  readonly #head: ReadonlyMap<string, Parameter>;
  readonly #names: readonly string[];
  readonly #tokens: TokenLoss;
  readonly #pairs: PairLoss;

  /** @param model in float64; the head's weights are those of `nce` */
  constructor(model: CausalLM, nce: InfoNCELoss) {
    this.#head = new Map(
      [...nce.namedParameters("craft_loss")].map(([name, { value }]) => [
        name,
        new Parameter(DeviceTensor.fromHost(value.toNumbers(), value.shape, "float64")),
      ]),
    );
    const named = [...model.namedParameters(), ...this.#head];
    this.#names = named.map(([name]) => name);
    const differentiated = (value: Tensor) => ({
      value,
      gradient: gradients(
        value,
        named.map(([, parameter]) => parameter),
      ),
    });
    this.#tokens = compile((ids: Tensor, labels: Tensor, weights: Tensor) => {
      const logits = slice(model.forward(ids), 1, 0, ids.shape[1]! - 1);
      const chosen = logSoftmax(logits, -1).gather(2, unsqueeze(labels, 2));
      return differentiated(sum(chosen.mul(unsqueeze(weights, 2))).mul(-1));
    });
    this.#pairs = compile((inputs, places, n, stored, allowed) => {
      const states = inputs.map((input, i) =>
        reshape(slice(model.hiddenStates(input), 1, places[i], places[i]! + 1), [1, -1]),
      );
      const projected = this.#layer(gelu(this.#layer(cat(states), "hidden")), "output");
      const unit = projected.div(sum(projected.square(), [1], true).sqrt());
      const old = inputs.length - stored;
      const candidates = [slice(unit, 0, n, old), ...(stored > 0 ? [slice(unit, 0, old).detach()] : [])];
      const cosines = slice(unit, 0, 0, n).matmul(cat(candidates).transpose(0, 1));
      const logits = where(allowed, cosines.div(nce.temperature), -Infinity);
      const own = unsqueeze(arange(0, n), 1);
      return differentiated(sum(logSoftmax(logits, 1).gather(1, own)).mul(-1));
    });
  }

  #layer(x: Tensor, name: string): Tensor {
    const weight = need(this.#head, `craft_loss.projection_head.${name}.weight`);
    return x.matmul(weight.transpose(0, 1)).add(need(this.#head, `craft_loss.projection_head.${name}.bias`));
  }

  /** -log p of each label after the first, summed; the weight is the number of labels. */
  async tokens(rows: readonly TokenRow[]): Promise<Total> {
    const totals: Total[] = [];
    for (const { input_ids: ids, labels } of rows) {
      const next = labels.slice(1);
      const weights = next.map((label): number => (label === -100 ? 0 : 1));
      const result = await this.#tokens(
        ids64(ids),
        ids64(next.map((label) => Math.max(label, 0))),
        new HostTensor(weights, [1, weights.length], "float64"),
      );
      const weight = weights.reduce((a, b) => a + b, 0);
      totals.push(this.#read(result, weight));
    }
    return addTotals(totals);
  }

  /** -log softmax(cos(a, p) / t) of each anchor's own positive among the candidates, summed; the weight is their number. */
  async pairs(
    batch: readonly (readonly [anchor: Side, positive: Side])[],
    { negatives = [], stored = [], allowed = () => true }: Others = {},
  ): Promise<Total> {
    const n = batch.length;
    const candidates = n + negatives.length + stored.length;
    const sides = [...batch.map(([anchor]) => anchor), ...batch.map(([, positive]) => positive)];
    const all = [...sides, ...negatives, ...stored];
    const table = Uint8Array.from({ length: n * candidates }, (_, at) => {
      const [i, j] = [Math.floor(at / candidates), at % candidates];
      return Number(i === j || allowed(i, j));
    });
    const result = await this.#pairs(
      all.map(({ ids }) => ids64(ids)),
      all.map(({ place }) => place),
      n,
      stored.length,
      new HostTensor(table, [n, candidates], "bool"),
    );
    return this.#read(result, n);
  }

  #read({ value, gradient }: { value: DeviceTensor; gradient: DeviceTensor[] }, weight: number): Total {
    const read = (tensor: DeviceTensor): number[] => {
      const values = tensor.toNumbers();
      tensor.dispose();
      return values;
    };
    return {
      sum: read(value)[0]!,
      weight,
      gradient: new Map(gradient.map((tensor, i) => [this.#names[i]!, read(tensor)])),
    };
  }

  dispose(): void {
    this.#tokens.dispose();
    this.#pairs.dispose();
    for (const parameter of this.#head.values()) parameter.dispose();
  }
}

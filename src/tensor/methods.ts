/** @file Gives Tensor the functions of `ops` as methods: `x.matmul(w)` is `matmul(x, w)`. */
import * as attention from "./ops/attention.js";
import * as elementwise from "./ops/elementwise.js";
import * as indexSelect from "./ops/index_select.js";
import * as matmul from "./ops/matmul.js";
import * as packed from "./ops/packed.js";
import * as reduce from "./ops/reduce.js";
import * as shape from "./ops/shape.js";
import * as softmax from "./ops/softmax.js";
import * as structural from "./ops/structural.js";
import { Tensor } from "./tensor.js";

const families = [
  attention,
  elementwise,
  indexSelect,
  matmul,
  packed,
  reduce,
  shape,
  softmax,
  structural,
] as const;

/** A function of a tensor, seen from that tensor. */
type Method<F> = F extends (x: Tensor, ...rest: infer Rest) => infer Result
  ? (...rest: Rest) => Result
  : never;

declare module "./tensor.js" {
  interface Tensor {
    // elementwise
    neg: Method<typeof elementwise.neg>;
    abs: Method<typeof elementwise.abs>;
    exp: Method<typeof elementwise.exp>;
    log: Method<typeof elementwise.log>;
    log1p: Method<typeof elementwise.log1p>;
    expm1: Method<typeof elementwise.expm1>;
    sqrt: Method<typeof elementwise.sqrt>;
    rsqrt: Method<typeof elementwise.rsqrt>;
    reciprocal: Method<typeof elementwise.reciprocal>;
    sin: Method<typeof elementwise.sin>;
    cos: Method<typeof elementwise.cos>;
    tanh: Method<typeof elementwise.tanh>;
    sigmoid: Method<typeof elementwise.sigmoid>;
    silu: Method<typeof elementwise.silu>;
    relu: Method<typeof elementwise.relu>;
    erf: Method<typeof elementwise.erf>;
    sign: Method<typeof elementwise.sign>;
    floor: Method<typeof elementwise.floor>;
    ceil: Method<typeof elementwise.ceil>;
    round: Method<typeof elementwise.round>;
    isnan: Method<typeof elementwise.isnan>;
    isinf: Method<typeof elementwise.isinf>;
    logicalNot: Method<typeof elementwise.logicalNot>;
    bitwiseNot: Method<typeof elementwise.bitwiseNot>;
    gelu: Method<typeof elementwise.gelu>;
    add: Method<typeof elementwise.add>;
    sub: Method<typeof elementwise.sub>;
    mul: Method<typeof elementwise.mul>;
    div: Method<typeof elementwise.div>;
    pow: Method<typeof elementwise.pow>;
    square: Method<typeof elementwise.square>;
    maximum: Method<typeof elementwise.maximum>;
    minimum: Method<typeof elementwise.minimum>;
    atan2: Method<typeof elementwise.atan2>;
    hypot: Method<typeof elementwise.hypot>;
    eq: Method<typeof elementwise.eq>;
    ne: Method<typeof elementwise.ne>;
    lt: Method<typeof elementwise.lt>;
    le: Method<typeof elementwise.le>;
    gt: Method<typeof elementwise.gt>;
    ge: Method<typeof elementwise.ge>;
    logicalAnd: Method<typeof elementwise.logicalAnd>;
    logicalOr: Method<typeof elementwise.logicalOr>;
    bitwiseAnd: Method<typeof elementwise.bitwiseAnd>;
    bitwiseOr: Method<typeof elementwise.bitwiseOr>;
    bitwiseXor: Method<typeof elementwise.bitwiseXor>;
    bitwiseLeftShift: Method<typeof elementwise.bitwiseLeftShift>;
    bitwiseRightShift: Method<typeof elementwise.bitwiseRightShift>;
    remainder: Method<typeof elementwise.remainder>;
    floorDivide: Method<typeof elementwise.floorDivide>;
    cast: Method<typeof elementwise.cast>;
    to: Method<typeof elementwise.to>;
    where: Method<typeof elementwise.where>;
    maskedFill: Method<typeof elementwise.maskedFill>;
    clamp: Method<typeof elementwise.clamp>;
    logSigmoid: Method<typeof elementwise.logSigmoid>;
    softplus: Method<typeof elementwise.softplus>;
    lerp: Method<typeof elementwise.lerp>;
    // shape
    reshape: Method<typeof shape.reshape>;
    permute: Method<typeof shape.permute>;
    transpose: Method<typeof shape.transpose>;
    t: Method<typeof shape.t>;
    expand: Method<typeof shape.expand>;
    slice: Method<typeof shape.slice>;
    narrow: Method<typeof shape.narrow>;
    select: Method<typeof shape.select>;
    unsqueeze: Method<typeof shape.unsqueeze>;
    squeeze: Method<typeof shape.squeeze>;
    flatten: Method<typeof shape.flatten>;
    split: Method<typeof shape.split>;
    flip: Method<typeof shape.flip>;
    tril: Method<typeof shape.tril>;
    triu: Method<typeof shape.triu>;
    repeat: Method<typeof shape.repeat>;
    pad: Method<typeof shape.pad>;
    contiguous: Method<typeof shape.contiguous>;
    // reduce
    sum: Method<typeof reduce.sum>;
    mean: Method<typeof reduce.mean>;
    variance: Method<typeof reduce.variance>;
    amax: Method<typeof reduce.amax>;
    amin: Method<typeof reduce.amin>;
    logsumexp: Method<typeof reduce.logsumexp>;
    any: Method<typeof reduce.any>;
    all: Method<typeof reduce.all>;
    argmax: Method<typeof reduce.argmax>;
    argmin: Method<typeof reduce.argmin>;
    cumsum: Method<typeof reduce.cumsum>;
    topk: Method<typeof reduce.topk>;
    sort: Method<typeof reduce.sort>;
    norm: Method<typeof reduce.norm>;
    sumTo: Method<typeof reduce.sumTo>;
    // index_select
    gather: Method<typeof indexSelect.gather>;
    scatterAdd: Method<typeof indexSelect.scatterAdd>;
    indexSelect: Method<typeof indexSelect.indexSelect>;
    indexCopy: Method<typeof indexSelect.indexCopy>;
    // matmul
    dot: Method<typeof matmul.dot>;
    mm: Method<typeof matmul.mm>;
    bmm: Method<typeof matmul.bmm>;
    matmul: Method<typeof matmul.matmul>;
    linear: Method<typeof matmul.linear>;
    // packed
    packedLinear: Method<typeof packed.packedLinear>;
    // softmax
    softmax: Method<typeof softmax.softmax>;
    logSoftmax: Method<typeof softmax.logSoftmax>;
    rmsNorm: Method<typeof softmax.rmsNorm>;
    layerNorm: Method<typeof softmax.layerNorm>;
    normalize: Method<typeof softmax.normalize>;
    // structural
    stopGradient: Method<typeof structural.stopGradient>;
    detach: Method<typeof structural.detach>;
    transient: Method<typeof structural.transient>;
  }
}

type AnyFunction = (...args: readonly unknown[]) => unknown;
const isFunction = (value: unknown): value is AnyFunction => typeof value === "function";

for (const family of families) {
  for (const [name, fn] of Object.entries<unknown>(family)) {
    if (!isFunction(fn)) continue;
    Object.defineProperty(Tensor.prototype, name, {
      value(this: Tensor, ...rest: readonly unknown[]): unknown {
        return fn(this, ...rest);
      },
      writable: true,
      configurable: true,
    });
  }
}

/** Every operation there is, by name. */
export const allOperations = Object.assign(
  {},
  ...families.map((family) => family.operations),
) as typeof elementwise.operations;

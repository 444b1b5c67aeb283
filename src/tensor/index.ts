import "./methods.js";

export * from "./compile.js";
export { gradients } from "./autodiff.js";
export { collect, countOperations, verifyGraph, type Graph } from "./graph.js";
export { profiled, type ProfileEntry } from "./execute.js";
export { HostTensor, tensor, type NestedNumbers } from "./host_tensor.js";
export { arange, constant, full, ones, placeholder, scalarLike, zeros } from "./leaf.js";
export { allOperations } from "./methods.js";
export { scope, type Operation } from "./operation.js";
export * from "./ops/index.js";
export { beforeWidening } from "./ops/elementwise.js";
export {
  drawsRandomNumbers,
  nextRandomPlace,
  withoutDropout,
  withoutRandomness,
  withRandomPlaces,
  withRandomRows,
  type RandomRows,
} from "./ops/random.js";
export { bytesOf, programMemory, type ProgramMemory } from "./memory.js";
export { Parameter } from "./parameter.js";
export { printGraph } from "./print.js";
export { optimize, Program, type CompileOptions } from "./program.js";
export { Structure } from "./structure.js";
export { Tensor, numel, type Shape, type TensorType } from "./tensor.js";
export type { Fed, Feed, Materialized } from "./tree.js";

import { CraftError } from "../errors.js";
import { Parameter } from "../tensor/parameter.js";
import { isFloating } from "../torch/dtype.js";

/** `qProj` to `q_proj` and `ln1` to `ln_1`: names in checkpoints are the field's snake_case. */
export const checkpointName = (property: string): string =>
  property.replace(/[A-Z]|\d+/g, (part) => `_${part.toLowerCase()}`);

/**
 * A part of a model: parameters and further modules in its properties, and a forward function of its own shape.
 * Names follow the properties, so that `layers[0].selfAttn.qProj.weight` is `layers.0.self_attn.q_proj.weight`.
 */
export abstract class Module {
  /** The parameters and modules directly in this one, by their checkpoint name. */
  *children(): Generator<readonly [string, Parameter | Module]> {
    const properties: [string, unknown][] = Object.entries(this as object);
    for (const [property, value] of properties) {
      const name = checkpointName(property);
      if (value instanceof Parameter || value instanceof Module) yield [name, value];
      else if (Array.isArray(value)) {
        for (const [i, item] of value.entries()) if (item instanceof Module) yield [`${name}.${i}`, item];
      }
    }
  }

  /** All parameters below this module with their paths. A shared parameter comes once, under its first path. */
  *namedParameters(prefix = "", seen = new Set<Parameter>()): Generator<readonly [string, Parameter]> {
    for (const [name, child] of this.children()) {
      const path = prefix === "" ? name : `${prefix}.${name}`;
      if (child instanceof Module) yield* child.namedParameters(path, seen);
      else if (!seen.has(child)) {
        seen.add(child);
        yield [path, child];
      }
    }
  }

  /** All modules below this one, itself included under the empty path. */
  *namedModules(prefix = ""): Generator<readonly [string, Module]> {
    yield [prefix, this];
    for (const [name, child] of this.children()) {
      if (child instanceof Module) yield* child.namedModules(prefix === "" ? name : `${prefix}.${name}`);
    }
  }

  parameters(): Parameter[] {
    return [...this.namedParameters()].map(([, parameter]) => parameter);
  }

  trainableParameters(): Parameter[] {
    return this.parameters().filter((parameter) => parameter.trainable);
  }

  /** The parameter at a path such as `layers.0.mlp.up_proj.weight`. */
  parameter(path: string): Parameter {
    for (const [name, parameter] of this.namedParameters()) if (name === path) return parameter;
    throw new CraftError({
      subject: "parameter",
      value: path,
      reason: `is not in this ${this.constructor.name}`,
    });
  }

  /** Puts another parameter in the place of each for which `replace` returns one; shared ones stay shared. */
  replaceParameters(
    replace: (parameter: Parameter) => Parameter | undefined,
    known = new Map<Parameter, Parameter>(),
  ): void {
    for (const [property, value] of Object.entries(this as object) as [string, unknown][]) {
      if (value instanceof Parameter) {
        const replacement = known.get(value) ?? replace(value);
        if (replacement === undefined) continue;
        known.set(value, replacement);
        Object.assign(this, { [property]: replacement });
      } else if (value instanceof Module) value.replaceParameters(replace, known);
      else if (Array.isArray(value)) {
        for (const item of value) if (item instanceof Module) item.replaceParameters(replace, known);
      }
    }
  }

  /**
   * Switches gradients on or off for every parameter.
   *
   * @throws CraftError if a parameter is to be trained that is not of floats, as in quantised layers.
   */
  setTrainable(trainable: boolean): this {
    for (const [name, { dtype }] of trainable ? this.namedParameters() : [])
      if (!isFloating(dtype))
        throw new CraftError({
          subject: "setTrainable",
          value: name,
          reason: `is ${dtype}, and cannot be trained`,
          remedy: "Attach LoRA, or make single parameters trainable.",
        });
    for (const parameter of this.parameters()) parameter.trainable = trainable;
    return this;
  }

  /** Frees the memory of all parameters. The module cannot be used afterwards. */
  dispose(): void {
    for (const parameter of this.parameters()) parameter.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}

/**
 * @file Prepared operator calls: the arguments that never change are encoded once, tensors are read from numbered
 * slots at each run.
 *
 * Encoding (torch/csrc/stable): one 64-bit word per schema argument, defaults included; results come back in the same
 * words. An optional is 0 or a pointer to a heap word; lists, strings and tensors are owning handles that the call
 * consumes, so that each run makes them anew.
 */
import { CraftError } from "../errors.js";
import type { Address, Library } from "./library.js";
import { NativeArena, type NativeMemory } from "./native_memory.js";
import { parseSchema, type ArgumentType, type Schema } from "./schema.js";
import { schemaTexts } from "./schemas.generated.js";

export type OperatorKey = keyof typeof schemaTexts;

/** Where a tensor argument lies. `last` moves the handle into the call instead of lending it. */
export interface SlotRef {
  readonly slot: number;
  readonly last: boolean;
}

export type Argument =
  SlotRef | number | boolean | string | null | readonly (SlotRef | number | boolean | null)[];

/** Runs one native call on the handles in the slots. */
export type Instruction = (slots: Float64Array) => void;

const parsed = new Map<OperatorKey, Schema>();

export function schemaOf(key: OperatorKey): Schema {
  let schema = parsed.get(key);
  if (schema === undefined) {
    schema = parseSchema(schemaTexts[key]);
    parsed.set(key, schema);
  }
  return schema;
}

const isSlot = (a: unknown): a is SlotRef => typeof a === "object" && a !== null && "slot" in a;

export class NativeCallError extends Error {
  override readonly name = "NativeCallError";
}

/** Prepares calls against one loaded library; names and sizes live in its arena for as long as the process. */
export class Dispatcher {
  readonly library: Library;
  readonly #names = new Map<string, Address>();
  readonly #arena = new NativeArena();
  readonly #scratch: NativeMemory;
  readonly #word: number;

  constructor(library: Library) {
    this.library = library;
    const { memory, offset } = this.#arena.allocate(64);
    this.#scratch = memory;
    this.#word = offset;
  }

  #name(text: string): Address {
    let address = this.#names.get(text);
    if (address === undefined) {
      address = this.#arena.string(text);
      this.#names.set(text, address);
    }
    return address;
  }

  check(status: number, what: string): void {
    if (status !== 0) throw new NativeCallError(`${what}: ${this.library.lastError().trim()}`);
  }

  /** A second owning handle of the same tensor. */
  duplicate(handle: Address): Address {
    this.check(this.library.newTensorHandle(handle, this.#scratch.at(this.#word)), "new_tensor_handle");
    return this.#scratch.readWord(this.#word);
  }

  take(ref: SlotRef, slots: Float64Array): Address {
    const handle = slots[ref.slot]!;
    if (!ref.last) return this.duplicate(handle);
    slots[ref.slot] = 0;
    return handle;
  }

  #optional(write: (memory: NativeMemory, offset: number) => void): Address {
    const { library } = this;
    const scratch = this.#scratch;
    this.check(library.newIValue(scratch.at(this.#word)), "new_stable_ivalue");
    const pointer = scratch.readWord(this.#word);
    write(scratch, this.#word);
    library.memcpy(pointer, scratch.at(this.#word), 8);
    return pointer;
  }

  #list(size: number): Address {
    this.check(this.library.newList(size, this.#scratch.at(this.#word)), "new_list");
    return this.#scratch.readWord(this.#word);
  }

  /** An encoder that yields the word for an argument at each run. */
  #encoder(type: ArgumentType, value: Argument | undefined, where: string): (slots: Float64Array) => number {
    const refuse = (): never => {
      throw new CraftError({
        subject: where,
        value: JSON.stringify(value),
        reason: `does not fit the schema type ${JSON.stringify(type)}`,
      });
    };
    switch (type.kind) {
      case "none":
        return value === null ? () => 0 : refuse();
      case "tensor":
        if (!isSlot(value)) return refuse();
        return (slots) => this.take(value, slots);
      case "string": {
        if (typeof value !== "string") return refuse();
        const address = this.#name(value);
        const length = new TextEncoder().encode(value).length;
        return () => {
          this.check(this.library.newString(address, length, this.#scratch.at(this.#word)), "new_string");
          return this.#scratch.readWord(this.#word);
        };
      }
      case "list": {
        if (!Array.isArray(value)) return refuse();
        const items = value.map((item: SlotRef | number | boolean | null) => {
          if (typeof item === "number" && type.of.kind === "int") return () => item;
          if (typeof item === "boolean" && type.of.kind === "bool") return () => Number(item);
          return this.#encoder(type.of, item, where);
        });
        return (slots) => {
          const list = this.#list(items.length);
          for (const item of items) this.library.pushBack(list, item(slots));
          return list;
        };
      }
      case "optional": {
        if (value === null) return () => 0;
        if (type.of.kind === "int" || type.of.kind === "float" || type.of.kind === "bool") {
          const write = this.#scalarWriter(type.of.kind, value, refuse);
          return () => this.#optional(write);
        }
        const inner = this.#encoder(type.of, value, where);
        return (slots) => {
          const word = inner(slots);
          return this.#optional((memory, offset) => memory.writeWord(offset, word));
        };
      }
      case "int":
      case "float":
      case "bool":
        return refuse();
    }
  }

  #scalarWriter(
    kind: "int" | "float" | "bool",
    value: Argument | undefined,
    refuse: () => never,
  ): (memory: NativeMemory, offset: number) => void {
    if (kind === "bool") {
      if (typeof value !== "boolean") return refuse();
      return (memory, offset) => memory.writeWord(offset, Number(value));
    }
    if (typeof value !== "number") return refuse();
    if (kind === "float") return (memory, offset) => memory.writeDouble(offset, value);
    if (!Number.isSafeInteger(value)) return refuse();
    return (memory, offset) => memory.writeInt(offset, value);
  }

  /**
   * Prepares a dispatcher call. `outputs[i]` is the slot of result i, or -1 to delete it at once.
   * A `Tensor[]` result fills as many slots as `outputs` has left.
   */
  prepare(
    key: OperatorKey,
    args: readonly Argument[],
    outputs: readonly number[],
    arena: NativeArena,
  ): Instruction {
    if (key === "mkldnn::_linear_pointwise") return this.#prepareLinearPointwise(args, outputs);
    const schema = schemaOf(key);
    if (args.length !== schema.arguments.length) {
      throw new CraftError({
        subject: key,
        value: `${args.length} arguments`,
        reason: `the operator takes ${schema.arguments.length}: ${schema.arguments.map((a) => a.name).join(", ")}`,
      });
    }
    const words = Math.max(args.length, schema.returns.length, 1);
    const { memory, offset: stack } = arena.allocate(16 * words);
    const template = stack + 8 * words;
    const dynamic: { offset: number; encode: (slots: Float64Array) => number }[] = [];
    schema.arguments.forEach(({ name, type }, i) => {
      const where = `${key} argument ${name}`;
      const value = args[i];
      const refuse = (): never => {
        throw new CraftError({
          subject: where,
          value: JSON.stringify(value),
          reason: `is not a ${type.kind}`,
        });
      };
      if (type.kind === "int" || type.kind === "float" || type.kind === "bool") {
        this.#scalarWriter(type.kind, value, refuse)(memory, template + 8 * i);
      } else {
        dynamic.push({ offset: stack + 8 * i, encode: this.#encoder(type, value, where) });
      }
    });
    const name = this.#name(schema.name);
    const overload = this.#name(schema.overload);
    const { library } = this;
    const stackAddress = memory.at(stack);
    const bytes = 8 * words;
    const call = (slots: Float64Array): void => {
      memory.copyWithin(stack, template, bytes);
      for (const { offset, encode } of dynamic) memory.writeWord(offset, encode(slots));
      const status = library.callDispatcher(name, overload, stackAddress, library.abiVersion);
      if (status !== 0) this.check(status, key);
    };
    if (schema.returns[0] === "tensors") {
      throw new CraftError({
        subject: key,
        reason: "returns a list of tensors, which no operator here needs",
      });
    }
    const single = outputs[0];
    if (schema.returns.length === 1 && single !== undefined && single >= 0) {
      return (slots) => {
        call(slots);
        slots[single] = memory.readWord(stack);
      };
    }
    const count = schema.returns.length;
    return (slots) => {
      call(slots);
      for (let i = 0; i < count; i++) {
        const handle = memory.readWord(stack + 8 * i);
        const slot = outputs[i] ?? -1;
        if (slot >= 0) slots[slot] = handle;
        else if (handle !== 0) library.deleteTensor(handle);
      }
    };
  }

  /** The dispatcher cannot pass this operator's list of scalars, which is always empty here; its shim can. */
  #prepareLinearPointwise(args: readonly Argument[], outputs: readonly number[]): Instruction {
    const [x, weight, bias, activation] = args;
    const { library } = this;
    const { linearPointwise } = library;
    const valid = isSlot(x) && isSlot(weight) && (bias === null || isSlot(bias));
    if (!valid || typeof activation !== "string" || linearPointwise === undefined) {
      throw new CraftError({
        subject: "mkldnn::_linear_pointwise",
        reason: valid ? "this libtorch was built without oneDNN" : "has arguments that do not fit its schema",
      });
    }
    const attribute = this.#name(activation);
    const out = outputs[0] ?? -1;
    const scratch = this.#scratch;
    const cell = scratch.at(this.#word);
    const biasAt = this.#word + 8;
    return (slots) => {
      if (bias !== null) scratch.writeWord(biasAt, slots[bias.slot]!);
      const biasCell = bias === null ? 0 : scratch.at(biasAt);
      const [input, matrix] = [slots[x.slot]!, slots[weight.slot]!];
      const status = linearPointwise(input, matrix, biasCell, attribute, 0, 0, 0, cell);
      if (status !== 0) this.check(status, "mkldnn::_linear_pointwise");
      const result = scratch.readWord(this.#word);
      for (const ref of bias === null ? [x, weight] : [x, weight, bias]) this.release(ref, slots);
      if (out >= 0) slots[out] = result;
      else library.deleteTensor(result);
    };
  }

  /** Prepares `out = a + alpha * b`; the dispatcher cannot pass alpha, the shims can. */
  prepareAdd(a: SlotRef, b: SlotRef, alpha: number, out: number, onCpu: boolean): Instruction {
    const { library } = this;
    const scratch = this.#scratch;
    const cell = scratch.at(this.#word);
    return (slots) => {
      const status = onCpu
        ? library.addTensor(slots[a.slot]!, slots[b.slot]!, alpha, cell)
        : library.subtractTensor(slots[a.slot]!, slots[b.slot]!, -alpha, cell);
      if (status !== 0) this.check(status, "add");
      const result = scratch.readWord(this.#word);
      this.release(a, slots);
      this.release(b, slots);
      slots[out] = result;
    };
  }

  /** Prepares a view of the storage behind `source`. */
  prepareView(
    source: SlotRef,
    sizes: readonly number[],
    strides: readonly number[],
    offset: number,
    out: number,
    arena: NativeArena,
  ): Instruction {
    const { library } = this;
    const scratch = this.#scratch;
    const cell = scratch.at(this.#word);
    const sizesAt = arena.integers(sizes);
    const stridesAt = arena.integers(strides);
    const ndim = sizes.length;
    return (slots) => {
      const status = library.reinterpret(slots[source.slot]!, ndim, sizesAt, stridesAt, offset, cell);
      if (status !== 0) this.check(status, "reinterpret_tensor");
      const result = scratch.readWord(this.#word);
      this.release(source, slots);
      slots[out] = result;
    };
  }

  /** Deletes the handle of a borrowed slot if this was its last use. */
  release(ref: SlotRef, slots: Float64Array): void {
    if (!ref.last) return;
    const handle = slots[ref.slot]!;
    if (handle !== 0) this.library.deleteTensor(handle);
    slots[ref.slot] = 0;
  }
}

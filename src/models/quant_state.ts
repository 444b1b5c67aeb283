/** @file What bitsandbytes stores beside a weight in 4 bits, under names that begin with the weight's. */
import { CraftError } from "../errors.js";
import {
  dynamicMap,
  fourBitSizes,
  fourBitTypes,
  levels,
  tensorsOf,
  type FourBitFormat,
  type FourBits,
  type FourBitType,
} from "../quantization/index.js";
import type { Parameter } from "../tensor/index.js";
import type { Device } from "../torch/device.js";
import { DeviceTensor } from "../torch/device_tensor.js";
import type { DType } from "../torch/dtype.js";
import { JsonFields } from "./json_fields.js";
import type { WeightReader } from "./parameter_source.js";
import { isJsonObject, jsonFloat, parsePythonJson, stringifyPythonJson } from "./python_json.js";

const stateName = (name: string, type: FourBitType): string => `${name}.quant_state.bitsandbytes__${type}`;

/** What the weight of a name is stored as; undefined where nothing stands beside it. */
export function storedType(reader: WeightReader, name: string, file: string): FourBitType | undefined {
  const type = fourBitTypes.find((candidate) => reader.has(stateName(name, candidate)));
  const part = [".absmax", ".quant_map", ".nested_absmax"].find((end) => reader.has(name + end));
  if (type === undefined && (part !== undefined || (reader.has(name) && reader.dtype(name) === "uint8")))
    throw new CraftError({
      subject: `${file}, tensor ${name}`,
      reason: `is stored in 4 bits, and its quant_state is missing`,
      remedy: "Save or download the model again.",
    });
  return type;
}

/**
 * Reads a weight in 4 bits. The caller owns its tensors.
 *
 * @param shape [out, in] of the layer
 * @throws CraftError where a part is missing, or does not agree with the others or the layer.
 */
export function readFourBits(
  reader: WeightReader,
  name: string,
  type: FourBitType,
  {
    file,
    shape,
    device,
  }: { readonly file: string; readonly shape: readonly [number, number]; readonly device: Device },
): FourBits {
  const format = readState(reader, name, type, file, shape);
  const { bytes, blocks, nestedBlocks } = fourBitSizes(format);
  const { nested } = format;
  const part = (end: string, dtype: DType, count: number): DeviceTensor =>
    readPart(reader, file, name + end, dtype, count, device);
  checkMap(reader, file, `${name}.quant_map`, levels[type]);
  if (nested !== undefined) checkMap(reader, file, `${name}.nested_quant_map`, dynamicMap);
  const made: DeviceTensor[] = [];
  const take = (tensor: DeviceTensor): DeviceTensor => (made.push(tensor), tensor);
  try {
    return {
      ...format,
      packed: take(part("", "uint8", bytes)),
      absmax: take(part(".absmax", nested === undefined ? "float32" : "uint8", blocks)),
      ...(nested === undefined
        ? {}
        : { nestedAbsmax: take(part(".nested_absmax", "float32", nestedBlocks)) }),
    };
  } catch (error) {
    for (const tensor of made) tensor.dispose();
    throw error;
  }
}

function readState(
  reader: WeightReader,
  name: string,
  type: FourBitType,
  file: string,
  shape: readonly [number, number],
): FourBitFormat {
  const key = stateName(name, type);
  const subject = `${file}, tensor ${key}`;
  using stored = readPart(reader, file, key, "uint8", undefined, { type: "cpu", index: 0 });
  const json = parsePythonJson(Buffer.from(stored.bytes()).toString("utf8"), subject);
  if (!isJsonObject(json)) throw new CraftError({ subject, reason: "must hold a JSON object" });
  const fields = new JsonFields(json, subject);
  if (fields.optionalString("quant_type") !== type) throw fields.error("quant_type", `must be ${type}`);
  const found = fields.integers("shape");
  if (found.join() !== shape.join())
    throw fields.error("shape", `does not agree with config.json, which says [${shape.join(", ")}]`);
  const blockSize = fields.integer("blocksize", 0);
  if (blockSize < 2 || blockSize % 2 !== 0) throw fields.error("blocksize", "must be an even number");
  const dtype = (["float32", "bfloat16", "float16"] as const).find(
    (d) => d === fields.optionalString("dtype"),
  );
  if (dtype === undefined) throw fields.error("dtype", "must be float32, bfloat16 or float16");
  const format = { type, shape, blockSize, dtype };
  if (!fields.has("nested_blocksize")) return format;
  const nested = {
    blockSize: fields.integer("nested_blocksize", 256, { min: 1 }),
    offset: fields.optionalNumber("nested_offset") ?? NaN,
  };
  if (Number.isNaN(nested.offset)) throw fields.error("nested_offset", "is missing");
  fields.refuseUnless("nested_dtype", ["float32"], "must be float32");
  return { ...format, nested };
}

function readPart(
  reader: WeightReader,
  file: string,
  name: string,
  dtype: DType,
  count: number | undefined,
  device: Device,
): DeviceTensor {
  const subject = `${file}, tensor ${name}`;
  const remedy = "Save or download the model again.";
  if (!reader.has(name)) throw new CraftError({ subject, reason: "is missing", remedy });
  const found = reader.dtype(name);
  if (found !== dtype)
    throw new CraftError({
      subject,
      value: found,
      reason: `must be ${dtype} beside its quant_state`,
      remedy,
    });
  const shape = reader.shape(name);
  const elements = shape.reduce((a, b) => a * b, 1);
  if (count !== undefined && elements !== count)
    throw new CraftError({
      subject,
      value: `[${shape.join(", ")}]`,
      reason: `must have ${count} elements by its quant_state`,
      remedy,
    });
  return reader.read(name, { dtype, device });
}

/** Levels are known; those in a file may differ by rounding alone. */
function checkMap(reader: WeightReader, file: string, name: string, expected: Float32Array): void {
  using map = readPart(reader, file, name, "float32", expected.length, { type: "cpu", index: 0 });
  const wrong = map.toNumbers().findIndex((value, i) => !(Math.abs(value - expected[i]!) <= 1e-6));
  if (wrong >= 0)
    throw new CraftError({
      subject: `${file}, tensor ${name}`,
      value: map.toNumbers()[wrong],
      reason: `has another value at ${wrong} than bitsandbytes, ${expected[wrong]}`,
      remedy: "Quantise the model again from its original weights.",
    });
}

/** All that is stored of a weight in 4 bits. Those tensors that are made for it are added to `made`. */
export function* storedParts(
  name: string,
  bits: FourBits<Parameter>,
  made: DeviceTensor[],
): Generator<readonly [string, DeviceTensor]> {
  const make = (data: ArrayLike<number>, dtype: DType): DeviceTensor => {
    const tensor = DeviceTensor.fromHost(data, [data.length], dtype);
    made.push(tensor);
    return tensor;
  };
  const [packed, absmax, nestedAbsmax] = tensorsOf(bits);
  yield [name, packed!.value];
  yield [`${name}.absmax`, absmax!.value];
  yield [`${name}.quant_map`, make(levels[bits.type], "float32")];
  if (nestedAbsmax !== undefined) {
    yield [`${name}.nested_absmax`, nestedAbsmax.value];
    yield [`${name}.nested_quant_map`, make(dynamicMap, "float32")];
  }
  yield [stateName(name, bits.type), make(Buffer.from(stateText(bits)), "uint8")];
}

/** As Python's json.dumps writes it in one line. */
function stateText({ type, blockSize, dtype, shape, nested }: FourBitFormat): string {
  const items = [
    `"quant_type": "${type}"`,
    `"blocksize": ${blockSize}`,
    `"dtype": "${dtype}"`,
    `"shape": [${shape.join(", ")}]`,
  ];
  if (nested !== undefined)
    items.push(
      `"nested_blocksize": ${nested.blockSize}`,
      `"nested_dtype": "float32"`,
      `"nested_offset": ${stringifyPythonJson(jsonFloat(nested.offset))}`,
    );
  return `{${items.join(", ")}}`;
}

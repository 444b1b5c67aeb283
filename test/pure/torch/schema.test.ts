import { describe, expect, it } from "vitest";
import { CraftError } from "../../../src/errors.js";
import { parseSchema, type ArgumentType } from "../../../src/torch/schema.js";
import { schemaTexts } from "../../../src/torch/schemas.generated.js";

/** A type as it stands in a schema, made anew from what was parsed. */
const show = (type: ArgumentType): string => {
  if (type.kind === "optional") return `${show(type.of)}?`;
  return type.kind === "list" ? `${show(type.of)}[]` : type.kind;
};

const types = (text: string): string[] => parseSchema(text).arguments.map(({ type }) => show(type));

describe("operator schemas", () => {
  it.each(Object.entries(schemaTexts).filter(([, text]) => !/\bScalar\b/.test(text)))(
    "%s is parsed",
    (key, text) => {
      const schema = parseSchema(text);
      const bare = schema.key.replace(/^aten::/, "");
      expect(bare).toBe(key);
      expect(schema.name).toBe(schema.key.slice(0, schema.name.length));
      // Each argument is a type and a name; `*` only parts positional from named ones.
      const list = text.slice(text.indexOf("(") + 1, text.lastIndexOf(") -> "));
      const written = list
        .replaceAll(/=\[[^\]]*\]/g, "")
        .split(", ")
        .filter((part) => part !== "" && part !== "*");
      const names = written.map((part) => part.replace(/=.*/, "").split(" ").at(-1));
      expect(schema.arguments.map(({ name }) => name)).toEqual(names);
    },
  );

  it("turn types into what crosses the ABI", () => {
    expect(types(schemaTexts["_to_copy"])).toEqual([
      "tensor",
      "int?",
      "int?",
      "none",
      "bool?",
      "bool",
      "int?",
    ]);
    expect(types(schemaTexts["sum.dim_IntList"])).toEqual(["tensor", "int[]?", "bool", "int?"]);
    expect(types(schemaTexts["index_put"])).toEqual(["tensor", "tensor?[]", "tensor", "bool"]);
    expect(types(schemaTexts["native_layer_norm_backward"]).at(-1)).toBe("bool[]");
    expect(types(schemaTexts["gelu"])).toEqual(["tensor", "string"]);
    expect(types(schemaTexts["_fused_rms_norm"])).toEqual(["tensor", "int[]", "tensor?", "float?"]);
  });

  it("count the results", () => {
    const returns = (text: string): readonly string[] => parseSchema(text).returns;
    expect(returns(schemaTexts["mm"])).toEqual(["tensor"]);
    expect(returns(schemaTexts["topk"])).toEqual(["tensor", "tensor"]);
    expect(returns(schemaTexts["native_layer_norm"])).toEqual(["tensor", "tensor", "tensor"]);
    expect(returns(schemaTexts["_foreach_mul_.Tensor"])).toEqual([]);
    expect(
      returns("aten::split.Tensor(Tensor(a -> *) self, SymInt split_size, int dim=0) -> Tensor(a)[]"),
    ).toEqual(["tensors"]);
  });

  it("parse names with an overload and with another namespace", () => {
    expect(parseSchema("aten::mul.Tensor(Tensor self, Tensor other) -> Tensor")).toMatchObject({
      key: "aten::mul.Tensor",
      name: "aten::mul",
      overload: "Tensor",
    });
    expect(
      parseSchema("mkldnn::_reorder_linear_weight(Tensor self, int? batch_size=None) -> Tensor Y"),
    ).toMatchObject({
      name: "mkldnn::_reorder_linear_weight",
      overload: "",
      returns: ["tensor"],
    });
  });

  it.each([
    [
      "a Scalar",
      "aten::add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor",
      /cannot convert arguments of type Scalar/,
    ],
    [
      "an optional Scalar",
      "aten::clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor",
      /type Scalar/,
    ],
    [
      "a type that is not known",
      "aten::to.x(Tensor self, Stream s) -> Tensor",
      /argument of type Stream, which is not encoded yet/,
    ],
    ["text that is no schema", "mm(Tensor, Tensor)", /cannot be parsed/],
  ])("refuse %s", (_, text, message) => {
    expect(() => parseSchema(text)).toThrow(CraftError);
    expect(() => parseSchema(text)).toThrow(message);
    expect(() => parseSchema(text)).toThrow(text.slice(0, 30));
  });

  it("with a Scalar are listed only where a call passes none", () => {
    const scalars = Object.entries(schemaTexts).filter(([, text]) => /\bScalar\b/.test(text));
    expect(scalars.map(([key]) => key)).toEqual(["mkldnn::_linear_pointwise"]);
  });
});

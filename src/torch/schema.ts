import { CraftError } from "../errors.js";

/** How one argument of an operator crosses the ABI. */
export type ArgumentType =
  | { readonly kind: "tensor" | "int" | "float" | "bool" | "string" | "none" }
  | { readonly kind: "optional" | "list"; readonly of: ArgumentType };

export interface Schema {
  /** `mul.Tensor`, or `mkldnn::_linear_pointwise`. */
  readonly key: string;
  readonly name: string;
  readonly overload: string;
  readonly arguments: readonly { readonly name: string; readonly type: ArgumentType }[];
  readonly returns: readonly ("tensor" | "tensors")[];
}

const simple: Record<string, ArgumentType> = {
  Tensor: { kind: "tensor" },
  int: { kind: "int" },
  SymInt: { kind: "int" },
  ScalarType: { kind: "int" },
  Layout: { kind: "int" },
  MemoryFormat: { kind: "int" },
  float: { kind: "float" },
  bool: { kind: "bool" },
  str: { kind: "string" },
};

function parseType(text: string, schema: string): ArgumentType {
  if (text === "Generator?" || text === "Device?") return { kind: "none" };
  if (text.endsWith("?")) return { kind: "optional", of: parseType(text.slice(0, -1), schema) };
  const list = /^(.*)\[\d*\]$/.exec(text);
  if (list) return { kind: "list", of: parseType(list[1]!, schema) };
  const found = simple[text];
  if (found === undefined) {
    const reason = text.startsWith("Scalar")
      ? "libtorch's stable ABI cannot convert arguments of type Scalar"
      : `has an argument of type ${text}, which is not encoded yet`;
    throw new CraftError({ subject: "operator", value: schema, reason });
  }
  return found;
}

const aliasAnnotation = /\([a-z]!?(?: -> \*)?\)/g;

/** Between arguments, and not within a list that is the default of one. */
const argumentSeparator = /, (?![^[]*\])/;

/** Parses an operator schema as PyTorch prints it, e.g. `aten::mm(Tensor self, Tensor mat2) -> Tensor`. */
export function parseSchema(text: string): Schema {
  const match = /^([\w:]+)(?:\.(\w+))?\((.*)\) -> (.*)$/.exec(text.replaceAll(aliasAnnotation, ""));
  if (!match) throw new CraftError({ subject: "operator schema", value: text, reason: "cannot be parsed" });
  const [, name = "", overload = "", parameters = "", results = ""] = match;
  const inputs = parameters
    .split(argumentSeparator)
    .filter((p) => p !== "" && p !== "*")
    .map((p) => {
      const [, type = "", argument = ""] = /^(.+?) (\w+)(?:=.*)?$/.exec(p) ?? [];
      return { name: argument, type: parseType(type, text) };
    });
  const outputs = results
    .replace(/^\(|\)$/g, "")
    .split(", ")
    .filter((o) => o !== "");
  return {
    key: overload === "" ? name : `${name}.${overload}`,
    name,
    overload,
    arguments: inputs,
    returns: outputs.map((o) => (o.startsWith("Tensor[]") ? "tensors" : "tensor")),
  };
}

/** @file Jinja templates as transformers runs them: trim_blocks, lstrip_blocks, loop controls, `{% generation %}`. */

import { bind, integerArgument } from "./arguments.js";
import type { Statement } from "./ast.js";
import type { Marks } from "./interpreter.js";
import { Interpreter, Scope } from "./interpreter.js";
import { parse } from "./parser.js";
import { strftime } from "./strftime.js";
import type { Arguments, Keywords, Value } from "./values.js";
import { Callable, iterate, Namespace, str, TemplateError, toValue } from "./values.js";

/** The sandbox of the reference refuses longer ranges. */
const maxRange = 100_000;

function range(args: Arguments, keywords: Keywords): Value {
  const [a, b, c] = bind("range()", ["start", "stop", "step"], args, keywords);
  const first = integerArgument("range() argument", a, 0);
  const [start, stop] = b === undefined ? [0, first] : [first, integerArgument("range() argument", b, 0)];
  const step = integerArgument("range() argument", c, 1);
  if (step === 0) throw new TemplateError("range() arg 3 must not be zero");
  const count = Math.max(0, Math.ceil((stop - start) / step));
  if (count > maxRange) throw new TemplateError(`Range too big. The maximum size is ${maxRange}.`);
  return Array.from({ length: count }, (_, i) => start + i * step);
}

/** The entries of a mapping or of pairs, then the named ones. */
function entries(args: Arguments, keywords: Keywords): Map<Value, Value> {
  const [source] = args;
  const dict = new Map<Value, Value>();
  if (source instanceof Map) for (const [key, value] of source) dict.set(key, value);
  else if (source !== undefined) {
    for (const pair of iterate(source)) {
      const [key = null, value = null] = iterate(pair);
      dict.set(key, value);
    }
  }
  for (const [key, value] of keywords) dict.set(key, value);
  return dict;
}

function globals(now: () => Date): Scope {
  const scope = new Scope();
  scope.set("range", new Callable(range));
  scope.set("dict", new Callable(entries));
  scope.set(
    "namespace",
    new Callable((args, keywords) => {
      return new Namespace(new Map([...entries(args, keywords)].map(([key, value]) => [str(key), value])));
    }),
  );
  scope.set(
    "raise_exception",
    new Callable(([message = ""]) => {
      throw new TemplateError(str(message));
    }),
  );
  scope.set("strftime_now", new Callable(([format = ""]) => strftime(now(), str(format))));
  return scope;
}

export interface RenderOptions {
  /** Texts put around what each `{% generation %}` block renders. */
  readonly marks?: Marks;
  /** The clock behind `strftime_now`. */
  readonly now?: () => Date;
}

/** A parsed template; parsing and rendering throw {@link TemplateError}. */
export class Template {
  private readonly body: readonly Statement[];
  /** Whether the template says which part the assistant generates. */
  readonly hasGeneration: boolean;

  constructor(source: string) {
    const { body, hasGeneration } = parse(source);
    this.body = body;
    this.hasGeneration = hasGeneration;
  }

  render(variables: Readonly<Record<string, unknown>>, options: RenderOptions = {}): string {
    const scope = new Scope(globals(options.now ?? (() => new Date())));
    for (const [name, value] of Object.entries(variables)) {
      if (value !== undefined) scope.set(name, toValue(value, name));
    }
    return new Interpreter(options.marks).render(this.body, scope);
  }
}

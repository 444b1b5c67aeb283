import { describe, expect, it } from "vitest";
import { literalsOf, survival, survivalReward } from "../../../src/cli/demo/after_sft/literals.js";
import { literalsSurvive } from "../../../src/cli/demo/after_sft/reward.js";

describe("literalsOf", () => {
  it.each([
    ["Cannot find name '{0}'.", ["{0}"]],
    ["'{0}' is not assignable to '{1}', nor {0} to it.", ["{0}", "{1}", "{0}"]],
    ["Option '{0}={1}' needs 'true'.", ["{0}", "{1}", "'true'"]],
    [`Use 'export =' or "import x from 'y'".`, ["'export ='", `"import x from 'y'"`]],
    ["It doesn't and can't.", []],
  ])("finds in %j", (text, literals) => {
    expect(literalsOf(text)).toEqual(literals);
  });
});

describe("survivalReward", () => {
  const source = "Type '{0}' of 'await' is not '{1}', but '{0}'.";
  it.each([
    ["El tipo '{0}' de 'await' no es '{1}', sino '{0}'.", { kept: 4, invented: 0 }, 1],
    ["El tipo '{0}' de 'await' no es '{1}'.", { kept: 3, invented: 0 }, 3 / 4],
    // Quotes may go, the placeholder stays; the name stands no more.
    ["El tipo {0} de «esperar» no es {1}, sino {0}.", { kept: 3, invented: 0 }, 3 / 4],
    ["El tipo '{2}' es '{2}'.", { kept: 0, invented: 2 }, 0],
    ["{0} {0} {0} {1} {2} 'await'", { kept: 4, invented: 2 }, 4 / 6],
    ["", { kept: 0, invented: 0 }, 0],
  ])("judges %j", (output, expected, reward) => {
    expect(survival(source, output)).toEqual({ wanted: 4, ...expected });
    expect(survivalReward(source, output)).toBeCloseTo(reward, 12);
  });

  it("gives what has nothing to keep all, unless it invents", () => {
    expect(survivalReward("Unreachable code.", "Código inaccesible.")).toBe(1);
    expect(survivalReward("Unreachable code.", "Código '{0}'.")).toBe(0);
  });

  it("reads the source of each completion", async () => {
    const columns = { source: ["'{0}' here", "'{0}' there"] };
    const policy = { model: {}, tokenizer: undefined };
    // @ts-expect-error: nothing else is read
    const values = await literalsSurvive.score({ texts: ["'{0}' aquí", "allí"], columns, policy });
    expect(values).toEqual([1, 0]);
    // @ts-expect-error: nothing else is read
    expect(() => literalsSurvive.score({ texts: ["x"], columns: {}, policy })).toThrow(/column source/);
  });
});

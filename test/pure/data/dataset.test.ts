import { describe, expect, it } from "vitest";
import { Dataset } from "../../../src/data/dataset.js";

const letters = () =>
  Dataset.fromArray(
    [..."abcdefghij"].map((text) => ({ text })),
    { name: "letters" },
  );
const texts = async (dataset: Dataset<{ text: string }>) =>
  (await dataset.toArray()).map((row) => row.text).join("");

describe("Dataset", () => {
  it("gives length, columns, rows and their names", async () => {
    const dataset = letters();
    expect(dataset.length).toBe(10);
    expect(await dataset.columns()).toEqual(["text"]);
    expect(await dataset.row(2)).toEqual({ text: "c" });
    expect(dataset.where(2)).toBe("letters, row 2");
    expect(await dataset.rows([9, 0, 0])).toEqual([{ text: "j" }, { text: "a" }, { text: "a" }]);
  });

  it.each([-1, 10, 1.5])("refuses row %s", async (index) => {
    await expect(letters().row(index)).rejects.toThrow(`row = ${index}: letters has the rows 0 to 9.`);
  });

  it("selects, takes, skips and concatenates", async () => {
    expect(await texts(letters().select([3, 1, 3]))).toBe("dbd");
    expect(await texts(letters().take(3))).toBe("abc");
    expect(await texts(letters().skip(8))).toBe("ij");
    expect(await texts(letters().take(2).concatenate(letters().skip(8), letters().take(1)))).toBe("abija");
    expect(() => letters().take(11)).toThrow("count = 11: must be an integer from 0 to 10");
    expect(() => letters().select([0, 10])).toThrow("row = 10");
  });

  it("maps and filters with plain and async functions, and keeps the row's first name", async () => {
    const upper = letters().map(async (row, i) => ({ text: `${row.text.toUpperCase()}${i}` }));
    expect(await texts(upper.take(3))).toBe("A0B1C2");
    const kept = await upper.filter(async (row, i) => i % 4 === 1 && row.text !== "F5");
    expect(await texts(kept)).toBe("B1J9");
    expect(kept.where(1)).toBe("letters, row 9");
    expect(Dataset.concatenate(letters(), kept).where(11)).toBe("letters, row 9");
  });

  it("maps at each read, or once when cached", async () => {
    let calls = 0;
    const counted = letters().map((row) => ({ text: row.text, call: calls++ }));
    await counted.row(0);
    await counted.row(0);
    expect(calls).toBe(2);
    const cached = await counted.take(4).cached();
    expect(calls).toBe(6);
    expect(await cached.row(3)).toEqual({ text: "d", call: 5 });
    expect(calls).toBe(6);
    expect(cached.where(3)).toBe("letters, row 3");
  });

  it("names the row at which a user's function failed", async () => {
    const failing = letters().map((row) => {
      if (row.text === "c") throw new Error("no c please");
      return row;
    });
    await expect(failing.toArray()).rejects.toThrow(
      "letters, row 2: the function given to map failed: no c please.",
    );
    await expect(letters().filter(() => Promise.reject(new Error("no")))).rejects.toThrow(
      "letters, row 0: the function given to filter failed: no.",
    );
  });

  it("shuffles as a function of the seed", async () => {
    const once = await texts(letters().shuffle(1));
    expect(await texts(letters().shuffle(1))).toBe(once);
    expect(await texts(letters().shuffle(2))).not.toBe(once);
    expect([...once].sort().join("")).toBe("abcdefghij");
  });

  it("splits by share (rounded up) and by count, without a common row", async () => {
    // ceil(0.25 * 10) = 3
    const { train, test } = letters().split({ testSize: 0.25, seed: 3 });
    expect([train.length, test.length]).toEqual([7, 3]);
    expect([...(await texts(train)), ...(await texts(test))].sort().join("")).toBe("abcdefghij");
    const plain = letters().split({ testSize: 2, shuffle: false });
    expect([await texts(plain.train), await texts(plain.test)]).toEqual(["abcdefgh", "ij"]);
  });

  it.each([0, 10, 1.5, -0.2, Number.NaN])("refuses the test size %s", (testSize) => {
    expect(() => letters().split({ testSize })).toThrow("must leave rows on both sides of the 10 of letters");
  });

  it("collects sync and async generators", async () => {
    async function* generate() {
      yield { text: "x" };
      yield { text: "y" };
    }
    expect(await texts(await Dataset.fromGenerator(generate))).toBe("xy");
    expect(await texts(await Dataset.fromGenerator(() => [{ text: "z" }]))).toBe("z");
  });
});

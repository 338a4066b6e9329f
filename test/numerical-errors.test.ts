/** Finite weights whose products are not: a NaN at run time is an error with a code, wherever logits are asked for. */
import { expect, test } from "vitest";
import { load } from "../src/index.js";
import { memoryFiles } from "./memory-files.js";
import { randomModelFiles } from "./random-model.js";

test.each(["wasm", "reference"] as const)(
  "a NaN in the logits is numerical_error, on %s kernels",
  async (kernels) => {
    await using lm = await load(memoryFiles("m", randomModelFiles({ std: 1e38 })), { kernels, threads: 1 });
    const failure = expect.objectContaining({ code: "numerical_error" });
    await expect(lm.logits([1, 2, 3])).rejects.toEqual(failure);
    await expect(lm.logits([1, 2, 3], { rows: "all" })).rejects.toEqual(failure);
    await expect(lm.logitsRows([1, 2, 3]).next()).rejects.toEqual(failure);
    await expect(lm.generate([1, 2, 3], { temperature: 0 }).result()).rejects.toEqual(failure);
    await expect(lm.compare([1, 2, 3])).rejects.toEqual(failure);
  },
);

/** `lastrow bench` from arguments to output. Which numbers it prints is measured, not tested. */
import { describe, expect, it } from "vitest";
import { run } from "../../../test/cli/captured-io.js";
import { modelFolders } from "../../../test/fixture-models.js";

const SHORT = ["--model", modelFolders.tiny, "--threads", "1", "--repetitions", "1", "--new-tokens", "3"];

describe("bench", () => {
  it("prints one JSON object, with the keys that are promised", async () => {
    const { exitCode, stdout, stderr } = await run(["bench", "--json", ...SHORT, "--prompt-tokens", "4"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    const object = JSON.parse(stdout);
    expect(Object.keys(object)).toEqual([
      ...["model", "dtype", "threads", "vectors", "dots"],
      ...["promptTokens", "newTokens", "prefillTokensPerSecond"],
      ...["decodeTokensPerSecond", "loadMs", "peakRssBytes", "limits", "share"],
    ]);
    expect(object).toMatchObject({ dtype: "f32", threads: 1, promptTokens: 4, newTokens: 3 });
    for (const rate of [object.prefillTokensPerSecond, object.decodeTokensPerSecond]) {
      expect(Object.keys(rate)).toEqual(["median", "min", "max"]);
      expect(rate.min).toBeGreaterThan(0);
      expect(rate.median).toBeGreaterThanOrEqual(rate.min);
      expect(rate.max).toBeGreaterThanOrEqual(rate.median);
    }
    expect(Object.keys(object.limits)).toEqual(["readGBs", "f32GFlops", "int8Gops"]);
    expect(Object.keys(object.share)).toEqual(["prefill", "decode"]);
    for (const number of [object.peakRssBytes, object.loadMs, ...Object.values(object.limits)]) {
      expect(number).toBeGreaterThan(0);
    }
    for (const share of Object.values(object.share)) expect(share).toBeGreaterThan(0);
  });

  it("prints a table, with a prompt that fits into a short context", async () => {
    const { stdout } = await run(["bench", ...SHORT, "--dtype", "int8"]);
    expect(stdout).toMatch(/^prefill +[\d.,]+ +[\d.,]+ +[\d.,]+ +\d+ % +[\d.,]+ GOP\/s of int8$/m);
    expect(stdout).toMatch(/^decode +[\d.,]+ +[\d.,]+ +[\d.,]+ +\d+ % +[\d.,]+ GB\/s read$/m);
    expect(stdout).toMatch(
      /int8 weights · wasm kernels · 1 thread, (128|256)-bit vectors(, relaxed dot products)?\nprompt of \d+ tokens, 3 new · 1 repetition /,
    );
  });

  it("refuses what it cannot measure", async () => {
    const tooLong = await run(["bench", ...SHORT, "--prompt-tokens", "5000"]);
    expect(tooLong).toMatchObject({ exitCode: 1, stdout: "" });
    expect(tooLong.stderr).toMatch(/5000 prompt tokens and 3 new ones do not fit into the context/);
    const one = await run(["bench", "--new-tokens", "1"]);
    expect(one.stderr).toMatch(/--new-tokens.*at least 2/s);
  });
});

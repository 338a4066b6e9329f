import { beforeEach, describe, expect, it, vi } from "vitest";
import { run } from "../../../test/cli/captured-io.js";
import type { ComparisonReport } from "../../client/comparison.js";
import { loadModel } from "../model.js";

vi.mock("../model.js");

const REPORT: ComparisonReport = {
  ...{
    identical: true,
    steps: 3,
    firstDifference: null,
    text: " end",
    tokens: [7, 8, 9],
    promptTokens: 5,
    seed: 1,
  },
  cached: { inferences: 3, rowsComputed: 7, ms: 10, firstStepMs: 5, lastStepMs: 2, steps: [] },
  recompute: { inferences: 3, rowsComputed: 18, ms: 24, firstStepMs: 6, lastStepMs: 9, steps: [] },
  formula: { cached: 7, recompute: 18 },
};

/** The command meets a model whose comparison says this. */
function answer(report: Partial<ComparisonReport>): void {
  const model = {
    info: { label: "made up", kernels: "wasm", dtype: "f32", threads: 2, config: { vocabSize: 50257 } },
    tokenizer: {},
    compare: async () => ({ ...REPORT, ...report }),
    [Symbol.asyncDispose]: async () => undefined,
  };
  vi.mocked(loadModel).mockResolvedValue(model as unknown as Awaited<ReturnType<typeof loadModel>>);
}

beforeEach(() => answer({}));

describe("compare", () => {
  it("shows what was counted and compared", async () => {
    const { exitCode, stdout, stderr } = await run(["compare"]);
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: "" });
    expect(stdout).toBe(
      [
        "",
        "                       rows through",
        "           inferences     the model  by formula     time  first step  last step",
        "───────────────────────────────────────────────────────────────────────────────",
        "cached              3             7           7  10.0 ms     5.00 ms    2.00 ms",
        "recompute           3            18          18  24.0 ms     6.00 ms    9.00 ms",
        "",
        "L = 5 tokens of the prompt, M = 2 generated and fed back:",
        "L + M rows with the KV cache, (M + 1) L + M (M + 1) / 2 without",
        "",
        "2.6 times fewer rows and 2.4 times faster with the KV cache",
        "✔ identical: 3 of 3 steps, bit for bit",
        "made up · f32 weights · wasm kernels · 2 threads · prompt of 5 tokens",
        "vocabulary of 50,257 · 150,771 logits compared · seed 1",
        "",
      ].join("\n"),
    );
  });

  it("names step, index and both values of a difference, and fails", async () => {
    const cached = Math.fround(1.1);
    const recompute = Math.fround(1.1000001);
    answer({ identical: false, steps: 2, firstDifference: { step: 1, index: 464, cached, recompute } });
    const { exitCode, stdout, stderr } = await run(["compare"]);
    expect(exitCode).toBe(1);
    expect(stdout).toContain("✘ not identical");
    expect(stdout).not.toContain("✔");
    expect(stderr).toBe(
      "error: The two ways differ first at step 1, logit 464: 1.10000002 (bits 3f8ccccd) cached, 1.10000014 (bits 3f8cccce) recomputed.\n",
    );
    const object = await run(["compare", "--json"]);
    expect(object.exitCode).toBe(1);
    expect(object.stderr).toBe(stderr);
    expect(JSON.parse(object.stdout)).toMatchObject({
      ...{ identical: false, steps: 2, firstDifference: { step: 1, index: 464, cached, recompute } },
    });
  });

  it("tells 0 from −0", async () => {
    answer({ identical: false, firstDifference: { step: 0, index: 0, cached: 0, recompute: -0 } });
    expect((await run(["compare"])).stderr).toContain(
      "0 (bits 00000000) cached, -0 (bits 80000000) recomputed",
    );
    expect((await run(["compare", "--json"])).stdout).toContain('"cached":0,"recompute":-0}');
  });

  it("fails when counters and formula disagree, or the ways end differently", async () => {
    answer({ formula: { cached: 7, recompute: 19 } });
    const miscounted = await run(["compare"]);
    expect(miscounted.exitCode).toBe(1);
    expect(miscounted.stderr).toContain(
      "18 rows went through the model recomputing; by the formula it should be 19.",
    );
    answer({ identical: false });
    const shorter = await run(["compare"]);
    expect(shorter.exitCode).toBe(1);
    expect(shorter.stderr).toContain("a different number of steps");
  });

  it("says slower where it is slower, and nothing where nothing ran", async () => {
    answer({ cached: { ...REPORT.cached, ms: 48 } });
    expect((await run(["compare"])).stdout).toContain(
      "\n2.6 times fewer rows and 2.0 times slower with the KV cache\n",
    );
    answer({ cached: { ...REPORT.cached, ms: 0 } });
    expect((await run(["compare"])).stdout).not.toContain(" times ");
  });
});

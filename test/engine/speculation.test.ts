/** Speculation in the engine, with costs that the test sets: how many passes a text takes, and that it is the same text. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EngineCore } from "../../src/engine/engine-core.js";
import { GenerationJob } from "../../src/engine/generation-job.js";
import type { StepCosts } from "../../src/engine/step-costs.js";
import type { GenerationOutcome } from "../../src/protocol/generation-outcome.js";
import { resolveSampling } from "../../src/sampling/options.js";
import { SamplingScratch } from "../../src/sampling/scratch.js";
import type { ModelParts } from "../fed-sequence.js";
import { cacheOver } from "../first-blocks.js";
import { steppedModel } from "./stepped-engine.js";

let parts: ModelParts;
beforeAll(async () => {
  parts = await steppedModel();
});
afterAll(() => parts.kernels.dispose());

/** Each row besides the first takes so much of a step. */
const rowsCost = (row: number): StepCosts => ({ of: (_, more) => 1 + row * more, observe: () => undefined });
const FREE = rowsCost(0);
const DEAR = rowsCost(2);

interface Said extends GenerationOutcome {
  readonly tokens: readonly number[];
}

/** The model computes as always, and is made to say a text. */
function say(
  prompt: readonly number[],
  text: readonly number[],
  costs: StepCosts | undefined,
  { speculate = 15, others = 0 } = {},
): Said {
  const { model, kernels } = parts;
  const kvCache = cacheOver(kernels, parts.kvCache.layout);
  const core = new EngineCore({ model, kernels, kvCache, maxSequences: 64, stepCosts: costs });
  const all = [...prompt, ...text];
  const { forward } = model;
  model.forward = (...args) => {
    const logits = forward.apply(model, args);
    const { offset, length } = model.batch.wantedPositions;
    for (const [i, position] of kernels.i32(offset, length).entries())
      kernels.f32(logits.offset + 4 * i * logits.stride, logits.cols)[all[position + 1] ?? 0] = 1e9;
    kernels.stretchMaxima(model.maxima, logits);
    return logits;
  };
  const jobs = Array.from({ length: 1 + others }, () => new Saying(core, prompt, text.length, speculate));
  while (jobs.some(({ outcome }) => outcome === null)) core.step();
  model.forward = forward;
  const [{ outcome, tokens }] = jobs;
  expect(tokens).toEqual(text);
  return { ...outcome!, tokens };
}

class Saying {
  readonly tokens: number[] = [];
  outcome: GenerationOutcome | null = null;

  constructor(core: EngineCore, prompt: readonly number[], maxTokens: number, speculate: number) {
    const { vocabSize } = core.model.spec;
    const request = {
      ...({ prompt, maxTokens, mode: "cached", n: 1, bestOf: 1, beams: null, speculate } as const),
      sampling: resolveSampling({ temperature: 0 }, {}, vocabSize),
      ...{ salt: null, tenant: "", constraint: null, endsByText: false, eosTokenIds: new Set<number>() },
    };
    new GenerationJob(core, new SamplingScratch(vocabSize), request, {
      tokens: (_, chosen) => this.tokens.push(...chosen.map(({ token }) => token)),
      finished: () => undefined,
      end: (outcome) => {
        this.outcome = outcome;
      },
      fail: (error) => {
        throw error;
      },
    }).begin();
  }
}

const passage = Array.from({ length: 120 }, (_, i) => (i * 37) % 500);
const fresh = Array.from({ length: 120 }, (_, i) => 500 + ((i * 37) % 500));

describe("the number of passes", () => {
  test("a copy of the prompt is accepted nearly whole, and takes a tenth of the passes", () => {
    const copy = passage.slice(0, 100);
    const said = say([...passage, 700], copy, FREE);
    expect(said.inferences).toBe(100);
    expect(said.passes).toBeLessThan(15);
    expect(said.accepted).toBe(100 - said.passes);
    expect(said.accepted / said.proposed).toBeGreaterThan(0.9);
    expect(said.rowsComputed).toBe(121 + said.passes - 1 + said.proposed);
    expect(say([...passage, 700], copy, FREE, { speculate: 4 }).passes).toBeLessThan(30);
  });

  test("where rows are dear, and where nothing was asked for, every token has a pass of its own", () => {
    for (const said of [
      say([...passage, 700], passage.slice(0, 60), DEAR),
      say([...passage, 700], passage.slice(0, 60), FREE, { speculate: 0 }),
    ]) {
      expect(said).toMatchObject({ passes: 60, proposed: 0, accepted: 0, rowsComputed: 121 + 59 });
    }
  });

  test("a text that does not repeat itself proposes nothing, by measured costs, too", () => {
    for (const costs of [FREE, undefined]) {
      expect(say(passage, fresh, costs)).toMatchObject({ passes: 120, proposed: 0, accepted: 0 });
    }
  });

  test("is chosen with the other sequences of a step in mind", () => {
    const cheap = rowsCost(0.3);
    const alone = say([...passage, 700], passage.slice(0, 60), cheap);
    const beside = say([...passage, 700], passage.slice(0, 60), cheap, { others: 7 });
    expect(alone.passes).toBeLessThan(30);
    expect(beside.proposed).toBe(0);
  });

  test("what steps take is told after each that decodes, and only after those", () => {
    const told: [number, number, boolean][] = [];
    const costs = {
      of: FREE.of,
      observe: (sequences: number, rows: number, ms: number) => told.push([sequences, rows, ms > 0]),
    };
    const { passes, proposed } = say([...passage, 700], passage.slice(0, 60), costs);
    expect(told).toHaveLength(passes - 1);
    expect(told.every(([sequences, , isTime]) => sequences === 1 && isTime)).toBe(true);
    expect(told.reduce((sum, [, rows]) => sum + rows, 0)).toBe(passes - 1 + proposed);
  });
});

import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { beamSearchTwin, type TransitionTable } from "../../test/beam-search-twin.js";
import { modelFolders } from "../../test/fixture-models.js";
import { goldenBeams } from "../../test/golden-beams.js";
import { load } from "../library/load.js";
import { BeamSearch, type BeamSearchOptions } from "./beam-search.js";
import { logNormalizer, logSoftmaxAt } from "./logprobs.js";

const MINUS = Number.NEGATIVE_INFINITY;
const DEFAULTS: BeamSearchOptions = {
  numBeams: 2,
  maxNewTokens: 4,
  lengthPenalty: 1,
  earlyStopping: false,
  eosTokenIds: new Set(),
  numReturnSequences: 2,
};
const row = (...probabilities: number[]) => Float64Array.from(probabilities, Math.log);

/** Follows the search with a table, keeping the tokens of every live beam as an engine would keep its rows. */
async function drive(
  search: BeamSearch,
  logprobsAfter: (generated: readonly number[]) => Promise<Float64Array> | Float64Array,
): Promise<number[][][]> {
  const steps: number[][][] = [];
  let live: number[][] = [[]];
  while (!search.done) {
    expect(search.numLive).toBe(live.length);
    const { parents, tokens } = search.step(await Promise.all(live.map(logprobsAfter)));
    live = parents.map((parent, i) => [...live[parent]!, tokens[i]!]);
    if (!search.done) steps.push(live);
  }
  expect(live).toEqual([]);
  return steps;
}

describe("by hand", () => {
  test("two beams, three steps", () => {
    const search = new BeamSearch({ ...DEFAULTS, maxNewTokens: 3, lengthPenalty: 0 });
    expect(search.step([row(0.5, 0.4, 0.1)])).toEqual({ parents: [0, 0], tokens: [0, 1] });
    // 0.5 · (0.4, 0.3, 0.3), 0.4 · (0.1, 0.8, 0.1)
    expect(search.step([row(0.4, 0.3, 0.3), row(0.1, 0.8, 0.1)])).toEqual({
      parents: [1, 0],
      tokens: [1, 0],
    });
    expect(search.done).toBe(false);
    // 0.32 · (0.5, 0.2, 0.3), 0.2 · (0, 0, 1)
    expect(search.step([row(0.5, 0.2, 0.3), row(0, 0, 1)])).toEqual({ parents: [], tokens: [] });
    expect(search.done).toBe(true);
    const [first, second, ...others] = search.finish();
    expect(others).toEqual([]);
    expect(first).toMatchObject({ tokens: [0, 0, 2], finishedBy: "length" });
    expect(first!.score).toBeCloseTo(Math.log(0.2), 12);
    expect(second!.tokens).toEqual([1, 1, 0]);
    expect(second!.score).toBeCloseTo(Math.log(0.16), 12);
  });

  test("an end token counts only among the numBeams best candidates", () => {
    const options = { ...DEFAULTS, eosTokenIds: new Set([3]), maxNewTokens: 2, lengthPenalty: 0 };
    const third = new BeamSearch(options);
    expect(third.step([row(0.4, 0.3, 0.05, 0.25)]).tokens).toEqual([0, 1]);
    third.step([row(0.7, 0.1, 0.1, 0.1), row(0.7, 0.1, 0.1, 0.1)]);
    expect(third.finish().map(({ tokens }) => tokens)).toEqual([
      [0, 0],
      [1, 0],
    ]);
    const second = new BeamSearch(options);
    expect(second.step([row(0.4, 0.25, 0.05, 0.3)]).tokens).toEqual([0, 1]);
    second.step([row(0.7, 0.1, 0.1, 0.1), row(0.7, 0.1, 0.1, 0.1)]);
    expect(second.finish().map(({ tokens, finishedBy }) => [tokens, finishedBy])).toEqual([
      [[3], "eos"],
      [[0, 0], "length"],
    ]);
  });

  test("an end token as the last token that fits has ended the text", () => {
    const search = new BeamSearch({ ...DEFAULTS, eosTokenIds: new Set([1]), maxNewTokens: 1 });
    search.step([row(0.5, 0.4, 0.1)]);
    expect(search.finish().map(({ tokens, finishedBy }) => [tokens, finishedBy])).toEqual([
      [[0], "length"],
      [[1], "eos"],
    ]);
  });

  test("equal sums: the lower beam, then the lower token", () => {
    const search = new BeamSearch({ ...DEFAULTS, numBeams: 3, numReturnSequences: 3 });
    const flat = new Float32Array(5).fill(-1.5);
    expect(search.step([flat])).toEqual({ parents: [0, 0, 0], tokens: [0, 1, 2] });
    const later = Float32Array.of(-3, -2, -3, -2, -3);
    expect(search.step([later, flat, later])).toEqual({ parents: [1, 1, 1], tokens: [0, 1, 2] });
    expect(search.step([later, later, flat])).toEqual({ parents: [2, 2, 2], tokens: [0, 1, 2] });
    search.step([flat, later, flat]);
    expect(search.finish().map(({ tokens }) => tokens)).toEqual([0, 1, 2].map((token) => [1, 2, 0, token]));
  });

  test.each<[boolean | "never", number, number[][]]>([
    // Once [2] (log 0.4) and [0, 2] (log 0.3 / 2) have ended.
    [true, 2, [[0, 2], [2]]],
    // [0, 0] could still be better than [2]; then [0, 0, 0] no better than [0, 0, 2].
    [
      false,
      3,
      [
        [0, 2],
        [0, 0, 2],
      ],
    ],
    // Until (log 0.6 + 18 log 0.5) / 20 is below log 0.15 / 3.
    [
      "never",
      19,
      [
        [0, 2],
        [0, 0, 2],
      ],
    ],
  ])("earlyStopping %j", async (earlyStopping, steps, texts) => {
    const search = new BeamSearch({
      ...DEFAULTS,
      earlyStopping,
      eosTokenIds: new Set([2]),
      maxNewTokens: 20,
    });
    const live = await drive(search, ({ length }) => (length === 0 ? row(0.6, 0, 0.4) : row(0.5, 0, 0.5)));
    expect(live.length + 1).toBe(steps);
    expect(search.finish().map(({ tokens }) => tokens)).toEqual(texts);
  });

  test.each<[number, number]>([
    // From step 3 on each text ends with 0.6: log 0.6 / 3. What goes on has 4 · log 0.4 / 20 after step 6.
    [1, 6],
    // Length favours nothing, or the short: what goes on is worse at once.
    [0, 3],
    [-1, 3],
  ])('"never" looks ahead only where length is favoured: lengthPenalty %d', async (lengthPenalty, steps) => {
    const search = new BeamSearch({
      numBeams: 1,
      numReturnSequences: 1,
      maxNewTokens: 20,
      eosTokenIds: new Set([0]),
      earlyStopping: "never",
      lengthPenalty,
    });
    const live = await drive(search, ({ length }) => (length < 2 ? row(0, 1) : row(0.6, 0.4)));
    expect(live.length + 1).toBe(steps);
    expect(search.finish().map(({ tokens }) => tokens)).toEqual([[1, 1, 0]]);
  });

  test("before it is done, live beams count as they are", () => {
    const search = new BeamSearch({ ...DEFAULTS, eosTokenIds: new Set([2]) });
    expect(search.finish()).toEqual([]);
    search.step([row(0.5, 0.1, 0.4)]);
    expect(search.finish()).toEqual([
      { tokens: [0], score: Math.log(0.5), finishedBy: "length" },
      { tokens: [2], score: Math.log(0.4), finishedBy: "eos" },
    ]);
    expect(search.numLive).toBe(2);
  });

  test("tokens of −Infinity are never taken, even if fewer beams than asked for remain", () => {
    const search = new BeamSearch({ ...DEFAULTS, numBeams: 4, numReturnSequences: 4, maxNewTokens: 2 });
    expect(search.step([row(0, 1, 0)])).toEqual({ parents: [0], tokens: [1] });
    expect(search.numLive).toBe(1);
    search.step([row(0.5, 0, 0.5)]);
    expect(search.finish().map(({ tokens }) => tokens)).toEqual([
      [1, 0],
      [1, 2],
    ]);
  });

  test("it is done when every beam has ended", () => {
    const search = new BeamSearch({ ...DEFAULTS, eosTokenIds: new Set([0]) });
    expect(search.step([row(1, 0, 0)])).toEqual({ parents: [], tokens: [] });
    expect(search.done).toBe(true);
    expect(search.finish()).toEqual([{ tokens: [0], score: 0, finishedBy: "eos" }]);
  });
});

/** Few different values, so that sums tie often, or arbitrary ones. */
const tables = fc
  .record({ vocabSize: fc.integer({ min: 2, max: 12 }), seed: fc.nat(), isCoarse: fc.boolean() })
  .map(({ vocabSize, seed, isCoarse }) => {
    const table: TransitionTable = (generated) => {
      let state = seed;
      // Depends on the last two tokens and on how many there are.
      for (const token of [generated.length, ...generated.slice(-2)]) state = mixed(state ^ (token + 1));
      return Array.from({ length: vocabSize }, () => {
        state = mixed(state);
        if (state % 7 === 0) return MINUS;
        return isCoarse ? -(state % 4) / 4 : -state / 2 ** 30;
      });
    };
    return { vocabSize, table };
  });

/** A 32-bit mixing step: multiply and fold. */
function mixed(value: number): number {
  const product = Math.imul(value ^ (value >>> 15), 0x2c1b3c6d);
  return (Math.imul(product ^ (product >>> 12), 0x297a2d39) ^ (product >>> 3)) >>> 0;
}

const penalties = fc.oneof(
  fc.constantFrom(-1, -0.5, 0, 0.5, 1, 1.5, 2),
  // None so small that length ^ penalty is a rounding error: which of two equal sums is then the larger score is chance.
  fc.integer({ min: -64, max: 128 }).map((n) => n / 64),
);
const searches = tables.chain((model) =>
  fc
    .record({
      numBeams: fc.integer({ min: 1, max: 6 }),
      maxNewTokens: fc.integer({ min: 1, max: 8 }),
      lengthPenalty: penalties,
      earlyStopping: fc.constantFrom<boolean | "never">(true, false, "never"),
      eos: fc.uniqueArray(fc.nat({ max: model.vocabSize - 1 }), { maxLength: 3 }),
      numReturn: fc.integer({ min: 1, max: 6 }),
    })
    .map(({ eos, numReturn, ...rest }) => ({
      model,
      options: {
        ...rest,
        eosTokenIds: new Set(eos),
        numReturnSequences: Math.min(numReturn, rest.numBeams),
      } satisfies BeamSearchOptions,
    })),
);

/** Whether a table leaves every beam something to go on with, which is what `step` demands. */
function hasContinuations(table: TransitionTable, steps: readonly (readonly number[][])[]): boolean {
  return [[[]], ...steps].every((live) =>
    live.some((prefix) => table(prefix).some((logprob) => logprob > MINUS)),
  );
}

describe("against twins", () => {
  test("the definition, written out", async () => {
    let eosEnds = 0;
    await fc.assert(
      fc.asyncProperty(searches, async ({ model, options }) => {
        const expected = beamSearchTwin(model.table, options);
        fc.pre(hasContinuations(model.table, expected.steps));
        const search = new BeamSearch(options);
        const steps = await drive(search, (generated) => Float64Array.from(model.table(generated)));
        expect(steps).toEqual(expected.steps);
        const found = search.finish();
        expect(found.map(({ tokens, finishedBy }) => ({ tokens, finishedBy }))).toEqual(
          expected.hypotheses.map(({ tokens, finishedBy }) => ({ tokens, finishedBy })),
        );
        for (const [i, { score }] of found.entries()) {
          const other = expected.hypotheses[i]!.score;
          expect(Math.abs(score - other)).toBeLessThanOrEqual(4e-14 * Math.abs(other));
        }
        if (found[0]?.finishedBy === "eos" && steps.length > 0) eosEnds++;
      }),
      { numRuns: 1500 },
    );
    expect(eosEnds).toBeGreaterThan(100);
  });

  test("as many beams as there are texts: all of them, in order", async () => {
    await fc.assert(
      fc.asyncProperty(
        tables,
        penalties,
        fc.integer({ min: 1, max: 4 }),
        async (model, lengthPenalty, longest) => {
          const table: TransitionTable = (generated) => model.table(generated).slice(0, 3).map(finite);
          const eosTokenIds = new Set([1]);
          const all = endedTexts(table, eosTokenIds, longest).map(
            ({ tokens, sum }) => sum / tokens.length ** lengthPenalty,
          );
          const search = new BeamSearch({
            ...DEFAULTS,
            numBeams: 120,
            numReturnSequences: 120,
            maxNewTokens: longest,
            lengthPenalty,
            eosTokenIds,
          });
          await drive(search, (generated) => Float64Array.from(table(generated)));
          const scores = search.finish().map(({ score }) => score);
          expect(scores.length).toBe(all.length);
          for (const [i, score] of all.toSorted((a, b) => b - a).entries())
            expect(scores[i]).toBeCloseTo(score, 10);
        },
      ),
    );
  });

  test("one beam and no end token: the best token each time", async () => {
    await fc.assert(
      fc.asyncProperty(tables, async ({ table }) => {
        const finiteTable: TransitionTable = (generated) => table(generated).map(finite);
        const search = new BeamSearch({ ...DEFAULTS, numBeams: 1, numReturnSequences: 1, maxNewTokens: 8 });
        await drive(search, (generated) => Float64Array.from(finiteTable(generated)));
        const greedy: number[] = [];
        while (greedy.length < 8) {
          const logprobs = finiteTable(greedy);
          greedy.push(logprobs.indexOf(Math.max(...logprobs)));
        }
        expect(search.finish()[0]!.tokens).toEqual(greedy);
      }),
    );
  });

  test("candidates of a large vocabulary", () => {
    const size = 4000;
    let state = 1;
    const rows = Array.from({ length: 8 }, () =>
      Float32Array.from({ length: size }, () => {
        state = mixed(state + 1);
        return -(state % 2 ** 14) / 1000;
      }),
    );
    const search = new BeamSearch({ ...DEFAULTS, numBeams: 8, numReturnSequences: 8 });
    const first = search.step([rows[0]!]);
    const sums = first.tokens.map((token) => rows[0]![token]!);
    const { parents, tokens } = search.step(rows);
    const sorted = rows
      .flatMap((values, beam) =>
        [...values].map((value, token) => ({ beam, token, sum: sums[beam]! + value })),
      )
      .sort((a, b) => b.sum - a.sum)
      .slice(0, 8);
    expect(parents).toEqual(sorted.map(({ beam }) => beam));
    expect(tokens).toEqual(sorted.map(({ token }) => token));
  });
});

function finite(logprob: number): number {
  return Math.max(logprob, -4.125);
}

/** All texts there are: up to an end token, or the longest. */
function endedTexts(
  table: TransitionTable,
  eosTokenIds: ReadonlySet<number>,
  longest: number,
  from: { tokens: number[]; sum: number } = { tokens: [], sum: 0 },
): { tokens: number[]; sum: number }[] {
  if (from.tokens.length === longest || eosTokenIds.has(from.tokens.at(-1)!)) return [from];
  return table(from.tokens).flatMap((logprob, token) =>
    endedTexts(table, eosTokenIds, longest, { tokens: [...from.tokens, token], sum: from.sum + logprob }),
  );
}

describe("Hugging Face transformers, float64", () => {
  /** Ours come from f32 logits; theirs are sums in f32. Scores go up to 250. */
  const RELATIVE_TOLERANCE = 1e-6;

  test.each(["tiny", "odd"] as const)("%s", async (name) => {
    const cases = await goldenBeams(name);
    const lm = await load(modelFolders[name]);
    try {
      for (const { ids, eosTokenId, sequences, scores, ...settings } of cases) {
        const eosTokenIds = new Set(eosTokenId === null ? [] : [eosTokenId]);
        const search = new BeamSearch({ ...settings, eosTokenIds, numReturnSequences: settings.numBeams });
        await drive(search, async (generated) => {
          const { logits } = await lm.logits([...ids, ...generated]);
          const normalizer = logNormalizer(logits);
          return Float64Array.from(logits, (_, token) => logSoftmaxAt(logits, token, normalizer));
        });
        const found = search.finish();
        const untilEnd = (tokens: number[]) => {
          const end = tokens.findIndex((token) => eosTokenIds.has(token));
          return end < 0 ? tokens : tokens.slice(0, end + 1);
        };
        expect(found.map(({ tokens }) => tokens)).toEqual(sequences.map(untilEnd));
        for (const [i, score] of scores.entries()) {
          expect(Math.abs(found[i]!.score - score)).toBeLessThan(RELATIVE_TOLERANCE * Math.abs(score));
        }
      }
    } finally {
      await lm.dispose();
    }
  });
});

describe("refused", () => {
  test.each<[Partial<BeamSearchOptions>, string]>([
    [{ numBeams: 0 }, "numBeams is 0; it must be an integer from 1."],
    [{ numBeams: 2.5 }, "numBeams is 2.5; it must be an integer from 1."],
    [{ maxNewTokens: 0 }, "maxNewTokens is 0; it must be an integer from 1."],
    [{ numReturnSequences: 3 }, "numReturnSequences is 3; it must be an integer from 1 to 2."],
    [{ lengthPenalty: Number.NaN }, "lengthPenalty is NaN; it must be from -20 to 20."],
    [{ lengthPenalty: -21 }, "lengthPenalty is -21; it must be from -20 to 20."],
    [{ earlyStopping: "always" as "never" }, 'earlyStopping is always; it must be true, false or "never".'],
  ])("options %j", (options, message) => {
    expect(() => new BeamSearch({ ...DEFAULTS, ...options })).toThrow(
      expect.objectContaining({ name: "LastrowError", code: "invalid_argument", message }),
    );
  });

  test("rows that do not fit, and nothing has changed", () => {
    const search = new BeamSearch(DEFAULTS);
    search.step([row(0.5, 0.3, 0.2)]);
    const before = search.finish();
    const good = row(0.6, 0.2, 0.2);
    const refused = (rows: Float64Array[], code: string, message: string) =>
      expect(() => search.step(rows)).toThrow(expect.objectContaining({ code, message }));
    refused([good], "invalid_argument", "1 rows of log-probabilities were given; there are 2 live beams.");
    refused(
      [good, row(0.5, 0.5)],
      "invalid_argument",
      "Rows of 3 and of 2 log-probabilities were given; they must be of one length.",
    );
    const notNumbers = "it must be finite or -Infinity.";
    refused(
      [good, Float64Array.of(-1, Number.NaN, -1)],
      "numerical_error",
      `The log-probability of token 1 after beam 1 is NaN; ${notNumbers}`,
    );
    refused(
      [Float64Array.of(-1, -1, Number.POSITIVE_INFINITY), good],
      "numerical_error",
      `The log-probability of token 2 after beam 0 is Infinity; ${notNumbers}`,
    );
    refused(
      [row(0, 0, 0), row(0, 0, 0)],
      "numerical_error",
      "Every log-probability is -Infinity; no beam has a continuation.",
    );
    expect(search.finish()).toEqual(before);
    expect(search.step([good, good])).toEqual({ parents: [0, 1], tokens: [0, 0] });
  });

  test("a step after the end", () => {
    const search = new BeamSearch({ ...DEFAULTS, maxNewTokens: 1 });
    search.step([row(0.5, 0.5)]);
    expect(() => search.step([])).toThrow(expect.objectContaining({ code: "invalid_argument" }));
  });
});

/** What is read off prompts: rows after the final norm, means of them, logits of single tokens; beside all else that runs. */
import { readFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { readSafetensorsHeader } from "../../src/formats/safetensors.js";
import { LanguageModel } from "../../src/library/language-model.js";
import type { LoadOptions } from "../../src/library/load-options.js";
import type { ModelSource } from "../../src/platform/platform.js";
import type { ReadoutOf } from "../../src/protocol/readout-request.js";
import { readNaiveModel } from "../conformance/naive-decoder.js";
import { FedSequence } from "../fed-sequence.js";
import {
  arbitraryTokens,
  familyCases,
  familyFolder,
  type GoldenCase,
  goldenCases,
  modelFolders,
} from "../fixture-models.js";
import { memoryFile, memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";
import { expectAllDisposed, expectNothingLeft, loadWatched } from "./nothing-left.js";
import { run, SteppedEngine, steppedModel } from "./stepped-engine.js";

type Loaded = Awaited<ReturnType<typeof loadWatched>>;

const LAST = { kind: "last" } as const;
const MEAN = { kind: "mean" } as const;

afterEach(expectNothingLeft);
afterAll(expectAllDisposed);

/** Loads a model for one test. */
async function withModel<T>(
  source: ModelSource,
  options: LoadOptions,
  use: (loaded: Loaded) => T,
): Promise<Awaited<T>> {
  const loaded = await loadWatched(source, options);
  try {
    return await use(loaded);
  } finally {
    await loaded.engine.dispose("the model");
  }
}

/** (C) of each token, by hand. */
function hiddenRows({ core }: Loaded, tokens: readonly number[]): Float32Array[] {
  const sequence = new FedSequence(core);
  const rows = [...sequence.allHidden(tokens)];
  sequence.dispose();
  return rows;
}

function meanOf(rows: readonly Float32Array[]): number[] {
  return Array.from(rows[0], (_, c) => rows.reduce((sum, row) => sum + row[c], 0) / rows.length);
}

async function readOut(
  { engine }: Pick<Loaded, "engine">,
  prompt: readonly number[],
  of: ReadoutOf,
  more: { readonly salt?: string | null; readonly tenant?: string; readonly signal?: AbortSignal } = {},
) {
  const { salt = "", tenant = "", signal } = more;
  const outcome = await engine.computeReadout({ prompt, of, salt, tenant }, signal);
  return outcome && { ...outcome, vector: [...outcome.vector] };
}

const MODELS: readonly (readonly [string, string, () => Promise<GoldenCase[]>])[] = [
  ["tiny", modelFolders.tiny, () => goldenCases("tiny")],
  ["llama", familyFolder("llama"), () => familyCases("llama")],
  ["qwen3", familyFolder("qwen3"), () => familyCases("qwen3")],
];

describe.each(MODELS)("%s", (_, folder, cases) => {
  test("what is read off, times the head, is the golden logits, and has the bits of the logits", async () => {
    const files = await Promise.all(
      ["config.json", "model.safetensors"].map(async (name) => [
        name,
        new Uint8Array(await readFile(`${folder}/${name}`)),
      ]),
    );
    const { weights } = await readNaiveModel(Object.fromEntries(files));
    const head = weights.get("head") ?? weights.get("embedding")!;
    await withModel(folder, { threads: 1 }, async (loaded) => {
      for (const { ids, logits } of await cases()) {
        const { vector } = (await readOut(loaded, ids, LAST))!;
        const own = (await loaded.engine.computeReadout(
          {
            prompt: ids,
            of: { kind: "logits", tokens: head.map((_, token) => token) },
            salt: null,
            tenant: "",
          },
          undefined,
        ))!.vector;
        const golden = logits.subarray(-head.length);
        for (const [token, weight] of head.entries()) {
          const inF32 = weight.reduce((sum, w, k) => Math.fround(sum + Math.fround(vector[k] * w)), 0);
          expect(own[token] === inF32, `logit ${token} after ${ids.length} tokens`).toBe(true);
          expect(Math.abs(inF32 - golden[token])).toBeLessThan(2e-4);
        }
      }
    });
  });
});

describe("a prompt", () => {
  let loaded: Loaded;
  beforeAll(async () => {
    // Steps of 24 rows: prompts are fed in pieces.
    loaded = await loadWatched(modelFolders.tiny, { tokenBudget: 24, kvMemory: "512KiB" });
  });
  afterAll(() => loaded.engine.dispose("the model"));
  const prompt = arbitraryTokens(61, 307, 5);

  test("gives its last row, its mean in the order of positions, and logits of single tokens", async () => {
    const rows = hiddenRows(loaded, prompt);
    expect((await readOut(loaded, prompt, LAST))?.vector).toEqual([...rows.at(-1)!]);
    expect((await readOut(loaded, prompt, MEAN))?.vector).toEqual(meanOf(rows));
    const { logits } = await new LanguageModel(loaded).logits(prompt);
    const tokens = [306, 0, 17];
    expect((await readOut(loaded, prompt, { kind: "logits", tokens }))?.vector).toEqual(
      tokens.map((token) => logits[token]),
    );
    const [one] = hiddenRows(loaded, [7]);
    expect((await readOut(loaded, [7], MEAN))?.vector).toEqual([...one]);
  });

  test("shares what others have computed, but for a mean; its salt keeps it apart", async () => {
    const salt = "shares";
    await readOut(loaded, prompt, MEAN, { salt });
    const first = await readOut(loaded, prompt, LAST, { salt });
    expect(first).toMatchObject({ numCachedTokens: 0, rowsComputed: 61 });
    const again = await readOut(loaded, prompt, LAST, { salt });
    expect(again).toMatchObject({ numCachedTokens: 48, rowsComputed: 13, vector: first!.vector });
    expect(await readOut(loaded, prompt, LAST, { salt: "another" })).toMatchObject({ numCachedTokens: 0 });
    expect(await readOut(loaded, prompt, LAST, { salt: null })).toMatchObject({ numCachedTokens: 0 });
    const mean = await readOut(loaded, prompt, MEAN, { salt });
    expect(mean).toMatchObject({
      numCachedTokens: 0,
      rowsComputed: 61,
      vector: meanOf(hiddenRows(loaded, prompt)),
    });
    // What it left serves generations, and what they leave serves it.
    const lm = new LanguageModel(loaded);
    expect((await lm.generate(prompt, { maxTokens: 1, salt }).result()).numCachedTokens).toBe(48);
    const { tokens } = await lm.generate(prompt, { maxTokens: 20, salt, ignoreEos: true, seed: 1 }).result();
    expect(
      await readOut(loaded, [...prompt.slice(0, 61), ...tokens].slice(0, 64), LAST, { salt }),
    ).toMatchObject({
      numCachedTokens: 48,
    });
  });

  test("has the same bits beside others, and where it must give way", async () => {
    const texts = Array.from({ length: 24 }, (_, i) => arbitraryTokens(1 + ((i * 13) % 64), 307, i));
    const alone = [];
    for (const text of texts) {
      alone.push([await readOut(loaded, text, LAST, { salt: null }), await readOut(loaded, text, MEAN)]);
    }
    const { preemptions } = (await loaded.engine.stats()).sequences;
    const lm = new LanguageModel(loaded);
    const generations = texts.slice(0, 6).map((text, i) => {
      return lm
        .generate(text.slice(0, 20), { maxTokens: 40, ignoreEos: true, seed: i, tenant: "writes" })
        .result();
    });
    const beside = await Promise.all(
      texts.map((text, i) => {
        const tenant = `t${i % 3}`;
        return Promise.all([
          readOut(loaded, text, LAST, { tenant }),
          readOut(loaded, text, MEAN, { tenant }),
        ]);
      }),
    );
    await Promise.all(generations);
    expect((await loaded.engine.stats()).sequences.preemptions).toBeGreaterThan(preemptions);
    for (const [i, pair] of beside.entries()) {
      for (const [k, outcome] of pair.entries())
        expect(outcome?.vector, `${i}, ${k}`).toEqual(alone[i][k]?.vector);
    }
  });

  test("can be cancelled: before it began, and on its way", async () => {
    expect(await readOut(loaded, prompt, MEAN, { signal: AbortSignal.abort() })).toBeNull();
    const controller = new AbortController();
    const { rows } = await loaded.engine.stats();
    const all = Promise.all(
      Array.from({ length: 20 }, () => readOut(loaded, prompt, MEAN, { signal: controller.signal })),
    );
    await readOut(loaded, [1], LAST, { tenant: "another" });
    controller.abort();
    expect((await all).filter((outcome) => outcome === null).length).toBeGreaterThan(10);
    expect((await loaded.engine.stats()).rows - rows).toBeLessThan(15 * prompt.length);
  });
});

test("without room even alone, and where numbers overflow, a prompt fails, and others do not", async () => {
  const tight = { kvMemory: "32KiB", contextLength: 64 } as const;
  await withModel(modelFolders.tiny, tight, async (loaded) => {
    const rows = loaded.core.capacity.rows;
    const tooLong = readOut(loaded, arbitraryTokens(rows + 1, 307), LAST);
    await expect(tooLong).rejects.toMatchObject({ code: "kv_memory_exhausted" });
    expect(await readOut(loaded, arbitraryTokens(rows, 307), MEAN)).not.toBeNull();
  });
  const failure = { code: "numerical_error" };
  await withModel(memoryFiles("m", randomModelFiles({ std: 1e38 })), { threads: 1 }, async (loaded) => {
    for (const of of [LAST, MEAN, { kind: "logits", tokens: [0] } as const]) {
      await expect(readOut(loaded, [1, 2, 3], of)).rejects.toMatchObject(failure);
    }
  });
  // Infinite, and no NaN: by gains of the final norm.
  const files = randomModelFiles();
  const bytes = files["model.safetensors"];
  const { tensors } = await readSafetensorsHeader(memoryFile("model.safetensors", bytes));
  const { begin, end } = tensors.get("transformer.ln_f.weight")!;
  const gains = new DataView(bytes.buffer, bytes.byteOffset + begin, end - begin);
  for (let at = 0; at < gains.byteLength; at += 4) gains.setFloat32(at, 3.4e38, true);
  await withModel(memoryFiles("m", files), { threads: 1 }, async (loaded) => {
    const values = hiddenRows(loaded, [1, 2, 3]).flatMap((row) => [...row]);
    expect([values.some(Number.isNaN), values.every(Number.isFinite)]).toEqual([false, false]);
    for (const of of [LAST, MEAN]) {
      await expect(readOut(loaded, [1, 2, 3], of)).rejects.toMatchObject(failure);
    }
  });
});

test("hidden rows take no room for logits", async () => {
  const parts = await steppedModel();
  const engine = new SteppedEngine(parts);
  // As many as there is room for logits, and before the others.
  const hidden = engine.start(run(0, parts.model.maxLogitsRows), { logitsFrom: 0, wantedAs: "hidden" });
  const prompt = engine.start(run(500, 100));
  expect(engine.step()).toEqual({ 1: parts.model.maxLogitsRows, 2: 100 });
  expect(engine.served).toEqual([prompt, hidden]);
  for (const sequence of [hidden, prompt]) engine.core.end(sequence);
  await parts.kernels.dispose();
});

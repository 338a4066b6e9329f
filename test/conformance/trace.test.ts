/**
 * The trace against arithmetic: on the real kernels, in the middle of a forward pass, a row of a tensor is overwritten.
 * Where the trace says that a row of logits was not made from it, its bits stay; where it says that it was, a NaN in it
 * arrives. Scores and softmax, which the kernels keep to themselves, are overwritten between the steps of an attention of
 * the test's own, whose bits are the kernels'. And what the trace says a pass costs is what the kernels counted, and what
 * a hand counts.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { readModelConfig } from "../../src/architectures/read-config.js";
import { firstDifferentBits } from "../../src/client/comparison.js";
import {
  ancestors,
  type RowSet,
  type Trace,
  type TracedTensor,
  tensorNamed,
  totalMultiplyAdds,
  traceForward,
} from "../../src/explain/index.js";
import { tracedMultiplyAdds } from "../../src/explain/trace-forward.js";
import {
  type AttentionCall,
  columns,
  type Kernels,
  rows as rowsOf,
  type Tensor,
} from "../../src/kernels/kernels.js";
import { BLOCK_SIZE, kvOffset, scaleOffset, slotOf, valueOffset } from "../../src/kernels/kv-layout.js";
import { folderFiles } from "../../src/platform/disk-files.js";
import { attentionInSteps, type OnAttentionStep } from "../attention-in-steps.js";
import { FedSequence, type ModelParts } from "../fed-sequence.js";
import { arbitraryTokens, familyFolder, familyNames, modelFolders } from "../fixture-models.js";
import { loadInProcess } from "../in-process.js";
import { memoryFiles } from "../memory-files.js";
import { randomModelFiles } from "../random-model.js";

/** Operations that write a tensor, each of which is one tensor of the trace. */
const WRITING = [
  "embed",
  "addRowsAt",
  "gatherRows",
  "add",
  "layerNorm",
  "rmsNorm",
  "rotate",
  "linear",
  "activate",
  "gate",
  "scale",
  "softcap",
  "attention",
] as const;
/** What attention makes on its way and leaves nowhere. */
const INSIDE_ATTENTION: readonly string[] = ["scores", "softmax"];
const RECORDED = [...WRITING.filter((name) => name !== "attention"), "weightedValues"] as readonly string[];

/** Makes kernels call back after each tensor that they write. Returns how to stop it. */
function watch(kernels: Kernels, onWritten: (place: Tensor, call: number) => void): () => void {
  let call = 0;
  const patched = kernels as unknown as Record<string, unknown>;
  for (const name of WRITING) {
    const original = kernels[name] as (...args: unknown[]) => void;
    patched[name] = (...args: unknown[]) => {
      original.apply(kernels, args);
      const place = (name === "attention" ? (args[0] as { out: Tensor }).out : args[0]) as Tensor;
      if (place.rows > 0) onWritten(place, call++);
    };
  }
  return () => {
    for (const name of WRITING) delete patched[name];
  };
}

/** Makes kernels compute attention in steps. Returns how to stop it. */
function stepThroughAttention(kernels: Kernels, onStep: OnAttentionStep): () => void {
  const patched = kernels as unknown as Record<string, unknown>;
  patched.attention = (call: AttentionCall) => attentionInSteps(kernels, call, onStep);
  return () => {
    delete patched.attention;
  };
}

interface Overwritten {
  readonly tensor: TracedTensor;
  readonly row: number;
  readonly value: number;
}

type TracedModel = Pick<Awaited<ReturnType<typeof loadInProcess>>, "core" | "info">;

/** A pass over the last of some tokens, on real kernels and in the trace. */
class TracedRun {
  readonly trace: Trace;
  /** For each row of logits what it was made from. */
  readonly needed: readonly RowSet[];
  readonly #parts: ModelParts;
  readonly #sequence: FedSequence;
  readonly #logits: "last" | "all";
  /** Tensors of the trace that one call of the kernels writes, in their order. */
  readonly #written: readonly TracedTensor[];

  constructor(
    { core: parts, info }: TracedModel,
    tokens: readonly number[],
    numCachedTokens: number,
    logits: "last" | "all",
  ) {
    this.trace = traceForward(info.config, { tokens, numCachedTokens, logits });
    const head = this.trace.tensors[this.trace.tensors.length - 1];
    this.needed = Array.from({ length: head.rows }, (_, row) => ancestors(this.trace, head, row));
    this.#parts = parts;
    this.#logits = logits;
    this.#written = this.trace.tensors.filter(({ operation }) => RECORDED.includes(operation));
    this.#sequence = new FedSequence(parts);
    if (numCachedTokens > 0) this.#sequence.feed(tokens.slice(0, numCachedTokens), "none");
  }

  /** Copies of the logits' rows, with a row of a tensor overwritten as soon as it is made. */
  logits(overwritten: Overwritten | null) {
    const { kernels } = this.#parts;
    if (overwritten !== null && INSIDE_ATTENTION.includes(overwritten.tensor.operation)) {
      return this.logitsInSteps(overwritten);
    }
    const stop = watch(kernels, (place, call) => {
      if (overwritten === null) return;
      const part = this.#placeIn(this.#written[call], place, overwritten.tensor);
      if (part === null) return;
      const row = rowsOf(part, overwritten.row, 1);
      kernels.f32(row.offset, row.cols).fill(overwritten.value);
    });
    try {
      return this.#feed();
    } finally {
      stop();
    }
  }

  /** The same with attention in steps, and a row of what is between them overwritten. */
  logitsInSteps(overwritten: Overwritten | null) {
    const stop = stepThroughAttention(this.#parts.kernels, (step, layer, rowOf) => {
      if (overwritten === null) return;
      const { tensor, row, value } = overwritten;
      if (tensor.operation === step && tensor.layer === layer)
        for (const head of rowOf(row)) head.fill(value);
    });
    try {
      return this.#feed();
    } finally {
      stop();
    }
  }

  #feed(): Float32Array[] {
    const { kernels, kvCache } = this.#parts;
    const { tokens, numCachedTokens } = this.trace;
    const logits = this.#sequence.feed(tokens.slice(numCachedTokens), this.#logits);
    kvCache.truncate(this.#sequence.table, numCachedTokens);
    return Array.from({ length: logits.rows }, (_, row) =>
      kernels.f32(logits.offset + 4 * row * logits.stride, logits.cols).slice(),
    );
  }

  /** Runs something while a row of K or V in the cache is NaN. */
  withPoisonedCache<T>({ name, layer }: TracedTensor, position: number, run: () => T): T {
    const { kernels, kvCache } = this.#parts;
    const kv = kvCache.layout;
    const { group } = kv.places[layer as number];
    const slot = slotOf(this.#sequence.table.runs[group], position);
    const inBlock = slot % BLOCK_SIZE;
    const isValue = name.endsWith("Values");
    const cells: Float32Array[] = [];
    for (let head = 0; head < kv.numKvHeads; head++) {
      const base = kvOffset(kv, Math.floor(slot / BLOCK_SIZE), layer as number, head);
      if (kv.dtype === "int8") {
        cells.push(kernels.f32(base + scaleOffset(kv) + 4 * ((isValue ? BLOCK_SIZE : 0) + inBlock), 1));
        continue;
      }
      for (let d = 0; d < kv.headDim; d++) {
        const at = isValue
          ? valueOffset(kv) + 4 * (inBlock * kv.headDim + d)
          : 4 * (d * BLOCK_SIZE + inBlock);
        cells.push(kernels.f32(base + at, 1));
      }
    }
    const old = cells.map(([value]) => value);
    for (const cell of cells) cell[0] = Number.NaN;
    const result = run();
    cells.forEach((cell, i) => {
      cell[0] = old[i];
    });
    return result;
  }

  dispose(): void {
    this.#sequence.dispose();
  }

  /** Where a tensor of the trace lies in the place that was just written; null when it was another one. */
  #placeIn(written: TracedTensor, place: Tensor, tensor: TracedTensor): Tensor | null {
    if (written.id === tensor.id) return place;
    if (tensor.operation !== "columns" || tensor.sources[0].tensor !== written.id) return null;
    // Halves of what is computed as one.
    const isFirst = /\.(k|gate)$/.test(tensor.name);
    return columns(place, isFirst ? 0 : tensor.cols, tensor.cols);
  }
}

/** Overwrites one row and holds every row of logits against what the trace says of it. */
function checkRow(
  run: TracedRun,
  expected: readonly Float32Array[],
  tensor: TracedTensor,
  row: number,
): number {
  const isCached = tensor.operation === "cachedKeys" || tensor.operation === "cachedValues";
  const withNaN = isCached
    ? run.withPoisonedCache(tensor, row, () => run.logits(null))
    : run.logits({ tensor, row, value: Number.NaN });
  const needs = run.needed.map((needed) => needed.has(tensor.id, row));
  const withOther = isCached || needs.every(Boolean) ? null : run.logits({ tensor, row, value: 3.5 });
  let unneeded = 0;
  for (let target = 0; target < needs.length; target++) {
    const what = `${tensor.name} row ${row} for logits ${target}`;
    if (needs[target]) expect(withNaN[target].every(Number.isNaN), `${what}: needed`).toBe(true);
    else {
      unneeded += 1;
      expect(firstDifferentBits(expected[target], withNaN[target]), `${what}: NaN`).toBeNull();
      if (withOther !== null) {
        expect(firstDifferentBits(expected[target], withOther[target]), `${what}: 3.5`).toBeNull();
      }
    }
  }
  return unneeded;
}

/** Tensors of a trace whose rows can be overwritten: what lies in memory, and what attention has inside. */
function reachable({ tensors }: Trace): TracedTensor[] {
  return tensors.filter(
    ({ operation }) =>
      RECORDED.includes(operation) ||
      INSIDE_ATTENTION.includes(operation) ||
      ["columns", "cachedKeys", "cachedValues"].includes(operation),
  );
}

/** Attention in steps gives the kernels' own bits. */
function checkSteps(run: TracedRun, expected: readonly Float32Array[]): void {
  const inSteps = run.logitsInSteps(null);
  expect(inSteps).toHaveLength(expected.length);
  expected.forEach((row, i) => {
    expect(firstDifferentBits(row, inSteps[i])).toBeNull();
  });
}

describe.each([
  { name: "tiny", dtype: "f32" },
  { name: "odd", dtype: "int8" },
] as const)("each stage of $name, $dtype", ({ name, dtype }) => {
  test.each([
    { numCachedTokens: 0, logits: "all" },
    { numCachedTokens: 0, logits: "last" },
    { numCachedTokens: 17, logits: "all" },
    { numCachedTokens: 18, logits: "last" },
  ] as const)(
    "every row, $numCachedTokens of 19 cached, $logits logits",
    async ({ numCachedTokens, logits }) => {
      const loaded = await loadInProcess(modelFolders[name], { dtype, threads: 1 });
      const { core } = loaded;
      const tokens = arbitraryTokens(19, core.model.spec.vocabSize);
      const run = new TracedRun(loaded, tokens, numCachedTokens, logits);
      const expected = run.logits(null);
      checkSteps(run, expected);
      let unneeded = 0;
      for (const tensor of reachable(run.trace)) {
        for (const row of new Set([0, Math.floor(tensor.rows / 2), tensor.rows - 1])) {
          unneeded += checkRow(run, expected, tensor, row);
        }
      }
      // Where only the last row's logits are wanted, nothing is computed that they do not need.
      expect(unneeded > 0).toBe(logits === "all");
      run.dispose();
      await core.kernels.dispose();
    },
  );
});

// Heads that share K and V, windows, caps, norms of queries and keys and after a sublayer, rotations, gated MLPs, factors.
test.each([
  { name: "gemma2", numCachedTokens: 0, logits: "all" },
  { name: "gemma3", numCachedTokens: 17, logits: "all" },
  { name: "granite", numCachedTokens: 0, logits: "last" },
] as const)(
  "every stage of $name, $numCachedTokens of 19 cached, $logits logits",
  async ({ name, numCachedTokens, logits }) => {
    const loaded = await loadInProcess(familyFolder(name), { threads: 1 });
    const { core } = loaded;
    const tokens = arbitraryTokens(19, core.model.spec.vocabSize);
    const run = new TracedRun(loaded, tokens, numCachedTokens, logits);
    const before = core.kernels.multiplyAdds;
    const expected = run.logits(null);
    expect(core.kernels.multiplyAdds - before).toBe(totalMultiplyAdds(run.trace));
    checkSteps(run, expected);
    let unneeded = 0;
    for (const tensor of reachable(run.trace)) {
      for (const row of new Set([0, tensor.rows - 1])) unneeded += checkRow(run, expected, tensor, row);
    }
    expect(unneeded > 0).toBe(logits === "all");
    run.dispose();
    await core.kernels.dispose();
  },
);

test.each(familyNames)("a pass of %s is traced, each tensor by a name of its own", async (name) => {
  const config = await readModelConfig(folderFiles("family", familyFolder(name)));
  const { vocabSize } = config.decoder;
  for (const logits of ["last", "all"] as const) {
    const trace = traceForward(config, {
      tokens: arbitraryTokens(19, vocabSize),
      numCachedTokens: 3,
      logits,
    });
    expect(new Set(trace.tensors.map((tensor) => tensor.name)).size).toBe(trace.tensors.length);
    expect(trace.tensors[trace.tensors.length - 1].cols).toBe(vocabSize);
  }
});

const configuration = fc.record({
  layers: fc.integer({ min: 1, max: 3 }),
  heads: fc.integer({ min: 1, max: 4 }),
  headDim: fc.integer({ min: 1, max: 7 }),
  inner: fc.integer({ min: 1, max: 21 }),
  context: fc.integer({ min: 1, max: 18 }),
  vocab: fc.integer({ min: 1, max: 30 }),
  seed: fc.nat({ max: 1000 }),
  activation: fc.constantFrom("gelu_new", "gelu", "relu", "silu"),
  tied: fc.boolean(),
  dtype: fc.constantFrom("f32", "int8"),
  kvDtype: fc.constantFrom("f32", "int8"),
  logits: fc.constantFrom("last", "all"),
  cachedShare: fc.double({ min: 0, max: 1, noNaN: true }),
  rowShare: fc.double({ min: 0, max: 1, noNaN: true }),
});

test("200 random configurations: needed rows are needed, others are not, and both counts of the cost agree", async () => {
  await fc.assert(
    fc.asyncProperty(
      configuration,
      async ({ headDim, dtype, kvDtype, logits, cachedShare, rowShare, ...size }) => {
        const files = randomModelFiles({ ...size, embd: size.heads * headDim, std: 0.3 });
        const loaded = await loadInProcess(memoryFiles("random", files), { dtype, kvDtype, threads: 1 });
        const { core } = loaded;
        const { kernels, model } = core;
        const tokens = arbitraryTokens(size.context, size.vocab, size.seed);
        const numCachedTokens = Math.floor(cachedShare * (tokens.length - 1));
        const run = new TracedRun(loaded, tokens, numCachedTokens, logits);
        const before = { rows: model.rowsComputed, multiplyAdds: kernels.multiplyAdds };
        const expected = run.logits(null);
        expect(model.rowsComputed - before.rows).toBe(tensorNamed(run.trace, "wte").rows);
        expect(kernels.multiplyAdds - before.multiplyAdds).toBe(totalMultiplyAdds(run.trace));
        checkSteps(run, expected);
        for (const tensor of reachable(run.trace)) {
          checkRow(run, expected, tensor, Math.floor(rowShare * (tensor.rows - 0.001)));
        }
        run.dispose();
        await kernels.dispose();
      },
    ),
    { numRuns: 200 },
  );
});

test("multiply-adds as a hand counts them", async () => {
  const { core, info } = await loadInProcess(memoryFiles("m", randomModelFiles()), { threads: 1 });
  const { config } = info;
  const tokens = [1, 2, 3, 4];
  // Width 8, MLP 32, 61 tokens, 2 layers. A row of a layer: c_attn 8·24, c_proj 8·8, MLP 2·8·32.
  const row = 192 + 64 + 512;
  // Both sums of attention, 8 wide, over 1 + 2 + 3 + 4 keys; over 4.
  const [attention, lastAttention] = [2 * 8 * 10, 2 * 8 * 4];
  const head = 8 * 61;
  expect(tracedMultiplyAdds(config, { tokens })).toBe(2 * (4 * row + attention) + 4 * head);
  // In the last layer K and V of four rows, and one row of everything else.
  const lastLayer = 4 * 128 + (row - 128) + lastAttention;
  expect(tracedMultiplyAdds(config, { tokens, logits: "last" })).toBe(4 * row + attention + lastLayer + head);
  expect(tracedMultiplyAdds(config, { tokens, numCachedTokens: 3 })).toBe(2 * (row + lastAttention) + head);
  expect(tracedMultiplyAdds(config, { tokens, logits: "none" })).toBe(4 * row + attention + 4 * 128);

  const { kernels } = core;
  const sequence = new FedSequence(core);
  const before = kernels.multiplyAdds;
  sequence.feed(tokens.slice(0, 3), "none");
  sequence.feed([4], "last");
  const prefill = 3 * row + 2 * 8 * 6 + 3 * 128;
  expect(kernels.multiplyAdds - before).toBe(prefill + 2 * (row + lastAttention) + head);
  await kernels.dispose();
});

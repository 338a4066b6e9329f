/**
 * A pass on real kernels and in the trace, where a row of a tensor can be overwritten as soon as it is made; and what the
 * trace says of that row held against what becomes of the logits. Throws at the first that does not hold, so that tests and
 * longer runs share it.
 */
import fc from "fast-check";
import { firstDifferentBits } from "../../src/client/comparison.js";
import {
  ancestors,
  type RowSet,
  type Trace,
  type TracedTensor,
  totalMultiplyAdds,
  traceForward,
} from "../../src/explain/index.js";
import {
  type AttentionCall,
  columns,
  type Kernels,
  rows as rowsOf,
  type Tensor,
} from "../../src/kernels/kernels.js";
import { BLOCK_SIZE, kvOffset, scaleOffset, slotOf, valueOffset } from "../../src/kernels/kv-layout.js";
import { KV_DTYPES, KV_TYPES } from "../../src/kernels/kv-types.js";
import type { DecoderSpec } from "../../src/model/decoder-spec.js";
import { attentionInSteps, type OnAttentionStep } from "../attention-in-steps.js";
import { decoderSpecs, FAMILY_SPECS } from "../decoder-specs.js";
import { FedSequence, type ModelParts } from "../fed-sequence.js";
import { arbitraryTokens } from "../fixture-models.js";
import type { loadInProcess } from "../in-process.js";
import { loadSpec, plainTrace, specFiles } from "../spec-model.js";

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
  return asked(patched, WRITING);
}

/** Makes kernels compute attention in steps. Returns how to stop it. */
function stepThroughAttention(kernels: Kernels, onStep: OnAttentionStep): () => void {
  const patched = kernels as unknown as Record<string, unknown>;
  patched.attention = (call: AttentionCall) => attentionInSteps(kernels, call, onStep);
  return asked(patched, ["attention"]);
}

/** Has kernels be asked for each operation of every pass, and not for a whole pass again. Returns how to undo that and these. */
function asked(patched: Record<string, unknown>, others: readonly string[]): () => void {
  patched.again = () => false;
  return () => {
    for (const name of ["again", ...others]) delete patched[name];
  };
}

interface Overwritten {
  readonly tensor: TracedTensor;
  readonly row: number;
  readonly value: number;
}

/** The bytes of NaN, as the kernels store it. */
const NAN_F16 = new Uint8Array(Uint16Array.of(0x7e00).buffer);
const NAN_F32 = new Uint8Array(Float32Array.of(Number.NaN).buffer);

/** Which pass is traced, and computed. */
interface RunPass {
  readonly tokens: readonly number[];
  readonly numCachedTokens: number;
  readonly logits: "last" | "all";
}

/** A pass of a model that has a config. */
export function tracedRun(
  { core, info }: Pick<Awaited<ReturnType<typeof loadInProcess>>, "core" | "info">,
  tokens: readonly number[],
  numCachedTokens: number,
  logits: "last" | "all",
): TracedRun {
  return new TracedRun(core, traceForward(info.config, { tokens, numCachedTokens, logits }), logits);
}

/** A pass of any decoder. */
export function decoderRun(core: ModelParts, decoder: DecoderSpec, pass: RunPass): TracedRun {
  return new TracedRun(core, plainTrace(decoder, pass), pass.logits);
}

/** A pass over the last of some tokens, on real kernels and in the trace. */
export class TracedRun {
  readonly trace: Trace;
  /** For each row of logits what it was made from. */
  readonly needed: readonly RowSet[];
  readonly #parts: ModelParts;
  readonly #sequence: FedSequence;
  readonly #logits: "last" | "all";
  /** Tensors of the trace that one call of the kernels writes, in their order. */
  readonly #written: readonly TracedTensor[];

  constructor(parts: ModelParts, trace: Trace, logits: "last" | "all") {
    this.trace = trace;
    const head = trace.tensors[trace.tensors.length - 1];
    this.needed = Array.from({ length: head.rows }, (_, row) => ancestors(trace, head, row));
    this.#parts = parts;
    this.#logits = logits;
    this.#written = trace.tensors.filter(({ operation }) => RECORDED.includes(operation));
    this.#sequence = new FedSequence(parts);
  }

  /** Feeds the cached rows, where they are not there: what a window left behind in a pass brings all back. */
  restore(): void {
    const { tokens, numCachedTokens } = this.trace;
    if (this.#sequence.table.length === numCachedTokens) return;
    this.#sequence.forget();
    this.#sequence.feed(tokens.slice(0, numCachedTokens), "none");
  }

  /** Copies of the logits' rows, with a row of a tensor overwritten as soon as it is made. */
  logits(overwritten: Overwritten | null) {
    const { kernels } = this.#parts;
    if (overwritten !== null && INSIDE_ATTENTION.includes(overwritten.tensor.operation)) {
      return this.logitsInSteps(overwritten);
    }
    this.restore();
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
    this.restore();
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

  /** The logits while a row of K or V in the cache is NaN; null when the cache does not have it any more. */
  logitsOfPoisoned({ name, layer }: TracedTensor, position: number): Float32Array[] | null {
    this.restore();
    const { kernels, kvCache } = this.#parts;
    const kv = kvCache.layout;
    const run = this.#sequence.table.runs[kv.places[layer as number].group];
    if (position < run.first * BLOCK_SIZE) return null;
    const slot = slotOf(run, position);
    const inBlock = slot % BLOCK_SIZE;
    const isValue = name.endsWith("Values");
    const { elementBytes } = KV_TYPES[kv.dtype];
    const cells: Uint8Array[] = [];
    for (let head = 0; head < kv.numKvHeads; head++) {
      const base = kvOffset(kv, Math.floor(slot / BLOCK_SIZE), layer as number, head);
      if (kv.dtype === "int8") {
        cells.push(kernels.u8(base + scaleOffset(kv) + 4 * ((isValue ? BLOCK_SIZE : 0) + inBlock), 4));
        continue;
      }
      for (let d = 0; d < kv.headDim; d++) {
        const at = isValue ? inBlock * kv.headDim + d : d * BLOCK_SIZE + inBlock;
        cells.push(kernels.u8(base + (isValue ? valueOffset(kv) : 0) + elementBytes * at, elementBytes));
      }
    }
    const old = cells.map((cell) => cell.slice());
    for (const cell of cells) cell.set(cell.length === 2 ? NAN_F16 : NAN_F32);
    const result = this.logits(null);
    cells.forEach((cell, i) => {
      cell.set(old[i]);
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

function hold(holds: boolean, what: string): void {
  if (!holds) throw new Error(what);
}

function holdBits(expected: Float32Array, actual: Float32Array, what: string): void {
  hold(firstDifferentBits(expected, actual) === null, `${what}: other bits`);
}

/** Overwrites one row and holds every row of logits against what the trace says of it. */
export function checkRow(
  run: TracedRun,
  expected: readonly Float32Array[],
  tensor: TracedTensor,
  row: number,
): number {
  const isCached = tensor.operation === "cachedKeys" || tensor.operation === "cachedValues";
  const needs = run.needed.map((needed) => needed.has(tensor.id, row));
  const withNaN = isCached
    ? run.logitsOfPoisoned(tensor, row)
    : run.logits({ tensor, row, value: Number.NaN });
  if (withNaN === null) {
    hold(!needs.includes(true), `${tensor.name} row ${row} is needed and gone`);
    return needs.length;
  }
  const withOther = isCached || needs.every(Boolean) ? null : run.logits({ tensor, row, value: 3.5 });
  let unneeded = 0;
  for (let target = 0; target < needs.length; target++) {
    const what = `${tensor.name} row ${row} for logits ${target}`;
    if (needs[target]) hold(withNaN[target].every(Number.isNaN), `${what}: needed, and NaN changes nothing`);
    else {
      unneeded += 1;
      holdBits(expected[target], withNaN[target], `${what}: unneeded, with NaN`);
      if (withOther !== null) {
        holdBits(expected[target], withOther[target], `${what}: unneeded, with 3.5`);
      }
    }
  }
  return unneeded;
}

/** Tensors of a trace whose rows can be overwritten: what lies in memory, and what attention has inside. */
export function reachable({ tensors }: Trace): TracedTensor[] {
  return tensors.filter(
    ({ operation }) =>
      RECORDED.includes(operation) ||
      INSIDE_ATTENTION.includes(operation) ||
      ["columns", "cachedKeys", "cachedValues"].includes(operation),
  );
}

/** Attention in steps gives the kernels' own bits. */
export function checkSteps(run: TracedRun, expected: readonly Float32Array[]): void {
  const inSteps = run.logitsInSteps(null);
  hold(inSteps.length === expected.length, "attention in steps: as many rows of logits");
  expected.forEach((row, i) => {
    holdBits(row, inSteps[i], `attention in steps, logits ${i}`);
  });
}

/** Every kind of layer beside every other: what families have, and what none has yet. */
export const decoderPass = fc.record({
  decoder: fc.oneof(
    { arbitrary: decoderSpecs, weight: 3 },
    { arbitrary: fc.constantFrom(...Object.values<DecoderSpec>(FAMILY_SPECS)), weight: 1 },
  ),
  kvDtype: fc.constantFrom(...KV_DTYPES),
  logits: fc.constantFrom("last", "all"),
  length: fc.integer({ min: 1, max: 40 }),
  cachedShare: fc.double({ min: 0, max: 1, noNaN: true }),
  rowShare: fc.double({ min: 0, max: 1, noNaN: true }),
  seed: fc.nat({ max: 1000 }),
});

/** @returns how many rows of logits do without the rows that were overwritten */
export async function checkDecoder(
  pass: typeof decoderPass extends fc.Arbitrary<infer Pass> ? Pass : never,
): Promise<number> {
  const { decoder, kvDtype, logits, length, cachedShare, rowShare, seed } = pass;
  const { core } = await loadSpec(decoder, specFiles(decoder, { seed }), { kvDtype });
  const tokens = arbitraryTokens(Math.min(length, decoder.contextLength), decoder.vocabSize, seed);
  const numCachedTokens = Math.floor(cachedShare * (tokens.length - 1));
  const run = decoderRun(core, decoder, { tokens, numCachedTokens, logits });
  run.restore();
  const before = core.kernels.multiplyAdds;
  const expected = run.logits(null);
  hold(
    core.kernels.multiplyAdds - before === totalMultiplyAdds(run.trace),
    "multiply-adds, counted and traced",
  );
  checkSteps(run, expected);
  let unneeded = 0;
  for (const tensor of reachable(run.trace)) {
    unneeded += checkRow(run, expected, tensor, Math.floor(rowShare * (tensor.rows - 0.001)));
  }
  run.dispose();
  await core.kernels.dispose();
  return unneeded;
}

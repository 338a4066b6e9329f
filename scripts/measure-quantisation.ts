/**
 * What weights of 8 and 4 bits cost: the embedded model's perplexity, the error of matrix products, and that of the embedded
 * model's by the bits of the activations that meet int8. docs/numerics.md quotes what it prints. Q4_0 and Q4_K are rounded as llama.cpp's quantiser does without calibration data (quantise-blocks.ts).
 *
 *     npx tsx scripts/measure-quantisation.ts
 */
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { renderTable } from "../src/cli/table.js";
import { coloursFor } from "../src/cli/terminal.js";
import { safetensorsHeader } from "../src/formats/safetensors-writer.js";
import type { Kernels, LinearWeight } from "../src/kernels/kernels.js";
import { MemoryPlan } from "../src/kernels/memory-plan.js";
import { groupValue, type QuantisedDtype, readGroups } from "../src/kernels/reference/blocks.js";
import { quantised, scaleOf } from "../src/kernels/reference/int8.js";
import { STORED_VALUES } from "../src/kernels/reference/packed-types.js";
import { wasmBackend } from "../src/kernels/wasm/wasm-kernels.js";
import {
  INT8_GROUP,
  type PackedDtype,
  STORED_TYPES,
  type StoredFloat,
  WEIGHT_MAX,
} from "../src/kernels/weight-types.js";
import { load } from "../src/library/load.js";
import { modelDistance } from "../test/model-distance.js";
import { q4_0Blocks, q4_KBlocks } from "./quantise-blocks.js";

const MODEL = new URL("../models/stories/", import.meta.url);
/** Outputs and rows of each product: their number changes no error. */
const [OUTPUTS, ROWS] = [256, 64];
const INPUTS = [576, 2048, 8192];
/** Bits of the integers that activations become, with their signs; null: none, they stay as they are. */
const ACTIVATION_BITS = [null, 15, 14, 8] as const;

type Blocks = (values: Float32Array) => Uint8Array;
const FILE_TYPES = [
  { name: "Q4_K", dtype: "Q4_K", packed: "q4_k", blocks: q4_KBlocks },
  { name: "Q4_0", dtype: "Q4_0", packed: "q4_0", blocks: q4_0Blocks },
] as const satisfies readonly { name: string; dtype: QuantisedDtype; packed: PackedDtype; blocks: Blocks }[];

await printPerplexities();
await printProducts();
await printActivations();

async function printPerplexities(): Promise<void> {
  const rows: string[][] = [];
  await using f32 = await load(undefined, { worker: false });
  const add = async (name: string, model: Parameters<typeof load>, weightBytes: string) => {
    await using lm = await load(...model);
    const { agreed, divergence, perplexityChange } = await modelDistance(f32, lm);
    const change = `${perplexityChange < 0 ? "−" : "+"}${Math.abs(100 * perplexityChange).toFixed(2)} %`;
    rows.push([name, change, `${(100 * agreed).toFixed(2)} %`, divergence.toExponential(1), weightBytes]);
  };
  await add("int8", [undefined, { dtype: "int8", worker: false }], "1.094");
  await add("int4", [undefined, { dtype: "int4", worker: false }], "0.578");
  for (const { name, dtype, blocks } of FILE_TYPES) {
    const folder = await roundedModel((values) =>
      dequantised(dtype, blocks(values)).subarray(0, values.length),
    );
    const { values, bytes } = STORED_TYPES[dtype];
    await add(name, [folder, { dtype: "f32", worker: false }], (bytes / values).toFixed(3));
    await rm(folder, { recursive: true });
  }
  const head = ["weights", "perplexity", "likeliest token equal", "mean KL divergence", "bytes a weight"];
  print(head, rows);
}

function dequantised(dtype: QuantisedDtype, blocks: Uint8Array): Float32Array {
  const { bytes, values } = STORED_TYPES[dtype];
  const found: number[] = [];
  for (let at = 0; at < blocks.length; at += bytes) {
    for (const group of readGroups(dtype, blocks.subarray(at, at + bytes))) {
      for (let i = 0; i < 32; i++) found.push(groupValue(group, i));
    }
  }
  if (found.length !== (blocks.length / bytes) * values) throw new Error(`${dtype} has other groups`);
  return Float32Array.from(found);
}

/** A folder with the embedded model, the inputs of each output of its matrices rounded; all as F32. */
async function roundedModel(round: (inputs: Float32Array) => Float32Array): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "lastrow-"));
  for (const name of await readdir(MODEL)) {
    const bytes = await readFile(new URL(name, MODEL));
    await writeFile(join(folder, name), name === "model.safetensors" ? rounded(bytes, round) : bytes);
  }
  return folder;
}

/** The tensors of the embedded model's file. */
function tensorsOf(file: Buffer) {
  const start = 8 + Number(file.readBigUInt64LE(0));
  const stored = Object.entries<{ dtype: StoredFloat; shape: number[]; data_offsets: [number, number] }>(
    JSON.parse(file.toString("utf8", 8, start)),
  ).filter(([name]) => name !== "__metadata__");
  return stored.map(([name, { dtype, shape, data_offsets }]) => {
    const [begin, end] = data_offsets;
    const { Values, toF32 } = STORED_VALUES[dtype];
    const bits = new Values(Uint8Array.from(file.subarray(start + begin, start + end)).buffer);
    return { name, shape, values: Float32Array.from(bits, (value) => toF32(value)) };
  });
}

function rounded(file: Buffer, round: (inputs: Float32Array) => Float32Array): Uint8Array {
  const tensors = tensorsOf(file).map(({ name, shape, values }) => {
    if (shape.length === 2 && !name.includes("wpe")) {
      // GPT-2's matrices are (inputs, outputs), the embedding is the head: (outputs, inputs).
      const [rows, cols] = shape as [number, number];
      const [outputs, inputs] = name.includes("wte") ? [rows, cols] : [cols, rows];
      const at = (n: number, k: number) => (name.includes("wte") ? n * cols + k : k * cols + n);
      for (let n = 0; n < outputs; n++) {
        round(Float32Array.from({ length: inputs }, (_, k) => values[at(n, k)]!)).forEach((value, k) => {
          values[at(n, k)] = value;
        });
      }
    }
    return { name, dtype: "F32" as const, shape, bytes: 4 * values.length, values };
  });
  const { header, fileBytes } = safetensorsHeader(tensors, { format: "pt" });
  const all = new Uint8Array(fileBytes);
  all.set(header);
  let at = header.length;
  for (const { values } of tensors) {
    all.set(new Uint8Array(values.buffer), at);
    at += 4 * values.length;
  }
  return all;
}

async function printProducts(): Promise<void> {
  const rows: string[][] = [];
  const next = uniform(1);
  const normal = () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
  const spiked = () => (next() < 0.01 ? 20 : 1) * normal();
  for (const inputs of INPUTS) {
    for (const [what, weightOf, inputOf] of [
      ["normal", normal, normal],
      ["1 % of activations × 20", normal, spiked],
      ["1 % of weights × 20", spiked, normal],
    ] as const) {
      const weights = Float32Array.from({ length: OUTPUTS * inputs }, () => 0.02 * weightOf());
      const x = Float32Array.from({ length: ROWS * inputs }, inputOf);
      const errors = await productErrors(inputs, weights, x);
      rows.push([String(inputs), what, ...errors.map((error) => `${(100 * error).toFixed(2)} %`)]);
    }
  }
  print(["inputs", "values", "int8", "int4", "Q4_K", "Q4_0"], rows);
}

/**
 * Products of the embedded model's matrices, one after the other, with random rows: errors as those of the other products, for
 * each number of bits. What the kernels do, in f64: their own roundings are far smaller.
 */
async function printActivations(): Promise<void> {
  const matrices = tensorsOf(await readFile(new URL("model.safetensors", MODEL))).filter(
    ({ name, shape }) => shape.length === 2 && !/wte|wpe/.test(name),
  );
  const next = uniform(1);
  const normal = () => Math.sqrt(-2 * Math.log(next())) * Math.cos(2 * Math.PI * next());
  const rows = (
    [
      ["normal", normal],
      ["1 % of activations × 20", () => (next() < 0.01 ? 20 : 1) * normal()],
    ] as const
  ).map(([what, inputOf]) => {
    const squares = ACTIVATION_BITS.map(() => 0);
    let size = 0;
    for (const { shape, values } of matrices) {
      const [inputs, outputs] = shape as [number, number];
      const columns = Array.from({ length: outputs }, (_, n) =>
        Float32Array.from({ length: inputs }, (_, k) => values[k * outputs + n]!),
      );
      const rounded = columns.map((column) => inGroups(column, WEIGHT_MAX));
      for (let t = 0; t < 4; t++) {
        const x = Float32Array.from({ length: inputs }, inputOf);
        const exact = columns.map((column) => dot(column, x));
        size += exact.reduce((sum, value) => sum + value * value, 0);
        ACTIVATION_BITS.forEach((bits, i) => {
          const integers = bits === null ? x : inGroups(x, 2 ** (bits - 1) - 1);
          rounded.forEach((column, n) => {
            squares[i]! += (dot(column, integers) - exact[n]!) ** 2;
          });
        });
      }
    }
    return [what, ...squares.map((sum) => `${(100 * Math.sqrt(sum / size)).toFixed(4)} %`)];
  });
  print(["values", ...ACTIVATION_BITS.map((bits) => (bits === null ? "exact" : `${bits} bits`))], rows);
}

/** Values as they are after quantising in groups: integers of at most `largest` times their scale. */
function inGroups(values: Float32Array, largest: number): Float64Array {
  const found = new Float64Array(values.length);
  for (let k = 0; k < values.length; k += INT8_GROUP) {
    const group = values.subarray(k, k + INT8_GROUP);
    const scale = scaleOf(group, largest);
    group.forEach((value, i) => {
      found[k + i] = scale * quantised(value, scale, largest);
    });
  }
  return found;
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}

/** The root of the mean square of what products are off by, as a share of the results' own, by type of weights. */
async function productErrors(inputs: number, weights: Float32Array, x: Float32Array): Promise<number[]> {
  const backend = wasmBackend({ threads: 1, startHelper: () => Promise.reject(new Error("one thread")) });
  const plan = new MemoryPlan(backend);
  const dtypes: readonly PackedDtype[] = ["int8", "int4", ...FILE_TYPES.map(({ packed }) => packed)];
  const padded = 256 * Math.ceil(inputs / 256);
  const planned = dtypes.map((dtype) =>
    plan.linear(dtype.startsWith("q4_k") ? padded : inputs, OUTPUTS, dtype),
  );
  const stored = plan.reserve(4 * weights.length);
  const input = plan.tensor(ROWS, padded);
  const out = plan.tensor(ROWS, OUTPUTS);
  const scratch = plan.linearScratch(ROWS, padded);
  const kernels = await backend.create(plan.bytes);
  for (let t = 0; t < ROWS; t++) {
    kernels.f32(input.offset + 4 * t * padded, inputs).set(x.subarray(t * inputs, (t + 1) * inputs));
  }
  const exact = exactProducts(inputs, weights, x);
  const size = Math.hypot(...exact);
  const errors = planned.map((weight) => {
    pack(kernels, weight, stored, inputs, weights);
    kernels.linear(out, { ...input, cols: weight.inFeatures }, weight, null, scratch);
    const found = kernels.f32(out.offset, ROWS * OUTPUTS);
    return Math.hypot(...exact.map((value, i) => found[i]! - value)) / size;
  });
  await kernels.dispose();
  return errors;
}

function pack(
  kernels: Kernels,
  weight: LinearWeight,
  stored: number,
  inputs: number,
  weights: Float32Array,
): void {
  const type = FILE_TYPES.find(({ packed }) => packed === weight.dtype);
  const rows = { offset: stored, firstRow: 0, rowCount: OUTPUTS };
  if (type === undefined) {
    kernels.f32(stored, weights.length).set(weights);
    kernels.packLinear(weight, "out-in", { ...rows, dtype: "F32" });
    return;
  }
  const blocks = Array.from({ length: OUTPUTS }, (_, n) =>
    type.blocks(weights.subarray(n * inputs, (n + 1) * inputs)),
  );
  const rowBytes = blocks[0]!.length;
  blocks.forEach((row, n) => {
    kernels.u8(stored + n * rowBytes, rowBytes).set(row);
  });
  kernels.packLinear(weight, "out-in", { ...rows, dtype: type.dtype });
}

function exactProducts(inputs: number, weights: Float32Array, x: Float32Array): Float64Array {
  const out = new Float64Array(ROWS * OUTPUTS);
  for (let t = 0; t < ROWS; t++) {
    for (let n = 0; n < OUTPUTS; n++) {
      let sum = 0;
      for (let k = 0; k < inputs; k++) sum += x[t * inputs + k]! * weights[n * inputs + k]!;
      out[t * OUTPUTS + n] = sum;
    }
  }
  return out;
}

/** Numbers between 0 and 1, neither included. */
function uniform(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
}

function print(head: readonly string[], rows: readonly string[][]): void {
  const table = renderTable(coloursFor(process.stdout, process.env), { head: [...head], rows: [...rows] });
  process.stdout.write(`${table}\n\n`);
}

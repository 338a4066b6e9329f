/**
 * A decoder as its spec reads, in f64, one row after the other and without any cache: the slow twin that random decoders
 * are held against. Reads the files by itself; shares no arithmetic with the engine.
 */
import { expectArchitecture } from "../../src/architectures/known-architectures.js";
import { readModelConfig } from "../../src/architectures/read-config.js";
import type { TensorEntry } from "../../src/formats/safetensors.js";
import { readSafetensorsHeader } from "../../src/formats/safetensors.js";
import type {
  DecoderSpec,
  LayerSpec,
  NormSpec,
  RotationSpec,
  TensorRow,
  WeightName,
} from "../../src/model/decoder-spec.js";
import { memoryFile, memoryFiles } from "../memory-files.js";

type Vector = readonly number[];

function storedValue(view: DataView, { dtype, begin }: TensorEntry, i: number): number {
  if (dtype === "F32") return view.getFloat32(begin + 4 * i, true);
  const bits = view.getUint16(begin + 2 * i, true);
  if (dtype === "BF16") return new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
  const exponent = (bits >> 10) & 31;
  const magnitude =
    exponent === 0 ? (bits & 1023) * 2 ** -24 : (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

/** Each weight by its outputs: a matrix has the inputs of each, a table its rows, a vector one number each. */
export type NaiveWeights = ReadonlyMap<WeightName, readonly Vector[]>;

/**
 * Reads a checkpoint.
 * @param rows which tensors of the files are which weights
 * @param prefix what their names may begin with
 */
export async function readNaiveWeights(
  files: Record<string, Uint8Array>,
  rows: readonly TensorRow[],
  prefix = "",
): Promise<NaiveWeights> {
  const weights = new Map<WeightName, Vector[]>();
  for (const [fileName, bytes] of Object.entries(files)) {
    if (!fileName.endsWith(".safetensors")) continue;
    const { tensors } = await readSafetensorsHeader(memoryFile(fileName, bytes));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const row of rows) {
      const entry = tensors.get(row.name) ?? tensors.get(prefix + row.name);
      if (entry === undefined) continue;
      const [height, width = 1] = row.shape;
      const { from, count } = row.outputs ?? { from: 0, count: row.order === "in-out" ? width : height };
      const weight = weights.get(row.to) ?? [];
      weights.set(row.to, weight);
      for (let i = 0; i < count; i++) {
        const inputs = Array.from({ length: row.order === "in-out" ? height : width }, (_, k) =>
          storedValue(view, entry, row.order === "in-out" ? k * width + from + i : (from + i) * width + k),
        );
        weight[(row.at ?? 0) + i] = inputs.map((value) => value + (row.plus ?? 0));
      }
    }
  }
  return weights;
}

/** The decoder of a model folder, as its config says, and its weights. */
export async function readNaiveModel(
  files: Record<string, Uint8Array>,
): Promise<{ readonly spec: DecoderSpec; readonly weights: NaiveWeights }> {
  const { decoder: spec, modelType } = await readModelConfig(memoryFiles("naive", files));
  const { tensors, prefixes } = expectArchitecture(modelType);
  return { spec, weights: await readNaiveWeights(files, tensors(spec), prefixes[0]) };
}

function erf(x: number): number {
  // Maclaurin series; ample terms for |x| < 6, and ±1 beyond.
  if (Math.abs(x) > 5.5) return Math.sign(x);
  let term = x;
  let sum = x;
  for (let n = 1; n < 200; n++) {
    term *= (-x * x) / n;
    sum += term / (2 * n + 1);
  }
  return (2 / Math.sqrt(Math.PI)) * sum;
}

const tanhGelu = (x: number) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const ACTIVATIONS: Record<string, (x: number) => number> = {
  gelu_new: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  gelu_fast: tanhGelu,
  gelu: (x) => 0.5 * x * (1 + erf(x / Math.SQRT2)),
  relu: (x) => Math.max(0, x),
  silu: (x) => x / (1 + Math.exp(-x)),
};

const sum = (values: Vector) => values.reduce((a, b) => a + b, 0);
const plus = (a: Vector, b: Vector) => a.map((value, i) => value + b[i]);
const times = (a: Vector, factor: number) => a.map((value) => value * factor);
const capped = (x: number, cap: number | null) => (cap === null ? x : cap * Math.tanh(x / cap));

/** Heads of a row. */
function split(row: Vector, width: number): Vector[] {
  return Array.from({ length: row.length / width }, (_, h) => row.slice(h * width, (h + 1) * width));
}

function turned(head: Vector, position: number, { frequencies, factor }: RotationSpec): Vector {
  const half = frequencies.length;
  const out = [...head];
  frequencies.forEach((frequency, i) => {
    const [a, b] = [head[i], head[half + i]];
    const [cos, sin] = [Math.cos(position * frequency) * factor, Math.sin(position * frequency) * factor];
    out[i] = a * cos - b * sin;
    out[half + i] = b * cos + a * sin;
  });
  return out;
}

/**
 * Logits after each token: (tokens, vocabulary).
 * @param rounded applied to each output of a norm and of a product
 */
export function naiveLogits(
  spec: DecoderSpec,
  weights: NaiveWeights,
  tokens: readonly number[],
  rounded: (value: number) => number = (value) => value,
): Vector[] {
  const get = (name: WeightName): readonly Vector[] => {
    const found = weights.get(name);
    if (found === undefined) throw new Error(`the naive model has no ${name}`);
    return found;
  };
  const vector = (name: WeightName): Vector => get(name).map(([value]) => value);
  const norm = (
    x: Vector,
    of: NormSpec | null,
    name: `layers.${number}.${string}Norm` | `layers.${number}.${string}NormAfter` | "finalNorm",
  ): Vector => {
    if (of === null) return x;
    const gain = vector(`${name}.gain` as WeightName);
    const mean = of.kind === "rms" ? 0 : sum(x) / x.length;
    const square = sum(x.map((value) => (value - mean) ** 2)) / x.length;
    const normed = x.map((value, i) => rounded(((value - mean) / Math.sqrt(square + of.epsilon)) * gain[i]));
    return of.kind === "rms" ? normed : plus(normed, vector(`${name}.bias` as WeightName));
  };
  const linear = (x: Vector, layer: number, name: string, bias: boolean): Vector => {
    const out = get(`layers.${layer}.${name}.weight` as WeightName).map((w) =>
      rounded(sum(w.map((v, k) => v * x[k]))),
    );
    return bias ? plus(out, vector(`layers.${layer}.${name}.bias` as WeightName)) : out;
  };

  /** What attention adds to each row. */
  const attention = (normed: readonly Vector[], { attention: spec_ }: LayerSpec, layer: number): Vector[] => {
    const { numHeads, numKvHeads, headDim, qkNorm, bias } = spec_;
    const width = numKvHeads * headDim;
    const prepared = (row: Vector, position: number, name: "query" | "key"): Vector[] => {
      const place = `layers.${layer}.${name}Norm` as const;
      const whole = qkNorm?.over === "row" ? norm(row, qkNorm.norm, place) : row;
      return split(whole, headDim).map((head) => {
        const normedHead = qkNorm?.over === "head" ? norm(head, qkNorm.norm, place) : head;
        return spec_.rotation === null
          ? normedHead
          : turned(normedHead, position, spec.rotations[spec_.rotation]);
      });
    };
    const kv = normed.map((row) => linear(row, layer, "kv", bias.qkv));
    const keys = kv.map((row, p) => prepared(row.slice(0, width), p, "key"));
    const values = kv.map((row) => split(row.slice(width), headDim));
    return normed.map((row, t) => {
      const queries = prepared(linear(row, layer, "q", bias.qkv), t, "query");
      const heads = queries.map((query, h) => {
        const kvHead = Math.floor(h / (numHeads / numKvHeads));
        const seen = Array.from({ length: t + 1 }, (_, p) => p).filter(
          (p) => spec_.window === null || p > t - spec_.window,
        );
        const scores = seen.map((p) =>
          capped(sum(query.map((q, d) => q * keys[p][kvHead][d])) * spec_.scale, spec_.softcap),
        );
        const top = Math.max(...scores);
        const shares = scores.map((score) => Math.exp(score - top));
        return Array.from({ length: headDim }, (_, d) =>
          sum(shares.map((share, i) => (share / sum(shares)) * values[seen[i]][kvHead][d])),
        );
      });
      const out = linear(heads.flat(), layer, "o", bias.o);
      return norm(out, spec_.normAfter, `layers.${layer}.attentionNormAfter`);
    });
  };

  /** What the MLP adds to a row that it reads. */
  const mlp = (row: Vector, { mlp: spec_ }: LayerSpec, layer: number): Vector => {
    const { innerSize, bias } = spec_;
    const f = ACTIVATIONS[spec_.activation];
    const made = linear(row, layer, spec_.gated ? "gateUp" : "up", bias);
    const inner = spec_.gated
      ? made.slice(0, innerSize).map((gate, i) => f(gate) * made[innerSize + i])
      : made.map(f);
    return norm(linear(inner, layer, "down", bias), spec_.normAfter, `layers.${layer}.mlpNormAfter`);
  };

  let x: Vector[] = tokens.map((token, t) => {
    const row = times(get("embedding")[token], spec.embeddingScale);
    return spec.learnedPositions > 0 ? plus(row, get("positions")[t]) : row;
  });
  spec.layers.forEach((layer, i) => {
    const normed = x.map((row) => norm(row, layer.attention.norm, `layers.${i}.attentionNorm`));
    const attended = attention(normed, layer, i).map((row) => times(row, layer.residualScale));
    x = x.map((row, t) => {
      const after = plus(row, attended[t]);
      const unnormed = layer.residual === "parallel" ? normed[t] : after;
      const read =
        layer.mlp.norm === null
          ? unnormed
          : norm(layer.residual === "parallel" ? row : after, layer.mlp.norm, `layers.${i}.mlpNorm`);
      return plus(after, times(mlp(read, layer, i), layer.residualScale));
    });
  });
  const head = weights.get("head") ?? get("embedding");
  return x.map((row) => {
    const normed = norm(row, spec.finalNorm, "finalNorm");
    return head.map((w) => capped(sum(w.map((v, c) => v * normed[c])) * spec.logitScale, spec.logitSoftcap));
  });
}

/** How far logits are from a decoder's own, and how far they may be. */
export interface Deviation {
  /** Largest difference. */
  readonly worst: number;
  /**
   * What a correct decoder in f32 keeps to: some roundings of the largest logit, and what those that happen on the way do to
   * the logits. Norms and gates of nearly equal or very small values magnify them without limit, so that is measured: it is
   * the difference that rounding each norm and each product to f32 makes to the decoder in f64.
   */
  readonly allowed: number;
}

/** @param logits (tokens, vocabulary) */
export function deviation(
  spec: DecoderSpec,
  weights: NaiveWeights,
  tokens: readonly number[],
  logits: ArrayLike<number>,
): Deviation {
  const exact = naiveLogits(spec, weights, tokens).flat();
  const inF32 = naiveLogits(spec, weights, tokens, Math.fround).flat();
  let [worst, rounding, largest] = [0, 0, 1];
  if (logits.length !== exact.length) return { worst: Number.POSITIVE_INFINITY, allowed: 0 };
  exact.forEach((value, i) => {
    const difference = Math.abs(logits[i] - value);
    worst = Number.isNaN(difference) ? Number.POSITIVE_INFINITY : Math.max(worst, difference);
    rounding = Math.max(rounding, Math.abs(inF32[i] - value));
    largest = Math.max(largest, Math.abs(value));
  });
  return { worst, allowed: 2e-4 * largest + 20 * rounding };
}

/**
 * GPT-2 as its definition says, in f64, one row after the other and without any cache: the slow twin that random
 * configurations are held against. Reads the files by itself; shares no arithmetic with the engine.
 */
import type { TensorEntry } from "../../src/formats/safetensors.js";
import { readSafetensorsHeader } from "../../src/formats/safetensors.js";
import { memoryFile } from "../memory-files.js";

interface NaiveConfig {
  readonly n_layer: number;
  readonly n_head: number;
  readonly n_embd: number;
  readonly activation_function: string;
  readonly layer_norm_epsilon: number;
  readonly scale_attn_weights: boolean;
  readonly scale_attn_by_inverse_layer_idx: boolean;
}

/** Row-major; the last of `shape` is the width of a row. */
interface Matrix {
  readonly values: number[];
  readonly width: number;
}

function storedValue(view: DataView, { dtype, begin }: TensorEntry, i: number): number {
  if (dtype === "F32") return view.getFloat32(begin + 4 * i, true);
  const bits = view.getUint16(begin + 2 * i, true);
  if (dtype === "BF16") return new Float32Array(Uint32Array.of(bits << 16).buffer)[0];
  const exponent = (bits >> 10) & 31;
  const magnitude =
    exponent === 0 ? (bits & 1023) * 2 ** -24 : (1 + (bits & 1023) / 1024) * 2 ** (exponent - 15);
  return bits & 0x8000 ? -magnitude : magnitude;
}

async function readWeights(files: Record<string, Uint8Array>): Promise<Map<string, Matrix>> {
  const weights = new Map<string, Matrix>();
  for (const [name, bytes] of Object.entries(files)) {
    if (!name.endsWith(".safetensors")) continue;
    const { tensors } = await readSafetensorsHeader(memoryFile(name, bytes));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (const entry of tensors.values()) {
      if (!["F32", "F16", "BF16"].includes(entry.dtype)) continue;
      const count = entry.shape.reduce((a, b) => a * b, 1);
      const values = Array.from({ length: count }, (_, i) => storedValue(view, entry, i));
      weights.set(entry.name.replace(/^transformer\./, ""), { values, width: entry.shape.at(-1) ?? 1 });
    }
  }
  return weights;
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

/** Logits after each token: (tokens, vocabulary). */
export async function naiveLogits(
  files: Record<string, Uint8Array>,
  tokens: readonly number[],
): Promise<number[][]> {
  const config: NaiveConfig = JSON.parse(new TextDecoder().decode(files["config.json"]));
  const weights = await readWeights(files);
  const get = (name: string): Matrix => {
    const found = weights.get(name);
    if (found === undefined) throw new Error(`the naive model has no ${name}`);
    return found;
  };
  const row = ({ values, width }: Matrix, i: number) => values.slice(i * width, (i + 1) * width);
  const sum = (values: readonly number[]) => values.reduce((a, b) => a + b, 0);
  const plus = (a: readonly number[], b: readonly number[]) => a.map((value, i) => value + b[i]);
  const layerNorm = (x: number[], name: string) => {
    const mean = sum(x) / x.length;
    const variance = sum(x.map((value) => (value - mean) ** 2)) / x.length;
    const [gain, bias] = [get(`${name}.weight`).values, get(`${name}.bias`).values];
    return x.map(
      (v, i) => ((v - mean) / Math.sqrt(variance + config.layer_norm_epsilon)) * gain[i] + bias[i],
    );
  };
  const conv1d = (x: number[], name: string) => {
    const w = get(`${name}.weight`);
    return get(`${name}.bias`).values.map(
      (bias, n) => bias + sum(x.map((value, k) => value * w.values[k * w.width + n])),
    );
  };
  const headDim = config.n_embd / config.n_head;
  const attention = (qkv: number[][], layer: number) =>
    qkv.map((_, t) =>
      Array.from({ length: config.n_head }, (_, h) => {
        const part = (p: number, which: number) =>
          qkv[p].slice(which * config.n_embd + h * headDim, which * config.n_embd + (h + 1) * headDim);
        const scores = Array.from({ length: t + 1 }, (_, p) => {
          let score = sum(part(t, 0).map((q, d) => q * part(p, 1)[d]));
          if (config.scale_attn_weights) score /= Math.sqrt(headDim);
          if (config.scale_attn_by_inverse_layer_idx) score /= layer + 1;
          return score;
        });
        const top = Math.max(...scores);
        const shares = scores.map((score) => Math.exp(score - top));
        return Array.from({ length: headDim }, (_, d) =>
          sum(shares.map((share, p) => (share / sum(shares)) * part(p, 2)[d])),
        );
      }).flat(),
    );

  let x = tokens.map((token, t) => plus(row(get("wte.weight"), token), row(get("wpe.weight"), t)));
  for (let layer = 0; layer < config.n_layer; layer++) {
    const h = `h.${layer}`;
    const qkv = x.map((r) => conv1d(layerNorm(r, `${h}.ln_1`), `${h}.attn.c_attn`));
    const attended = attention(qkv, layer);
    x = x.map((r, t) => plus(r, conv1d(attended[t], `${h}.attn.c_proj`)));
    x = x.map((r) => {
      const inner = conv1d(layerNorm(r, `${h}.ln_2`), `${h}.mlp.c_fc`).map(
        ACTIVATIONS[config.activation_function],
      );
      return plus(r, conv1d(inner, `${h}.mlp.c_proj`));
    });
  }
  const head = weights.get("lm_head.weight") ?? get("wte.weight");
  const vocabulary = head.values.length / head.width;
  return x.map((r) => {
    const normed = layerNorm(r, "ln_f");
    return Array.from({ length: vocabulary }, (_, v) => sum(row(head, v).map((w, c) => w * normed[c])));
  });
}

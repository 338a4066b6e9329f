/**
 * Rotation at large positions, through the whole model: cached = recomputed, and both what Llama's definition says. Small
 * models with a context of 4,096, in which the fastest pair turns 650 times and the slowest twelve. On the reference
 * kernels one of a single layer, whose attention is computed for the wanted rows only.
 */
import { beforeAll, describe, expect, test } from "vitest";
import { firstDifferentBits } from "../../src/client/comparison.js";
import { readSafetensorsHeader } from "../../src/formats/safetensors.js";
import { FedSequence, logitsAt } from "../fed-sequence.js";
import { arbitraryTokens } from "../fixture-models.js";
import { loadInProcess } from "../in-process.js";
import { memoryFile, memoryFiles } from "../memory-files.js";
import { randomFamilyFiles } from "../random-model.js";

const CONFIG = {
  ...{ model_type: "llama", hidden_size: 16, intermediate_size: 24, vocab_size: 61 },
  ...{ num_attention_heads: 2, num_key_value_heads: 1, rms_norm_eps: 1e-5, tie_word_embeddings: true },
  ...{ max_position_embeddings: 4096, rope_theta: 200 },
};
const HEAD_DIM = 8;
const LENGTHS = [1, 16, 17, 4096];
const tokens = arbitraryTokens(4096, CONFIG.vocab_size);

const filesOf = (layers: number) => randomFamilyFiles({ ...CONFIG, num_hidden_layers: layers }, { std: 0.3 });
/** By number of layers. */
const exactLogits = new Map<number, number[][]>();
beforeAll(async () => {
  for (const layers of [1, 2]) {
    const weights = await storedWeights(filesOf(layers)["model.safetensors"]!);
    exactLogits.set(layers, naiveLlama(weights, layers, tokens, LENGTHS));
  }
});

describe.each([
  { kernels: "wasm", threads: 1, layers: 2 },
  { kernels: "wasm", threads: 2, layers: 2 },
  { kernels: "reference", threads: 1, layers: 1 },
] as const)("on $kernels kernels, $threads threads", ({ layers, ...way }) => {
  test("the logits after positions 0, 15, 16 and 4095 have the same bits, cached and recomputed", async () => {
    const { core } = await loadInProcess(memoryFiles("large", filesOf(layers)), { ...way, kvMemory: "4MiB" });
    try {
      // In pieces: the rows between come at positions that no recomputation's chunks begin at.
      const pieces = [1, 2, 15, 16, 17, 700, 4000, 4095, 4096];
      const cached = logitsAt(core, "cached", tokens, pieces).filter((_, i) => LENGTHS.includes(pieces[i]!));
      const recomputed = logitsAt(core, "recompute", tokens, LENGTHS);
      const exact = exactLogits.get(layers)!;
      for (const [i, row] of recomputed.entries()) {
        expect(firstDifferentBits(row, cached[i]!), `after ${LENGTHS[i]} tokens`).toBeNull();
        const largest = Math.max(...exact[i]!.map(Math.abs));
        row.forEach((logit, id) => {
          expect(Math.abs(logit - exact[i]![id]!)).toBeLessThan(2e-5 * Math.max(1, largest));
        });
      }
      // From the middle of a block, after a prompt that is fed at once.
      const again = new FedSequence(core);
      again.logitsAfter(tokens.slice(0, 4090));
      expect(firstDifferentBits(again.logitsAfter(tokens), recomputed[3]!)).toBeNull();
      again.dispose();
    } finally {
      await core.kernels.dispose();
    }
  });
});

type Weights = (name: string) => Float32Array;

async function storedWeights(bytes: Uint8Array): Promise<Weights> {
  const { tensors } = await readSafetensorsHeader(memoryFile("model.safetensors", bytes));
  return (name) => {
    const entry = tensors.get(`model.${name}`);
    if (entry === undefined) throw new Error(`no ${name}`);
    return new Float32Array(bytes.slice(entry.begin, entry.end).buffer);
  };
}

/** Llama in f64 as its definition says, the logits after some lengths; rotation in the engine's own words nowhere. */
function naiveLlama(
  weights: Weights,
  layers: number,
  ids: readonly number[],
  lengths: readonly number[],
): number[][] {
  const { hidden_size: C, num_attention_heads: heads, rope_theta: theta } = CONFIG;
  const embedding = weights("embed_tokens.weight");
  const rowOf = (id: number) => Array.from(embedding.subarray(id * C, (id + 1) * C));
  const norm = (x: readonly number[], name: string): number[] => {
    const gain = weights(name);
    const scale = 1 / Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / C + CONFIG.rms_norm_eps);
    return x.map((v, i) => v * scale * gain[i]!);
  };
  const linear = (x: readonly number[], matrix: Float32Array): number[] =>
    Array.from({ length: matrix.length / x.length }, (_, o) =>
      x.reduce((sum, v, i) => sum + v * matrix[o * x.length + i]!, 0),
    );
  const rotated = (head: readonly number[], position: number): number[] => {
    const half = HEAD_DIM / 2;
    return head.map((value, i) => {
      const angle = position * theta ** (-(i % half) / half);
      const partner = i < half ? -head[i + half]! : head[i - half]!;
      return value * Math.cos(angle) + partner * Math.sin(angle);
    });
  };
  let rows = ids.map(rowOf);
  for (let layer = 0; layer < layers; layer++) {
    const at = `layers.${layer}`;
    const [wq, wk, wv, wo] = ["q", "k", "v", "o"].map((part) =>
      weights(`${at}.self_attn.${part}_proj.weight`),
    );
    const [gate, up, down] = ["gate", "up", "down"].map((part) => weights(`${at}.mlp.${part}_proj.weight`));
    const normed = rows.map((x) => norm(x, `${at}.input_layernorm.weight`));
    const keys = normed.map((x, position) => rotated(linear(x, wk!), position));
    const values = normed.map((x) => linear(x, wv!));
    const isLast = layer === layers - 1;
    rows = rows.map((x, position) => {
      // In the last layer only the rows that are asked about.
      if (isLast && !lengths.includes(position + 1)) return x;
      const q = linear(normed[position]!, wq!);
      const attended: number[] = [];
      for (let head = 0; head < heads; head++) {
        const query = rotated(q.slice(head * HEAD_DIM, (head + 1) * HEAD_DIM), position);
        const scores = new Float64Array(position + 1);
        let top = -Infinity;
        for (let i = 0; i <= position; i++) {
          const key = keys[i]!;
          let score = 0;
          for (let d = 0; d < HEAD_DIM; d++) score += query[d]! * key[d]!;
          scores[i] = score / Math.sqrt(HEAD_DIM);
          top = Math.max(top, scores[i]!);
        }
        const out = new Array<number>(HEAD_DIM).fill(0);
        let total = 0;
        for (let i = 0; i <= position; i++) {
          const e = Math.exp(scores[i]! - top);
          total += e;
          for (let d = 0; d < HEAD_DIM; d++) out[d]! += e * values[i]![d]!;
        }
        attended.push(...out.map((value) => value / total));
      }
      const mid = linear(attended, wo!).map((value, i) => value + x[i]!);
      const inner = norm(mid, `${at}.post_attention_layernorm.weight`);
      const gates = linear(inner, gate!).map((value) => value / (1 + Math.exp(-value)));
      const ups = linear(inner, up!);
      return linear(
        gates.map((value, i) => value * ups[i]!),
        down!,
      ).map((value, i) => value + mid[i]!);
    });
  }
  return lengths.map((length) => linear(norm(rows[length - 1]!, "norm.weight"), embedding));
}

/**
 * What each query paid attention to: the model's own forward pass on the WebAssembly kernels, with a look at Q and K where
 * attention is computed. The kernels never keep their weights (they divide by the sum at the very end), so the weights are
 * computed here, from the queries that attention was given and the keys that it read, by the formula of
 * docs/numerics.md. Owns a model of its own, of one sequence; its logits come along, to be compared with a run's.
 */
import { platform } from "#platform";
import type { AttentionCall, Kernels } from "../kernels/kernels.js";
import {
  BLOCK_SIZE,
  type BlockRun,
  type KvLayout,
  kvBlockBytes,
  kvLayout,
  kvOffset,
  layerGroups,
  runsAlone,
} from "../kernels/kv-layout.js";
import { MemoryPlan } from "../kernels/memory-plan.js";
import { wasmBackend } from "../kernels/wasm/wasm-kernels.js";
import { describeModel } from "../library/describe-model.js";
import { CONTEXT_LENGTHS, type LoadOptions } from "../library/load-options.js";
import { ModelFingerprint } from "../library/model-fingerprint.js";
import { Decoder } from "../model/decoder.js";
import { planScratch } from "../model/decoder-scratch.js";
import { kvShapeOf, widestRow } from "../model/decoder-spec.js";
import { planWeights } from "../model/decoder-weights.js";
import { loadWeights, planStaging } from "../model/load-weights.js";
import { ASKED_DTYPES, chooseDtypes } from "../model/weight-dtypes.js";
import { exp, tanh } from "../numerics/math.js";
import { checkOptions, oneOf, wholeNumber } from "../option-checks.js";
import { optionNames } from "../option-names.js";
import type { ModelSource } from "../platform/platform.js";

/** How a probe is loaded. */
export type ProbeOptions = Pick<LoadOptions, "contextLength" | "dtype">;

const PROBE_OPTIONS = optionNames<ProbeOptions>()("AttentionProbe.load", {
  contextLength: true,
  dtype: true,
});

/** Of one layer in one forward pass. */
export interface AttentionWeights {
  /** Positions of the queries: from this one on, one after the other. */
  readonly firstPosition: number;
  /** Number of query rows. */
  readonly queries: number;
  /** Keys 0 … keys − 1; a query sees those up to its own position. */
  readonly keys: number;
  /** For each head (queries, keys), row-major; 0 where a query sees nothing. */
  readonly heads: readonly Float32Array[];
  /** (vocabulary) of the last row. */
  readonly logits: Float32Array;
}

/** Q of one call of attention, as it was given. */
interface SeenCall {
  readonly call: AttentionCall;
  readonly q: Float32Array;
  readonly positions: Int32Array;
}

/** A model whose attention can be looked at. Its passes hold the thread: run it in a worker of your own. */
export class AttentionProbe {
  readonly #model: Decoder;
  readonly #kernels: Kernels;
  readonly #kv: KvLayout;
  readonly #runs: readonly BlockRun[];
  readonly #calls: SeenCall[];

  private constructor(parts: { model: Decoder; kernels: Kernels; kv: KvLayout; calls: SeenCall[] }) {
    this.#model = parts.model;
    this.#kernels = parts.kernels;
    this.#kv = parts.kv;
    this.#runs = runsAlone(parts.kv.groups, parts.kv.numBlocks / parts.kv.groups.length);
    this.#calls = parts.calls;
  }

  /**
   * Loads a model for looking at, on one thread, with K and V in f32 and room for one sequence of a full context.
   * @param source as of `load`
   * @param options `dtype` as of `load`, so that the bits are those of a model that is loaded with it; `contextLength` as of
   *   `load`, by default what the model was made for: there is room for a pass over all of it, so models with long contexts
   *   need it
   * @throws LastrowError as `load`
   */
  static async load(source?: ModelSource, options: ProbeOptions = {}): Promise<AttentionProbe> {
    checkOptions(options, PROBE_OPTIONS);
    const wanted = {
      contextLength: wholeNumber("contextLength", options.contextLength, undefined, CONTEXT_LENGTHS),
    };
    const dtype = oneOf("dtype", options.dtype ?? "auto", ASKED_DTYPES);
    const files = await platform.openModel(source, {});
    const described = await describeModel(files, wanted, new ModelFingerprint());
    try {
      const { decoder, tensors } = await described.weights();
      const backend = wasmBackend({
        threads: 1,
        startHelper: () => Promise.reject(new Error("one thread has no helpers")),
      });
      const plan = new MemoryPlan(backend);
      const stored = [...tensors.values()];
      const { weights, places } = planWeights(plan, decoder, chooseDtypes(dtype, stored));
      const kvShape = kvShapeOf(decoder);
      const numBlocks = Math.ceil(decoder.contextLength / BLOCK_SIZE) * layerGroups(kvShape).length;
      const slab = plan.reserve(numBlocks * kvBlockBytes(kvShape, "f32"));
      const limits = { maxRows: decoder.contextLength, maxLogitsRows: 1, maxSequences: 1 };
      const scratch = planScratch(plan, decoder, limits);
      const staging = planStaging(plan, widestRow(described.family.tensors(decoder)), stored, places);
      const kernels = await backend.create(plan.bytes);
      await loadWeights(stored, places, kernels, staging);
      const calls: SeenCall[] = [];
      const model = new Decoder(
        decoder,
        watched(kernels, (call) => calls.push(call)),
        weights,
        scratch,
      );
      return new AttentionProbe({ model, kernels, kv: kvLayout(kvShape, "f32", slab, numBlocks), calls });
    } finally {
      await described.close();
    }
  }

  /**
   * One inference: all rows, or the rows that the cache does not have.
   * @param tokens of the whole sequence, from 1 to the context's length
   * @param numCachedTokens 0 … tokens − 1
   * @param layer from 0
   */
  run(tokens: readonly number[], numCachedTokens: number, layer: number): AttentionWeights {
    if (numCachedTokens > 0) this.#feed(tokens.slice(0, numCachedTokens), 0, 0);
    this.#calls.length = 0;
    const logits = this.#feed(tokens, numCachedTokens, 1);
    const { call, q, positions } = this.#calls[layer];
    const { numHeads } = call;
    const keys = tokens.length;
    const heads = Array.from({ length: numHeads }, (_, head) => {
      const kvHead = Math.floor((head * this.#kv.numKvHeads) / numHeads);
      return this.#weights({ q, positions, layer, head, kvHead, keys, call });
    });
    return { firstPosition: positions[0], queries: positions.length, keys, heads, logits };
  }

  #feed(tokens: readonly number[], from: number, wanted: number): Float32Array {
    const { batch } = this.#model;
    batch.clear();
    batch.add({ tokens, from, count: tokens.length - from, runs: this.#runs, wanted });
    const { offset, cols } = this.#model.forward(this.#kv);
    return this.#kernels.f32(offset, wanted * cols).slice();
  }

  /** softmax(q · Kᵀ · scale) of one head, over the keys that a query sees. */
  #weights(of: {
    q: Float32Array;
    positions: Int32Array;
    layer: number;
    head: number;
    kvHead: number;
    keys: number;
    call: AttentionCall;
  }): Float32Array {
    const { headDim } = this.#kv;
    const { scale, softcap, window } = of.call;
    const width = of.q.length / of.positions.length;
    const weights = new Float32Array(of.positions.length * of.keys);
    of.positions.forEach((position, t) => {
      const query = of.q.subarray(t * width + of.head * headDim, t * width + (of.head + 1) * headDim);
      const first = window === null ? 0 : Math.max(0, position - window + 1);
      const row = weights.subarray(t * of.keys + first, t * of.keys + position + 1);
      for (let i = first; i <= position; i++) {
        const k = this.#keysOf(Math.floor(i / BLOCK_SIZE), of.layer, of.kvHead);
        let score = 0;
        for (let d = 0; d < headDim; d++) {
          score = Math.fround(score + Math.fround(query[d] * k[d * BLOCK_SIZE + (i % BLOCK_SIZE)]));
        }
        score = Math.fround(score * scale);
        row[i - first] = softcap === null ? score : softcap * tanh(Math.fround(score / softcap));
      }
      let top = Number.NEGATIVE_INFINITY;
      for (const score of row) top = Math.max(top, score);
      let sum = 0;
      for (let i = 0; i < row.length; i++) {
        row[i] = exp(Math.fround(row[i] - top));
        sum += row[i];
      }
      for (let i = 0; i < row.length; i++) row[i] /= sum;
    });
    return weights;
  }

  /** K (headDim, 16) of positions 16 · index … */
  #keysOf(index: number, layer: number, kvHead: number): Float32Array {
    const block = this.#runs[this.#kv.places[layer].group].ids[index];
    return this.#kernels.f32(kvOffset(this.#kv, block, layer, kvHead), this.#kv.headDim * BLOCK_SIZE);
  }
}

/** The same kernels, told of each call of attention before it is computed. */
function watched(kernels: Kernels, see: (call: SeenCall) => void): Kernels {
  const attention = (call: AttentionCall) => {
    const { offset, rows, cols, stride } = call.q;
    const q = new Float32Array(rows * cols);
    for (let row = 0; row < rows; row++) q.set(kernels.f32(offset + 4 * row * stride, cols), row * cols);
    const { positions } = call;
    see({ call, q, positions: kernels.i32(positions.offset, positions.length).slice() });
    kernels.attention(call);
  };
  return new Proxy(kernels, {
    get(target, name) {
      if (name === "attention") return attention;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

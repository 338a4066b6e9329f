/**
 * Generations in which a model computes what it always computes, and then is made to say a given text: so that the same
 * texts can be measured with any weights.
 */
import { EngineCore } from "../../src/engine/engine-core.js";
import { GenerationJob } from "../../src/engine/generation-job.js";
import { KvCache } from "../../src/kv-cache/kv-cache.js";
import type { GenerationOutcome } from "../../src/protocol/generation-outcome.js";
import { resolveSampling } from "../../src/sampling/options.js";
import { SamplingScratch } from "../../src/sampling/scratch.js";

/** What the model is made to say, in tokens of the embedded model, which any vocabulary has. */
export interface ForcedText {
  readonly name: string;
  readonly prompt: readonly number[];
  readonly answer: readonly number[];
}

export interface Measured {
  readonly outcome: GenerationOutcome;
  /** Of its steps behind the prompt. */
  readonly ms: number;
}

/** A generation that is stepped by hand, and timed by a clock of milliseconds. */
export class TimedGeneration {
  readonly #core: EngineCore;
  readonly #answer: readonly number[];
  readonly #said: number[] = [];
  readonly #clock: () => number;
  #ms = 0;
  outcome: GenerationOutcome | null = null;

  constructor(
    core: EngineCore,
    { prompt, answer }: ForcedText,
    { speculate, clock }: { speculate: number; clock: () => number },
  ) {
    this.#clock = clock;
    const scratch = new SamplingScratch(core.model.spec.vocabSize);
    this.#core = core;
    this.#answer = answer;
    const request = {
      ...({
        prompt,
        maxTokens: answer.length,
        mode: "cached",
        n: 1,
        bestOf: 1,
        beams: null,
        speculate,
      } as const),
      sampling: resolveSampling({ temperature: 0 }, {}, core.model.spec.vocabSize),
      ...{ salt: null, tenant: "", constraint: null, endsByText: false, eosTokenIds: new Set<number>() },
    };
    new GenerationJob(core, scratch, request, {
      tokens: (_, chosen) => this.#said.push(...chosen.map(({ token }) => token)),
      finished: () => undefined,
      end: (outcome) => {
        this.outcome = outcome;
      },
      fail: (error) => {
        throw error;
      },
    }).begin();
  }

  /** One step, if it has not ended. The prompt's does not count. */
  step(): void {
    if (this.outcome !== null) return;
    const isPrompt = this.#said.length === 0;
    const start = this.#clock();
    this.#core.step();
    if (!isPrompt) this.#ms += this.#clock() - start;
  }

  get result(): Measured {
    if (this.#said.join() !== this.#answer.join())
      throw new Error("the model has not said what it was made to say");
    return { outcome: this.outcome!, ms: this.#ms };
  }
}

/** Two engines over one model, each with half of the memory for K and V. */
export function halves({ model: decoder, kernels, kvCache }: EngineCore): [EngineCore, EngineCore] {
  const numBlocks = kvCache.layout.numBlocks >> 1;
  const half = (index: number) => {
    const { blockBytes, offset } = kvCache.layout;
    const layout = { ...kvCache.layout, numBlocks, offset: offset + index * numBlocks * blockBytes };
    const slab = kernels.u8(layout.offset, numBlocks * blockBytes);
    const copyBlock = (from: number, to: number) =>
      slab.copyWithin(to * blockBytes, from * blockBytes, (from + 1) * blockBytes);
    return new EngineCore({
      model: decoder,
      kernels,
      kvCache: new KvCache(layout, { copyBlock }),
      maxSequences: 1,
    });
  };
  return [half(0), half(1)];
}

/** After each pass over one sequence, the logits of each row are made to choose this text's next token. */
export function force({ model: decoder, kernels }: EngineCore, tokens: readonly number[]): () => void {
  const { forward } = decoder;
  decoder.forward = (...args) => {
    const logits = forward.apply(decoder, args);
    const { offset, length } = decoder.batch.wantedPositions;
    for (const [i, position] of kernels.i32(offset, length).entries()) {
      kernels.f32(logits.offset + 4 * i * logits.stride, logits.cols)[tokens[position + 1]] = 1e9;
    }
    kernels.stretchMaxima(decoder.maxima, logits);
    return logits;
  };
  return () => {
    decoder.forward = forward;
  };
}

/**
 * A generation inside the engine: one or several continuations of a prompt, each token chosen when its logits come.
 * The prompt is computed once; continuations are forked from it. With speculation, tokens that followed the same words
 * before are fed along with the last one, and those that would have been chosen anyway are kept.
 *
 * With L prompt tokens, of which none were cached, and I inferences, I·L + I (I − 1) / 2 rows go through the model by
 * recomputing and L + I − 1 from the cache. An end token costs one inference more than there are tokens; any other end
 * costs none.
 */
import { PromptLookup } from "../sampling/prompt-lookup.js";
import { Continuation } from "./continuation.js";
import type { EngineCore } from "./engine-core.js";
import type {
  FinishReason,
  GenerationPiece,
  GenerationRequest,
  GenerationResult,
} from "./generation-request.js";
import type { ComputedLogits, ScheduledSequence } from "./scheduled-sequence.js";

/** Where a generation's pieces go, and how it ended: exactly one of `end` and `fail`, last. */
export interface GenerationSink {
  piece(piece: GenerationPiece): void;
  end(result: GenerationResult): void;
  fail(error: unknown): void;
}

export class GenerationJob {
  readonly #core: EngineCore;
  readonly #request: GenerationRequest;
  readonly #sink: GenerationSink;
  readonly #limit: number;
  readonly #continuations: Continuation[];
  /** The sequences that are alive, by continuation. */
  readonly #sequences = new Map<Continuation, ScheduledSequence>();
  /** Those that have been, for their counters. */
  readonly #ended: ScheduledSequence[] = [];
  readonly #lookups = new Map<Continuation, PromptLookup>();
  readonly #start = performance.now();
  #firstTokenMs: number | null = null;
  #inferences = 0;
  #observedMs = 0;
  #hasEnded = false;

  /** Starts it. @throws LastrowError `kv_memory_exhausted` when it cannot fit even alone */
  constructor(core: EngineCore, request: GenerationRequest, sink: GenerationSink) {
    const { prompt, maxTokens, bestOf } = request;
    const { contextLength, vocabSize } = core.model.config;
    const limit = Math.min(maxTokens, contextLength - prompt.length);
    this.#core = core;
    this.#request = request;
    this.#sink = sink;
    this.#limit = limit;
    this.#continuations = Array.from(
      { length: bestOf },
      (_, index) => new Continuation(request, index, limit, vocabSize),
    );
    const [first] = this.#continuations;
    if (limit <= 0) return;
    // The last token is never fed.
    const options = { salt: request.salt, rowsNeeded: prompt.length + limit - 1 };
    this.#sequences.set(first, core.start(prompt, this.#consumer(first, true), options));
  }

  /** To be called once after making it: what has ended before it began says so. */
  begin(): void {
    if (this.#limit <= 0) this.#end("length");
  }

  /** Ends it with `abort`, unless it has ended. */
  cancel(): void {
    this.#end("abort");
  }

  #consumer(continuation: Continuation, isFirst = false) {
    let awaitsPrompt = isFirst;
    return {
      take: (logits: ComputedLogits) => {
        if (awaitsPrompt) this.#takePrompt(logits.row(0));
        else this.#take(continuation, logits);
        awaitsPrompt = false;
      },
      fail: (error: unknown) => this.#fail(error),
    };
  }

  /** The prompt's logits: every continuation chooses its first token from them. */
  #takePrompt(logits: Float32Array): void {
    this.#observe(logits);
    const [first, ...others] = this.#continuations;
    const origin = this.#sequenceOf(first);
    for (const continuation of others) {
      this.#sequences.set(continuation, this.#core.fork(origin, this.#consumer(continuation)));
    }
    for (const continuation of this.#continuations) {
      if (this.#hasEnded) return;
      if (this.#accept(continuation, logits)) this.#goOn(continuation);
    }
  }

  /** Logits of the last token, and of the proposed ones behind it. */
  #take(continuation: Continuation, logits: ComputedLogits): void {
    const sequence = this.#sequenceOf(continuation);
    for (let i = 0; i < logits.count; i++) {
      this.#observe(logits.row(i));
      if (this.#hasEnded) return;
      const proposed = sequence.tokens[logits.firstPosition + i + 1];
      if (!this.#accept(continuation, logits.row(i))) return;
      // A proposal that was not chosen, and all behind it, were for nothing.
      if (proposed !== continuation.tokens.at(-1)) break;
    }
    this.#goOn(continuation);
  }

  /** Chooses a token, emits it, and ends the continuation if that is due; whether it goes on. */
  #accept(continuation: Continuation, logits: Float32Array): boolean {
    this.#inferences += 1;
    const chosen = continuation.choose(logits);
    this.#firstTokenMs ??= performance.now() - this.#start;
    if (continuation.finishReason === null) {
      this.#emit(continuation.push(chosen));
      this.#lookups.get(continuation)?.push(chosen.token);
    }
    if (continuation.finishReason === null) return !this.#hasEnded;
    this.#finish(continuation, continuation.finishReason);
    return false;
  }

  /** Feeds the last chosen token, with what look-up proposes behind it. */
  #goOn(continuation: Continuation): void {
    const { prompt, mode } = this.#request;
    const core = this.#core;
    const sequence = this.#sequenceOf(continuation);
    const length = prompt.length + continuation.tokens.length - 1;
    const proposed = this.#propose(continuation);
    core.cut(sequence, length);
    if (mode === "recompute") core.forgetRows(sequence);
    core.extend(sequence, [continuation.tokens[continuation.tokens.length - 1], ...proposed], length);
  }

  /** Tokens to check along with the last one: never so many that they would go past the end. */
  #propose(continuation: Continuation): readonly number[] {
    const { prompt, speculate } = this.#request;
    if (speculate === 0) return [];
    let lookup = this.#lookups.get(continuation);
    if (lookup === undefined) {
      lookup = new PromptLookup({ maxTokens: speculate });
      for (const token of prompt) lookup.push(token);
      for (const token of continuation.tokens) lookup.push(token);
      this.#lookups.set(continuation, lookup);
    }
    return lookup.propose().slice(0, Math.max(0, this.#limit - continuation.tokens.length - 1));
  }

  #observe(logits: Float32Array): void {
    const { onStep } = this.#request;
    if (onStep === undefined) return;
    const computeMs = this.#allSequences().reduce((sum, sequence) => sum + sequence.computeMs, 0);
    onStep({ index: this.#inferences, logits, ms: computeMs - this.#observedMs });
    this.#observedMs = computeMs;
  }

  #emit(piece: GenerationPiece): void {
    // Which continuations there are is known at the end only.
    if (this.#request.bestOf === this.#request.n) this.#sink.piece(piece);
  }

  #finish(continuation: Continuation, reason: FinishReason): void {
    const rest = continuation.finish(reason);
    if (rest !== null) this.#emit(rest);
    const sequence = this.#sequences.get(continuation);
    if (sequence !== undefined) this.#retire(continuation, sequence);
    if (this.#continuations.every(({ finishReason }) => finishReason !== null)) this.#end(reason);
  }

  #retire(continuation: Continuation, sequence: ScheduledSequence): void {
    this.#sequences.delete(continuation);
    this.#ended.push(sequence);
    this.#core.end(sequence);
  }

  #end(reason: FinishReason): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    const { n, bestOf, prompt, sampling, loadMs } = this.#request;
    for (const continuation of this.#continuations) {
      if (continuation.finishReason === null) {
        const rest = continuation.finish(reason);
        if (rest !== null) this.#emit(rest);
      }
    }
    for (const [continuation, sequence] of [...this.#sequences]) this.#retire(continuation, sequence);
    let chosen = this.#continuations;
    if (bestOf > n) {
      // Ties go to the one that comes first.
      chosen = [...chosen].sort((a, b) => b.meanLogprob - a.meanLogprob || a.index - b.index).slice(0, n);
      for (const [index, continuation] of chosen.entries()) this.#sink.piece(continuation.whole(index));
    }
    const choices = chosen.map(({ choice }) => choice);
    const totalMs = performance.now() - this.#start;
    const firstTokenMs = this.#firstTokenMs ?? (this.#limit <= 0 ? 0 : totalMs);
    this.#sink.end({
      ...choices[0],
      choices,
      promptTokens: prompt.length,
      numCachedTokens: this.#ended[0]?.numCachedTokens ?? 0,
      seed: sampling.seed,
      inferences: this.#inferences,
      rowsComputed: this.#ended.reduce((sum, sequence) => sum + sequence.rowsComputed, 0),
      timings: { loadMs, prefillMs: firstTokenMs, decodeMs: this.#limit <= 0 ? 0 : totalMs - firstTokenMs },
    });
  }

  #fail(error: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const [continuation, sequence] of [...this.#sequences]) this.#retire(continuation, sequence);
    this.#sink.fail(error);
  }

  #sequenceOf(continuation: Continuation): ScheduledSequence {
    const sequence = this.#sequences.get(continuation);
    if (sequence === undefined) throw new Error("this continuation has no sequence");
    return sequence;
  }

  #allSequences(): ScheduledSequence[] {
    return [...this.#sequences.values(), ...this.#ended];
  }
}

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
import { type ChosenToken, Continuation } from "./continuation.js";
import type { EngineCore } from "./engine-core.js";
import type { FinishReason, GenerationRequest } from "./generation-request.js";
import type { ComputedLogits, ScheduledSequence } from "./scheduled-sequence.js";

/** How a generation ended. */
export interface GenerationOutcome {
  /** The continuations that were wanted, best first where that was asked for. */
  readonly choices: readonly {
    /** Its number among all that were generated. */
    readonly index: number;
    readonly finishReason: FinishReason;
    readonly score?: number;
  }[];
  readonly numCachedTokens: number;
  readonly inferences: number;
  readonly rowsComputed: number;
  /** Milliseconds until the first token was chosen, and from there to the end. */
  readonly prefillMs: number;
  readonly decodeMs: number;
}

/** Where a generation's tokens go, and how it ended: exactly one of `end` and `fail`, last. */
export interface GenerationSink {
  /**
   * A continuation has a new token.
   * @returns `stop` when its text ends with it; `wait` to say so later, with `resume`
   */
  token(index: number, chosen: ChosenToken): "continue" | "stop" | "wait";
  /** A continuation has ended: no more tokens of it will come. */
  finished(index: number): void;
  end(outcome: GenerationOutcome): void;
  fail(error: unknown): void;
}

/** One inference, as seen from outside. */
export interface ObservedStep {
  /** From 0. */
  readonly index: number;
  /** (V), valid during the call only. */
  readonly logits: Float32Array;
  /** Rows that went through the model. */
  readonly rows: number;
  /** Milliseconds in the model. */
  readonly ms: number;
}

export class GenerationJob {
  readonly #core: EngineCore;
  readonly #request: GenerationRequest;
  readonly #sink: GenerationSink;
  readonly #onStep: ((step: ObservedStep) => void) | undefined;
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
  #observedRows = 0;
  #hasEnded = false;

  /**
   * Starts it.
   * @param onStep is shown every inference
   * @throws LastrowError `kv_memory_exhausted` when it cannot fit even alone
   */
  constructor(
    core: EngineCore,
    request: GenerationRequest,
    sink: GenerationSink,
    onStep?: (step: ObservedStep) => void,
  ) {
    const { prompt, maxTokens, bestOf } = request;
    const { contextLength, vocabSize } = core.model.config;
    const limit = Math.min(maxTokens, contextLength - prompt.length);
    this.#core = core;
    this.#request = request;
    this.#sink = sink;
    this.#onStep = onStep;
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

  /** Says how it goes on with a continuation whose sink wanted to say so later. */
  resume(index: number, verdict: "continue" | "stop"): void {
    const continuation = this.#continuations[index];
    if (this.#hasEnded || !this.#sequences.has(continuation)) return;
    if (verdict === "stop") continuation.finish("stop");
    if (continuation.finishReason === null) this.#goOn(continuation);
    else this.#finish(continuation, continuation.finishReason);
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

  /** Chooses a token and hands it on, or ends the continuation; whether it goes on now. */
  #accept(continuation: Continuation, logits: Float32Array): boolean {
    this.#inferences += 1;
    const chosen = continuation.choose(logits);
    this.#firstTokenMs ??= performance.now() - this.#start;
    if (chosen !== null) {
      this.#lookups.get(continuation)?.push(chosen.token);
      const verdict = this.#sink.token(continuation.index, chosen);
      if (this.#hasEnded) return false;
      if (verdict === "wait") return false;
      if (verdict === "stop") continuation.finish("stop");
    }
    if (continuation.finishReason === null) return true;
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
    if (this.#onStep === undefined) return;
    const sequences = this.#allSequences();
    const computeMs = sequences.reduce((sum, sequence) => sum + sequence.computeMs, 0);
    const rowsComputed = sequences.reduce((sum, sequence) => sum + sequence.rowsComputed, 0);
    this.#onStep({
      index: this.#inferences,
      logits,
      rows: rowsComputed - this.#observedRows,
      ms: computeMs - this.#observedMs,
    });
    this.#observedMs = computeMs;
    this.#observedRows = rowsComputed;
  }

  #finish(continuation: Continuation, reason: FinishReason): void {
    continuation.finish(reason);
    this.#sink.finished(continuation.index);
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
    const { n, bestOf } = this.#request;
    for (const continuation of this.#continuations) {
      if (continuation.finishReason !== null && this.#limit > 0) continue;
      continuation.finish(reason);
      this.#sink.finished(continuation.index);
    }
    for (const [continuation, sequence] of [...this.#sequences]) this.#retire(continuation, sequence);
    let chosen = this.#continuations;
    if (bestOf > n) {
      // Ties go to the one that comes first.
      chosen = [...chosen].sort((a, b) => b.meanLogprob - a.meanLogprob || a.index - b.index).slice(0, n);
    }
    const totalMs = performance.now() - this.#start;
    const firstTokenMs = this.#limit <= 0 ? 0 : (this.#firstTokenMs ?? totalMs);
    this.#sink.end({
      choices: chosen.map(({ index, finishReason }) => ({ index, finishReason: finishReason ?? reason })),
      numCachedTokens: this.#ended[0]?.numCachedTokens ?? 0,
      inferences: this.#inferences,
      rowsComputed: this.#ended.reduce((sum, sequence) => sum + sequence.rowsComputed, 0),
      prefillMs: firstTokenMs,
      decodeMs: this.#limit <= 0 ? 0 : totalMs - firstTokenMs,
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

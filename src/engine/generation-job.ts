/**
 * A generation inside the engine: one or several continuations of a prompt, each token chosen when its logits come.
 * The prompt is computed once; continuations are forked from it. With speculation, tokens that followed the same words
 * before are fed along with the last one where that pays, and those that would have been chosen anyway are kept.
 *
 * With L prompt tokens, of which none were cached, and I inferences, I·L + I (I − 1) / 2 rows go through the model by
 * recomputing and L + I − 1 from the cache, and a row for each proposal that was not accepted. An end token costs one inference more than there are tokens; any other end
 * costs none.
 */

import type { TokenGrammar } from "../grammar/grammar-constraint.js";
import type { GenerationSink } from "../protocol/generation-outcome.js";
import type { GenerationRequest } from "../protocol/generation-request.js";
import { AfterThoughts } from "../sampling/after-thoughts.js";
import type { FinishReason } from "../sampling/continuation.js";
import { type ChosenToken, Continuation } from "../sampling/continuation.js";
import type { SamplingScratch } from "../sampling/scratch.js";
import type { EngineCore } from "./engine-core.js";
import { GenerationCounters } from "./generation-counters.js";
import { type ScheduledSequence, type StepLogits, tierWaitSince } from "./scheduled-sequence.js";
import { Speculation } from "./speculation.js";
import type { StepCosts } from "./step-costs.js";

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

/** What most generations are without. */
export interface GenerationExtras {
  /** What the text is held to; null: nothing. */
  readonly grammar?: TokenGrammar | null;
  /** Is shown every inference. */
  readonly onStep?: ((step: ObservedStep) => void) | null;
}

/** Looks at the vocabulary's tree that are taken at once; what takes more waits for `prepare`. */
const FUEL_AT_ONCE = 5000;

export class GenerationJob {
  readonly #core: EngineCore;
  readonly #request: GenerationRequest;
  readonly #sink: GenerationSink;
  readonly #onStep: ((step: ObservedStep) => void) | null;
  readonly #limit: number;
  readonly #continuations: Continuation[];
  /** The sequences that are alive, by continuation. */
  readonly #sequences = new Map<Continuation, ScheduledSequence>();
  /** Sequences that have ended, for their counters. */
  readonly #ended: ScheduledSequence[] = [];
  /** The continuations of which no more tokens will come. */
  readonly #finished = new Set<Continuation>();
  readonly #speculations = new Map<Continuation, Speculation>();
  /** How many tokens, and how many choices behind them, wait for a word about their text. */
  readonly #unconfirmed = new Map<Continuation, { readonly tokens: number; readonly choices: number }>();
  /** The prompt's logits, while it is not known which tokens may begin the text. */
  #held: { readonly logits: Float32Array; readonly maxima: Float32Array } | null = null;
  /** Continuations that go on as soon as it is known which tokens may follow. */
  readonly #waiting = new Set<Continuation>();
  readonly #counters: GenerationCounters;
  #proposed = 0;
  #accepted = 0;
  #observedMs = 0;
  #observedRows = 0;
  #hasEnded = false;

  /**
   * Starts it.
   * @param scratch to choose tokens in, during the core's steps; others may use it between them
   * @throws LastrowError `kv_memory_exhausted` when it cannot fit even alone
   */
  constructor(
    core: EngineCore,
    scratch: SamplingScratch,
    request: GenerationRequest,
    sink: GenerationSink,
    { grammar = null, onStep = null }: GenerationExtras = {},
  ) {
    const { prompt, maxTokens, bestOf } = request;
    const limit = Math.min(maxTokens, core.contextLength - prompt.length);
    this.#core = core;
    this.#counters = new GenerationCounters(core);
    this.#request = request;
    this.#sink = sink;
    this.#onStep = onStep;
    this.#limit = limit;
    this.#continuations = Array.from({ length: bestOf }, (_, index) => {
      const held = grammar?.constraint(request.constraint?.endTokenIds ?? []) ?? null;
      const thoughts = request.constraint?.thoughts ?? null;
      const constraint = held === null || thoughts === null ? held : new AfterThoughts(held, thoughts);
      return new Continuation(request, index, limit, scratch, constraint);
    });
    const [first] = this.#continuations;
    if (limit <= 0) return;
    // The last token is never fed.
    const options = { salt: request.salt, tenant: request.tenant, rowsNeeded: prompt.length + limit - 1 };
    this.#sequences.set(first, core.start(prompt, this.#consumer(first, true), options));
  }

  /** To be called once after making it: what has ended before it began says so. */
  begin(): void {
    if (this.#limit <= 0) this.#end("length");
  }

  /**
   * Goes on with a continuation of a request that `endsByText`.
   * @param kept how many of the tokens given last belong to it when a stop string has ended it; null: it goes on
   */
  resume(index: number, kept: number | null): void {
    const continuation = this.#continuations[index];
    const unconfirmed = this.#unconfirmed.get(continuation);
    if (this.#hasEnded || unconfirmed === undefined) return;
    this.#unconfirmed.delete(continuation);
    if (kept !== null) {
      // As if nothing had been proposed behind the token that ended it.
      this.#counters.discountInferences(unconfirmed.choices - kept);
      this.#accepted -= unconfirmed.choices - kept;
      continuation.stopAt(continuation.tokens.length - unconfirmed.tokens + kept);
    }
    try {
      this.#proceed(continuation);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Whether it waits for `prepare`, and for nothing else. */
  get isWaiting(): boolean {
    return !this.#hasEnded && (this.#held !== null || this.#waiting.size > 0);
  }

  /** Finds out which tokens may follow, for about so many looks at the vocabulary's tree, and goes on where that is known. */
  prepare(fuel: number): void {
    if (!this.isWaiting) return;
    try {
      if (this.#held !== null) {
        const { logits, maxima } = this.#held;
        if (!this.#areReady(fuel)) return;
        this.#held = null;
        this.#takePrompt(logits, maxima);
        return;
      }
      const [continuation] = this.#waiting;
      if (!continuation.prepare(fuel)) return;
      this.#waiting.delete(continuation);
      this.#goOn(continuation);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Ends it with `abort`, unless it has ended. */
  cancel(): void {
    this.#end("abort");
  }

  #consumer(continuation: Continuation, isFirst = false) {
    let awaitsPrompt = isFirst;
    return {
      take: (logits: StepLogits) => {
        this.#counters.countPass();
        if (awaitsPrompt) this.#takePrompt(logits.row(0), logits.maxima(0));
        else this.#take(continuation, logits);
        awaitsPrompt = false;
      },
      fail: (error: unknown) => this.#fail(error),
    };
  }

  /** The prompt's logits: every continuation chooses its first token from them. */
  #takePrompt(logits: Float32Array, maxima: Float32Array): void {
    if (!this.#areReady(FUEL_AT_ONCE)) {
      this.#held = { logits: logits.slice(), maxima: maxima.slice() };
      return;
    }
    this.#observe(logits);
    const [first, ...others] = this.#continuations;
    const origin = this.#sequenceOf(first);
    for (const continuation of others) {
      this.#sequences.set(continuation, this.#core.fork(origin, this.#consumer(continuation)));
    }
    for (const continuation of this.#continuations) {
      const chosen = this.#choose(continuation, logits, maxima);
      this.#deliver(continuation, chosen === null ? [] : [chosen], 1);
    }
  }

  /** Whether the first tokens can be chosen. All texts begin alike, so that what one may begin with is known for all. */
  #areReady(fuel: number): boolean {
    return this.#continuations.every((continuation) => continuation.prepare(fuel));
  }

  /** Logits of the last token, and of the proposed ones behind it. */
  #take(continuation: Continuation, logits: StepLogits): void {
    const sequence = this.#sequenceOf(continuation);
    const added: ChosenToken[] = [];
    let choices = 0;
    while (choices < logits.count && continuation.prepare(FUEL_AT_ONCE)) {
      const row = logits.row(choices);
      this.#observe(row);
      const proposed = sequence.tokens[logits.firstPosition + choices + 1];
      const chosen = this.#choose(continuation, row, logits.maxima(choices));
      choices += 1;
      if (chosen !== null) added.push(chosen);
      // A proposal that was not chosen, and all behind it, were for nothing.
      if (continuation.finishReason !== null || chosen?.token !== proposed) break;
    }
    this.#proposed += logits.count - 1;
    this.#accepted += choices - 1;
    this.#speculations
      .get(continuation)
      ?.settle(logits.count - 1, choices - 1, ...this.#stepToCome(continuation));
    this.#deliver(continuation, added, choices);
  }

  #choose(continuation: Continuation, logits: Float32Array, maxima: Float32Array): ChosenToken | null {
    this.#counters.countInference();
    const chosen = continuation.choose(logits, maxima);
    this.#counters.tokensChosen();
    if (chosen !== null) this.#speculations.get(continuation)?.push(chosen.token);
    return chosen;
  }

  /** Hands a step's tokens on, and goes on, unless their text decides how. */
  #deliver(continuation: Continuation, added: readonly ChosenToken[], choices: number): void {
    if (added.length > 0) this.#sink.tokens(continuation.index, added);
    if (added.length > 0 && this.#request.endsByText) {
      this.#unconfirmed.set(continuation, { tokens: added.length, choices });
    } else this.#proceed(continuation);
  }

  #proceed(continuation: Continuation): void {
    if (continuation.finishReason === null) this.#goOn(continuation);
    else this.#finish(continuation, continuation.finishReason);
  }

  /** Feeds the last chosen token, with what look-up proposes behind it. */
  #goOn(continuation: Continuation): void {
    if (!continuation.prepare(FUEL_AT_ONCE)) {
      this.#waiting.add(continuation);
      return;
    }
    const { prompt, mode, speculate } = this.#request;
    const core = this.#core;
    const sequence = this.#sequenceOf(continuation);
    const last = continuation.tokens.length - 1;
    const token = continuation.tokens[last];
    if (mode === "recompute") core.forgetRows(sequence);
    if (speculate === 0) {
      core.extend(sequence, [token]);
      return;
    }
    // What was proposed before and not chosen is forgotten.
    if (sequence.tokens.length > prompt.length + last) core.cut(sequence, prompt.length + last);
    const proposed = this.#propose(continuation);
    if (proposed.length === 0) core.extend(sequence, [token]);
    else core.speculate(sequence, token, proposed);
  }

  /** Tokens to check along with the last one: never so many that they would go past the end. */
  #propose(continuation: Continuation): readonly number[] {
    const { prompt, speculate } = this.#request;
    let speculation = this.#speculations.get(continuation);
    if (speculation === undefined) {
      speculation = new Speculation([...prompt, ...continuation.tokens]);
      this.#speculations.set(continuation, speculation);
    }
    const most = Math.min(speculate, this.#limit - continuation.tokens.length - 1);
    return speculation.propose(most, ...this.#stepToCome(continuation));
  }

  /** How many sequences the next step decodes, as far as can be seen, and what steps take. */
  #stepToCome({ tokens }: Continuation): [sequences: number, costs: StepCosts] {
    const { prompt, mode } = this.#request;
    if (mode === "recompute") return [1, alikeRows(prompt.length + tokens.length)];
    return [Math.max(this.#core.lastBatch, this.#sequences.size), this.#core.stepCosts];
  }

  #observe(logits: Float32Array): void {
    if (this.#onStep === null) return;
    const sequences = this.#allSequences();
    const computeMs = sequences.reduce((sum, sequence) => sum + sequence.computeMs, 0);
    const rowsComputed = sequences.reduce((sum, sequence) => sum + sequence.rowsComputed, 0);
    this.#onStep({
      index: this.#counters.inferences,
      logits,
      rows: rowsComputed - this.#observedRows,
      ms: computeMs - this.#observedMs,
    });
    this.#observedMs = computeMs;
    this.#observedRows = rowsComputed;
  }

  #finish(continuation: Continuation, reason: FinishReason): void {
    this.#tellFinished(continuation, reason);
    this.#retire(continuation, this.#sequenceOf(continuation));
    if (this.#finished.size === this.#continuations.length) this.#end(reason);
  }

  #tellFinished(continuation: Continuation, reason: FinishReason): void {
    continuation.finish(reason);
    this.#finished.add(continuation);
    this.#sink.finished(continuation.index);
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
      if (!this.#finished.has(continuation)) this.#tellFinished(continuation, reason);
    }
    for (const [continuation, sequence] of [...this.#sequences]) this.#retire(continuation, sequence);
    let chosen = this.#continuations;
    if (bestOf > n) {
      // Ties go to the one that comes first.
      chosen = [...chosen].sort((a, b) => b.meanLogprob - a.meanLogprob || a.index - b.index).slice(0, n);
    }
    this.#sink.end({
      choices: chosen.map(({ index, finishReason }) => ({ index, finishReason: finishReason ?? reason })),
      numCachedTokens: this.#ended[0]?.numCachedTokens ?? 0,
      tier: this.#ended.length === 0 ? null : tierWaitSince(this.#counters.start, this.#ended[0]),
      ...this.#counters.outcome,
      proposed: this.#proposed,
      accepted: this.#accepted,
      rowsComputed: this.#ended.reduce((sum, sequence) => sum + sequence.rowsComputed, 0),
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

/** Of a step that computes all rows again: each takes the same. */
function alikeRows(rows: number): StepCosts {
  return { of: (_, more) => rows + more, observe: () => undefined };
}

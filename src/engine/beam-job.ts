/**
 * A beam search inside the engine: the live beams are sequences that share their prompt's blocks and, as far as they
 * agree, those of the continuations. A step of the search waits for the logits of all live beams, however the scheduler
 * spreads them over its own steps; then beams that go on twice are forked, and beams that do not go on are ended.
 */

import type { GenerationOutcome, GenerationSink, TierWait } from "../protocol/generation-outcome.js";
import type { GenerationRequest } from "../protocol/generation-request.js";
import { type BeamHypothesis, BeamSearch } from "../sampling/beam-search.js";
import type { BeamSettings } from "../sampling/beam-settings.js";
import type { FinishReason } from "../sampling/continuation.js";
import { logNormalizer, logSoftmaxAt } from "../sampling/logprobs.js";
import { ScoreChanges } from "../sampling/score-changes.js";
import type { SamplingScratch } from "../sampling/scratch.js";
import type { EngineCore } from "./engine-core.js";
import { GenerationCounters } from "./generation-counters.js";
import { type ScheduledSequence, tierWaitSince } from "./scheduled-sequence.js";

/** A live beam. */
interface Beam {
  readonly sequence: ScheduledSequence;
  /** (V) Log-probabilities of its next token, once they are there. */
  scores: Float32Array | null;
}

export class BeamJob {
  readonly #core: EngineCore;
  readonly #request: GenerationRequest;
  readonly #sink: GenerationSink;
  readonly #search: BeamSearch | null;
  readonly #changes: ScoreChanges;
  /** In the order of the search. */
  #beams: Beam[] = [];
  /** Rows of scores that no beam uses now. */
  readonly #spareScores: Float32Array[] = [];
  readonly #counters: GenerationCounters;
  #numCachedTokens = 0;
  #tier: TierWait | null = null;
  #rowsComputed = 0;
  #hasEnded = false;

  /**
   * Starts it.
   * @param scratch to choose tokens in, during the core's steps; others may use it between them
   * @throws LastrowError `kv_memory_exhausted` when a beam cannot fit even alone, `invalid_argument` for settings that
   *   are out of their ranges
   */
  constructor(
    core: EngineCore,
    scratch: SamplingScratch,
    request: GenerationRequest,
    beams: BeamSettings,
    sink: GenerationSink,
  ) {
    const { prompt, maxTokens, eosTokenIds, n, mode, salt, tenant } = request;
    const limit = Math.min(maxTokens, core.contextLength - prompt.length);
    this.#core = core;
    this.#counters = new GenerationCounters(core);
    this.#request = request;
    this.#sink = sink;
    this.#changes = new ScoreChanges(request.sampling, scratch);
    this.#search =
      limit <= 0
        ? null
        : new BeamSearch({ ...beams, maxNewTokens: limit, eosTokenIds, numReturnSequences: n });
    if (this.#search === null) return;
    // The last token of a beam is never fed.
    const options = {
      salt: mode === "recompute" ? null : salt,
      tenant,
      rowsNeeded: prompt.length + limit - 1,
    };
    const beam: Beam = {
      sequence: core.start(
        prompt,
        this.#consumer(() => beam),
        options,
      ),
      scores: null,
    };
    this.#beams = [beam];
  }

  /** To be called once after making it: what has ended before it began says so. */
  begin(): void {
    if (this.#search === null) this.#end("length");
  }

  /** Ends it with what has been found so far, unless it has ended. */
  cancel(): void {
    this.#end("abort");
  }

  /** @param beamOf whose logits these are: known only after its sequence was made */
  #consumer(beamOf: () => Beam) {
    return {
      take: (logits: { row(i: number): Float32Array }) => this.#take(beamOf(), logits.row(0)),
      fail: (error: unknown) => this.#fail(error),
    };
  }

  #take(beam: Beam, logits: Float32Array): void {
    this.#counters.countInference();
    this.#counters.countPass();
    beam.scores = this.#scores(logits, beam.sequence.tokens.slice(this.#request.prompt.length));
    if (this.#beams.every(({ scores }) => scores !== null)) this.#step();
  }

  /** The log-probabilities (V), rounded to f32, then bias and penalties: Hugging Face's order in a beam search. */
  #scores(logits: Float32Array, generated: readonly number[]): Float32Array {
    const scores = this.#spareScores.pop() ?? new Float32Array(logits.length);
    const normalizer = logNormalizer(logits);
    for (let token = 0; token < scores.length; token++)
      scores[token] = logSoftmaxAt(logits, token, normalizer);
    this.#changes.apply(scores, { prompt: this.#request.prompt, generated });
    return scores;
  }

  /** All live beams have their scores. */
  #step(): void {
    const search = this.#search;
    if (search === null) return;
    const before = this.#beams;
    this.#counters.tokensChosen();
    const { parents, tokens } = search.step(before.map(({ scores }) => scores ?? new Float32Array(0)));
    for (const beam of before) {
      if (beam.scores !== null) this.#spareScores.push(beam.scores);
      beam.scores = null;
    }
    const taken = new Set<number>();
    this.#beams = parents.map((parent) => {
      const beam = before[parent];
      if (taken.has(parent)) return this.#fork(beam);
      taken.add(parent);
      return beam;
    });
    for (const [parent, beam] of before.entries()) if (!taken.has(parent)) this.#retire(beam);
    for (const [i, { sequence }] of this.#beams.entries()) {
      if (this.#request.mode === "recompute") this.#core.forgetRows(sequence);
      this.#core.extend(sequence, [tokens[i]]);
    }
    if (search.done) this.#end("length");
  }

  #fork({ sequence }: Beam): Beam {
    const forked: Beam = {
      sequence: this.#core.fork(
        sequence,
        this.#consumer(() => forked),
      ),
      scores: null,
    };
    return forked;
  }

  #retire({ sequence }: Beam): void {
    this.#numCachedTokens = sequence.numCachedTokens ?? 0;
    this.#tier = tierWaitSince(this.#counters.start, sequence);
    this.#rowsComputed += sequence.rowsComputed;
    this.#core.end(sequence);
  }

  /** @param unfinished the finish reason of beams that have no end token */
  #end(unfinished: FinishReason): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const beam of this.#beams) this.#retire(beam);
    const found = this.#search?.finish() ?? [];
    const choices = found.map((hypothesis, index) => this.#deliver(hypothesis, index, unfinished));
    // Ended before anything was found.
    for (let index = choices.length; index < (found.length === 0 ? this.#request.n : 0); index++) {
      this.#sink.finished(index);
      choices.push({ index, finishReason: unfinished });
    }
    this.#sink.end({
      choices,
      numCachedTokens: this.#numCachedTokens,
      tier: this.#tier,
      ...this.#counters.outcome,
      proposed: 0,
      accepted: 0,
      rowsComputed: this.#rowsComputed,
    });
  }

  /** Hands a hypothesis on, up to its end token. */
  #deliver(
    { tokens, score, finishedBy }: BeamHypothesis,
    index: number,
    unfinished: FinishReason,
  ): GenerationOutcome["choices"][number] {
    const own = finishedBy === "eos" ? tokens.slice(0, -1) : tokens;
    if (own.length > 0)
      this.#sink.tokens(
        index,
        own.map((token) => ({ token })),
      );
    this.#sink.finished(index);
    return { index, finishReason: finishedBy === "eos" ? "stop" : unfinished, score };
  }

  #fail(error: unknown): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    for (const beam of this.#beams) this.#retire(beam);
    this.#sink.fail(error);
  }
}

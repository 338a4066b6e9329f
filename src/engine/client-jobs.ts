/**
 * What the client has asked to be made of prompts: generations, beam searches and readouts, and what each of them says. Owns
 * which of its numbers means which job, as long as that runs; the scratch that all of them choose tokens in, in turns; and the
 * grammars. Those whose next tokens are not known yet take no part in steps: they are worked on between steps.
 */

import type { TokenVocabulary } from "../grammar/token-vocabulary.js";
import type { GenerationSink } from "../protocol/generation-outcome.js";
import type { ClientMessageOf, HostMessage } from "../protocol/messages.js";
import { toRemoteError } from "../protocol/remote-error.js";
import { SamplingScratch } from "../sampling/scratch.js";
import type { BeamJob } from "./beam-job.js";
import type { EngineCore } from "./engine-core.js";
import { GenerationJob, type ObservedStep } from "./generation-job.js";
import type { GrammarStore } from "./grammar-store.js";
import type { LateCode } from "./late-code.js";
import type { Outbox } from "./outbox.js";
import type { ReadoutJob } from "./readout-job.js";

/** Looks at a vocabulary's tree after a step of others, for each of its milliseconds: some 3 % of it. Measured. */
const FUEL_PER_STEP_MS = 3000;
const LEAST_FUEL = 1000;
/** Those before the event loop has a turn, where no other sequence has a step: some milliseconds. */
const FUEL_ALONE = 200_000;

export class ClientJobs {
  readonly #core: EngineCore;
  readonly #outbox: Pick<Outbox, "say" | "sayLater">;
  readonly #code: Pick<LateCode, "expect">;
  /** What grammars are over; told before the first of them. */
  vocabulary: TokenVocabulary | null = null;
  /** Made for the first. */
  #grammars: GrammarStore | null = null;
  readonly #scratch: SamplingScratch;
  readonly #generations = new Map<number, GenerationJob | BeamJob>();
  /** Of the generations, those that are held to a grammar. */
  readonly #constrained = new Map<number, GenerationJob>();
  readonly #readouts = new Map<number, ReadoutJob>();

  /** @param code has what each message needs */
  constructor(
    core: EngineCore,
    outbox: Pick<Outbox, "say" | "sayLater">,
    vocabSize: number,
    code: Pick<LateCode, "expect">,
  ) {
    this.#core = core;
    this.#outbox = outbox;
    this.#code = code;
    this.#scratch = new SamplingScratch(vocabSize);
  }

  /** Those that run. */
  get size(): number {
    return this.#generations.size + this.#readouts.size;
  }

  /** Whether a generation waits for its grammar. */
  get areWaiting(): boolean {
    for (const job of this.#constrained.values()) if (job.isWaiting) return true;
    return false;
  }

  /** @throws LastrowError what ends the call: it cannot begin */
  generate({ id, request, observed }: ClientMessageOf<"generate">): void {
    const { beams, constraint } = request;
    const grammar =
      constraint === null ? null : this.#grammarStore().grammar(constraint.key, constraint.grammar);
    const sink = this.#sink(id, request.endsByText);
    const onStep = observed === null ? null : this.#observer(id, observed);
    const job =
      beams === null
        ? new GenerationJob(this.#core, this.#scratch, request, sink, { grammar, onStep })
        : new (this.#code.expect("beams").BeamJob)(this.#core, this.#scratch, request, beams, sink);
    this.#generations.set(id, job);
    if (grammar !== null && job instanceof GenerationJob) this.#constrained.set(id, job);
    job.begin();
  }

  resume({ id, index, kept }: ClientMessageOf<"resume">): void {
    const job = this.#generations.get(id);
    if (job instanceof GenerationJob) job.resume(index, kept);
  }

  cancel(id: number): void {
    this.#generations.get(id)?.cancel();
    this.#readouts.get(id)?.cancel();
  }

  /** @throws LastrowError what ends the call: it cannot begin */
  computeReadout({ id, request }: ClientMessageOf<"computeReadout">): void {
    const say = (message: HostMessage, transfer?: ArrayBuffer) => {
      this.#readouts.delete(id);
      this.#outbox.say(message, transfer);
    };
    const { ReadoutJob } = this.#code.expect("readouts");
    const job = new ReadoutJob(this.#core, request, {
      end: (outcome) => say({ type: "readout", id, outcome }, outcome.vector.buffer),
      cancelled: () => say({ type: "ended", id, outcome: null }),
      fail: (error) => say({ type: "failed", id, error: toRemoteError(error) }),
    });
    this.#readouts.set(id, job);
  }

  /**
   * Works on one of those that wait for their grammar, in turn, and no longer than others would notice.
   * @param stepMs how long the last step took; null: there are no steps
   */
  prepareWaiting(stepMs: number | null): void {
    for (const [id, job] of this.#constrained) {
      if (!job.isWaiting) continue;
      job.prepare(stepMs === null ? FUEL_ALONE : Math.max(LEAST_FUEL, stepMs * FUEL_PER_STEP_MS));
      if (!this.#constrained.delete(id)) return;
      this.#constrained.set(id, job);
      return;
    }
  }

  #grammarStore(): GrammarStore {
    if (this.vocabulary === null) throw new Error("the vocabulary is not known");
    this.#grammars ??= new (this.#code.expect("grammars").GrammarStore)(this.vocabulary);
    return this.#grammars;
  }

  /** @param endsByText whether its tokens need an answer */
  #sink(id: number, endsByText: boolean): GenerationSink {
    const outbox = this.#outbox;
    let hasBegun = false;
    const say = (message: HostMessage) => {
      this.#generations.delete(id);
      this.#constrained.delete(id);
      outbox.say(message);
    };
    return {
      tokens: (index, chosen) => {
        const message: HostMessage = { type: "tokens", id, index, chosen };
        if (endsByText || !hasBegun) outbox.say(message);
        else outbox.sayLater(message);
        hasBegun = true;
      },
      finished: (index) => outbox.sayLater({ type: "finished", id, index }),
      end: (outcome) => say({ type: "ended", id, outcome }),
      fail: (error) => say({ type: "failed", id, error: toRemoteError(error) }),
    };
  }

  /** @param observed how many inferences are shown with their logits */
  #observer(id: number, observed: number): (step: ObservedStep) => void {
    return ({ index, logits, rows, ms }) => {
      const copy = index < observed ? (logits.slice() as Float32Array<ArrayBuffer>) : null;
      this.#outbox.say({ type: "step", id, logits: copy, rows, ms }, copy?.buffer);
    };
  }
}

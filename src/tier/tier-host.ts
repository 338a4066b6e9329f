/**
 * A tier at work: answers what an engine asks through a port, and tells it whether to ask. Owns the parts: store, breaker,
 * reads, loads, writes, rates and counters.
 */

import type { Clock } from "../platform/clock.js";
import type { TierStats } from "../protocol/kv-tier.js";
import type { Port } from "../protocol/port.js";
import type { TierAnswer, TierAsk } from "../protocol/tier-messages.js";
import { Breaker } from "./breaker.js";
import { TierCounters } from "./counters.js";
import { GuardedStore } from "./guarded-store.js";
import { Loader } from "./loader.js";
import type { TierNamespace } from "./names.js";
import { TransferRates } from "./rates.js";
import { RecordReader } from "./record-reader.js";
import { RememberedNames } from "./remembered-names.js";
import type { TierStore } from "./store.js";
import { Writer } from "./writer.js";

/** Milliseconds that the store has for each part of a trial, and to let go. */
const TRIAL_MS = 1000;
const CLOSE_MS = 500;
/** Names that are known to be there, and for how long: a store forgets, too. */
const KNOWN_NAMES = { most: 65_536, forMs: 600_000 } as const;
/** A rate is told again when it differs by so much of what was told. */
const TOLD_CHANGE = 0.1;

type State = Extract<TierAnswer, { type: "state" }>;

export interface HostParts {
  readonly namespace: TierNamespace;
  readonly store: TierStore;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  readonly port: Port<TierAnswer, TierAsk>;
}

export class TierHost {
  readonly #parts: HostParts;
  readonly #store: GuardedStore;
  readonly #counters = new TierCounters();
  readonly #rates = new TransferRates();
  readonly #breaker: Breaker;
  readonly #loader: Loader;
  readonly #writer: Writer;
  #told: State | null = null;
  #stopTimer: () => void = () => undefined;
  #isClosed = false;

  constructor(parts: HostParts) {
    const { namespace, clock, random, port } = parts;
    this.#parts = parts;
    this.#store = new GuardedStore(parts.store, clock);
    const known = new RememberedNames(clock, KNOWN_NAMES);
    const breaker = new Breaker({
      ...{ clock, random },
      trial: () => this.#trial(),
      onChange: () => this.#onBreaker(),
    });
    this.#breaker = breaker;
    this.#store.onConnected(() => breaker.connected());
    const common = {
      ...{ namespace, clock, known, store: this.#store, rates: this.#rates, counters: this.#counters },
      post: (answer: TierAnswer, transfer?: ArrayBuffer[]) => port.post(answer, transfer),
      onAnswer: () => breaker.succeed(),
      onFailure: () => breaker.fail(),
    };
    const reader = new RecordReader(common);
    this.#loader = new Loader({ ...common, reader, onEnd: () => this.#tell() });
    this.#writer = new Writer({ ...common, onChange: () => this.#tell() });
    this.#writer.pause();
  }

  /** Tries the store, says how things are, and begins to answer. A store that cannot be reached is no error. */
  async begin(): Promise<void> {
    await this.#breaker.begin();
    if (this.#isClosed) return;
    this.#tell();
    this.#parts.port.onMessage((ask) => this.#take(ask));
  }

  stats(): TierStats {
    const isFine = this.#breaker.state === "closed" && !this.#writer.isFull;
    const problem = isFine ? null : this.#store.problem;
    return { ...this.#counters.told(), breaker: this.#breaker.state, lost: null, problem };
  }

  /** Ends all loads, drops what was not written, and lets go of the store. Never rejects. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#breaker.dispose();
    this.#stopTimer();
    this.#loader.endAll();
    this.#writer.dispose();
    await this.#store.close(CLOSE_MS);
  }

  #take(ask: TierAsk): void {
    switch (ask.type) {
      case "load":
        if (this.#isAsked) this.#loader.load(ask);
        else this.#loader.decline(ask);
        return;
      case "cancel":
        this.#loader.cancel(ask.id);
        return;
      case "store":
        this.#writer.store(ask);
    }
  }

  /** Whether the store is asked at all. */
  get #isAsked(): boolean {
    return !this.#isClosed && this.#breaker.state === "closed";
  }

  /** Nothing waits for it: a `ping`, which says how long an answer takes, and a `get` of a name that is not in use. */
  async #trial(): Promise<boolean> {
    const { namespace, clock } = this.#parts;
    if (!(await this.#store.ping(TRIAL_MS))) return false;
    const [none] = namespace.blocksOf("", new Int32Array(namespace.identity.blockSize));
    // Connecting was the ping's part.
    const begun = clock.now();
    const answers = await this.#store.answersTo(
      namespace.nameOf(none, namespace.identity.groups.length),
      TRIAL_MS,
    );
    if (answers) this.#rates.observeRoundTrip(clock.now() - begun);
    return answers;
  }

  #onBreaker(): void {
    if (this.#breaker.state === "closed") this.#writer.resume();
    else {
      this.#loader.endAll();
      this.#writer.pause();
    }
    this.#tell();
  }

  /** Tells the engine how things are, where that has changed. */
  #tell(): void {
    const { clock, port } = this.#parts;
    if (this.#isClosed) return;
    const now = clock.now();
    const state: State = {
      type: "state",
      takesLoads: this.#isAsked,
      takesStores: this.#isAsked && !this.#writer.isFull,
      bytesPerMs: this.#rates.bytesPerMs(now),
      roundTripMs: this.#rates.roundTripMs,
    };
    if (this.#told === null || differs(this.#told, state)) {
      this.#told = state;
      port.post(state);
    }
    this.#stopTimer();
    const at = this.#rates.changesAt(now);
    if (at !== null) this.#stopTimer = clock.after(at - now, () => this.#tell());
  }
}

function differs(before: State, now: State): boolean {
  return (
    before.takesLoads !== now.takesLoads ||
    before.takesStores !== now.takesStores ||
    isOther(before.bytesPerMs, now.bytesPerMs) ||
    isOther(before.roundTripMs, now.roundTripMs)
  );
}

function isOther(before: number | null, now: number | null): boolean {
  if (before === null || now === null) return before !== now;
  return Math.abs(now - before) > TOLD_CHANGE * before;
}

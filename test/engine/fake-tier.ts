/**
 * A KV tier for tests, within the thread and in time that is counted in steps: it holds blocks that engines have offered, and answers
 * late, in part, in odd orders, twice, never, or dies, as its seed says.
 */

import type { EngineCore } from "../../src/engine/engine-core.js";
import { connectTier } from "../../src/engine/engine-tier.js";
import { BLOCK_SIZE, firstKeptBlock } from "../../src/kernels/kv-layout.js";
import type { TierPolicy } from "../../src/protocol/kv-tier.js";
import type { TierAnswer, TierAsk, TierBlock } from "../../src/protocol/tier-messages.js";

type LoadAsk = Extract<TierAsk, { type: "load" }>;
type StoreAsk = Extract<TierAsk, { type: "store" }>;

/** What engines have offered: blocks by salt, tokens up to their end, and group. */
export class FakeStore {
  readonly #blocks = new Map<string, Uint8Array<ArrayBuffer>>();

  get size(): number {
    return this.#blocks.size;
  }

  /** What is there already must be offered with the same bytes. */
  put({ salt, tokens, blocks }: StoreAsk): void {
    for (const { group, index, bytes } of blocks) {
      const key = keyOf(salt, tokens, group, index);
      const known = this.#blocks.get(key);
      if (known !== undefined && Buffer.compare(known, bytes) !== 0) {
        throw new Error(`block ${index} of group ${group} is offered with other bytes than before`);
      }
      this.#blocks.set(key, known ?? bytes.slice());
    }
  }

  get(salt: string, tokens: Int32Array, group: number, index: number): TierBlock | null {
    const bytes = this.#blocks.get(keyOf(salt, tokens, group, index));
    return bytes === undefined ? null : { group, index, bytes: bytes.slice() };
  }
}

/** As a tier finds it: the longest prefix of which all is there that a row behind it sees, beyond what the engine has. */
export function findIn(
  store: FakeStore,
  windows: readonly (number | null)[],
  { salt, tokens, from, to, localFrom }: LoadAsk,
): { length: number; blocks: TierBlock[] } {
  for (let length = to; length > from; length--) {
    const blocks = windows.flatMap((window, group) => {
      const first = firstKeptBlock(window, length * BLOCK_SIZE);
      const indices = Array.from({ length: length - first }, (_, i) => first + i);
      return indices
        .filter((index) => index >= from || index < localFrom[group])
        .map((index) => store.get(salt, tokens, group, index));
    });
    const found = blocks.filter((block) => block !== null);
    if (found.length === blocks.length) return { length, blocks: found };
  }
  return { length: from, blocks: [] };
}

function keyOf(salt: string, tokens: Int32Array, group: number, index: number): string {
  return `${salt} ${group} ${tokens.subarray(0, (index + 1) * BLOCK_SIZE).join()}`;
}

/** How often it does what, from 0 to 1. */
export interface Faults {
  /** Never says that a load is over. */
  readonly never: number;
  /** Leaves out a block that is there. */
  readonly hole: number;
  /** Blocks in an odd order, or some twice. */
  readonly odd: number;
  /** Dies, in a step. */
  readonly death: number;
  /** Says that it takes nothing now, in a step, or that it does again. */
  readonly state: number;
  /** Most steps that an answer takes. */
  readonly delay: number;
}

const SOUND: Faults = { never: 0, hole: 0, odd: 0, death: 0, state: 0, delay: 0 };

export interface FakeTierOptions {
  readonly store: FakeStore;
  readonly random: () => number;
  readonly faults?: Faults;
  readonly policy?: TierPolicy;
}

/** A step in the milliseconds that the engine counts in: few, so that nothing is too slow to be worth it. */
const STEP_MS = 0.02;

export class FakeTier {
  readonly #core: EngineCore;
  readonly #options: Required<FakeTierOptions>;
  readonly #answers: { readonly step: number; readonly answer: TierAnswer }[] = [];
  readonly #cancelled = new Set<number>();
  #step = 0;
  #isDead = false;
  cancels = 0;

  constructor(core: EngineCore, options: FakeTierOptions) {
    const policy: TierPolicy = { write: "first", deadlineMs: 12 * STEP_MS };
    this.#core = core;
    this.#options = { faults: SOUND, policy, ...options };
    connectTier(core, {
      policy: this.#options.policy,
      post: (ask) => this.#take(ask),
      now: () => this.#step * STEP_MS,
    });
    this.#say({ type: "state", takesLoads: true, takesStores: true, bytesPerMs: null, roundTripMs: null });
    this.tick();
  }

  /** Lets a step's time pass: what is due is answered, what is late is given up. */
  tick(): void {
    const { tier } = this.#core;
    if (tier === null) throw new Error("the engine has forgotten its tier");
    const { faults, random } = this.#options;
    this.#step += 1;
    for (let i = 0; i < this.#answers.length; ) {
      if (this.#answers[i].step > this.#step) i += 1;
      else tier.take(this.#answers.splice(i, 1)[0].answer);
    }
    tier.loads.expire();
    if (!this.#isDead && random() < faults.death) {
      this.#isDead = true;
      tier.lose();
    }
    if (random() < faults.state) {
      const takes = { takesLoads: random() < 0.7, takesStores: random() < 0.7 };
      this.#say({ type: "state", ...takes, bytesPerMs: null, roundTripMs: null });
    }
  }

  #take(ask: TierAsk): void {
    if (this.#isDead) throw new Error("a tier that is lost is asked for something");
    switch (ask.type) {
      case "load":
        this.#load(ask);
        return;
      case "cancel":
        this.#cancelled.add(ask.id);
        this.cancels += 1;
        return;
      case "store":
        this.#options.store.put(ask);
        this.#say({ type: "stored", buffers: ask.blocks.map(({ bytes }) => bytes.buffer) });
    }
  }

  #load(ask: LoadAsk): void {
    const { id } = ask;
    const { faults, random, store } = this.#options;
    const windows = this.#core.kvCache.layout.groups.map(({ window }) => window);
    const { length, blocks } = findIn(store, windows, ask);
    let sent = blocks.filter(() => random() >= faults.hole);
    if (random() < faults.odd) {
      const odd = sent.map((block) => ({ block, at: random() })).sort((a, b) => a.at - b.at);
      sent = [...odd.map(({ block }) => block), ...sent.filter(() => random() < 0.2)];
    }
    const last = Math.max(0, ...sent.map((block) => this.#say({ type: "block", id, ...block })));
    // Mostly the last answer; what comes after it is of no use.
    if (random() >= faults.never) this.#say({ type: "loaded", id, length }, random() < faults.odd ? 0 : last);
  }

  /** @returns the step in which it arrives */
  #say(answer: TierAnswer, notBefore = 0): number {
    const { faults, random } = this.#options;
    const step = Math.max(notBefore, this.#step + 1 + Math.floor(random() * (faults.delay + 1)));
    this.#answers.push({ step, answer });
    return step;
  }
}

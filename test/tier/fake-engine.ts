/**
 * An engine as a tier sees it: it asks, and keeps account of every answer. It knows what each block of each prefix must be, so that
 * whatever is wrong is seen: a wrong byte, a block or an end too many, an end too late, memory that comes back twice or never.
 */
import { createHash } from "node:crypto";
import { firstKeptBlock } from "../../src/kernels/kv-layout.js";
import type { Clock } from "../../src/platform/clock.js";
import type { Port } from "../../src/protocol/port.js";
import type { TierAnswer, TierAsk, TierBlock, TierIdentity } from "../../src/protocol/tier-messages.js";

export type StateAnswer = Extract<TierAnswer, { type: "state" }>;

/** The one and only bytes of a block: a digest of all that it depends on, as often as fits. */
function blockOf(
  { blockBytes, fingerprint }: TierIdentity,
  salt: string,
  tokens: Int32Array,
  { group, index }: Pick<TierBlock, "group" | "index">,
): Uint8Array<ArrayBuffer> {
  const prefix = tokens.slice(0, (index + 1) * 16);
  const digest = createHash("sha256")
    .update(JSON.stringify([fingerprint, salt, [...prefix], group]))
    .digest();
  const bytes = new Uint8Array(blockBytes);
  Buffer.from(bytes.buffer).fill(digest);
  return bytes;
}

interface AskedLoad {
  readonly ask: Extract<TierAsk, { type: "load" }>;
  readonly begunAt: number;
  readonly given: Set<string>;
  length: number | null;
  endedAt: number | null;
}

export class FakeEngine {
  readonly identity: TierIdentity;
  readonly states: StateAnswer[] = [];
  readonly loads = new Map<number, AskedLoad>();
  /** Everything that is not as it must be. */
  readonly wrong: string[] = [];
  /** Memory that was handed over and has not come back. */
  readonly lent = new Set<ArrayBuffer>();
  numGiven = 0;
  /** Called when a load has ended, before anything else can happen. */
  onLoaded: (id: number) => void = () => undefined;
  /** Memory that came with blocks: the engine's now. */
  readonly #owned = new Set<ArrayBuffer>();
  readonly #clock: Clock;
  #listener: (ask: TierAsk) => void = () => undefined;
  #lastId = 0;

  constructor(identity: TierIdentity, clock: Clock) {
    this.identity = identity;
    this.#clock = clock;
  }

  /** The tier's end of the way. */
  get port(): Port<TierAnswer, TierAsk> {
    return {
      post: (answer) => this.#take(answer),
      onMessage: (listener) => {
        this.#listener = listener;
      },
    };
  }

  get state(): StateAnswer {
    const state = this.states.at(-1);
    if (state === undefined) throw new Error("the tier has not told how things are");
    return state;
  }

  get numOpenLoads(): number {
    return [...this.loads.values()].filter(({ length }) => length === null).length;
  }

  /** @returns the load's id */
  load(
    tokens: readonly number[],
    { salt = "", from = 0, deadlineMs = 100, localFrom = this.identity.groups.map(() => 0) } = {},
  ): number {
    this.#lastId += 1;
    const id = this.#lastId;
    const to = Math.floor(tokens.length / 16);
    const ask: AskedLoad["ask"] = {
      ...{ type: "load", id, salt, from, to, localFrom, deadlineMs },
      tokens: Int32Array.from(tokens.slice(0, to * 16)),
    };
    const load = { ask, begunAt: this.#clock.now(), given: new Set<string>(), length: null, endedAt: null };
    this.loads.set(id, load);
    this.#listener(ask);
    return id;
  }

  cancel(id: number): void {
    this.#listener({ type: "cancel", id });
  }

  /** Offers the blocks of a prefix. */
  store(tokens: readonly number[], { salt = "" } = {}): void {
    const all = Int32Array.from(tokens);
    this.#lend(tokens, salt, (place) => blockOf(this.identity, salt, all, place));
  }

  /** Offers blocks that will not be looked at: they cost no time to make, whatever their size. */
  lendEmpty(tokens: readonly number[]): void {
    this.#lend(tokens, "", () => new Uint8Array(this.identity.blockBytes));
  }

  /** Blocks that came for a load, as "group:index", in order. */
  givenTo(id: number): string[] {
    return [...this.#loadOf(id).given];
  }

  lengthOf(id: number): number | null {
    return this.#loadOf(id).length;
  }

  #lend(
    tokens: readonly number[],
    salt: string,
    bytesOf: (place: Pick<TierBlock, "group" | "index">) => Uint8Array<ArrayBuffer>,
  ): void {
    const blocks: TierBlock[] = [];
    for (let index = 0; (index + 1) * 16 <= tokens.length; index++) {
      for (const group of this.identity.groups.keys()) {
        const bytes = bytesOf({ group, index });
        blocks.push({ group, index, bytes });
        this.lent.add(bytes.buffer);
      }
    }
    this.#listener({ type: "store", salt, tokens: Int32Array.from(tokens), blocks });
  }

  #take(answer: TierAnswer): void {
    switch (answer.type) {
      case "state":
        this.states.push(answer);
        return;
      case "stored":
        for (const buffer of answer.buffers) {
          if (!this.lent.delete(buffer)) this.wrong.push("memory came back that was not lent");
        }
        return;
      case "block":
        this.#takeBlock(answer);
        return;
      case "loaded":
        this.#takeEnd(answer.id, answer.length);
    }
  }

  #takeBlock({ id, group, index, bytes }: Extract<TierAnswer, { type: "block" }>): void {
    const { ask, given, length } = this.#loadOf(id);
    const place = `${group}:${index}`;
    this.numGiven += 1;
    if (length !== null) this.wrong.push(`block ${place} came after the end of load ${id}`);
    if (given.has(place)) this.wrong.push(`block ${place} came twice`);
    given.add(place);
    if (index >= ask.to || (index < ask.from && index >= ask.localFrom[group])) {
      this.wrong.push(`block ${place} was not asked for`);
    }
    const expected = blockOf(this.identity, ask.salt, ask.tokens, { group, index });
    if (Buffer.compare(bytes, expected) !== 0) this.wrong.push(`block ${place} has other bytes`);
    if (bytes.byteLength !== bytes.buffer.byteLength || this.#owned.has(bytes.buffer)) {
      this.wrong.push("a block shares its buffer");
    }
    this.#owned.add(bytes.buffer);
  }

  #takeEnd(id: number, length: number): void {
    const load = this.#loadOf(id);
    const { ask, given } = load;
    if (load.length !== null) this.wrong.push(`load ${id} ended twice`);
    load.length = length;
    load.endedAt = this.#clock.now();
    const tookMs = load.endedAt - load.begunAt;
    if (tookMs > ask.deadlineMs) this.wrong.push(`load ${id} took ${tookMs} ms of ${ask.deadlineMs}`);
    if (length < ask.from || length > Math.max(ask.from, ask.to))
      this.wrong.push(`${length} blocks are there?`);
    this.onLoaded(id);
    if (length <= ask.from) return;
    for (const [group, { window }] of this.identity.groups.entries()) {
      for (let index = firstKeptBlock(window, length * 16); index < length; index++) {
        const isLocal = index >= ask.localFrom[group] && index < ask.from;
        if (!isLocal && !given.has(`${group}:${index}`)) {
          this.wrong.push(`load ${id} ended with ${length} blocks, and without ${group}:${index}`);
        }
      }
    }
  }

  #loadOf(id: number): AskedLoad {
    const load = this.loads.get(id);
    if (load === undefined) throw new Error(`there is no load ${id}`);
    return load;
  }
}

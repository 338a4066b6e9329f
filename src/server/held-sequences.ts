/**
 * Sequences that clients hold between requests. Owns them: random ids, an owner each, a time to live that every use
 * renews, a limit to their number and to the bytes of their keys and values. What goes over a limit is refused, and
 * nothing has changed.
 */
import type { Sequence } from "../engine/sequence.js";
import type { LanguageModel } from "../language-model.js";
import { ApiError } from "./api-error.js";
import type { Exchange } from "./exchange.js";
import type { Principal } from "./keys.js";
import type { ServerLimits } from "./limits.js";

/** A sequence and who holds it. */
export interface HeldSequence {
  readonly id: string;
  readonly owner: string;
  sequence: Sequence;
  /** The model that it lives in: it does not outlive it. */
  model: LanguageModel;
  /** Unix seconds. */
  readonly created: number;
  expires: number;
  /** Requests that are at it; its time is not up before they are done. */
  users: number;
}

type SequenceLimits = Pick<ServerLimits, "sequences" | "sequenceBytes" | "sequenceSeconds">;

/** Milliseconds between looks for those whose time is up. */
const SWEEP_MS = 1000;

export class HeldSequences {
  readonly #limits: SequenceLimits;
  readonly #bytesPerToken: number;
  readonly #held = new Map<string, HeldSequence>();
  /** Places that are promised to sequences under way. */
  readonly #promised = new Map<string, { count: number; tokens: number }>();
  readonly #sweeper: ReturnType<typeof setInterval>;

  constructor(limits: SequenceLimits, bytesPerToken: number) {
    this.#limits = limits;
    this.#bytesPerToken = bytesPerToken;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    (this.#sweeper as { unref?: () => void }).unref?.();
  }

  get size(): number {
    return this.#held.size;
  }

  /**
   * Holds what `make` gives, if there is room for one of so many tokens.
   * @throws ApiError 429 over a limit, and what `make` throws
   */
  async add(
    principal: Principal,
    model: LanguageModel,
    tokens: number,
    make: () => Promise<Sequence>,
  ): Promise<HeldSequence> {
    const owner = principal.name;
    this.#expectRoom(owner, 1, tokens);
    const release = this.#promise(owner, 1, tokens);
    try {
      const sequence = await make();
      const now = Date.now() / 1000;
      const held = {
        id: `seq-${crypto.randomUUID()}`,
        owner,
        sequence,
        model,
        created: Math.floor(now),
        expires: now + this.#limits.sequenceSeconds,
        users: 0,
      };
      this.#held.set(held.id, held);
      return held;
    } finally {
      release();
    }
  }

  /**
   * One of a principal's own, for a request: its time to live begins anew with it, and again at its end.
   * @param exchange the request's
   * @throws ApiError 404 for any other, whether it exists or not
   */
  use(principal: Principal, id: string, exchange: Pick<Exchange, "onEnd">): HeldSequence {
    this.#sweep();
    const held = this.#held.get(id);
    if (held === undefined || held.owner !== principal.name) {
      throw new ApiError(
        404,
        "sequence_not_found",
        "There is no such sequence: it never was, or its time is up.",
        {
          param: "id",
        },
      );
    }
    const renew = () => {
      held.expires = Date.now() / 1000 + this.#limits.sequenceSeconds;
    };
    renew();
    held.users += 1;
    exchange.onEnd(() => {
      held.users -= 1;
      renew();
    });
    return held;
  }

  /** Those of a principal, oldest first. */
  list(principal: Principal): HeldSequence[] {
    this.#sweep();
    return [...this.#held.values()].filter(({ owner }) => owner === principal.name);
  }

  /**
   * Lets a sequence grow, if there is room.
   * @throws ApiError 429 over the limit of bytes, and what `change` throws
   */
  async grow(held: HeldSequence, tokens: number, change: () => Promise<void>): Promise<void> {
    this.#expectRoom(held.owner, 0, tokens);
    const release = this.#promise(held.owner, 0, tokens);
    try {
      await change();
    } finally {
      release();
    }
  }

  /** Puts another sequence in a held one's place. */
  async replace(held: HeldSequence, sequence: Sequence, model: LanguageModel): Promise<void> {
    const before = held.sequence;
    held.sequence = sequence;
    held.model = model;
    this.#held.set(held.id, held);
    await before.dispose();
  }

  async remove({ id, sequence }: HeldSequence): Promise<void> {
    this.#held.delete(id);
    await sequence.dispose();
  }

  /** Forgets those of a model that is gone. */
  forget(model: LanguageModel): void {
    for (const held of [...this.#held.values()]) if (held.model === model) this.#held.delete(held.id);
  }

  async dispose(): Promise<void> {
    clearInterval(this.#sweeper);
    const all = [...this.#held.values()];
    this.#held.clear();
    await Promise.all(all.map(({ sequence }) => sequence.dispose().catch(() => undefined)));
  }

  #expectRoom(owner: string, count: number, tokens: number): void {
    const { sequences, sequenceBytes } = this.#limits;
    const own = [...this.#held.values()].filter((held) => held.owner === owner);
    const promised = this.#promised.get(owner) ?? { count: 0, tokens: 0 };
    if (count > 0 && own.length + promised.count + count > sequences) {
      throw new ApiError(
        429,
        "sequence_limit",
        `A key may hold ${sequences} sequences; delete one, or wait until one's time is up.`,
      );
    }
    const heldTokens = own.reduce((sum, { sequence }) => sum + sequence.length, promised.tokens);
    const bytes = (heldTokens + tokens) * this.#bytesPerToken;
    if (bytes > sequenceBytes) {
      throw new ApiError(
        429,
        "sequence_limit",
        `A key may hold ${sequenceBytes} bytes of keys and values; with this they would be ${bytes}.`,
      );
    }
  }

  #promise(owner: string, count: number, tokens: number): () => void {
    const promised = this.#promised.get(owner) ?? { count: 0, tokens: 0 };
    this.#promised.set(owner, promised);
    promised.count += count;
    promised.tokens += tokens;
    return () => {
      promised.count -= count;
      promised.tokens -= tokens;
      if (promised.count === 0 && promised.tokens === 0) this.#promised.delete(owner);
    };
  }

  #sweep(): void {
    const now = Date.now() / 1000;
    for (const held of [...this.#held.values()]) {
      if (held.users === 0 && held.expires <= now) void this.remove(held).catch(() => undefined);
    }
  }
}

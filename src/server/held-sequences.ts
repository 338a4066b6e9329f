/**
 * Sequences that clients hold between requests. Owns them: random ids, an owner each, a time to live that every use
 * renews, a limit to their number and to the bytes of their keys and values, which are counted before anything is
 * computed. What goes over a limit is refused, and nothing has changed.
 *
 * What is done with one sequence is done in a line, one request after the other, and each looks first whether it is still
 * held. So two requests at once give what one order of them would give. A place is given back when its sequence has let go
 * of its blocks.
 */
import type { Sequence } from "../client/sequence.js";
import { LastrowError } from "../errors.js";
import type { LanguageModel } from "../library/language-model.js";
import { ApiError, engineUnavailable } from "./api-error.js";
import type { Exchange } from "./exchange.js";
import { keptIds, type NewKeptId } from "./instance.js";
import type { Principal } from "./keys.js";
import type { ServerLimits } from "./limits.js";

/** A sequence and its holder. */
export interface HeldSequence {
  readonly id: string;
  /** Unix seconds. */
  readonly created: number;
  /** Unix seconds, as the last use has set them. */
  readonly expires: number;
  readonly sequence: Sequence;
  /** The model that it lives in: it does not outlive it. */
  readonly model: LanguageModel;
}

/** What is known of one besides. */
interface Entry extends HeldSequence {
  readonly owner: string;
  sequence: Sequence;
  model: LanguageModel;
  expires: number;
  /** When its time is up, by the monotonic clock: the other one may be set. */
  deadline: number;
  /** Requests that use it; it does not expire before they are done. */
  users: number;
  /** Tokens that are counted for it: its own and the ones being added. */
  tokens: number;
  hasPlace: boolean;
  /** What is done last with it. */
  last: Promise<unknown>;
}

/** What a principal's sequences are counted as. */
interface Account {
  count: number;
  tokens: number;
}

/** What takes a held sequence's place, and the model that it is made in. */
interface Replacement {
  readonly model: LanguageModel;
  readonly make: (expectRoom: ExpectRoom) => Promise<Sequence>;
}

type SequenceLimits = Pick<ServerLimits, "sequences" | "sequenceBytes" | "sequenceSeconds">;
type Asker = Pick<Exchange, "principal" | "signal" | "reason" | "onEnd">;

/** Counts a sequence, while it is being made, with so many tokens. @throws ApiError 429 when there is no room for it */
export type ExpectRoom = (tokens: number) => void;

/** Milliseconds between looks for sequences that have expired. */
const SWEEP_MS = 1000;

export class HeldSequences {
  readonly #limits: SequenceLimits;
  readonly #bytesPerToken: number;
  /** Told when one is gone. */
  readonly #onGone: () => void;
  readonly #newId: NewKeptId;
  readonly #held = new Map<string, Entry>();
  readonly #accounts = new Map<string, Account>();
  /** Models that are gone: what was made in them while they went cannot be held. */
  readonly #gone = new WeakSet<LanguageModel>();
  readonly #sweeper: ReturnType<typeof setInterval>;
  #isDisposed = false;

  constructor(
    limits: SequenceLimits,
    bytesPerToken: number,
    onGone: () => void = () => undefined,
    newId: NewKeptId = keptIds(undefined),
  ) {
    this.#limits = limits;
    this.#bytesPerToken = bytesPerToken;
    this.#onGone = onGone;
    this.#newId = newId;
    this.#sweeper = setInterval(() => this.#sweep(), SWEEP_MS);
    (this.#sweeper as { unref?: () => void }).unref?.();
  }

  get size(): number {
    return this.#held.size;
  }

  /** What each principal's sequences are counted as, those included that are being made or let go of; none: nothing. */
  get accounts(): ReadonlyMap<string, Readonly<Account>> {
    return this.#accounts;
  }

  /**
   * Holds what `make` gives, if there is room for one of so many tokens.
   * @param make may say that it will have more
   * @throws ApiError 429 over a limit, 499 when the client has gone meanwhile, 503 when the engine has; what `make` throws
   */
  async add(
    exchange: Asker,
    model: LanguageModel,
    tokens: number,
    make: (expectRoom: ExpectRoom) => Promise<Sequence>,
  ): Promise<HeldSequence> {
    const owner = exchange.principal!.name;
    this.#take(owner, 1, tokens);
    let counted = tokens;
    const expectRoom = (length: number) => {
      this.#take(owner, 0, length - counted);
      counted = length;
    };
    let sequence: Sequence | null = null;
    try {
      sequence = await make(expectRoom);
      this.#expectUse(exchange, model);
      expectRoom(sequence.length);
    } catch (error) {
      await sequence?.dispose();
      this.#giveBack(owner, 1, counted);
      throw error;
    }
    const now = Date.now() / 1000;
    const held: Entry = {
      id: this.#newId("seq"),
      owner,
      sequence,
      model,
      created: Math.floor(now),
      expires: now + this.#limits.sequenceSeconds,
      deadline: this.#deadline(),
      users: 0,
      tokens: counted,
      hasPlace: true,
      last: Promise.resolve(),
    };
    this.#held.set(held.id, held);
    return held;
  }

  /** Whether it is one of a principal's own. */
  has({ name }: Principal, id: string): boolean {
    return this.#held.get(id)?.owner === name;
  }

  /**
   * One of a principal's own, for a request: its time to live begins anew with it, and again at its end.
   * @throws ApiError 404 for any other, whether it exists or not
   */
  use(exchange: Asker, id: string): HeldSequence {
    this.#sweep();
    const held = this.#held.get(id);
    if (held === undefined || held.owner !== exchange.principal!.name) throw sequenceNotFound();
    const renew = () => {
      held.expires = Date.now() / 1000 + this.#limits.sequenceSeconds;
      held.deadline = this.#deadline();
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
  list({ name }: Principal): HeldSequence[] {
    this.#sweep();
    return [...this.#held.values()].filter(({ owner }) => owner === name);
  }

  /**
   * Does something with a sequence when it is its turn, if there is room for it to grow by so many tokens.
   * @param held as `use` gave it
   * @throws ApiError 404 when it is not held any more, 429 over the limit of bytes, 499 when the client has gone meanwhile;
   *   what `work` throws
   */
  inTurn<T>(held: HeldSequence, exchange: Asker, tokens: number, work: () => Promise<T>): Promise<T> {
    const entry = held as Entry;
    return this.#inLine(entry, async () => {
      if (this.#held.get(entry.id) !== entry) throw sequenceNotFound();
      this.#expectUse(exchange, entry.model);
      this.#grow(entry, tokens);
      try {
        return await work();
      } catch (error) {
        if (!entry.sequence.hasEnded) throw error;
        // It is of no more use. Its own failure is reported once, then it is gone.
        const isItsOwnEnd = entry.hasPlace && !this.#isDisposed;
        this.#forget(entry);
        throw isItsOwnEnd && isDisposed(error) ? sequenceNotFound() : error;
      } finally {
        if (entry.hasPlace) this.#grow(entry, entry.sequence.length - entry.tokens, false);
      }
    });
  }

  /**
   * Puts what `make` gives in a held one's place, when it is its turn and if there is room for it.
   * @throws as `add` and `inTurn`
   */
  replace<T>(held: HeldSequence, exchange: Asker, { model, make }: Replacement, result: () => T): Promise<T> {
    const entry = held as Entry;
    const expectRoom = (length: number) => this.#grow(entry, Math.max(0, length - entry.tokens));
    return this.inTurn(held, exchange, 0, async () => {
      const sequence = await make(expectRoom);
      try {
        this.#expectUse(exchange, model);
        expectRoom(sequence.length);
      } catch (error) {
        await sequence.dispose();
        throw error;
      }
      const before = entry.sequence;
      entry.sequence = sequence;
      entry.model = model;
      await before.dispose();
      return result();
    });
  }

  /**
   * Lets go of a sequence: at once for all requests from now on, and of its blocks when it is its turn.
   * @throws ApiError 404 when it is not held any more
   */
  async remove(held: HeldSequence): Promise<void> {
    const entry = held as Entry;
    if (!this.#held.delete(entry.id)) throw sequenceNotFound();
    await this.#inLine(entry, async () => {
      await entry.sequence.dispose();
      this.#forget(entry);
    });
  }

  /** Forgets those of a model that is gone. */
  forget(model: LanguageModel): void {
    this.#gone.add(model);
    for (const held of [...this.#held.values()]) if (held.model === model) this.#forget(held);
  }

  async dispose(): Promise<void> {
    this.#isDisposed = true;
    clearInterval(this.#sweeper);
    const all = [...this.#held.values()];
    this.#held.clear();
    await Promise.all(all.map(({ sequence }) => sequence.dispose().catch(() => undefined)));
    for (const held of all) this.#forget(held);
  }

  #inLine<T>(held: Entry, work: () => Promise<T>): Promise<T> {
    const done = held.last.then(work);
    held.last = done.catch(() => undefined);
    return done;
  }

  /** @throws ApiError when its client has gone, or there is no model */
  #expectUse({ signal, reason }: Asker, model: LanguageModel): void {
    if (signal.aborted) throw reason;
    if (this.#isDisposed || this.#gone.has(model)) {
      throw engineUnavailable(undefined, "The engine was lost meanwhile; try again.");
    }
  }

  /** Gives its place back, if it has one. */
  #forget(held: Entry): void {
    this.#held.delete(held.id);
    if (!held.hasPlace) return;
    held.hasPlace = false;
    this.#giveBack(held.owner, 1, held.tokens);
    this.#onGone();
  }

  /** @param isLimited whether it needs room: what it has already does not */
  #grow(held: Entry, tokens: number, isLimited = true): void {
    this.#take(held.owner, 0, tokens, isLimited);
    held.tokens += tokens;
  }

  /** Counts sequences and tokens for a principal. @throws ApiError 429 over a limit, and nothing is counted */
  #take(owner: string, count: number, tokens: number, isLimited = true): void {
    const { sequences, sequenceBytes } = this.#limits;
    const own = this.#accounts.get(owner) ?? { count: 0, tokens: 0 };
    if (isLimited && count > 0 && own.count + count > sequences) {
      throw new ApiError(
        429,
        "sequence_limit",
        `A key may hold ${sequences} sequences; delete one, or wait until one expires.`,
      );
    }
    const bytes = (own.tokens + tokens) * this.#bytesPerToken;
    if (isLimited && tokens > 0 && bytes > sequenceBytes) {
      throw new ApiError(
        429,
        "sequence_limit",
        `A key may hold ${sequenceBytes} bytes of keys and values; with this they would be ${bytes}.`,
      );
    }
    own.count += count;
    own.tokens += tokens;
    this.#accounts.set(owner, own);
  }

  #giveBack(owner: string, count: number, tokens: number): void {
    this.#take(owner, -count, -tokens, false);
    if (this.#accounts.get(owner)?.count === 0) this.#accounts.delete(owner);
  }

  #deadline(): number {
    return performance.now() + this.#limits.sequenceSeconds * 1000;
  }

  #sweep(): void {
    const now = performance.now();
    for (const held of [...this.#held.values()]) {
      if (held.users > 0) continue;
      if (held.sequence.hasEnded) this.#forget(held);
      else if (held.deadline <= now) void this.remove(held).catch(() => undefined);
    }
  }
}

function isDisposed(error: unknown): boolean {
  return error instanceof LastrowError && error.code === "disposed";
}

/** What any request gets for a sequence that it cannot have. */
export function sequenceNotFound(): ApiError {
  return new ApiError(
    404,
    "sequence_not_found",
    "There is no such sequence: it never existed or has expired.",
    { param: "id" },
  );
}

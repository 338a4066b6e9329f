/**
 * Which requests run, which wait, which are refused. A request takes a place before its body is read; when it has been
 * checked, the texts that it asks for at once (prompts × continuations) take places, too. Keys wait in lines of their own
 * and take turns. What was taken is given back exactly once.
 */
import { ApiError, shuttingDown } from "./api-error.js";
import type { ApiKeys, Principal } from "./keys.js";
import type { ServerLimits } from "./limits.js";
import { Places } from "./places.js";

/** A request's places. */
export interface Admitted {
  /** Milliseconds that it has waited. */
  readonly queueMs: number;
  /**
   * Waits for places of what it asks for at once. To be called once.
   * @throws ApiError 499 when the client has gone
   */
  count(choices: number): Promise<void>;
  /** Gives everything back; calling it twice is fine. */
  release(): void;
}

/** Seconds after which a refused client is asked to come back. */
const RETRY_AFTER = 1;

type AdmissionLimits = Pick<ServerLimits, "concurrent" | "perKey" | "queue">;

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #keys: Pick<ApiKeys, "areRequired" | "count">;
  readonly #requests: Places;
  readonly #choices: Places;
  readonly #idle: (() => void)[] = [];
  #isClosed = false;

  constructor(limits: AdmissionLimits, keys: Pick<ApiKeys, "areRequired" | "count">) {
    this.#limits = limits;
    this.#keys = keys;
    this.#requests = new Places(limits.concurrent, () => this.#part);
    this.#choices = new Places(limits.concurrent, () => this.#part);
  }

  /** Whether admission is over. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Places that are taken: by requests, and by their texts. */
  get running(): number {
    return this.#requests.used + this.#choices.used;
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#requests.waiting + this.#choices.waiting;
  }

  /** Most that one key may have: all where there is one, else half, unless the limit says something else. */
  get #part(): number {
    const { concurrent, perKey } = this.#limits;
    if (!this.#keys.areRequired) return concurrent;
    if (Number.isFinite(perKey)) return perKey;
    return this.#keys.count > 1 ? Math.max(1, Math.floor(concurrent / 2)) : concurrent;
  }

  /**
   * Waits for a request's place.
   * @throws ApiError 429 over the queue or the key's limit, 503 once closed, 499 when the client has gone
   */
  async enter({ name }: Principal, signal: AbortSignal): Promise<Admitted> {
    if (this.#isClosed) throw shuttingDown();
    const places = this.#requests;
    const underWay = places.underWay(name);
    if (this.#keys.areRequired && underWay >= this.#part) {
      throw tooMany(`This key has ${underWay} requests under way, which is as many as it may have.`);
    }
    if (places.isTaken(name) && places.waiting >= this.#limits.queue) {
      const full = tooMany(
        `${places.used} requests run and ${places.waiting} wait, which is as many as may; try again later.`,
      );
      // The queue, too, is shared: the longest line gives way to a shorter one.
      if (!places.shorten(places.waitingOf(name) + 1, full)) throw full;
    }
    let start = performance.now();
    const leave = await places.take(name, 1, signal);
    let queueMs = performance.now() - start;
    const held = [leave];
    let isReleased = false;
    return {
      get queueMs() {
        return queueMs;
      },
      count: async (choices) => {
        start = performance.now();
        const taken = await this.#choices.take(name, choices, signal);
        queueMs += performance.now() - start;
        if (isReleased) taken();
        else held.push(taken);
      },
      release: () => {
        isReleased = true;
        for (const giveBack of held.splice(0)) giveBack();
        if (places.used === 0) for (const resolve of this.#idle.splice(0)) resolve();
      },
    };
  }

  /** Admits no more requests, lets waiting and running ones finish, and resolves when the last one has. */
  close(): Promise<void> {
    this.#isClosed = true;
    if (this.#requests.used === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idle.push(resolve));
  }
}

function tooMany(message: string): ApiError {
  return new ApiError(429, "rate_limit_exceeded", message, { retryAfter: RETRY_AFTER });
}

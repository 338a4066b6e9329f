/**
 * The memory of answers: while they are being made, and when they are made but have not left, because their
 * readers do not read. Owns both counts, of all keys and of each. What is being made never goes over the bound: over it
 * the next request is refused. What waits for a reader gives way: first of the key that has the most, the oldest first,
 * by cutting its connection. Nothing waits for longer than a request may take: a reader that takes a byte a second would
 * have its connection for days.
 */
import { ApiError } from "./api-error.js";
import { type ServerLimits, timerMs } from "./limits.js";

interface Unread {
  readonly key: string;
  readonly bytes: number;
  readonly drop: () => void;
}

/** Seconds after which a refused client is asked to come back. */
const RETRY_AFTER = 1;

type AnswerLimits = Pick<ServerLimits, "answerBytes" | "answerBytesPerKey" | "requestSeconds">;

export class AnswerMemory {
  readonly #limits: AnswerLimits;
  /** In the order in which they were made. */
  readonly #unread = new Set<Unread>();
  readonly #perKey = new Map<string, number>();
  #bytes = 0;

  constructor(limits: AnswerLimits) {
    this.#limits = limits;
  }

  /** All that is counted. */
  get bytes(): number {
    return this.#bytes;
  }

  /**
   * Room for an answer that is to be made. One that is alone is not refused, whatever its size.
   * @param countsForKey whether the bound of one key applies
   * @returns gives it back; calling it twice is fine
   * @throws ApiError 429
   */
  reserve(key: string, bytes: number, countsForKey: boolean): () => void {
    this.#makeRoom(key, bytes, countsForKey);
    const { answerBytes, answerBytesPerKey } = this.#limits;
    const ofKey = this.#perKey.get(key) ?? 0;
    const isTooMuch = this.#bytes > 0 && this.#bytes + bytes > answerBytes;
    const isTooMuchOfKey = countsForKey && ofKey > 0 && ofKey + bytes > answerBytesPerKey;
    if (isTooMuch || isTooMuchOfKey) {
      throw new ApiError(
        429,
        "rate_limit_exceeded",
        isTooMuchOfKey
          ? `This key's answers under way take ${ofKey} bytes, and this one may take ${bytes}; ${answerBytesPerKey} are allowed. Try again later, or ask for less.`
          : `The answers under way take ${this.#bytes} bytes, and this one may take ${bytes}; ${answerBytes} are allowed. Try again later, or ask for less.`,
        { retryAfter: RETRY_AFTER },
      );
    }
    return this.#add(key, bytes);
  }

  /**
   * An answer that is made and waits for its reader.
   * @param drop cuts its connection
   * @returns to be called when it has left, or its connection is gone; calling it twice is fine
   */
  wait(key: string, bytes: number, countsForKey: boolean, drop: () => void): () => void {
    this.#makeRoom(key, bytes, countsForKey);
    const entry: Unread = {
      key,
      bytes,
      drop: () => {
        left();
        drop();
      },
    };
    const give = this.#add(key, bytes);
    const timer = setTimeout(() => entry.drop(), timerMs(this.#limits.requestSeconds));
    (timer as { unref?: () => void }).unref?.();
    const left = () => {
      clearTimeout(timer);
      this.#unread.delete(entry);
      give();
    };
    this.#unread.add(entry);
    return left;
  }

  #add(key: string, bytes: number): () => void {
    this.#bytes += bytes;
    this.#perKey.set(key, (this.#perKey.get(key) ?? 0) + bytes);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      this.#bytes -= bytes;
      const rest = (this.#perKey.get(key) ?? 0) - bytes;
      if (rest > 0) this.#perKey.set(key, rest);
      else this.#perKey.delete(key);
    };
  }

  /** Drops what waits, as far as that helps. */
  #makeRoom(key: string, bytes: number, countsForKey: boolean): void {
    const { answerBytes, answerBytesPerKey } = this.#limits;
    while (countsForKey && (this.#perKey.get(key) ?? 0) + bytes > answerBytesPerKey) {
      if (!this.#dropOldest(key)) break;
    }
    while (this.#bytes + bytes > answerBytes) {
      const most = this.#keyWithMostUnread();
      if (most === null) return;
      this.#dropOldest(most);
    }
  }

  #dropOldest(key: string): boolean {
    for (const entry of this.#unread) {
      if (entry.key !== key) continue;
      entry.drop();
      return true;
    }
    return false;
  }

  #keyWithMostUnread(): string | null {
    const sums = new Map<string, number>();
    let most: string | null = null;
    for (const { key, bytes } of this.#unread) {
      sums.set(key, (sums.get(key) ?? 0) + bytes);
      if (most === null || sums.get(key)! > sums.get(most)!) most = key;
    }
    return most;
  }
}

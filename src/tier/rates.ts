/**
 * How fast the store answers: bytes in a time, and the round trip of an answer without bytes. Measured on what is read
 * anyway, all reads together, so that it says what a further load may count on. Knows no clock: it is told the time.
 *
 * Owns the sums that the rate comes of, in which what is older counts less. Time in which nothing is asked for does not count,
 * nor does what was never answered: whether the store answers is the breaker's to say.
 */

/** Fewer bytes in one go say more of the round trip than of the rate. */
const LEAST_SAMPLE_BYTES = 32 * 1024;
/** After so many bytes a sample ends, although more is to come. */
const SAMPLE_BYTES = 4 * 1024 * 1024;
/** What the earlier samples count for when one is added. */
const KEPT = 0.7;
/**
 * Milliseconds after which a rate is old. With a bad one nothing is loaded, so that it would stay as it is: an old
 * one is told as `HOPED_BYTES_PER_MS`, and one load finds out. Where it was no better, the next try comes after twice as long.
 */
const PATIENCE_MS = 60_000;
const LONGEST_PATIENCE_MS = 640_000;
/** A gigabyte a second: worth a try of whatever there is. */
const HOPED_BYTES_PER_MS = 1e6;
/** A rate that has grown by so much is another one. */
const BETTER = 2;

export class TransferRates {
  #inFlight = 0;
  /** Of the sample on its way: since when, the last answer, bytes and answers; and whether a round trip is in it. */
  #since = 0;
  #until = 0;
  #bytes = 0;
  #answers = 0;
  #isFromIdle = true;
  /** Sums over all samples. */
  #sumBytes = 0;
  #sumMs = 0;
  #sampledAt = 0;
  #patienceMs = PATIENCE_MS;
  #roundTripMs: number | null = null;

  /** Something is asked for. */
  sent(now: number): void {
    if (this.#inFlight === 0) this.#begin(now, true);
    this.#inFlight += 1;
  }

  /** An answer of so many bytes has come, and has been dealt with. */
  answered(now: number, bytes: number): void {
    this.#inFlight -= 1;
    this.#bytes += bytes;
    this.#answers += 1;
    this.#until = now;
    if (this.#inFlight === 0 || this.#bytes >= SAMPLE_BYTES) this.#take();
  }

  /** No answer will come, or one that does not count. */
  abandoned(): void {
    this.#inFlight -= 1;
    if (this.#inFlight === 0) this.#take();
  }

  /** An answer without bytes took so long, with nothing beside it. */
  observeRoundTrip(ms: number): void {
    this.#roundTripMs = this.#roundTripMs === null ? ms : KEPT * this.#roundTripMs + (1 - KEPT) * ms;
  }

  /** Null: nothing was measured yet. */
  get roundTripMs(): number | null {
    return this.#roundTripMs;
  }

  /** As measured, however long ago; null: nothing was. */
  get measuredBytesPerMs(): number | null {
    return this.#rate;
  }

  /** What a load can count on; null: nothing was measured yet. */
  bytesPerMs(now: number): number | null {
    const rate = this.#rate;
    if (rate === null) return null;
    return now < this.#oldAt ? rate : Math.max(rate, HOPED_BYTES_PER_MS);
  }

  /** When `bytesPerMs` becomes another one without anything being measured; null: not at all. */
  changesAt(now: number): number | null {
    const rate = this.#rate;
    return rate !== null && rate < HOPED_BYTES_PER_MS && now < this.#oldAt ? this.#oldAt : null;
  }

  get #rate(): number | null {
    return this.#sumBytes === 0 ? null : this.#sumBytes / this.#sumMs;
  }

  get #oldAt(): number {
    return this.#sampledAt + this.#patienceMs;
  }

  #begin(now: number, isFromIdle: boolean): void {
    this.#since = now;
    this.#until = now;
    this.#bytes = 0;
    this.#answers = 0;
    this.#isFromIdle = isFromIdle;
  }

  #take(): void {
    const ms = this.#until - this.#since;
    if (this.#bytes >= LEAST_SAMPLE_BYTES) {
      const waited = this.#isFromIdle ? (this.#roundTripMs ?? 0) : 0;
      this.#sample(this.#bytes, Math.max(ms - waited, ms / 2, Number.EPSILON));
    } else if (this.#answers === 1 && this.#bytes === 0 && this.#isFromIdle) {
      this.observeRoundTrip(ms);
    }
    this.#begin(this.#until, false);
  }

  #sample(bytes: number, ms: number): void {
    const before = this.#rate;
    if (before !== null && this.#until >= this.#oldAt) {
      const isBetter = bytes / ms > BETTER * before;
      this.#patienceMs = isBetter ? PATIENCE_MS : Math.min(LONGEST_PATIENCE_MS, 2 * this.#patienceMs);
      // What was measured long ago says nothing any more.
      this.#sumBytes = 0;
      this.#sumMs = 0;
    }
    this.#sumBytes = KEPT * this.#sumBytes + bytes;
    this.#sumMs = KEPT * this.#sumMs + ms;
    this.#sampledAt = this.#until;
  }
}

/** A reply under way: nothing runs before its first piece or its result is asked for; leaving its pieces early ends it. */
import { onAbort } from "../abort-listeners.js";

/** What makes a reply: gives away its pieces, and the whole. */
type MakeReply<Piece, Result> = (onPiece: (piece: Piece) => void, signal: AbortSignal) => Promise<Result>;

/** Owns the pieces that have not been read yet. */
export class PiecesAndResult<Piece, Result> implements AsyncIterable<Piece> {
  readonly #make: MakeReply<Piece, Result>;
  readonly #signal: AbortSignal | undefined;
  readonly #stop = new AbortController();
  readonly #pieces: Piece[] = [];
  #whole: Promise<Result> | null = null;
  #hasEnded = false;
  /** Iterators that wait for a piece or the end: each piece goes to one of them. */
  #readers: (() => void)[] = [];

  constructor(make: MakeReply<Piece, Result>, signal: AbortSignal | undefined) {
    this.#make = make;
    this.#signal = signal;
  }

  /** The whole. @throws what makes it throws */
  result(): Promise<Result> {
    this.#whole ??= this.#begin();
    // The iterator is told, too.
    this.#whole.catch(() => undefined);
    return this.#whole;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Piece, void> {
    try {
      const whole = this.result();
      for (;;) {
        const changed = new Promise<void>((resolve) => {
          this.#readers.push(resolve);
        });
        yield* this.#pieces.splice(0);
        if (this.#hasEnded && this.#pieces.length === 0) break;
        if (this.#pieces.length === 0) await changed;
      }
      await whole;
    } finally {
      if (!this.#hasEnded) this.#stop.abort();
      await this.result();
    }
  }

  async #begin(): Promise<Result> {
    const stopWaiting = onAbort(this.#signal, () => this.#stop.abort(this.#signal?.reason));
    if (this.#signal?.aborted) this.#stop.abort(this.#signal.reason);
    try {
      return await this.#make((piece) => {
        this.#pieces.push(piece);
        this.#tell();
      }, this.#stop.signal);
    } finally {
      stopWaiting();
      this.#hasEnded = true;
      this.#tell();
    }
  }

  #tell(): void {
    const readers = this.#readers;
    this.#readers = [];
    for (const wake of readers) wake();
  }
}

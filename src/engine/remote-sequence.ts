/** A sequence in the engine, as its client holds it: tokens go there, logits come back. */
import { LastrowError } from "../errors.js";
import type { EngineLink } from "./engine-link.js";
import type { ClientMessage, HostMessage } from "./protocol.js";
import { fromRemoteError } from "./remote-error.js";
import type { ComputedLogits } from "./scheduled-sequence.js";

/** What a sequence has taken since its start. */
export interface SequenceCost {
  /** Tokens of its first history whose K and V were there already. */
  readonly numCachedTokens: number;
  /** Rows that went through the model, counted where they entered. */
  readonly rowsComputed: number;
  /** Milliseconds of the forward passes that it took part in. */
  readonly computeMs: number;
}

interface Question {
  readonly use: (logits: ComputedLogits) => void;
  readonly resolve: (cost: SequenceCost) => void;
  readonly reject: (error: unknown) => void;
}

/** Whoever holds one asks one thing at a time. */
export class RemoteSequence {
  readonly #link: EngineLink;
  readonly #id: number;
  #question: Question | null = null;
  #whenEnded: (() => void) | null = null;
  #hasEnded = false;
  #once = false;

  constructor(link: EngineLink) {
    link.expectSound();
    this.#link = link;
    this.#id = link.open({
      receive: (message) => this.#receive(message),
      fail: (error) => {
        link.post({ type: "endSequence", id: this.#id });
        this.#end(error);
      },
    });
  }

  /** It cannot be used any more: it was ended, or could not be computed. */
  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  /**
   * Computes a first history. With `once` it ends then.
   * @param use is given the rows of logits from `logitsFrom` on as they come, in order; they are its own to keep
   * @throws LastrowError `kv_memory_exhausted` when `rowsNeeded` rows do not fit even alone, `numerical_error`,
   *   `thread_lost`, `engine_lost`, `disposed`: it has then ended
   */
  start(
    tokens: readonly number[],
    options: {
      readonly salt: string | null;
      readonly logitsFrom?: number | undefined;
      readonly rowsNeeded?: number | undefined;
      readonly once?: boolean | undefined;
    },
    use: (logits: ComputedLogits) => void,
  ): Promise<SequenceCost> {
    const { salt, logitsFrom = tokens.length - 1, rowsNeeded = tokens.length, once = false } = options;
    this.#once = once;
    return this.#ask(
      { type: "startSequence", id: this.#id, tokens, salt, logitsFrom, rowsNeeded, once },
      use,
    );
  }

  /**
   * Cuts it back to `keep` tokens and adds others.
   * @param logitsFrom position of the first row that becomes logits: `keep` or above
   * @throws as `start`; but after a `kv_memory_exhausted` it is as it was
   */
  extend(
    keep: number,
    tokens: readonly number[],
    logitsFrom: number,
    use: (logits: ComputedLogits) => void,
  ): Promise<SequenceCost> {
    return this.#ask({ type: "extendSequence", id: this.#id, keep, tokens, logitsFrom }, use);
  }

  /** Another one with the same tokens, whose blocks it shares. */
  fork(): RemoteSequence {
    const forked = new RemoteSequence(this.#link);
    this.#link.post({ type: "forkSequence", id: forked.#id, from: this.#id });
    return forked;
  }

  /** Gives its blocks back; whoever waits for its logits waits no more. */
  end(): Promise<void> {
    if (this.#hasEnded) return Promise.resolve();
    this.#hasEnded = true;
    return new Promise((resolve) => {
      const release = this.#link.wait();
      this.#whenEnded = () => {
        release();
        resolve();
      };
      this.#link.post({ type: "endSequence", id: this.#id });
    });
  }

  #ask(message: ClientMessage, use: Question["use"]): Promise<SequenceCost> {
    return new Promise<SequenceCost>((resolve, reject) => {
      this.#link.expectSound();
      const release = this.#link.wait();
      this.#question = {
        use,
        resolve: (cost) => {
          release();
          resolve(cost);
        },
        reject: (error) => {
          release();
          reject(error);
        },
      };
      this.#link.post(message);
    });
  }

  #receive(message: HostMessage): void {
    switch (message.type) {
      case "logits": {
        const { firstPosition, count, logits, isLast, numCachedTokens, rowsComputed, computeMs } = message;
        const question = this.#question;
        if (question === null || this.#hasEnded) return;
        const width = logits.length / count;
        const row = (i: number) => (count === 1 ? logits : logits.subarray(i * width, (i + 1) * width));
        question.use({ firstPosition, count, row });
        if (!isLast) return;
        this.#question = null;
        if (this.#once) {
          this.#hasEnded = true;
          this.#link.forget(this.#id);
        }
        question.resolve({ numCachedTokens, rowsComputed, computeMs });
        return;
      }
      case "refused":
        this.#takeQuestion()?.reject(fromRemoteError(message.error));
        return;
      case "failed":
        this.#link.forget(this.#id);
        this.#end(fromRemoteError(message.error));
        return;
      case "ended":
        this.#link.forget(this.#id);
        this.#end(new LastrowError("aborted", "The sequence was ended while it was computed."));
    }
  }

  #end(error: unknown): void {
    this.#hasEnded = true;
    this.#takeQuestion()?.reject(error);
    this.#whenEnded?.();
  }

  #takeQuestion(): Question | null {
    const question = this.#question;
    this.#question = null;
    return question;
  }
}

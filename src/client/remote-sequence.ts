/** A sequence in the engine, as its client holds it: tokens go there, logits come back. */
import { LastrowError } from "../errors.js";
import type { RangeTensor, RowRange } from "../kernels/kv-rows.js";
import type { ComputedLogits } from "../protocol/computed-logits.js";
import type { ClientMessage, HostMessage } from "../protocol/messages.js";
import { fromRemoteError } from "../protocol/remote-error.js";
import type { BlockGroup } from "../saved-sequence/read-sequence.js";
import type { EngineLink } from "./engine-link.js";

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
  /** It was taken back: whatever is said of it is void, but that it was, or that the sequence has ended. */
  withdrawn?: LastrowError;
}

/** Progress of a sequence whose rows are given. */
export interface ReservedRows {
  /** Rows that it has. */
  readonly length: number;
  /** Rows that it has or has room for. */
  readonly capacity: number;
}

function reserved(message: HostMessage): ReservedRows | null {
  return message.type === "reserved" ? message : null;
}

/** What the engine needs to know of a tensor: the rest would be copied on the way. */
function rowsOf({ layer, part, rowBytes, firstBlock }: RangeTensor): RangeTensor {
  return { layer, part, rowBytes, firstBlock };
}

/** Its holder makes one call at a time. */
export class RemoteSequence {
  readonly #link: EngineLink;
  readonly #id: number;
  #question: Question | null = null;
  /** What is asked for besides logits, in the order of the questions. */
  readonly #requests: {
    readonly take: (message: HostMessage) => boolean;
    readonly reject: Question["reject"];
  }[] = [];
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
      readonly tenant?: string | undefined;
      readonly logitsFrom?: number | undefined;
      readonly rowsNeeded?: number | undefined;
      readonly once?: boolean | undefined;
    },
    use: (logits: ComputedLogits) => void,
  ): Promise<SequenceCost> {
    const { salt, tenant = "", logitsFrom = tokens.length - 1 } = options;
    const { rowsNeeded = tokens.length, once = false } = options;
    this.#once = once;
    return this.#ask(
      { type: "startSequence", id: this.#id, tokens, salt, tenant, logitsFrom, rowsNeeded, once },
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

  /**
   * Takes an extension back that is under way: the call fails with `error` when the sequence is as it was. Does nothing when
   * there is none.
   * @param keep tokens at the front that are as they were
   * @param tokens those that were behind them
   */
  withdraw(keep: number, tokens: readonly number[], error: LastrowError): void {
    const question = this.#question;
    if (question === null || question.withdrawn !== undefined) return;
    question.withdrawn = error;
    this.#link.post({ type: "withdrawExtension", id: this.#id, keep, tokens });
  }

  /** Copies of rows of it, in `memory` if it is large enough; computes again what was taken from it meanwhile. @throws as `start` */
  readRows(
    { firstBlock, numBlocks, tensors }: RowRange,
    memory: ArrayBuffer,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const range = { firstBlock, numBlocks, tensors: tensors.map(rowsOf) };
    return this.#request(
      { type: "readRows", id: this.#id, range, memory },
      (message) => (message.type === "rows" ? message.rows : null),
      [memory],
    );
  }

  /**
   * Starts it with rows that will be given: see `EngineCore.restore`.
   * @throws LastrowError `kv_memory_exhausted`, and what ended the engine: it has then ended
   */
  restore(
    tokens: readonly number[],
    whose: { readonly salt: string | null; readonly knownSalt: string | null; readonly tenant: string },
  ): Promise<ReservedRows> {
    return this.#request({ type: "restoreSequence", id: this.#id, tokens, ...whose }, reserved);
  }

  /** Makes room for `rows` more, or for as many as there can be: see `EngineCore.makeRoom`. */
  makeRoom(rows: number): Promise<ReservedRows> {
    return this.#request({ type: "makeRoom", id: this.#id, rows }, reserved);
  }

  /**
   * Gives it the rows of some blocks, those of positions before `givenEnd`; it takes as many as it has room for.
   * @param group its memory is not to be used until it comes back
   * @returns the same memory
   */
  placeRows(
    { firstBlock, end, rows }: BlockGroup,
    givenEnd: number,
    tensors: RowRange["tensors"],
  ): Promise<Uint8Array<ArrayBuffer>> {
    const named = tensors.map(rowsOf);
    return this.#request(
      { type: "placeRows", id: this.#id, firstBlock, end, givenEnd, tensors: named, rows },
      (message) => (message.type === "placed" ? message.rows : null),
      [rows.buffer],
    );
  }

  /** Says that the rows of `tokens`, which come after the rows that it had, have been given. */
  commitRows(tokens: readonly number[]): Promise<ReservedRows> {
    return this.#request({ type: "commitRows", id: this.#id, tokens }, reserved);
  }

  /** A sequence with the same tokens, which shares this one's blocks. */
  fork(): RemoteSequence {
    const forked = new RemoteSequence(this.#link);
    this.#link.post({ type: "forkSequence", id: forked.#id, from: this.#id });
    return forked;
  }

  /** Gives its blocks back; a pending request for its logits fails. */
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

  /** Asks for something else than logits. @param answer null for a message that is not it */
  #request<T>(
    message: ClientMessage,
    answer: (message: HostMessage) => T | null,
    transfer?: ArrayBuffer[],
  ): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      this.#link.expectSound();
      const release = this.#link.wait();
      this.#requests.push({
        take: (message) => {
          const value = answer(message);
          if (value === null) return false;
          release();
          resolve(value);
          return true;
        },
        reject: (error) => {
          release();
          reject(error);
        },
      });
      this.#link.post(message, transfer);
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
        if (question === null || question.withdrawn !== undefined || this.#hasEnded) return;
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
      case "rows":
      case "reserved":
      case "placed":
        if (this.#requests[0]?.take(message)) this.#requests.shift();
        return;
      case "refused":
        if (this.#question?.withdrawn === undefined)
          this.#takeQuestion()?.reject(fromRemoteError(message.error));
        return;
      case "withdrawn": {
        const question = this.#takeQuestion();
        question?.reject(question.withdrawn);
        return;
      }
      case "failed":
        this.#link.forget(this.#id);
        this.#end(fromRemoteError(message.error));
        return;
      case "ended":
        this.#link.forget(this.#id);
        this.#end(new LastrowError("aborted", "The sequence was ended while it was being computed."));
    }
  }

  #end(error: unknown): void {
    this.#hasEnded = true;
    this.#takeQuestion()?.reject(error);
    for (const { reject } of this.#requests.splice(0)) reject(error);
    this.#whenEnded?.();
  }

  #takeQuestion(): Question | null {
    const question = this.#question;
    this.#question = null;
    return question;
  }
}

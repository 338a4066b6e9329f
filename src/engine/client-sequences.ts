/**
 * The sequences that the client holds: begun, edited, saved, restored and ended as it says, their logits and rows sent to it.
 * Owns which of its numbers means which sequence, and what waits for rows that are being computed again.
 */
import type { ComputedLogits } from "../protocol/computed-logits.js";
import type { ClientMessageOf } from "../protocol/messages.js";
import { toRemoteError } from "../protocol/remote-error.js";
import type { EngineCore } from "./engine-core.js";
import type { Outbox } from "./outbox.js";
import type { LogitsConsumer, ScheduledSequence } from "./scheduled-sequence.js";

/** What can be asked of them. */
export type SequenceMessage = ClientMessageOf<
  | "startSequence"
  | "extendSequence"
  | "withdrawExtension"
  | "forkSequence"
  | "readRows"
  | "restoreSequence"
  | "makeRoom"
  | "placeRows"
  | "commitRows"
  | "endSequence"
>;

export class ClientSequences {
  readonly #core: EngineCore;
  readonly #outbox: Pick<Outbox, "say">;
  readonly #sequences = new Map<number, ScheduledSequence>();
  /** What to do when the rows of a sequence are there again. */
  readonly #rowsWanted = new Map<number, () => void>();

  constructor(core: EngineCore, outbox: Pick<Outbox, "say">) {
    this.#core = core;
    this.#outbox = outbox;
  }

  /** Sequences, and reads that wait. */
  get size(): number {
    return this.#sequences.size + this.#rowsWanted.size;
  }

  /** @throws LastrowError what ends the call, and with it the sequence */
  handle(message: SequenceMessage): void {
    const core = this.#core;
    const { transfer } = core;
    const { id } = message;
    switch (message.type) {
      case "startSequence": {
        const { tokens, once, ...options } = message;
        this.#sequences.set(id, core.start(tokens, this.#consumer(id, once), options));
        return;
      }
      case "extendSequence":
        this.#extend(message);
        return;
      case "withdrawExtension": {
        const sequence = this.#sequenceOf(id);
        core.withdraw(sequence, message.keep, message.tokens);
        sequence.numPromptTokens = sequence.tokens.length;
        this.#outbox.say({ type: "withdrawn", id });
        return;
      }
      case "forkSequence":
        this.#sequences.set(id, core.fork(this.#sequenceOf(message.from), this.#consumer(id)));
        return;
      case "readRows":
        this.#readRows(message);
        return;
      case "restoreSequence":
        this.#sequences.set(id, transfer.begin(message.tokens, this.#consumer(id), message));
        this.#sayReserved(id);
        return;
      case "makeRoom":
        transfer.makeRoom(this.#sequenceOf(id), message.rows);
        this.#sayReserved(id);
        return;
      case "placeRows": {
        const { rows } = message;
        transfer.place(this.#sequenceOf(id), message);
        this.#outbox.say({ type: "placed", id, rows }, rows.buffer);
        return;
      }
      case "commitRows":
        transfer.commit(this.#sequenceOf(id), message.tokens);
        this.#sayReserved(id);
        return;
      case "endSequence":
        this.#end(id);
        this.#outbox.say({ type: "ended", id, outcome: null });
    }
  }

  #extend({ id, keep, tokens, logitsFrom }: ClientMessageOf<"extendSequence">): void {
    const core = this.#core;
    const sequence = this.#sequenceOf(id);
    try {
      core.capacity.expect(keep + tokens.length);
    } catch (error) {
      this.#outbox.say({ type: "refused", id, error: toRemoteError(error) });
      return;
    }
    core.arriveAnew(sequence);
    core.cut(sequence, keep);
    core.extend(sequence, tokens, logitsFrom);
    // They were given, not chosen here.
    sequence.numPromptTokens = sequence.tokens.length;
  }

  #readRows({ id, range, memory }: ClientMessageOf<"readRows">): void {
    const core = this.#core;
    const sequence = this.#sequenceOf(id);
    const read = () => {
      const rows = core.transfer.read(sequence, range, memory);
      this.#outbox.say({ type: "rows", id, rows }, rows.buffer);
    };
    core.arriveAnew(sequence);
    if (core.expectRows(sequence)) read();
    else this.#rowsWanted.set(id, read);
  }

  #sayReserved(id: number): void {
    const { tokens, table } = this.#sequenceOf(id);
    const { length } = tokens;
    this.#outbox.say({ type: "reserved", id, length, capacity: Math.max(table.capacity, length) });
  }

  #end(id: number): void {
    this.#rowsWanted.delete(id);
    const sequence = this.#sequences.get(id);
    this.#sequences.delete(id);
    if (sequence !== undefined) this.#core.end(sequence);
  }

  /** @param once whether the sequence ends with its last logits */
  #consumer(id: number, once = false): LogitsConsumer {
    return {
      take: (logits) => {
        const readRows = this.#rowsWanted.get(id);
        if (readRows !== undefined) {
          // They are looked at before another step can take them again.
          this.#rowsWanted.delete(id);
          readRows();
          return;
        }
        const isLast = this.#sayLogits(id, logits);
        if (isLast && once) this.#end(id);
      },
      fail: (error) => {
        this.#rowsWanted.delete(id);
        this.#sequences.delete(id);
        this.#outbox.say({ type: "failed", id, error: toRemoteError(error) });
      },
    };
  }

  /** @returns whether they are the last that were asked for */
  #sayLogits(id: number, { firstPosition, count, row }: ComputedLogits): boolean {
    const { tokens, numCachedTokens, rowsComputed, computeMs } = this.#sequenceOf(id);
    const width = row(0).length;
    const logits = new Float32Array(count * width);
    for (let i = 0; i < count; i++) logits.set(row(i), i * width);
    const isLast = firstPosition + count === tokens.length;
    this.#outbox.say(
      {
        ...{ type: "logits", id, firstPosition, count, logits, isLast },
        ...{ numCachedTokens: numCachedTokens ?? 0, rowsComputed, computeMs },
      },
      logits.buffer,
    );
    return isLast;
  }

  #sequenceOf(id: number): ScheduledSequence {
    const sequence = this.#sequences.get(id);
    if (sequence === undefined) throw new Error("no such sequence");
    return sequence;
  }
}

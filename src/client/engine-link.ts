/**
 * The client's end of the way to an engine: numbers the calls, hands each what the engine says of it, keeps the program
 * alive while one waits, and ends all of them when the engine is gone. Only the link decides that it is: an error of a call
 * says what became of that call, or of the object that it was made on.
 */
import { LastrowError } from "../errors.js";
import type { ClientMessage, EngineConnection, HostMessage } from "../protocol/messages.js";
import type { ThreadPort } from "../protocol/port.js";
import { fromRemoteError } from "../protocol/remote-error.js";

/** One call. */
export interface Receiver {
  receive(message: HostMessage): void;
  /** The call has ended. Called once, and nothing after it. */
  fail(error: unknown): void;
}

export class EngineLink {
  /** Resolves when the engine is lost, with the error that calls fail with, and before they do. Never after `end`. */
  readonly lost: Promise<Error>;
  readonly #connection: EngineConnection;
  readonly #receivers = new Map<number, Receiver>();
  #lastId = 0;
  #waiting = 0;
  #end: { readonly error: unknown } | null = null;
  #tellLost: (error: Error) => void = () => undefined;

  constructor(connection: EngineConnection) {
    this.#connection = connection;
    this.lost = new Promise((resolve) => {
      this.#tellLost = resolve;
    });
    connection.onMessage((messages) => {
      for (const message of messages) this.#dispatch(message);
    });
    connection.onLost((reason) => {
      this.#lose(
        new LastrowError("engine_lost", `The model's engine is gone (${reason}); load the model again.`),
      );
    });
  }

  get isWorker(): boolean {
    return this.#connection.isWorker;
  }

  /** Calls that are taken up, and how many waiters each has. */
  get underWay(): { readonly calls: number; readonly waits: number } {
    return { calls: this.#receivers.size, waits: this.#waiting };
  }

  /** @throws what ended the engine */
  expectSound(): void {
    if (this.#end !== null) throw this.#end.error;
  }

  /**
   * Takes up a call, until `forget`.
   * @returns its number
   */
  open(receiver: Receiver): number {
    this.#lastId += 1;
    this.#receivers.set(this.#lastId, receiver);
    return this.#lastId;
  }

  forget(id: number): void {
    this.#receivers.delete(id);
  }

  /** Does nothing once the engine is gone. */
  post(message: ClientMessage, transfer?: (ArrayBuffer | ThreadPort)[]): void {
    if (this.#end === null) this.#connection.post(message, transfer);
  }

  /** Registers a waiter. Returns a function that removes it. */
  wait(): () => void {
    let isWaiting = true;
    this.#waiting += 1;
    if (this.#waiting === 1) this.#connection.hold(true);
    return () => {
      if (!isWaiting) return;
      isWaiting = false;
      this.#waiting -= 1;
      if (this.#waiting === 0) this.#connection.hold(false);
    };
  }

  /** Ends the engine, and with it all calls. */
  async end(error: unknown): Promise<void> {
    this.#end ??= { error };
    const receivers = [...this.#receivers.values()];
    this.#receivers.clear();
    for (const receiver of receivers) receiver.fail(error);
    await this.#connection.close();
  }

  #lose(error: Error): void {
    if (this.#end !== null) return;
    this.#tellLost(error);
    void this.end(error);
  }

  #dispatch(message: HostMessage): void {
    if (message.type === "broken") {
      this.#lose(fromRemoteError(message.error));
      return;
    }
    const receiver = this.#receivers.get(message.id);
    if (receiver === undefined) return;
    try {
      receiver.receive(message);
    } catch (error) {
      // A failure of one receiver must not reach the others.
      this.forget(message.id);
      receiver.fail(error);
    }
  }
}

/** How the engine and its client reach each other: messages in order, between threads or within one. */

/** A `MessagePort`. Where a project has no types of browsers, Node's have it as a value alone. */
export type ThreadPort = InstanceType<typeof MessagePort>;

/** One end. What is posted is not changed afterwards by either side. */
export interface Port<Sent, Received> {
  /** @param transfer buffers that the receiver takes over; they may be gone here afterwards */
  post(message: Sent, transfer?: ArrayBuffer[]): void;
  /** Sets the receiver of every message, from the first one on. */
  onMessage(listener: (message: Received) => void): void;
  /** Whether there is a message that the receiver has not been given, which takes a turn of the event loop. Absent: that is not known. */
  hasMore?(): boolean;
}

/** The client's end of the way to an engine, which it owns. */
export interface Connection<Sent, Received> extends Port<Sent, Received> {
  /** Whether the engine runs in a thread of its own. */
  readonly isWorker: boolean;
  /** @param transfer ports, too */
  post(message: Sent, transfer?: (ArrayBuffer | ThreadPort)[]): void;
  /** Sets the callback for when the other side has ended without being asked to. */
  onLost(listener: (reason: string) => void): void;
  /** Whether the program has to stay alive for what is to come; not so at first. */
  hold(isHeld: boolean): void;
  /** Ends the engine, also in the middle of a step. Further calls do nothing. */
  close(): Promise<void>;
}

/** Two ends within one thread. A message arrives after the present task's own code, and is not copied. */
export function portPair<A, B>(): [Port<A, B>, Port<B, A>] {
  const first = new LocalPort<A, B>();
  const second = new LocalPort<B, A>();
  first.peer = second;
  second.peer = first;
  return [first, second];
}

class LocalPort<Sent, Received> implements Port<Sent, Received> {
  peer: LocalPort<Received, Sent> | null = null;
  readonly #arrived: Received[] = [];
  #listener: ((message: Received) => void) | null = null;

  post(message: Sent): void {
    this.peer?.deliver(message);
  }

  onMessage(listener: (message: Received) => void): void {
    this.#listener = listener;
    if (this.#arrived.length > 0) queueMicrotask(() => this.#drain());
  }

  deliver(message: Received): void {
    this.#arrived.push(message);
    if (this.#arrived.length === 1) queueMicrotask(() => this.#drain());
  }

  #drain(): void {
    if (this.#listener === null) return;
    for (const message of this.#arrived.splice(0)) this.#listener(message);
  }
}

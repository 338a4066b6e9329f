/**
 * What an engine has to say to its client, gathered into few messages: each wakes the client's thread, which a fast model's
 * steps would do a thousand times a second. What is said goes out at the end of the step, or of the message, that is at work;
 * what may wait, waits for what the next steps have to say, for a moment.
 *
 * Owns what is not sent yet, and events among it: these are sent before the answers that they led to.
 */
import type { EngineEvent } from "../protocol/engine-stats.js";
import type { EnginePort, HostMessage } from "../protocol/messages.js";

export class Outbox {
  readonly #port: Pick<EnginePort, "post">;
  readonly #gatherMs: number;
  #messages: HostMessage[] = [];
  #transfer: ArrayBuffer[] = [];
  #events: EngineEvent[] = [];
  /** The call that events answer. */
  #listenerId = 0;
  /** Something cannot wait for what the next step has to say. */
  #isUrgent = false;
  /** Since when the first thing waits, as far as it was asked; null while there is none. */
  #waitsSince: number | null = null;

  /** @param gatherMs how long what may wait may wait */
  constructor(port: Pick<EnginePort, "post">, gatherMs: number) {
    this.#port = port;
    this.#gatherMs = gatherMs;
  }

  say(message: HostMessage, transfer?: ArrayBuffer): void {
    this.#isUrgent = true;
    this.#messages.push(message);
    if (transfer !== undefined) this.#transfer.push(transfer);
  }

  /** Says something that may wait. */
  sayLater(message: HostMessage): void {
    this.#messages.push(message);
  }

  /** Events may wait, too. */
  sayEvent(event: EngineEvent): void {
    this.#events.push(event);
  }

  /** Events, those that are not sent yet included, answer this call from now on. */
  answerEventsTo(id: number): void {
    this.#listenerId = id;
  }

  forgetEvents(): void {
    this.#events = [];
  }

  /**
   * Whether what there is must not wait for the end of the next step.
   * @param stepBegan when the last step began: the next one is taken to last as long
   */
  isDue(stepBegan: number): boolean {
    if (this.#isUrgent) return true;
    if (this.#messages.length === 0 && this.#events.length === 0) return false;
    const now = performance.now();
    this.#waitsSince ??= now;
    return now + (now - stepBegan) - this.#waitsSince >= this.#gatherMs;
  }

  /** Sends everything. */
  flush(): void {
    if (this.#events.length > 0) {
      this.#messages.unshift({ type: "events", id: this.#listenerId, events: this.#events });
      this.#events = [];
    }
    if (this.#messages.length === 0) return;
    const messages = this.#messages;
    const transfer = this.#transfer;
    this.clear();
    this.#port.post(messages, transfer);
  }

  /** Forgets what was not sent. */
  clear(): void {
    this.#messages = [];
    this.#transfer = [];
    this.#events = [];
    this.#isUrgent = false;
    this.#waitsSince = null;
  }
}

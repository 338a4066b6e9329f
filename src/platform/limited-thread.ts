/**
 * MiB of heap for each kind of work. A template looks itself that it takes no more than 256: the others are for what it makes in
 * one step, since the whole process ends where there is no room for one large text.
 */
export const HEAP_MIB = { template: 1024, grammar: 256 } as const;

/** Whether more than so many bytes of a thread's heap are used. */
export type HeapLook = (bytes: number) => boolean;

/** A thread whose heap is limited, for untrusted work: it can fail without harm to anything but itself. */
export interface LimitedThread<Sent, Received> {
  post(message: Sent): void;
  onMessage(listener: (message: Received) => void): void;
  /** Sets the callback for when the thread has ended by itself; it is given the reason in words. */
  onLost(listener: (reason: string) => void): void;
  /** Whether the program has to stay alive for its answer; not so at first. */
  hold(isHeld: boolean): void;
  close(): Promise<void>;
}

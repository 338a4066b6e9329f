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

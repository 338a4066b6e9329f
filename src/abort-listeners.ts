/**
 * Callbacks for the abort of a signal. Any number may wait for one signal (a server's, or a program's own), and Node warns
 * of a leak at the eleventh listener: so each signal has one listener of ours, as long as a callback is registered.
 */

interface Waiting {
  readonly callbacks: Set<() => void>;
  readonly listener: () => void;
}

/** Entries go with their last callback, and with their signal. */
const waitingFor = new WeakMap<AbortSignal, Waiting>();

/**
 * Calls back once when the signal aborts, in the order of the calls.
 * @returns takes the callback back; calling it later, or twice, does nothing
 */
export function onAbort(signal: AbortSignal | undefined, callback: () => void): () => void {
  if (signal === undefined) return () => undefined;
  const { callbacks, listener } = waitingFor.get(signal) ?? listen(signal);
  // One of its own for each call: two may pass the same function.
  const own = () => callback();
  callbacks.add(own);
  return () => {
    if (!callbacks.delete(own) || callbacks.size > 0) return;
    signal.removeEventListener("abort", listener);
    waitingFor.delete(signal);
  };
}

function listen(signal: AbortSignal): Waiting {
  const callbacks = new Set<() => void>();
  const listener = () => {
    waitingFor.delete(signal);
    const all = [...callbacks];
    callbacks.clear();
    for (const callback of all) callback();
  };
  signal.addEventListener("abort", listener, { once: true });
  const waiting = { callbacks, listener };
  waitingFor.set(signal, waiting);
  return waiting;
}

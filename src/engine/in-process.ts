/** An engine in the caller's own thread: for a runtime without workers, and for tests that look inside. */
import { threads as platformThreads } from "#threads";
import { type Clock, systemClock } from "../platform/clock.js";
import type { Threads } from "../platform/threads.js";
import type { ClientMessage, EngineConnection, HostMessage } from "../protocol/messages.js";
import { portPair } from "../protocol/port.js";
import { EngineHost } from "./engine-host.js";

/** Milliseconds after which others in the thread get a turn: half a frame. */
const LONGEST_HOLD_MS = 8;

/**
 * @param gatherMs see `EngineHost`; by default 0: within one thread messages need not be gathered
 * @param tierClock see `EngineHost`
 */
export function startInProcess(
  threads: Threads = platformThreads,
  gatherMs = 0,
  tierClock: Clock = systemClock,
): {
  readonly connection: EngineConnection;
  readonly host: EngineHost;
} {
  const [client, engine] = portPair<ClientMessage, readonly HostMessage[]>();
  const host = new EngineHost(engine, threads, { longestHoldMs: LONGEST_HOLD_MS, gatherMs, tierClock });
  const connection: EngineConnection = {
    isWorker: false,
    post: (message) => client.post(message),
    onMessage: (listener) => client.onMessage(listener),
    // It lives and dies with its client.
    onLost: () => undefined,
    hold: () => undefined,
    close: () => host.close(),
  };
  return { connection, host };
}

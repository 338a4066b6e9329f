/** What tests of the engine have left behind in their models: nothing. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect } from "vitest";
import { violatedInvariants } from "../../src/kv-cache/invariants.js";
import { loadInProcess } from "../in-process.js";

type Loaded = Awaited<ReturnType<typeof loadInProcess>>;

/** With the file that loaded it: files of one thread share this. */
const loaded = new Map<Loaded, string | undefined>();

/** As `loadInProcess`, for `expectNothingLeft` and `expectAllDisposed` to look at. */
export async function loadWatched(...args: Parameters<typeof loadInProcess>): Promise<Loaded> {
  const parts = await loadInProcess(...args);
  loaded.set(parts, expect.getState().testPath);
  return parts;
}

/**
 * To be called after each test of a file: no call, no sequence, no block and no subscription is left in the models that
 * the file has loaded, on either side of the connection.
 */
export async function expectNothingLeft(): Promise<void> {
  // What was ended without waiting for it is on its way.
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  for (const { host, engine, core } of ownOnes()) {
    expect(engine.underWay, "under way").toEqual({ calls: 0, waits: 0, subscriptions: 0 });
    if (host.isClosed) continue;
    expect(host.held, "held by the engine").toEqual({ jobs: 0, sequences: 0, isListening: false });
    const { kvCache, stats } = core;
    expect(stats.blocks.referenced, "blocks").toBe(0);
    expect(stats.sequences, "sequences").toMatchObject({ running: 0, waiting: 0, idle: 0 });
    expect([kvCache.tables.size, kvCache.listener, violatedInvariants(kvCache)]).toEqual([0, null, []]);
  }
}

/** To be called after all tests of a file: the models that it has loaded are disposed of. */
export function expectAllDisposed(): void {
  for (const { host } of ownOnes()) expect(host.isClosed).toBe(true);
}

function ownOnes(): Loaded[] {
  const { testPath } = expect.getState();
  return [...loaded].filter(([, path]) => path === testPath).map(([parts]) => parts);
}

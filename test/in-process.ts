/** A model whose engine runs in the test's own thread, where its inside can be looked at, and what it has left behind. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { expect } from "vitest";
import type { EngineClient } from "../src/engine/engine-client.js";
import type { EngineHost } from "../src/engine/engine-host.js";
import { startInProcess } from "../src/engine/in-process.js";
import { violatedInvariants } from "../src/kv-cache/invariants.js";
import { type LoadOptions, loadParts } from "../src/load.js";
import type { ModelSource } from "../src/platform/platform.js";

interface Loaded {
  readonly testPath: string | undefined;
  readonly host: EngineHost;
  readonly engine: EngineClient;
}

/** Files of one thread share it. */
const loaded = new Set<Loaded>();

export async function loadInProcess(source?: ModelSource, options: LoadOptions = {}) {
  const { connection, host } = startInProcess();
  const parts = await loadParts(source, options, async () => connection);
  loaded.add({ testPath: expect.getState().testPath, host, engine: parts.engine });
  return { ...parts, core: host.core };
}

/**
 * To be called after each test of a file: no call, no sequence, no block and no subscription is left in the models that
 * the file has loaded, on either side of the connection.
 */
export async function expectNothingLeft(): Promise<void> {
  // What was ended without waiting for it is on its way.
  for (let turn = 0; turn < 3; turn++) await nextTurn();
  const { testPath } = expect.getState();
  for (const entry of [...loaded].filter((one) => one.testPath === testPath)) {
    const { host, engine } = entry;
    expect(engine.underWay, "under way").toEqual({ calls: 0, waits: 0, subscriptions: 0 });
    if (host.isClosed) {
      loaded.delete(entry);
      continue;
    }
    expect(host.held, "held by the engine").toEqual({ generations: 0, sequences: 0, isListening: false });
    const { kvCache, stats } = host.core;
    expect(stats.blocks.referenced, "blocks").toBe(0);
    expect(stats.sequences, "sequences").toMatchObject({ running: 0, waiting: 0, idle: 0 });
    expect([kvCache.tables.size, kvCache.listener, violatedInvariants(kvCache)]).toEqual([0, null, []]);
  }
}

/** To be called after all tests of a file: the models that it has loaded are disposed of. */
export function expectAllDisposed(): void {
  const { testPath } = expect.getState();
  for (const { testPath: path, host } of loaded) if (path === testPath) expect(host.isClosed).toBe(true);
}

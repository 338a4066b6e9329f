/**
 * What each server test ends with: nothing is left of its requests. No exchange that has not ended, no place, no held
 * sequence that cannot be let go of, no call, no subscription but the server's own, no block.
 */
import { setTimeout as later } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { expect } from "vitest";
import type { LastrowServer } from "../../src/server/index.js";
import type { ModelService } from "../../src/server/model-service.js";

/** Waits so often for what ends by itself, 5 ms each: a client that has just left, a stream that is not read to its end. */
const LOOKS = 600;

/** @param numOpen exchanges that have begun and not ended */
export async function expectNothingLeft(server: LastrowServer, numOpen: () => number): Promise<void> {
  const { admission, textTurns, models } = server.service;
  const places = () => ({
    exchanges: numOpen(),
    running: admission.running + textTurns.running,
    waiting: admission.waiting + textTurns.waiting,
  });
  for (let i = 0; i < LOOKS && Object.values(places()).some((count) => count > 0); i++) await later(5);
  expect(places()).toEqual({ exchanges: 0, running: 0, waiting: 0 });
  for (const model of models.loaded) await expectNothingOf(model);
}

async function expectNothingOf({ engine, sequences }: ModelService): Promise<void> {
  // What is held is held on purpose; it goes without a rest.
  await sequences.dispose();
  expect([...sequences.accounts]).toEqual([]);
  if (engine.state !== "ready") return;
  const { model } = engine;
  // The server listens to steps.
  const nothing = { calls: 1, subscriptions: 1, waits: 0, blocks: 0, sequences: 0 };
  const left = async (): Promise<typeof nothing> => {
    const { blocks, sequences: counts } = await model.stats();
    const { running, waiting, idle } = counts;
    return { ...model.underWay, blocks: blocks.referenced, sequences: running + waiting + idle };
  };
  let now = await left();
  for (let i = 0; i < LOOKS && !isDeepStrictEqual(now, nothing); i++) {
    await later(5);
    now = await left();
  }
  expect(now).toEqual(nothing);
}

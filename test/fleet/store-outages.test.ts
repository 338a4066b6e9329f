/**
 * A server whose Redis is killed, stopped or paused while sixteen clients ask: every answer comes, and is right to the bit;
 * loads that were under way end at their deadline, then nothing is loaded and nothing waits until it answers again.
 */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Running } from "../serving/serve-process.js";
import { freePort } from "./child-process.js";
import { type Fleet, startFleet, store } from "./fleet.js";
import { arbitraryPrompt } from "./fleet-models.js";
import { startRedis } from "./redis-server.js";
import {
  type Answer,
  askAll,
  countersOf,
  expectNothingStuck,
  expectSoon,
  type Question,
  saidOf,
} from "./tier-servers.js";

const CLIENTS = 16;
/** Of the prefixes that clients share. */
const TOKENS = 12 * 16;
/** Loads that may be under way when the store ends, or begin before it is known: one for each client. */
const MOST_LOADS = CLIENTS;

/** For a machine that has much else to do. That the store is tried every second is tested by a clock of its own, with the breaker. */
const MARGIN_MS = 5000;

let fleet: Fleet;
let port: number;
/** Without a tier. */
let plain: Running;
/** Fills the tier for the others. */
let other: Running;
let server: Running;

beforeAll(async () => {
  port = await freePort();
  fleet = await startFleet({ port });
  [plain, other, server] = fleet.servers;
});
afterAll(() => fleet?.[Symbol.asyncDispose]());

/** A question of each client, about a few texts. */
function questionsOn(texts: readonly number[]): Question[] {
  return Array.from({ length: CLIENTS }, (_, i) => {
    const text = texts[i % texts.length];
    return { prompt: [...arbitraryPrompt(TOKENS, text), ...arbitraryPrompt(5, 1000 + i)], seed: text + i };
  });
}

/** What a server without a tier says. */
async function right(questions: readonly Question[]): Promise<Answer["said"][]> {
  return saidOf(await askAll(plain, questions));
}

interface Outage {
  /** @param roundMs what the answers to all clients' questions take */
  readonly begin: (roundMs: number) => Promise<unknown> | unknown;
  readonly end: () => Promise<unknown> | unknown;
  /** Whether the store has what it had. */
  readonly keeps: boolean;
}

const outages: Readonly<Record<string, Outage>> = {
  "stopped (SIGSTOP)": {
    begin: () => fleet.redis.child.kill("SIGSTOP"),
    end: () => fleet.redis.child.kill("SIGCONT"),
    keeps: true,
  },
  "paused (CLIENT PAUSE)": {
    // It ends by itself: whatever is sent meanwhile waits for that. Two rounds are asked in it.
    begin: (roundMs) => fleet.redis.ask("client", "pause", (2000 + 3 * roundMs).toFixed(0), "all"),
    end: () => fleet.redis.ask("ping"),
    keeps: true,
  },
  "killed (SIGKILL), and started anew": {
    begin: () => fleet.redis[Symbol.asyncDispose](),
    end: async () => {
      fleet.redis = await startRedis({ port });
    },
    keeps: false,
  },
};

test.each(Object.entries(outages))("a store that is %s", async (name, { begin, end, keeps }) => {
  const from = 10 * Object.values(outages).findIndex((outage) => outage.begin === begin);
  const [first, later, after] = [1, 4, 7].map((i) => [from + i, from + i + 1, from + i + 2]);
  const asked = [first, later, after].map(questionsOn);
  const expected = [];
  let roundMs = 0;
  for (const questions of asked) {
    const begun = performance.now();
    expected.push(await right(questions));
    roundMs = Math.max(roundMs, performance.now() - begun);
  }
  if (keeps) await store(other, [...first, ...after], TOKENS);

  await begin(roundMs);
  const atBegin = await countersOf(server);
  expect(atBegin.breaker).toBe(0);
  expect(saidOf(await askAll(server, asked[0]))).toEqual(expected[0]);
  const open = await countersOf(server);
  expect(open.breaker).not.toBe(0);
  expect(open.hits).toBe(atBegin.hits);
  // Some were asked for, and none took longer than its deadline.
  const loads = open.loads - atBegin.loads;
  expect(loads).toBeGreaterThan(0);
  expect(loads).toBeLessThanOrEqual(MOST_LOADS);
  expect(open.ended).toBe(open.loads);
  expect(open.shortLoads).toBe(open.ended);
  if (keeps) expect(open.timeouts).toBeGreaterThan(atBegin.timeouts);

  // Nothing waits any more: nothing is asked for.
  expect(saidOf(await askAll(server, asked[1]))).toEqual(expected[1]);
  const still = await countersOf(server);
  expect(still).toMatchObject({ loads: open.loads, timeouts: open.timeouts, hits: open.hits });

  await end();
  const back = performance.now();
  for (const one of [server, other]) await expectSoon(async () => (await countersOf(one)).breaker).toBe(0);
  const ms = performance.now() - back;
  process.stderr.write(`${name}: used again ${ms.toFixed(0)} ms after it was back\n`);
  // However long it was away: when it is connected, or the next time that it is tried, which is every second.
  expect(ms).toBeLessThan(2000 + MARGIN_MS);
  if (!keeps) await store(other, after, TOKENS);
  expect(saidOf(await askAll(server, asked[2]))).toEqual(expected[2]);
  expect((await countersOf(server)).hits).toBeGreaterThan(still.hits);
  await expectNothingStuck(server);
});

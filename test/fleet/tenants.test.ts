/**
 * Tenants and tier keys on one store: a name finds its blocks on every server that has the tier key, no name finds those of another,
 * and what the store sees shows neither what was said nor that two said the same. A server with another key finds nothing.
 */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openRedisStore } from "../../src/tier/redis-store.js";
import type { Running } from "../serving/serve-process.js";
import { type Fleet, startFleet } from "./fleet.js";
import { arbitraryPrompt } from "./fleet-models.js";
import type { RedisServer } from "./redis-server.js";
import {
  ask,
  askAll,
  countersOf,
  expectNothingStuck,
  expectSoon,
  startTierServer,
  writeKey,
} from "./tier-servers.js";

const BLOCKS = 12;
const TOKENS = BLOCKS * 16;
const TEXT = arbitraryPrompt(TOKENS, 1);
const QUESTION = { prompt: [...TEXT, 2, 3], seed: 7 };
const NAMES = ["customer-alice", "customer-bob"];
const ALICE = "sk-alice-0123456789";
const BOB = "sk-bob-9876543210";

let fleet: Fleet;
let redis: RedisServer;
let keysFile: string;
/** Two with the same tier key and the same names, and one with another tier key. */
let a: Running;
let b: Running;
let stranger: Running;

beforeAll(async () => {
  fleet = await startFleet({
    servers: async ({ folder }) => {
      keysFile = join(folder, "keys.txt");
      await writeFile(keysFile, NAMES.map((name, i) => `${name} ${[ALICE, BOB][i]}\n`).join(""));
      const args = ["--api-keys", keysFile];
      return [{ args }, { args }, { args, keyFile: await writeKey(folder, "other.key", 2) }];
    },
  });
  redis = fleet.redis;
  [a, b, stranger] = fleet.servers;
});
afterAll(() => fleet?.[Symbol.asyncDispose]());

const numRecords = async () => Number(await redis.ask("dbsize"));

/** Token ids as they are in a record, as MONITOR shows bytes. */
function shownInMonitor(tokens: readonly number[]): string {
  const bytes = Buffer.from(Int32Array.from(tokens).buffer);
  const escapes: Record<number, string> = {
    7: "\\a",
    8: "\\b",
    9: "\\t",
    10: "\\n",
    13: "\\r",
    34: '\\"',
    92: "\\\\",
  };
  return [...bytes]
    .map((byte) => {
      const isPlain = byte >= 32 && byte < 127;
      return (
        escapes[byte] ?? (isPlain ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`)
      );
    })
    .join("");
}

test("a name shares with itself on all servers, and with no other; nothing that is sent shows a token, or that two are alike", async () => {
  await using monitor = await redis.monitor();
  let seen = 0;
  /** Names that were sent since it was called last. */
  const namesSent = () => {
    const lines = monitor.log.slice(seen);
    seen = monitor.log.length;
    return new Set(lines.flatMap((line) => [...line.matchAll(/"(lr1:[^"]+)"/g)].map((match) => match[1])));
  };
  const asked = async (server: Running, apiKey: string) => {
    const { hits, rejected } = await countersOf(server, apiKey);
    const answer = await ask(server, QUESTION, { apiKey });
    const after = await countersOf(server, apiKey);
    return { ...answer, hits: after.hits - hits, rejected: after.rejected - rejected };
  };
  const first = await asked(a, ALICE);
  const { said } = first;
  expect(first).toEqual({ said, cached: 0, hits: 0, rejected: 0 });
  await expectSoon(numRecords).toBe(BLOCKS);
  const ofAlice = namesSent();

  expect(await asked(b, BOB)).toEqual({ said, cached: 0, hits: 0, rejected: 0 });
  await expectSoon(numRecords).toBe(2 * BLOCKS);
  const ofBob = namesSent();
  expect([...ofBob].filter((name) => ofAlice.has(name))).toEqual([]);
  expect(ofBob.size).toBeGreaterThanOrEqual(BLOCKS);

  // Each on the server that the other had used.
  const loaded = { said, cached: TOKENS, hits: BLOCKS, rejected: 0 };
  expect(await asked(b, ALICE)).toEqual(loaded);
  expect([...namesSent()].filter((name) => !ofAlice.has(name))).toEqual([]);
  expect(await asked(a, BOB)).toEqual(loaded);
  expect([...namesSent()].filter((name) => !ofBob.has(name))).toEqual([]);
  expect(await numRecords()).toBe(2 * BLOCKS);

  const sent = monitor.log.join("\n");
  // Records are in there as they were sent: each begins with what can be read.
  expect([...sent.matchAll(/"LRKV\\x01\\x00/g)]).toHaveLength(2 * BLOCKS);
  const shown = Array.from({ length: TOKENS / 4 }, (_, i) => shownInMonitor(TEXT.slice(4 * i, 4 * i + 4)));
  expect([...shown, ...NAMES, ALICE, BOB].filter((said) => sent.includes(said))).toEqual([]);
  // It would be seen: tokens in the clear are shown like this.
  await redis.ask(
    "eval",
    `redis.call("set", "clear", struct.pack("<${"i4".repeat(4)}", unpack(ARGV)))`,
    "0",
    ...TEXT.slice(0, 4).map(String),
  );
  await expectSoon(async () => monitor.log.join("\n")).toContain(shown[0]);
  await redis.ask("del", "clear");
  // Equal blocks of two tenants have nothing in common but what all records have in the clear.
  const store = await openRedisStore({ url: redis.url, ttlSeconds: 60, longestRecord: 100_000 });
  const ids = new Set<string>();
  for (const name of (await redis.ask("keys", "*")).split("\n")) {
    const record = Buffer.from((await store.get(name, AbortSignal.timeout(5000)))!);
    for (let at = 60; at + 16 <= record.length; at += 16) ids.add(record.toString("latin1", at, at + 16));
    for (let i = 0; i < TOKENS; i += 4) {
      expect(record.includes(Buffer.from(Int32Array.from(TEXT.slice(i, i + 4)).buffer))).toBe(false);
    }
  }
  await store.close();
  const record = 60 + 32 + 64 + 4 * 2 * 32 * 16 * 4 + 16;
  expect(ids.size).toBe(2 * BLOCKS * Math.floor((record - 60) / 16));
  for (const server of [a, b]) await expectNothingStuck(server, ALICE);
});

test("a server with another tier key finds nothing, and is right: misses only", async () => {
  const size = await numRecords();
  const { said } = await ask(a, QUESTION, { apiKey: ALICE });
  expect(await ask(stranger, QUESTION, { apiKey: ALICE })).toEqual({ said, cached: 0 });
  const counters = await countersOf(stranger, ALICE);
  expect(counters).toMatchObject({ hits: 0, rejected: 0, timeouts: 0, breaker: 0 });
  expect(counters.misses).toBeGreaterThan(0);
  // It has its own beside theirs.
  await expectSoon(numRecords).toBe(size + BLOCKS);
  await expectNothingStuck(stranger, ALICE);
});

test("with --share-prefixes all names share, and none with those that do not", async () => {
  const { model, installation } = fleet;
  const { keyFile } = installation;
  const args = ["--api-keys", keysFile, "--share-prefixes"];
  const [one, two] = await Promise.all(
    [1, 2].map(() => startTierServer({ model, tier: redis.url, keyFile, args })),
  );
  const size = await numRecords();
  const [{ said, cached }] = await askAll(one, [QUESTION], 1, { apiKey: ALICE });
  expect(cached).toBe(0);
  await expectSoon(numRecords).toBe(size + BLOCKS);
  expect(await ask(two, QUESTION, { apiKey: BOB })).toEqual({ said, cached: TOKENS });
});
